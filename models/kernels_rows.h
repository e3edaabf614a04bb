/* Products with weights, and those of the cells' attention: one fixed order of summation for any number of rows and
 * columns. OpenBLAS chooses its order by the shape; where a row must have the same bits alone and among others, it
 * can't serve. */
#ifndef MODELS_KERNELS_ROWS_H
#define MODELS_KERNELS_ROWS_H

#include <stddef.h>

#include "models/matrix.h"

/* y[rows][n] = x[rows][k] . w[k][n], where x[r][i] lies at x[r * row_step + i * k_step] (a transposed x has row_step 1)
 * and rows of y and w are ldy and ldw apart. Every y is the sum over i = 0 .. k-1 in that order, one fused multiply-add
 * a term where the machine has them. Single-threaded; y must not overlap x or w. */
void kernels_rows(float *y, size_t ldy, const float *x, size_t row_step, size_t k_step, int rows, const float *w,
                  size_t ldw, int n, int k);
/* The same, the sums added to what y holds when add is 1. */
void kernels_rows_add(float *y, size_t ldy, const float *x, size_t row_step, size_t k_step, int rows, const float *w,
                      size_t ldw, int n, int k, int add);

/* y[rows][w->rows] = x[rows][w->cols] . w^T: sums of 384 terms as above, added up in their order. bf16 weights are
 * widened exactly, so the result is that of the same weights held as float. The first is parallel over w's panels, the
 * second single-threaded, the third gives the outputs of panel p alone: y[rows][rows of the panel]. */
void kernels_rows_matmul(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);
void kernels_rows_tile(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w);
void kernels_rows_panel(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w, int p);

#endif
