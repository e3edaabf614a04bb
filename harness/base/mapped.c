#include "harness/base/mapped.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/fs.h"

/* The system sends SIGBUS for a page that the file no longer has. The handler puts a page of zeros there and notes
 * whose it was, so that reading goes on to where the importer asks. */
static struct {
    const uint8_t *begin, *end;
    volatile sig_atomic_t lost;
} slot[MAPPED_MAX];
static int n_slot; /* those beyond were never used */
static long page;
static struct sigaction before;

static void on_bus(int signal, siginfo_t *info, void *context)
{
    const uint8_t *at = info->si_addr;
    (void)context;
    for (int i = 0; i < n_slot; i++)
        if (slot[i].begin && at >= slot[i].begin && at < slot[i].end) {
            uintptr_t first = (uintptr_t)at / (uintptr_t)page * (uintptr_t)page;
            if (mmap((void *)first, (size_t)page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
                MAP_FAILED) {
                slot[i].lost = 1;
                return;
            }
        }
    sigaction(signal, &before, NULL); /* not ours: it comes again, and takes its usual way */
}

/* A slot for a mapping; -1: there are too many. */
static int watch(const uint8_t *p, size_t n)
{
    int i = 0, used = 0;
    for (int k = 0; k < n_slot; k++)
        used += slot[k].begin != NULL;
    while (i < n_slot && slot[i].begin)
        i++;
    if (i == MAPPED_MAX)
        return -1;
    if (used == 0) {
        struct sigaction ours = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
        sigemptyset(&ours.sa_mask);
        page = sysconf(_SC_PAGESIZE);
        sigaction(SIGBUS, &ours, &before);
    }
    slot[i].lost = 0;
    slot[i].end = p + n;
    slot[i].begin = p;
    n_slot = i == n_slot ? i + 1 : n_slot;
    return i;
}

int mapped_open(const char *path, struct mapped *m, struct err *e)
{
    int64_t size;
    int fd = fs_open(path, &size, e);
    if (fd < 0)
        return -1;
    void *p = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    int rc = p == MAP_FAILED ? fs_fail(path, e) : p ? 0 : err_set(e, ERR_IO, "%s: empty", path);
    close(fd);
    if (rc)
        return -1;
    m->slot = watch(p, (size_t)size);
    if (m->slot < 0) {
        munmap(p, (size_t)size);
        return err_set(e, ERR_UNSUPPORTED, "%s: more than %d files at once", path, (int)MAPPED_MAX);
    }
    m->p = p;
    m->n = (size_t)size;
    return 0;
}

void mapped_release(const struct mapped *m, const uint8_t *p, size_t n)
{
    size_t one = (size_t)sysconf(_SC_PAGESIZE), begin = (size_t)(p - m->p) / one * one, end = (size_t)(p - m->p) + n;
    if (end > begin)
        (void)madvise((void *)(uintptr_t)(m->p + begin), end - begin, MADV_DONTNEED); /* only advice: may fail */
}

int mapped_check(const struct mapped *m, const char *path, struct err *e)
{
    if (!m->p || !slot[m->slot].lost)
        return 0;
    return err_set(e, ERR_IO, "%s: became shorter, or could not be read, while it was imported", path);
}

void mapped_close(struct mapped *m)
{
    if (m->p) {
        int used = 0;
        munmap((void *)(uintptr_t)m->p, m->n);
        slot[m->slot].begin = slot[m->slot].end = NULL;
        for (int k = 0; k < n_slot; k++)
            used += slot[k].begin != NULL;
        if (used == 0)
            sigaction(SIGBUS, &before, NULL);
    }
    m->p = NULL;
    m->n = 0;
}
