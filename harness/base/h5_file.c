/* The file below the library: opening behind the check, writing under a temporary name, and what errors become. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5_int.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"

enum { MOST = 64 << 20 }; /* bytes of one call of the system */

int h5_file_read(struct h5 *f, uint64_t at, uint64_t n, void *dst)
{
    if (f->writable && f->why)
        return -1; /* what is read may be among what was not written */
    for (char *to = dst; n;) {
        ssize_t got = pread(f->fd, to, n < MOST ? (size_t)n : MOST, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            f->why = errno;
        if (got == 0 && f->writable) { /* room that was never written */
            memset(to, 0, (size_t)n);
            return 0;
        }
        if (got <= 0) {
            f->cut = got == 0;
            return -1;
        }
        to += got;
        at += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return 0;
}

void h5_file_write(struct h5 *f, uint64_t at, uint64_t n, const void *src)
{
    const char *from = src;
    if (at + n > f->size)
        f->size = at + n;
    while (n && !f->why) {
        ssize_t done = pwrite(f->fd, from, n < MOST ? (size_t)n : MOST, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            f->why = done ? errno : ENOSPC;
            return;
        }
        from += done;
        at += (uint64_t)done;
        n -= (uint64_t)done;
    }
}

void h5_file_resize(struct h5 *f, uint64_t size)
{
    f->size = size;
    if (!f->why && ftruncate(f->fd, (off_t)size))
        f->why = errno;
}

int h5_file_why(const struct h5 *f, struct err *e)
{
    if (f->cut)
        return err_set(e, ERR_FORMAT, "%s: the file was cut while it was read", f->path);
    errno = f->why;
    return f->why ? fs_fail(f->path, e) : 0;
}

static void release(struct h5 *f)
{
    if (f->id >= 0)
        h5_library_close(f, NULL);
    if (f->fd >= 0)
        close(f->fd);
    if (f->fd >= 0 && f->writable) {
        unlink(f->tmp);
        leave_forget(f->number);
    }
    mem_free(f->trail);
    mem_free(f->tmp);
    mem_free(f->path);
    mem_free(f);
}

static int open_output(struct h5 *f, struct err *e)
{
    struct stat st;
    struct str tmp = {0};
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: exists and is not a regular file", f->path);
    fs_unfinished(f->path, &tmp);
    f->tmp = str_take(&tmp);
    f->number = leave_remove(f->tmp);
    f->fd = open(f->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd >= 0)
        return h5_library_open(f, e);
    leave_forget(f->number);
    return fs_fail(f->path, e);
}

static int open_input(struct h5 *f, struct err *e)
{
    int64_t size = 0;
    f->fd = fs_open(f->path, &size, e);
    f->size = (uint64_t)size;
    return f->fd < 0 || h5_check(f->fd, f->path, f->size, e) || h5_library_open(f, e) ? -1 : 0;
}

struct h5 *h5_open(const char *path, enum h5_mode mode, struct err *e)
{
    struct h5 *f = mem_new(1, sizeof *f), *old = NULL;
    f->path = mem_strdup(path);
    f->fd = -1;
    f->id = -1;
    f->writable = mode != H5_MODE_READ;
    int rc = f->writable ? open_output(f, e) : open_input(f, e);
    if (rc == 0 && mode == H5_MODE_APPEND && fs_exists(path)) {
        old = h5_open(path, H5_MODE_READ, e);
        rc = old ? h5_copy(old, "/", f, "/", e) : -1;
        h5_abandon(old);
    }
    if (rc) {
        release(f);
        return NULL;
    }
    return f;
}

void h5_abandon(struct h5 *f)
{
    if (f)
        release(f);
}

/* Everything is on the disk, and such that it will be read again, before the name is: who reads sees the old file or
 * the new one. */
static int commit(struct h5 *f, struct err *e)
{
    int rc = h5_library_close(f, e);
    rc = rc ? rc : h5_check(f->fd, f->tmp, f->size, e);
    if (rc == 0 && fsync(f->fd) && errno != EINVAL && errno != ENOTSUP) /* some file systems can't */
        rc = fs_fail(f->path, e);
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) && rc == 0)
        rc = fs_fail(f->path, e);
    if (rc == 0 && rename(f->tmp, f->path))
        rc = fs_fail(f->path, e);
    if (rc)
        unlink(f->tmp);
    leave_forget(f->number);
    return rc;
}

int h5_close(struct h5 *f, struct err *e)
{
    int rc = 0;
    if (!f)
        return 0;
    if (f->failed)
        rc = err_set(e, ERR_IO, "%s: not written, because a part of it could not be", f->path);
    else if (f->writable)
        rc = commit(f, e);
    release(f);
    return rc;
}

const char *h5_path(const struct h5 *f)
{
    return f->path;
}
