/* HDF5 files: numeric arrays with shapes, lists of strings, attributes. The library reads and writes them; files come
 * from strangers and the library crashes on bad ones, so a whole file is checked before it is opened (h5_check.c says
 * for what, models/README.md why). What is written is plain: contiguous datasets, fixed-length text, headers with
 * checksums.
 *
 *   struct h5 *f = h5_open("kept.h5", H5_MODE_CREATE, e);
 *   h5_write(f, "/cell/0/bitmap", H5_TYPE_U8, 2, (const uint64_t[]){30, 128}, bits, e);
 *   h5_set_int(f, "/cell/0", "n", 1024, e);
 *   rc = h5_close(f, e);
 *
 * Paths are absolute ("/a/b"); groups on the way are created when writing. Messages read
 * "<file>:<path>: <what>". Not for use from several threads at once. */
#ifndef HARNESS_BASE_H5_H
#define HARNESS_BASE_H5_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

enum h5_mode {
    H5_MODE_READ,
    H5_MODE_CREATE, /* an existing file is replaced when h5_close has written everything, and not before */
    H5_MODE_APPEND  /* the same, beginning with the content of an existing file */
};

enum h5_type {
    H5_TYPE_F32,
    H5_TYPE_F64,
    H5_TYPE_I32,
    H5_TYPE_I64,
    H5_TYPE_U8,
    H5_TYPE_U64,
    H5_TYPE_F16,    /* IEEE binary16; in memory its bits as uint16_t */
    H5_TYPE_BF16,   /* upper half of a float: 8 bits of exponent, 7 of mantissa; likewise */
    H5_TYPE_STRING, /* variable-length text, as h5py writes it */
    H5_TYPE_OTHER   /* anything that nothing here can read */
};

enum { H5_MAX_RANK = 8 };

struct h5;

struct h5_info {
    enum h5_type type;
    int rank;                  /* 0: a scalar */
    uint64_t dim[H5_MAX_RANK]; /* slowest first */
    uint64_t n;                /* elements */
    uint64_t stored;           /* bytes that the file holds for it: 0 when it was never written */
};

/* NULL and ERR_IO or ERR_FORMAT when there is no such file, it is no regular file, or no HDF5; ERR_UNSUPPORTED when it
 * has anything that is not of the plain subset. */
struct h5 *h5_open(const char *path, enum h5_mode mode, struct err *e);
/* Writes the file, syncs it, gives it its name, frees. NULL is fine. -1 when something could not be written, now or
 * before: then nothing is left of it, and what stood under the name still stands; f is gone all the same. */
int h5_close(struct h5 *f, struct err *e);
void h5_abandon(struct h5 *f); /* frees; nothing is written. NULL is fine */
const char *h5_path(const struct h5 *f);

int h5_exists(const struct h5 *f, const char *path);              /* a group or a dataset; 1 or 0 */
int h5_make_group(struct h5 *f, const char *path, struct err *e); /* with its parents; fine when it is there */
/* Names of a group's members in order of name; *names and every name are the caller's (h5_free_strings). */
int h5_list(const struct h5 *f, const char *group, char ***names, size_t *n, struct err *e);
/* Copies a dataset, or a group with all below it, attributes too (those of other types than below are refused). */
int h5_copy(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e);

/* Size of one element in memory; 0 for STRING and OTHER. */
size_t h5_type_size(enum h5_type t);
const char *h5_type_name(enum h5_type t);

int h5_stat(const struct h5 *f, const char *path, struct h5_info *out, struct err *e);
/* Writes a new dataset of dim[0] x ... x dim[rank - 1] elements, contiguous. data may be NULL when it is empty. */
int h5_write(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, const void *data,
             struct err *e);
/* Reads the whole dataset, which must have exactly n elements of type t, straight into dst. */
int h5_read(const struct h5 *f, const char *path, enum h5_type t, void *dst, size_t n, struct err *e);

/* Rows [first, first + n) of the slowest dimension of a dataset of type t; the caller knows its shape (h5_stat). */
int h5_read_rows(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e);

/* A list of n NUL-terminated strings: a group of `bytes` (u8: one behind the other) and `end` (u64: where each ends).
 * Reading takes a dataset of variable-length strings too. */
int h5_write_strings(struct h5 *f, const char *path, const char *const *s, size_t n, struct err *e);
int h5_read_strings(const struct h5 *f, const char *path, char ***s, size_t *n, struct err *e);
void h5_free_strings(char **s, size_t n);

/* Attributes of the group or dataset at `path`; "/" is the file's own. Strings: up to 60,000 bytes; reading takes those
 * of fixed and of variable length. */
int h5_set_int(struct h5 *f, const char *path, const char *name, int64_t v, struct err *e);
int h5_set_double(struct h5 *f, const char *path, const char *name, double v, struct err *e);
int h5_set_string(struct h5 *f, const char *path, const char *name, const char *v, struct err *e);
int h5_has(const struct h5 *f, const char *path, const char *name);
int h5_get_int(const struct h5 *f, const char *path, const char *name, int64_t *v, struct err *e);
int h5_get_double(const struct h5 *f, const char *path, const char *name, double *v, struct err *e); /* or an integer */
char *h5_get_string(const struct h5 *f, const char *path, const char *name,
                    struct err *e); /* mem_free; NULL on error */

#endif
