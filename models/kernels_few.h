/* The two products of attention for a few rows, which read more than they compute: the lanes of a vector are keys, and
 * the cache is asked for ahead of its use. The bits are those of kernels_rows and kernels_exp2_columns. */
#ifndef MODELS_KERNELS_FEW_H
#define MODELS_KERNELS_FEW_H

#include <stddef.h>

enum {
    KERNELS_FEW_ROWS = 4, /* at most */
    KERNELS_FEW_STEP = 4  /* d is a multiple of it */
};

/* score[rows][n], rows ld apart, = q[rows][d] . k[n][d]^T, n > 0: each is the sum over d from the front. The beginning
 * of `next`, which is read afterwards, is asked for. */
void kernels_few_scores(float *score, size_t ld, const float *q, int rows, const float *k, int n, int d,
                        const float *next);

/* out[rows][d] = weight[rows][n] . v[n][d] and total[rows] = the weights' own sums, both from the first key on. */
void kernels_few_values(float *out, float *total, const float *weight, size_t ld, int rows, const float *v, int n,
                        int d);

#endif
