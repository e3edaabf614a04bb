/* The most multiply-adds that cores can do: loops that touch no memory, so that no product of matrices is faster. Every
 * width of vectors that the processor has is tried; of bf16 the instructions of the way that the kernels go
 * (models/kernels_bf16.h), whose emulations multiply and add as float32 does. */
#ifndef HARNESS_BENCH_LOOP_H
#define HARNESS_BENCH_LOOP_H

#include "models/model.h"

/* FLOP/s of so many threads, the best of some tries; some tens of milliseconds. */
double bench_loop_rate(enum model_dtype arithmetic, int threads);

#endif
