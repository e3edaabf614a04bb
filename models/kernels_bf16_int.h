/* Private to kernels_bf16*.c: what one way to compute a product is given. */
#ifndef MODELS_KERNELS_BF16_INT_H
#define MODELS_KERNELS_BF16_INT_H

#include <stddef.h>
#include <stdint.h>

#include "models/matrix.h"

enum {
    BF16_ROWS = 16,            /* of a tile */
    BF16_TERMS = MATRIX_DEPTH, /* of a tile's row, and of a block */
    BF16_TILE = BF16_ROWS * BF16_TERMS
};

/* y[rows][n] = x . w^T over `blocks` blocks of terms (+ y when add); n is a multiple of 16, and y has room for all of
 * it. `bytes` of memory from `next` on, which are wanted afterwards, may be asked for on the way; NULL: nothing is. */
struct kernels_bf16_job {
    float *y;
    size_t ldy;
    const uint16_t *x; /* [rows / 16] groups of tiles [blocks or more][16][32] */
    size_t group;      /* words from one group to the next */
    const uint16_t *w; /* [16 blocks][ldw][2] */
    size_t ldw;
    int blocks, rows, n;
    int add; /* 0: tiles begin with zeros; for the other ways y has them */
    const void *next;
    size_t bytes;
};

/* By the way that is taken. */
void kernels_bf16_run(const struct kernels_bf16_job *j);

void kernels_bf16_fused_plain(const struct kernels_bf16_job *j);
void kernels_bf16_fused_avx2(const struct kernels_bf16_job *j);
void kernels_bf16_fused_avx512(const struct kernels_bf16_job *j);
int kernels_bf16_pairs_has(void);
void kernels_bf16_pairs(const struct kernels_bf16_job *j);
void kernels_bf16_pairs_twin(const struct kernels_bf16_job *j);
int kernels_bf16_tiles_has(void); /* asks the system for the tiles, once */
void kernels_bf16_tiles(const struct kernels_bf16_job *j);
void kernels_bf16_tiles_twin(const struct kernels_bf16_job *j);

#endif
