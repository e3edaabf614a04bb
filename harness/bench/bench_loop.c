#include "harness/bench/bench_loop.h"

#include <stddef.h>

#include "harness/base/clock.h"
#include "harness/base/cpu.h"

/* One instruction for a multiply and an add, where the processor has it. */
#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

typedef float lanes16 __attribute__((vector_size(64)));
typedef float lanes8 __attribute__((vector_size(32)));
typedef float lanes4 __attribute__((vector_size(16)));

/* CHAINS sums in registers, each round multiplied by a little less than 1 and added to: more chains than multiply-adds
 * that can be under way at once, fewer than there are registers. */
#define LOOP(lanes, CHAINS) \
    lanes sum[CHAINS], by = (lanes){0} + 0.999f, add = (lanes){0} + 0.001f; \
    for (int c = 0; c < CHAINS; c++) \
        sum[c] = (lanes){0} + (float)c; \
    for (size_t i = 0; i < n; i++) \
        for (int c = 0; c < CHAINS; c++) \
            sum[c] = sum[c] * by + add; \
    for (int c = 0; c < CHAINS; c++) \
        *sink += sum[c][0]; \
    return 2.0 * (double)n * CHAINS * (double)(sizeof(lanes) / sizeof(float));

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v4"))) static double wide(size_t n, float *sink)
{
    LOOP(lanes16, 24)
}

__attribute__((target("arch=x86-64-v3"))) static double middle(size_t n, float *sink)
{
    LOOP(lanes8, 12)
}
#endif

static double narrow(size_t n, float *sink)
{
    LOOP(lanes4, 12)
}

/* n rounds on one thread; returns the floating-point operations done. What was computed goes to *sink. */
static double run(size_t n, float *sink)
{
#if defined(__x86_64__)
    if (CPU_HAS_V4)
        return wide(n, sink);
    if (CPU_HAS_V3)
        return middle(n, sink);
#endif
    return narrow(n, sink);
}

double bench_loop_rate(int threads)
{
    enum { ROUNDS = 1 << 20, TRIES = 8 };
    double best = 0;
    float sum = 0;
    for (int t = 0; t < TRIES; t++) {
        double flop = 0, start = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : flop, sum)
        for (int i = 0; i < threads; i++)
            flop += run(ROUNDS, &sum);
        double r = flop / (clock_seconds() - start);
        best = r > best ? r : best;
    }
    return sum > 0 ? best : 0; /* always: the sums are used, so the loop runs */
}
