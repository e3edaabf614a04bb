/* The two products of attention for a few rows, which read more than they compute: the lanes of a vector are keys, and
 * the cache is asked for ahead of its use. The bits are those of kernels_rows and kernels_exp2_columns; what is held as
 * bf16 is widened in registers, and gives the bits of the same numbers held as floats. */
#ifndef MODELS_KERNELS_FEW_H
#define MODELS_KERNELS_FEW_H

#include <stddef.h>

#include "models/kvrows.h"

enum { KERNELS_FEW_ROWS = 4 }; /* at most */

/* Whether they take so many rows over keys of d numbers that are held so. */
int kernels_few_takes(int rows, struct kv_rows k, int d);

/* score[rows][n], rows ld apart, = q[rows][d] . k[n][d]^T, n > 0: each is the sum over d from the front. The beginning
 * of `next`, which is read afterwards, is asked for. */
void kernels_few_scores(float *score, size_t ld, const float *q, int rows, struct kv_rows k, int n, int d,
                        struct kv_rows next);

/* out[rows][d] = weight[rows][n] . v[n][d] and total[rows] = the weights' own sums, both from the first key on. */
void kernels_few_values(float *out, float *total, const float *weight, size_t ld, int rows, struct kv_rows v, int n,
                        int d);

#endif
