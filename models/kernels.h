/* Fast kernels. All tensors are row-major float32. Each has a twin in kernels_ref.h that stays as the oracle. */
#ifndef MODELS_KERNELS_H
#define MODELS_KERNELS_H

#include <stddef.h>

#include "models/model.h"

/* y[rows][w->rows] = x[rows][w->cols] . w^T, leading dimensions ldx, ldy. One single-threaded sgemm. */
void kernels_matmul_tile(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);

/* The same for rows that belong to cells: a dot product over k in one fixed order (16 lanes, then a tree), whatever
 * the number of rows; so a row's bits are the same alone and among others. Parallel over w's rows. */
void kernels_matmul_skinny(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);

/* c[m][n] = a[m][k] . b[n][k]^T (+ c when add). Single-threaded sgemm for attention. */
void kernels_gemm_nt(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add);
/* c[m][n] = a[m][k] . b[k][n] (+ c when add). */
void kernels_gemm_nn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add);

/* y[i] = x[i] / rms(x) * (offset + w[i]), rms with eps inside the root; x and y may be the same. */
void kernels_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset);

/* Rotates one head in place, Hugging Face's rotate_half form: pairs (i, i + n/2). cosine, sine: [n/2]. */
void kernels_rope(float *x, const float *cosine, const float *sine, int n);

/* x[i] = exp(x[i] - top), returns their sum (16 float lanes, then a tree). exp: relative error below 3e-7 for
 * arguments in [-87, 0]; smaller arguments give at most 2e-38. */
float kernels_exp_sum(float *x, int n, float top);
float kernels_max(const float *x, int n);
void kernels_scale(float *x, int n, float by);

/* y[i] = act(gate[i]) * up[i]. */
void kernels_gated(float *y, const float *gate, const float *up, int n, enum model_activation act);
void kernels_add(float *x, const float *y, int n); /* x += y */
float kernels_dot(const float *a, const float *b, int n); /* 16 lanes, then a tree */
void kernels_axpy(float *y, float a, const float *x, int n); /* y += a x */

/* Once, before anything else: BLAS on one thread. Harmless when repeated. */
void kernels_init(void);
const char *kernels_blas(void); /* the library's own description, for manifests */

#endif
