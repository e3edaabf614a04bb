#include "harness/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"

char *fs_read(const char *path, size_t *n, struct err *e)
{
    struct stat st;
    char *data = NULL;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st)) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_IO, "%s: not a regular file", path);
        goto out;
    }
    data = mem_try((size_t)st.st_size + 1, 1, path, e);
    if (!data)
        goto out;
    *n = fread(data, 1, (size_t)st.st_size, f);
    if (ferror(f)) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        mem_free(data);
        data = NULL;
        goto out;
    }
    data[*n] = '\0';
out:
    if (f)
        fclose(f);
    return data;
}

int fs_write_atomic(const char *path, const void *data, size_t n, struct err *e)
{
    struct str tmp = {0};
    str_addf(&tmp, "%s.tmp.%ld", path, (long)getpid());
    int rc = -1, fd = open(tmp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        err_set(e, ERR_IO, "%s: %s", tmp.p, strerror(errno));
        goto out;
    }
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, (const char *)data + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            err_set(e, ERR_IO, "%s: %s", tmp.p, strerror(errno));
            goto out;
        }
        done += (size_t)w;
    }
    int unsynced = fsync(fd), unclosed = close(fd);
    fd = -1;
    if (unsynced || unclosed) {
        err_set(e, ERR_IO, "%s: %s", tmp.p, strerror(errno));
        goto out;
    }
    if (rename(tmp.p, path)) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    if (rc)
        unlink(tmp.p);
    str_free(&tmp);
    return rc;
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
        if (mkdir(p, 0777) && (errno != EEXIST || !fs_is_dir(p)))
            rc = err_set(e, ERR_IO, "%s: %s", p, strerror(errno == EEXIST ? ENOTDIR : errno));
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
