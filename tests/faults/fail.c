/* Preloaded into the program under test, it refuses memory: the allocation of number FAULT_AT, counted from the first
 * instruction of main, or with FAULT_ALL that one and all that follow. FAULT_COUNT names a file for how many there
 * were. malloc, calloc, realloc, the aligned ones, and mmap without a file, of the program and of all its libraries. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static atomic_long count;
static long at;
static int all, on;
static int (*real_main)(int argc, char **argv, char **env);

static int refused(void)
{
    if (!on)
        return 0;
    long now = atomic_fetch_add(&count, 1) + 1;
    if (!at || now < at || (now > at && !all))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n)
{
    return refused() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return refused() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return refused() ? NULL : __libc_memalign(alignment, n);
}

void *memalign(size_t alignment, size_t n)
{
    return refused() ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
    if (refused() || !(*p = __libc_memalign(alignment, n)))
        return ENOMEM;
    return 0;
}

void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fd < 0 && refused())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, offset);
}

static void report(void)
{
    const char *path = getenv("FAULT_COUNT");
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", atomic_load(&count)), fd;
    if (path && (fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666)) >= 0) {
        if (write(fd, text, (size_t)n) != n)
            abort();
        close(fd);
    }
}

static int counted_main(int argc, char **argv, char **env)
{
    const char *k = getenv("FAULT_AT");
    at = k ? atol(k) : 0;
    all = getenv("FAULT_ALL") != NULL;
    unsetenv("LD_PRELOAD"); /* gnuplot is not under test */
    on = 1;
    int status = real_main(argc, argv, env);
    on = 0;
    report();
    return status;
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*ld_fini)(void), void *stack_end);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*ld_fini)(void), void *stack_end)
{
    int (*next)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    void *symbol = dlsym(RTLD_NEXT, "__libc_start_main");
    memcpy(&next, &symbol, sizeof next);
    real_main = main;
    return next(counted_main, argc, argv, init, fini, ld_fini, stack_end);
}
