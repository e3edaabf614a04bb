/* Products with weights in bf16 arithmetic: both factors are bf16, sums are float. Each has a twin in kernels_ref.h
 * that says what it must compute.
 *
 * Rounding to bf16 is to nearest, ties to even; a NaN stays one; what is below 2^-126 in magnitude, the least normal
 * number, counts as zero with its sign, in weights too, as the processors' instructions for bf16 have it. A product of
 * two bf16 is exact in a float, so that only the order of the additions matters. There are two, and a machine has one
 * of them for any number of rows, threads or cells:
 *
 *   by blocks   terms 32 b .. 32 b + 31 make a block: its even terms are added up from the front, starting from zero,
 *               and so are its odd ones; (even + odd) is added to the sum. That is how tiles (AMX) add, and plain C,
 *               AVX2 and AVX-512 do the same here, with the same bits
 *   by pairs    terms 2 i + 1 and 2 i are added to the sum, in that order, i from the front: AVX512-BF16's own way,
 * taken where a processor has that and no tiles
 *
 * Rows that are ready for a product lie in tiles [row / 16][term / 32][16][32], padded with zeros to whole ones. */
#ifndef MODELS_KERNELS_BF16_H
#define MODELS_KERNELS_BF16_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "models/matrix.h"

/* Words that `rows` rows of `cols` columns take. */
size_t kernels_bf16_words(size_t rows, size_t cols);
/* x[rows][cols], rows ldx apart, rounded and put in tiles. */
void kernels_bf16_round(uint16_t *to, const float *x, size_t ldx, int rows, int cols);

/* y[rows][w->rows] = x . w^T, x being rows that kernels_bf16_round made of w->cols columns. w is held as bf16. The
 * first is parallel over w's panels, the second single-threaded, the third gives the outputs of panel p alone. */
void kernels_bf16_matmul(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w);
void kernels_bf16_tile(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w);
void kernels_bf16_panel(float *y, size_t ldy, const uint16_t *x, int rows, const struct matrix *w, int p);

/* What computes the products, the widest that the processor has unless DEPTHKV_BF16 names another. The last two are
 * plain C that goes the way of the two before, step by step; nothing takes them but tests. */
enum kernels_bf16_way {
    KERNELS_BF16_PLAIN,
    KERNELS_BF16_AVX2,
    KERNELS_BF16_AVX512,
    KERNELS_BF16_PAIRS,
    KERNELS_BF16_TILES,
    KERNELS_BF16_PAIRS_TWIN,
    KERNELS_BF16_TILES_TWIN,
    KERNELS_BF16_N_WAY
};
extern const char *const kernels_bf16_names[];
int kernels_bf16_has(enum kernels_bf16_way way); /* whether it can run here */
enum kernels_bf16_way kernels_bf16_chosen(void);
void kernels_bf16_take(enum kernels_bf16_way way); /* tests: this one from now on; N_WAY: the choice again */
/* DEPTHKV_BF16, if it is set, has to name a way that this processor has. */
int kernels_bf16_check(struct err *e);

#endif
