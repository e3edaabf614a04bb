#include "harness/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

int fs_fail(const char *path, struct err *e)
{
    int why = errno, full = why == ENOSPC || why == EDQUOT || why == EFBIG || why == EIO || why == ENOMEM ||
                            why == ENFILE || why == EMFILE;
    return err_set(e, full ? ERR_WRITE : ERR_IO, "%s: %s", path, why ? strerror(why) : "no reason is known");
}

int fs_is_input(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st))
        return fs_fail(path, e);
    if (S_ISREG(st.st_mode))
        return 0;
    return err_set(e, ERR_IO, "%s: not a regular file but %s", path,
                   S_ISDIR(st.st_mode)    ? "a folder"
                   : S_ISFIFO(st.st_mode) ? "a pipe"
                   : S_ISSOCK(st.st_mode) ? "a socket"
                                          : "a device");
}

int fs_open(const char *path, int64_t *size, struct err *e)
{
    struct stat st;
    if (fs_is_input(path, e)) /* before it is opened: opening alone moves a tape, or waits for a pipe's other end */
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        if (fd < 0 || errno)
            fs_fail(path, e);
        else
            err_set(e, ERR_IO, "%s: not a regular file", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *size = (int64_t)st.st_size;
    return fd;
}

char *fs_read(const char *path, size_t *n, struct err *e)
{
    int64_t size;
    int fd = fs_open(path, &size, e);
    char *data = fd < 0 ? NULL : mem_try((size_t)size + 1, 1, path, e);
    size_t got = 0;
    while (data && got < (size_t)size) {
        ssize_t r = read(fd, data + got, (size_t)size - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            fs_fail(path, e);
            mem_free(data);
            data = NULL;
        }
        if (r <= 0)
            break; /* 0: somebody has cut it meanwhile */
        got += (size_t)r;
    }
    if (data) {
        data[got] = '\0';
        *n = got;
    }
    if (fd >= 0)
        close(fd);
    return data;
}

int fs_write_all(int fd, const char *path, const void *data, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, (const char *)data + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w == 0)
            errno = ENOSPC;
        if (w <= 0)
            return fs_fail(path, e);
        done += (size_t)w;
    }
    return 0;
}

void fs_unfinished(const char *path, struct str *out)
{
    static atomic_ulong order;
    char host[65] = "";
    uint32_t h = 2166136261u; /* FNV-1a: of a host's name, which may be long, as much as tells hosts apart */
    (void)gethostname(host, sizeof host - 1);
    for (const char *p = host; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    str_addf(out, "%s.tmp.%08lx.%ld.%lu", path, (unsigned long)h, (long)getpid(), atomic_fetch_add(&order, 1));
}

static int write_renamed(const char *path, const void *data, size_t n, int sync, struct err *e)
{
    struct str tmp = {0};
    fs_unfinished(path, &tmp);
    int number = leave_remove(tmp.p), fd = open(tmp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = fd < 0 ? fs_fail(path, e) : fs_write_all(fd, path, data, n, e);
    if (rc == 0 && sync && fsync(fd) && errno != EINVAL && errno != ENOTSUP) /* some file systems can't */
        rc = fs_fail(path, e);
    if (fd >= 0 && close(fd) && rc == 0)
        rc = fs_fail(path, e);
    if (rc == 0 && rename(tmp.p, path))
        rc = fs_fail(path, e);
    if (rc && fd >= 0)
        unlink(tmp.p);
    leave_forget(number);
    str_free(&tmp);
    return rc;
}

int fs_temporary(const char *name, struct str *path, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    struct str made = {0};
    str_addf(&made, "%s/%s-XXXXXX", folder && folder[0] ? folder : "/tmp", name);
    int fd = mkstemp(made.p);
    if (fd < 0)
        fs_fail(made.p, e);
    else
        str_add(path, made.p);
    str_free(&made);
    return fd;
}

int fs_write_atomic(const char *path, const void *data, size_t n, struct err *e)
{
    return write_renamed(path, data, n, 1, e);
}

int fs_replace(const char *path, const void *data, size_t n, struct err *e)
{
    return write_renamed(path, data, n, 0, e);
}

int fs_mkdirs(const char *path, struct err *e)
{
    char *p = mem_strdup(path);
    int rc = 0;
    for (char *q = p + 1; rc == 0; q++) {
        if (*q != '/' && *q != '\0')
            continue;
        char c = *q;
        *q = '\0';
        if (mkdir(p, 0777) && (errno != EEXIST || !fs_is_dir(p))) {
            errno = errno == EEXIST ? ENOTDIR : errno;
            rc = fs_fail(p, e);
        }
        *q = c;
        if (c == '\0')
            break;
    }
    mem_free(p);
    return rc;
}

int fs_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

int fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t fs_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

char *fs_join(const char *dir, const char *name)
{
    struct str s = {0};
    if (name[0] != '/' && dir[0] != '\0') {
        str_add(&s, dir);
        if (s.p[s.n - 1] != '/')
            str_addc(&s, '/');
    }
    str_add(&s, name);
    return str_take(&s);
}

char *fs_relative(const char *from, const char *to)
{
    char *a = realpath(from, NULL), *b = realpath(to, NULL);
    struct str s = {0};
    if (!a || !b) {
        str_add(&s, to);
    } else {
        size_t i = 0, same = 0; /* bytes that both share, up to a slash or the end */
        for (; a[i] && a[i] == b[i]; i++)
            if (a[i] == '/')
                same = i;
        if ((!a[i] || a[i] == '/') && (!b[i] || b[i] == '/'))
            same = i;
        for (const char *p = a + same; *p; p++)
            if (*p == '/' && p[1])
                str_add(&s, s.n ? "/.." : "..");
        const char *rest = b + same + (b[same] == '/');
        if (*rest)
            str_addf(&s, "%s%s", s.n ? "/" : "", rest);
        if (!s.n)
            str_add(&s, ".");
    }
    free(a); /* realpath's own, not from mem */
    free(b);
    return str_take(&s);
}

char *fs_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *fs_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
