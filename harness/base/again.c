#include "harness/base/again.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"

/* The files of /proc have no size: read until there is no more. */
static int read_all(const char *path, struct str *out)
{
    char part[4096];
    ssize_t n;
    int f = open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0)
        return -1;
    while ((n = read(f, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        str_addn(out, part, n > 0 ? (size_t)n : 0);
    close(f);
    return n < 0 || !out->n ? -1 : 0;
}

/* The program's own path, so that lists of processes still have its name; the link itself where it leads there no more.
 */
static const char *path_of(const char *program, char path[PATH_MAX])
{
    struct stat a, b;
    ssize_t n = readlink(program, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return stat(program, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino ? path
                                                                                                         : program;
}

/* What the kernel was asked to run, not what main got: the loader takes its own arguments away. */
int again_start(struct err *e)
{
    static const char program[] = "/proc/self/exe", arguments[] = "/proc/self/cmdline";
    struct str text = {0};
    char path[PATH_MAX];
    int n = 0;
    if (read_all(arguments, &text)) {
        str_free(&text);
        return err_set(e, ERR_IO, "%s: %s", arguments, errno ? strerror(errno) : "it is empty");
    }
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\0';
    char **argv = mem_new((size_t)n + 2, sizeof *argv);
    n = 0;
    for (char *p = text.p; p < text.p + text.n; p += strlen(p) + 1)
        argv[n++] = p;
    execv(path_of(program, path), argv);
    err_set(e, ERR_IO, "%s: %s", program, strerror(errno));
    mem_free(argv);
    str_free(&text);
    return -1;
}
