/* malloc of the libraries. HDF5 crashes where it is refused memory, cJSON, libcrypto and libyaml report something else,
 * and OpenMP leaves through HDF5's destructors. The loader takes the program's own definitions before any library's, so
 * these stand in front of the allocator's and end the process, with a message, where that refuses. A size that only a
 * broken file can ask for is refused as ever: whoever asked reports the file. mem.c does not come through here. */
#include <features.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"

#ifdef __has_feature /* clang's way to say what gcc says by a macro */
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define OWN_MALLOC 1
#endif

#ifndef OWN_MALLOC
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static const size_t CREDIBLE = (size_t)256 << 20;
static void *(*next_malloc)(size_t n);
static void *(*next_calloc)(size_t n, size_t size) = __libc_calloc;
static void *(*next_realloc)(void *p, size_t n) = __libc_realloc;

/* C has no conversion between pointers to objects and to functions. */
static void set(void *function, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    if (p)
        memcpy(function, &p, sizeof p);
}

/* The next one in the loader's order, which need not be libc's. First called while one thread runs: by the loader. */
static void find(void)
{
    static int finding;
    if (finding)
        return;
    finding = 1;
    set(&next_calloc, "calloc");
    set(&next_realloc, "realloc");
    next_malloc = __libc_malloc;
    set(&next_malloc, "malloc");
}

static void *or_leave(void *p, size_t n)
{
    if (!p && n && n < CREDIBLE)
        leave_out_of_memory(n, "a library");
    return p;
}

void *malloc(size_t n)
{
    if (!next_malloc)
        find();
    return next_malloc ? or_leave(next_malloc(n), n) : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    size_t bytes;
    if (!next_malloc)
        find();
    void *p = next_malloc ? next_calloc(n, size) : __libc_calloc(n, size);
    return p ? p : or_leave(p, mem_mul(n, size, &bytes) ? bytes : CREDIBLE);
}

void *realloc(void *p, size_t n)
{
    if (!next_malloc)
        find();
    return next_malloc ? or_leave(next_realloc(p, n), n) : __libc_realloc(p, n);
}
#endif
