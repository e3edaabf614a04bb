#include "harness/base/free_memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/base/str.h"

/* The number behind `key` in a small text file, or the file's first number when key is NULL; 0: there is none. */
static size_t number_in(const char *path, const char *key)
{
    FILE *f = fopen(path, "r");
    char line[256];
    unsigned long long v = 0;
    while (f && fgets(line, sizeof line, f))
        if (!key || strncmp(line, key, strlen(key)) == 0) {
            if (sscanf(line + (key ? strlen(key) : 0), " %llu", &v) != 1)
                v = 0; /* "max": no limit */
            break;
        }
    if (f)
        fclose(f);
    return (size_t)v;
}

static size_t below(size_t free, size_t limit, size_t used)
{
    size_t left = limit > used ? limit - used : 1;
    return !limit ? free : !free || left < free ? left : free;
}

size_t free_memory(void)
{
    const char *set = getenv("DEPTHKV_FREE_MEMORY");
    int64_t bytes;
    if (set && str_to_bytes(set, &bytes) == 0)
        return (size_t)bytes;
    size_t free = 1024 * number_in("/proc/meminfo", "MemAvailable:");
    size_t pages = number_in("/proc/self/statm", NULL);
    struct rlimit space;
    free = below(free, number_in("/sys/fs/cgroup/memory.max", NULL), number_in("/sys/fs/cgroup/memory.current", NULL));
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        free = below(free, (size_t)space.rlim_cur, pages * (size_t)sysconf(_SC_PAGESIZE));
    return free;
}
