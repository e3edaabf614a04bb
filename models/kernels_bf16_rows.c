#include "models/kernels_bf16_rows.h"

#include <math.h>
#include <string.h>

#include "harness/base/cpu.h"
#include "models/exp2.h"
#include "models/half.h"
#include "models/kernels_bf16_int.h"
#include "models/kernels_many.h"
#include "models/lanes.h"

enum { PAIRS = BF16_TERMS / 2 };

_Static_assert((int)KERNELS_BF16_TERMS == BF16_TERMS && (int)KERNELS_BF16_ROWS == BF16_ROWS, "said twice");

static int up(int n, int step)
{
    return (n + step - 1) / step * step;
}

/* Pairs of terms of 16 rows are turned as if they were floats, which are moved and not looked at. */
void kernels_bf16_pack_rows(uint16_t *to, size_t ld, const float *x, size_t ldx, int n, int k)
{
    uint16_t tile[BF16_TILE] __attribute__((aligned(64)));
    for (int row = 0; row < n; row += BF16_ROWS)
        for (int term = 0; term < k; term += BF16_TERMS) {
            int rows = n - row < BF16_ROWS ? n - row : BF16_ROWS, terms = k - term < BF16_TERMS ? k - term : BF16_TERMS;
            if (rows < BF16_ROWS || terms < BF16_TERMS)
                memset(tile, 0, sizeof tile);
            for (int r = 0; r < rows; r++)
                half_round_row(tile + r * BF16_TERMS, x + (size_t)(row + r) * ldx + term, (size_t)terms);
            kernels_many_turn((float *)(void *)(to + 2 * ((size_t)term / 2 * ld + (size_t)row)), ld,
                              (const float *)(const void *)tile, PAIRS, BF16_ROWS, PAIRS);
        }
}

/* Terms 2 i and 2 i + 1 of n outputs. */
CPU_CLONES static void join(uint16_t *to, const float *first, const float *second, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t u, v;
        memcpy(&u, first + i, sizeof u);
        memcpy(&v, second + i, sizeof v);
        uint32_t both = half_bits_bf16(u) | half_bits_bf16(v) << 16;
        memcpy(to + 2 * i, &both, sizeof both);
    }
}

void kernels_bf16_pack_terms(uint16_t *to, size_t ld, const float *x, size_t ldx, int k, int n)
{
    int width = up(n, KERNELS_BF16_OUTPUTS), depth = up(k, BF16_TERMS);
    for (int term = 0; term < depth; term += 2, to += 2 * ld) {
        if (term + 1 < k)
            join(to, x + (size_t)term * ldx, x + (size_t)(term + 1) * ldx, n);
        else
            memset(to, 0, 2 * (size_t)n * sizeof *to);
        for (int i = 0; term + 1 == k && i < n; i++)
            half_round_row(to + 2 * i, x + (size_t)term * ldx + i, 1);
        memset(to + 2 * (size_t)n, 0, 2 * (size_t)(width - n) * sizeof *to);
    }
}

void kernels_bf16_product(float *y, size_t ldy, const uint16_t *x, int depth, int rows, const uint16_t *w, size_t ldw,
                          int n, int k, int add)
{
    struct kernels_bf16_job j = {.y = y,
                                 .ldy = ldy,
                                 .x = x,
                                 .group = (size_t)up(depth, BF16_TERMS) * BF16_ROWS,
                                 .w = w,
                                 .ldw = ldw,
                                 .blocks = up(k, BF16_TERMS) / BF16_TERMS,
                                 .rows = rows,
                                 .n = up(n, KERNELS_BF16_OUTPUTS),
                                 .add = add};
    kernels_bf16_run(&j);
}

uint16_t *kernels_bf16_row(uint16_t *tiles, int depth, int r)
{
    return tiles + (size_t)(r / BF16_ROWS * up(depth, BF16_TERMS) * BF16_ROWS + r % BF16_ROWS * BF16_TERMS);
}

/* A block of weights. They are not negative, and a NaN that arithmetic made stays one. */
INLINE void weigh(uint16_t *to, float *kept, const float *x, float top, float sum[BF16_TERMS])
{
    float w[BF16_TERMS];
    uint32_t u[BF16_TERMS];
    for (int i = 0; i < BF16_TERMS; i++)
        w[i] = exp2_from(x[i] - top, -127.0f);
    for (int i = 0; i < BF16_TERMS; i++)
        sum[i] += w[i];
    memcpy(u, w, sizeof u);
    for (int i = 0; i < BF16_TERMS; i++)
        to[i] = (uint16_t)((u[i] + 0x7FFF + (u[i] >> 16 & 1)) >> 16);
    if (kept)
        memcpy(kept, w, sizeof w);
}

INLINE float weigh_row(uint16_t *to, float *kept, float *x, int n, int padded, float top)
{
    float sum[BF16_TERMS] = {0};
    int i = 0;
    for (int end = up(n, BF16_TERMS); n < end; n++)
        x[n] = -INFINITY;
    for (; i < n; i += BF16_TERMS, to += BF16_TILE)
        weigh(to, kept ? kept + i : NULL, x + i, top, sum);
    for (; i < padded; i += BF16_TERMS, to += BF16_TILE) {
        memset(to, 0, BF16_TERMS * sizeof *to);
        if (kept)
            memset(kept + i, 0, BF16_TERMS * sizeof *kept);
    }
    for (int step = BF16_TERMS / 2; step; step /= 2)
        for (int s = 0; s < step; s++)
            sum[s] += sum[s + step];
    return sum[0];
}

CPU_CLONES float kernels_bf16_weigh(uint16_t *to, float *kept, float *x, int n, int padded, float top)
{
    return kept ? weigh_row(to, kept, x, n, padded, top) : weigh_row(to, NULL, x, n, padded, top);
}
