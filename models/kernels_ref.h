/* The reference kernels: plain loops, double accumulators, nothing clever. Slow for ever, on purpose. */
#ifndef MODELS_KERNELS_REF_H
#define MODELS_KERNELS_REF_H

#include <stddef.h>

#include "models/model.h"

void kernels_ref_matmul(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);
/* The same with both factors rounded to bf16. */
void kernels_ref_matmul_bf16(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);
void kernels_ref_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset);
void kernels_ref_gated(float *y, const float *gate, const float *up, int n, enum model_activation act);
/* x becomes softmax(x). */
void kernels_ref_softmax(double *x, int n);

#endif
