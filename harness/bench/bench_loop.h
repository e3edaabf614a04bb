/* The most multiply-adds that a core can do: a loop that touches no memory. No product of matrices is faster. */
#ifndef HARNESS_BENCH_LOOP_H
#define HARNESS_BENCH_LOOP_H

#include <stddef.h>

/* n rounds on one thread, in the widest vectors that the processor has; returns the floating-point operations done.
 * What was computed goes to *sink. */
double bench_loop_run(size_t n, float *sink);

#endif
