#include "harness/base/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapped_open(const char *path, struct mapped *m, struct err *e)
{
    struct stat st;
    void *p = MAP_FAILED;
    int rc = -1, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (fd < 0 || fstat(fd, &st)) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        err_set(e, ERR_IO, "%s: %s", path, S_ISREG(st.st_mode) ? "empty" : "not a regular file");
        goto out;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    m->p = p;
    m->n = (size_t)st.st_size;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

void mapped_release(const struct mapped *m, const uint8_t *p, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = (size_t)(p - m->p) / page * page,
           end = (size_t)(p - m->p) + n;
    if (end > begin)
        (void)madvise((void *)(uintptr_t)(m->p + begin), end - begin, MADV_DONTNEED); /* only advice: may fail */
}

void mapped_close(struct mapped *m)
{
    if (m->p)
        munmap((void *)(uintptr_t)m->p, m->n);
    m->p = NULL;
    m->n = 0;
}
