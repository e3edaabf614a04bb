/* The most multiply-adds that cores can do: a loop that touches no memory, in the widest vectors that the processor
 * has. No product of matrices is faster. */
#ifndef HARNESS_BENCH_LOOP_H
#define HARNESS_BENCH_LOOP_H

/* FLOP/s of so many threads, the best of some tries. */
double bench_loop_rate(int threads);

#endif
