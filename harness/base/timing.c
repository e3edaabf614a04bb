#include "harness/base/timing.h"

#include <assert.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"

const char *const timing_kind_name[TIMING_N_KIND] = {"other",   "linear",   "attention", "statistics", "scoring",
                                                     "cutting", "decoding", "forced",    "io"};
const char *const timing_phase_name[TIMING_N_PHASE] = {"prefill", "decoding", "forced"};

enum { MAX_DEPTH = 16 };

/* One thread's parts, by phase, by the serial section around the loop, by kind. Threads come and go with OpenMP's
 * teams; their sums stay, in a list that only grows. */
struct parts {
    double seconds[TIMING_N_PHASE][TIMING_N_KIND][TIMING_N_KIND];
    struct parts *next;
};

static int on;
static enum timing_kind stack[MAX_DEPTH];
static int depth;
static enum timing_phase phase; /* parallel loops read phase and stack, which change only between them */
static double mark;             /* up to here everything is accounted for */
static double serial[TIMING_N_PHASE][TIMING_N_KIND];
static _Atomic(struct parts *) all_parts;
static _Thread_local struct parts *my_parts;

void timing_enable(int value)
{
    assert(depth == 0);
    on = value;
    memset(serial, 0, sizeof serial);
    for (struct parts *p = atomic_load(&all_parts); p; p = p->next)
        memset(p->seconds, 0, sizeof p->seconds);
}

/* The time since the last mark belongs to the innermost section. */
static void settle(void)
{
    double now = clock_seconds();
    if (depth)
        serial[phase][stack[depth - 1]] += now - mark;
    mark = now;
}

static enum timing_phase phase_of_stack(void)
{
    enum timing_phase p = TIMING_PHASE_PREFILL;
    for (int i = 0; i < depth; i++)
        p = stack[i] == TIMING_DECODING ? TIMING_PHASE_DECODING : stack[i] == TIMING_FORCED ? TIMING_PHASE_FORCED : p;
    return p;
}

void timing_begin(enum timing_kind k)
{
    if (!on)
        return;
    assert(depth < MAX_DEPTH && !omp_in_parallel());
    settle();
    stack[depth++] = k;
    phase = phase_of_stack();
}

void timing_end(void)
{
    if (!on)
        return;
    assert(depth > 0);
    settle();
    depth--;
    phase = phase_of_stack();
}

double timing_part_begin(void)
{
    return on ? clock_seconds() : 0;
}

void timing_part_end(enum timing_kind k, double start)
{
    if (!on)
        return;
    if (!my_parts) {
        my_parts = mem_new(1, sizeof *my_parts);
        my_parts->next = atomic_load(&all_parts);
        while (!atomic_compare_exchange_weak(&all_parts, &my_parts->next, my_parts))
            ;
    }
    enum timing_kind around = depth ? stack[depth - 1] : TIMING_OTHER;
    my_parts->seconds[phase][around][k] += (clock_seconds() - start) / omp_get_num_threads();
}

void timing_read(double seconds[TIMING_N_PHASE][TIMING_N_KIND])
{
    memcpy(seconds, serial, sizeof serial);
    for (const struct parts *p = atomic_load(&all_parts); p; p = p->next)
        for (int f = 0; f < TIMING_N_PHASE; f++)
            for (int around = 0; around < TIMING_N_KIND; around++)
                for (int k = 0; k < TIMING_N_KIND; k++) {
                    seconds[f][k] += p->seconds[f][around][k];
                    if (around != TIMING_OTHER)
                        seconds[f][around] -= p->seconds[f][around][k];
                }
}
