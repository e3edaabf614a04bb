/* Products in bf16 arithmetic of two factors that are both computed, as attention has them: what is kernels_bf16.h's
 * there for weights, in the same ways, orders and bits. The first factor lies in tiles (kernels_bf16_round); the second
 * is packed into pairs of terms [terms / 2][ld][2], padded with zeros to whole blocks of 32 terms and to a multiple of
 * 16 outputs, of which a row has room for ld.
 *
 *   scores = queries . keys^T      terms are the dimensions of a head, outputs are keys
 *   sums  += weights . values      terms are keys, outputs are the dimensions of a head */
#ifndef MODELS_KERNELS_BF16_ROWS_H
#define MODELS_KERNELS_BF16_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum { KERNELS_BF16_TERMS = 32, KERNELS_BF16_OUTPUTS = 16, KERNELS_BF16_ROWS = 16 };

/* x[n][k], rows ldx apart, rounded: outputs are its rows, terms its columns. Single-threaded, as all here. */
void kernels_bf16_pack_rows(uint16_t *to, size_t ld, const float *x, size_t ldx, int n, int k);
/* x[k][n], rows ldx apart, rounded: terms are its rows, outputs its columns. */
void kernels_bf16_pack_terms(uint16_t *to, size_t ld, const float *x, size_t ldx, int k, int n);

/* y[rows][n] = x . w over k terms (+ y when add). x: tiles of rows of `depth` terms, k of them or more. n is rounded up
 * to a multiple of 16, and y has room for that. */
void kernels_bf16_product(float *y, size_t ldy, const uint16_t *x, int depth, int rows, const uint16_t *w, size_t ldw,
                          int n, int k, int add);

/* Where row r of tiles begins that have rows of `depth` terms; its next 32 terms lie a tile further. */
uint16_t *kernels_bf16_row(uint16_t *tiles, int depth, int r);

/* Weights 2^(x[i] - top) of one row of n scores, zero where that is 2^-127 or less; returns their sum (32 float lanes,
 * then a tree). Rounded they go to `to`, the row's place in its first tile, and as they are to kept, unless that is
 * NULL. `padded`: n rounded up to whole blocks of 32, or more; zeros go there, and x and kept have room for it.
 * Relative error as kernels_exp2_sum. */
float kernels_bf16_weigh(uint16_t *to, float *kept, float *x, int n, int padded, float top);

#endif
