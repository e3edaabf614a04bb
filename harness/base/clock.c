#include "harness/base/clock.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t clock_peak_rss(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (size_t)u.ru_maxrss * 1024;
}

int clock_reset_peak_rss(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f)
        return -1;
    int bad = fputs("5\n", f) == EOF; /* proc(5): resets the "high water mark" of the resident set */
    return fclose(f) || bad ? -1 : 0;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

double clock_other_cpu_seconds(void)
{
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    long hz = sysconf(_SC_CLK_TCK);
    struct rusage u;
    FILE *f = fopen("/proc/stat", "r");
    int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq,
                       &soft, &steal)
              : 0;
    if (f)
        fclose(f);
    if (n != 8 || hz <= 0)
        return -1;
    getrusage(RUSAGE_SELF, &u);
    return (double)(user + nice + system + irq + soft + steal) / (double)hz - seconds_of(u.ru_utime) -
           seconds_of(u.ru_stime);
}
