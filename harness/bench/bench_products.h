/* The products of a prefill, one by one: what every way to compute them does that this processor has, beside OpenBLAS
 * and the loop that never leaves the registers. */
#ifndef HARNESS_BENCH_PRODUCTS_H
#define HARNESS_BENCH_PRODUCTS_H

#include "harness/base/err.h"
#include "harness/base/quote.h"
#include "models/model.h"

/* A table of GFLOP/s on as many threads as there are, each with rows of its own, as of a prompt of 2048 tokens. Of
 * float32 the columns are shapes of tile (models/kernels_many.h), of bf16 arithmetic its ways (models/kernels_bf16.h);
 * the one that is used is marked. */
int bench_products(const struct model *m, struct quote *out, struct err *e);

#endif
