#include "harness/base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/leave.h"

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

static atomic_size_t live, peak;
static atomic_long fail_countdown;

int mem_mul(size_t a, size_t b, size_t *out)
{
    if (a != 0 && b > SIZE_MAX / a)
        return 0;
    *out = a * b;
    return 1;
}

static void *allocate(size_t n, size_t size, int zero)
{
    size_t bytes;
    if (!mem_mul(n, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes == 0)
        bytes = ALIGNMENT;
    void *p = aligned_alloc(ALIGNMENT, bytes);
    if (!p)
        return NULL;
    if (!zero &&
        bytes >= 2 * HUGE_PAGE) { /* a wish, for what lies between huge pages' bounds: less to clear, fewer misses */
        uintptr_t from = ((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        madvise((char *)p + (from - (uintptr_t)p), ((uintptr_t)p + bytes - from) / HUGE_PAGE * HUGE_PAGE,
                MADV_HUGEPAGE);
    }
    if (zero)
        memset(p, 0, bytes);
    size_t now = atomic_fetch_add(&live, malloc_usable_size(p)) + malloc_usable_size(p);
    size_t top = atomic_load(&peak);
    while (now > top && !atomic_compare_exchange_weak(&peak, &top, now))
        ;
    return p;
}

void *mem_new_for(size_t n, size_t size, const char *what)
{
    size_t bytes;
    void *p = allocate(n, size, 1);
    if (!p)
        leave_out_of_memory(mem_mul(n, size, &bytes) ? bytes : SIZE_MAX, what);
    return p;
}

void *mem_malloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        leave_out_of_memory(bytes, "a library");
    return p;
}

static void *attempt(size_t n, size_t size, int zero, const char *what, struct err *e)
{
    long c = atomic_load(&fail_countdown);
    void *p = NULL;
    if (c <= 0 || atomic_fetch_sub(&fail_countdown, 1) != 1)
        p = allocate(n, size, zero);
    if (!p)
        err_set(e, ERR_NOMEM, "no memory for %s (%zu x %zu bytes)", what, n, size);
    return p;
}

void *mem_try(size_t n, size_t size, const char *what, struct err *e)
{
    return attempt(n, size, 1, what, e);
}

void *mem_try_raw(size_t n, size_t size, const char *what, struct err *e)
{
    return attempt(n, size, 0, what, e);
}

void mem_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&live, malloc_usable_size(p));
    free(p);
}

char *mem_strndup(const char *s, size_t n)
{
    char *p = mem_new(n + 1, 1);
    memcpy(p, s, n);
    return p;
}

char *mem_strdup(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

void mem_grow_for(void *p_to_pointer, size_t *cap, size_t need, size_t size, const char *what)
{
    if (need <= *cap)
        return;
    size_t want = *cap < 8 ? 8 : *cap + *cap / 2;
    if (want < need)
        want = need;
    void *old;
    memcpy(&old, p_to_pointer, sizeof old);
    void *fresh = mem_new_for(want, size, what);
    if (old)
        memcpy(fresh, old, *cap * size);
    mem_free(old);
    memcpy(p_to_pointer, &fresh, sizeof fresh);
    *cap = want;
}

void mem_room(void *p_to_pointer, size_t n, size_t size)
{
    enum { FIRST = 8 };
    size_t cap = n;
    if (n == 0 || (n >= FIRST && (n & (n - 1)) == 0))
        mem_grow(p_to_pointer, &cap, n == 0 ? FIRST : 2 * n, size);
}

size_t mem_live(void)
{
    return atomic_load(&live);
}

size_t mem_peak(void)
{
    return atomic_load(&peak);
}

void mem_trim(void)
{
    malloc_trim(0);
}

void mem_keep_freed(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most that it takes */
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

void mem_fail_at(long n)
{
    atomic_store(&fail_countdown, n);
}
