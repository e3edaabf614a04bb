/* Files: whole reads, atomic writes, folders, paths. */
#ifndef HARNESS_BASE_FS_H
#define HARNESS_BASE_FS_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/str.h"

/* "PATH: reason" from errno: ERR_WRITE for full disks, limits and broken devices, else ERR_IO. Returns -1. */
int fs_fail(const char *path, struct err *e);
/* Whatever is opened for reading goes through one of these two: folders, pipes, sockets and devices are refused by
 * name, and nothing waits for them. fs_is_input is for libraries that open files themselves; 0 or -1. fs_open: a
 * descriptor or -1. */
int fs_is_input(const char *path, struct err *e);
int fs_open(const char *path, int64_t *size, struct err *e);
/* The whole file as NUL-terminated bytes (*n without the NUL); caller frees with mem_free. NULL on error. */
char *fs_read(const char *path, size_t *n, struct err *e);
int fs_write_all(int fd, const char *path, const void *data, size_t n,
                 struct err *e); /* every byte; `path` is for the error */
/* A name beside `path` that no other process or thread takes, of this machine or another that sees the folder. */
void fs_unfinished(const char *path, struct str *out);
/* Writes under a temporary name in the same folder, syncs, renames: a reader sees the old or the new. */
int fs_write_atomic(const char *path, const void *data, size_t n, struct err *e);
/* The same without the sync: for what is written often and may be lost with the machine, but never seen half. */
int fs_replace(const char *path, const void *data, size_t n, struct err *e);
/* A new, empty file NAME-XXXXXX in the folder TMPDIR, or in /tmp: its descriptor, and its path, appended. -1 on error,
 * and nothing appended. The caller removes it. */
int fs_temporary(const char *name, struct str *path, struct err *e);
int fs_mkdirs(const char *path, struct err *e); /* mkdir -p */
int fs_exists(const char *path);                /* 1 or 0 */
int fs_is_dir(const char *path);
int64_t fs_size(const char *path);                /* -1 when there is none */
char *fs_join(const char *dir, const char *name); /* name alone when it is absolute or dir is ""; caller frees */
/* `to` as seen from the folder `from`, links resolved: "../b", "." for the same; `to` itself where either is missing.
 * Caller frees. */
char *fs_relative(const char *from, const char *to);
char *fs_dirname(const char *path);        /* "." when there is no folder part; caller frees */
const char *fs_basename(const char *path); /* points into path */

#endif
