/* Products that are timed by themselves, for the machine's limits and for the table of products: a shape, computed by
 * OpenBLAS or as the engine calls its own kernels, by all threads at once. */
#ifndef HARNESS_BENCH_PRODUCT_H
#define HARNESS_BENCH_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "models/model.h"

enum bench_form {
    BENCH_A_BT,    /* c[m][n] = a[m][k] b[n][k]^T, by OpenBLAS */
    BENCH_A_B,     /* c[m][n] = a[m][k] b[k][n], by OpenBLAS */
    BENCH_WEIGHTS, /* c[m][n] = a[m][k] times a weight matrix of n rows (models/matrix.h), one for all tasks */
    BENCH_PANEL,   /* the same of panel t alone, of n rows */
    BENCH_SCORES,  /* a b^T as a prefill's attention computes it */
    BENCH_VALUES   /* a b as it does */
};

/* `task` products of one shape, spread over the threads, each done `calls` times. The operands of task t begin t steps
 * (elements) behind those of task 0. bf16 arithmetic is for weights alone, which it needs to be held so; its `a` are
 * rows that kernels_bf16_round made. */
struct bench_product {
    enum bench_form form;
    int m, n, k;
    size_t lda, ldb, ldc, a_step, b_step, c_step;
    int task, calls;
    enum model_dtype held, arithmetic;
};

/* All operands, enough for each product of list[n]; held and arithmetic are the same in all of it. */
struct bench_operands {
    void *a, *b; /* float, or bf16 as the products say */
    float *c, *room;
    size_t room_step;
};
int bench_operands_make(const struct bench_product *list, int n, struct bench_operands *o, struct err *e);
void bench_operands_free(struct bench_operands *o);

double bench_product_flop(const struct bench_product *p); /* of all tasks and calls */
/* FLOP/s, the best of so many tries. */
double bench_product_rate(const struct bench_product *p, int tries, const struct bench_operands *o);

#endif
