/* The products of a prefill, one by one: what every shape of tile that this processor has does, beside OpenBLAS and the
 * loop that never leaves the registers. */
#ifndef HARNESS_BENCH_PRODUCTS_H
#define HARNESS_BENCH_PRODUCTS_H

#include "harness/base/err.h"
#include "harness/base/quote.h"
#include "models/model.h"

/* A table of GFLOP/s on as many threads as there are, each with rows of its own, as of a prompt of 2048 tokens. */
int bench_products(const struct hparams *hp, struct quote *out, struct err *e);

#endif
