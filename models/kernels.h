/* Fast kernels. All tensors are row-major float32. Each has a twin in kernels_ref.h that says what it must compute. */
#ifndef MODELS_KERNELS_H
#define MODELS_KERNELS_H

#include <stddef.h>

#include "models/model.h"

/* bf16 to float, exactly: y[2 n][width] of pairs x[n][width][2]. */
void kernels_widen_pairs(float *y, const uint16_t *x, size_t n, size_t width);

/* c[m][n] = a[m][k] . b[n][k]^T (+ c when add). Single-threaded sgemm. */
void kernels_gemm_nt(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add);
/* c[m][n] = a[m][k] . b[k][n] (+ c when add). */
void kernels_gemm_nn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add);

/* y[i] = x[i] / rms(x) * (offset + w[i]), rms with eps inside the root; x and y may be the same. */
void kernels_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset);

/* Rotates one head in place, Hugging Face's rotate_half form: pairs (i, i + n/2). cosine, sine: [n/2]. */
void kernels_rope(float *x, const float *cosine, const float *sine, int n);

/* x[i] = 2^(x[i] - top), returns their sum (16 float lanes, then a tree). 2^x: relative error below 3e-7 for arguments
 * in [-126, 0]; smaller arguments give at most 2e-38. */
float kernels_exp2_sum(float *x, int n, float top);
/* The same for ld rows at once, which are the columns of score[n][ld]; ld is a multiple of 8. top[ld]: their maxima, or
 * when `whole` is 1 the least whole numbers from there on; total[ld]: their sums, key by key. A column that holds
 * nothing but -infinity gives no usable weights. */
void kernels_exp2_columns(float *score, size_t ld, int n, int whole, float *top, float *total);
void kernels_exp2(float *x, int n, float top); /* without the sum */
float kernels_max(const float *x, int n);
void kernels_scale(float *x, int n, float by);

/* y[i] = act(gate[i]) * up[i]. */
void kernels_gated(float *y, const float *gate, const float *up, int n, enum model_activation act);
void kernels_axpy(float *y, float a, const float *x, int n); /* y += a x */
void kernels_add(float *x, const float *y, int n);           /* x += y */

/* Whether `items` things of about `cost` multiply-adds each are worth waking other threads for (some microseconds). */
int kernels_worth_sharing(size_t items, size_t cost);
void kernels_share_from(
    size_t multiply_adds); /* tests: share even the smallest work, with 0; SIZE_MAX: the default again */

/* Once, before anything else: BLAS on one thread. Harmless when repeated. */
void kernels_init(void);
/* Whether what OpenBLAS will ask for can be had; ERR_NOMEM names the limit. */
int kernels_check_room(int threads, struct err *e);
const char *kernels_blas(void); /* the library's own description, with its version and the processor it chose */
const char *kernels_blas_core(void); /* that processor; "" where the library has the kernels of one only */
const char *kernels_set(void);  /* which of our own versions this processor gets */

#endif
