/* Products of bf16 by blocks, for processors without instructions for them: the factors are widened to float, which is
 * exact, and so are their products, whether or not multiplication and addition are fused.
 *
 *   for a group of 16 rows, for a block of 32 terms: widen the rows' tile
 *     R rows x V vectors of outputs: the even terms' sums, the odd terms' sums, both together to y */
#include <string.h>

#include "harness/base/cpu.h"
#include "models/kernels_bf16_int.h"

#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

typedef float lanes16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float lanes8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t bits16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t bits8 __attribute__((vector_size(32), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* One block of one strip of outputs. */
struct strip {
    float *y;
    size_t ldy;
    const float *x;    /* [16][32] */
    const uint16_t *w; /* [16][ldw][2] */
    size_t ldw;
};

/* Adds terms 2 i + part to the sums. */
INLINE void term16(lanes16 sum[6][6], const struct strip *s, int i, const int part, const int R, const int V)
{
    lanes16 b[6];
    for (int v = 0; v < V; v++) {
        bits16 u = *(const bits16 *)(s->w + 2 * ((size_t)i * s->ldw + 16 * (size_t)v));
        if (part)
            u &= 0xFFFF0000u;
        else
            u <<= 16;
        memcpy(&b[v], &u, sizeof u);
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            sum[r][v] += b[v] * s->x[r * BF16_TERMS + 2 * i + part];
}

/* `both`: even and odd sums fit the registers together, so that weights are read once. */
INLINE void strip16(const struct strip *s, const int R, const int V, const int both)
{
    lanes16 even[6][6], odd[6][6];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            even[r][v] = odd[r][v] = (lanes16){0};
    for (int i = 0; i < BF16_TERMS / 2; i++) {
        term16(even, s, i, 0, R, V);
        if (both)
            term16(odd, s, i, 1, R, V);
    }
    for (int i = 0; !both && i < BF16_TERMS / 2; i++)
        term16(odd, s, i, 1, R, V);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            *(lanes16 *)(s->y + (size_t)r * s->ldy + 16 * v) += even[r][v] + odd[r][v];
}

INLINE void term8(lanes8 sum[6][8], const struct strip *s, int i, const int part, const int R, const int V)
{
    lanes8 b[8];
    for (int v = 0; v < V; v++) {
        bits8 u = *(const bits8 *)(s->w + 2 * ((size_t)i * s->ldw + 8 * (size_t)v));
        if (part)
            u &= 0xFFFF0000u;
        else
            u <<= 16;
        memcpy(&b[v], &u, sizeof u);
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            sum[r][v] += b[v] * s->x[r * BF16_TERMS + 2 * i + part];
}

INLINE void strip8(const struct strip *s, const int R, const int V, const int both)
{
    lanes8 even[6][8], odd[6][8];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            even[r][v] = odd[r][v] = (lanes8){0};
    for (int i = 0; i < BF16_TERMS / 2; i++) {
        term8(even, s, i, 0, R, V);
        if (both)
            term8(odd, s, i, 1, R, V);
    }
    for (int i = 0; !both && i < BF16_TERMS / 2; i++)
        term8(odd, s, i, 1, R, V);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            *(lanes8 *)(s->y + (size_t)r * s->ldy + 8 * v) += even[r][v] + odd[r][v];
}

/* V vectors of `lanes` outputs of all the group's rows, `most` of them at a time. */
INLINE void rows_of(struct strip s, int rows, const int most, const int V, const int lanes)
{
    while (rows > 0) {
        int now = rows < most ? rows : most;
        switch (now) {
        case 1: lanes == 16 ? strip16(&s, 1, V, 1) : strip8(&s, 1, V, V <= 4); break;
        case 2: lanes == 16 ? strip16(&s, 2, V, 1) : strip8(&s, 2, V, V <= 2); break;
        case 3: lanes == 16 ? strip16(&s, 3, V, V <= 4) : strip8(&s, 3, V, V <= 2); break;
        case 4: lanes == 16 ? strip16(&s, 4, V, V <= 2) : strip8(&s, 4, V, 0); break;
        case 5: lanes == 16 ? strip16(&s, 5, V, V <= 2) : strip8(&s, 5, V, 0); break;
        default: lanes == 16 ? strip16(&s, 6, V, V <= 2) : strip8(&s, 6, V, 0); break;
        }
        s.x += now * BF16_TERMS;
        s.y += (size_t)now * s.ldy;
        rows -= now;
    }
}

/* All outputs of one group of rows and one block. */
INLINE void block(struct strip s, int rows, int n, const int lanes)
{
    int col = 0;
    float *y = s.y;
    const uint16_t *w = s.w;
    for (; lanes == 16 && col + 96 <= n; col += 96) {
        s.y = y + col;
        s.w = w + 2 * col;
        rows_of(s, rows, 4, 6, 16);
    }
    for (; lanes == 8 && rows == 1 && col + 32 <= n; col += 32) {
        s.y = y + col;
        s.w = w + 2 * col;
        rows_of(s, rows, 1, 4, 8);
    }
    for (; col < n; col += 16) {
        s.y = y + col;
        s.w = w + 2 * col;
        rows_of(s, rows, 6, 16 / lanes, lanes);
    }
}

INLINE void run(const struct kernels_bf16_job *j, const int lanes)
{
    float x[BF16_TILE] __attribute__((aligned(64)));
    for (int first = 0; first < j->rows; first += BF16_ROWS) {
        int rows = j->rows - first < BF16_ROWS ? j->rows - first : BF16_ROWS;
        const uint16_t *tile = j->x + (size_t)(first / BF16_ROWS) * j->group;
        for (int b = 0; b < j->blocks; b++, tile += BF16_TILE) {
            for (int i = 0; i < rows * BF16_TERMS; i++) {
                uint32_t u = (uint32_t)tile[i] << 16;
                memcpy(x + i, &u, sizeof u);
            }
            block((struct strip){.y = j->y + (size_t)first * j->ldy,
                                 .ldy = j->ldy,
                                 .x = x,
                                 .w = j->w + (size_t)b * BF16_TERMS * j->ldw,
                                 .ldw = j->ldw},
                  rows, j->n, lanes);
        }
    }
}

void kernels_bf16_fused_plain(const struct kernels_bf16_job *j)
{
    run(j, 8);
}

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v3"))) void kernels_bf16_fused_avx2(const struct kernels_bf16_job *j)
{
    run(j, 8);
}

__attribute__((target("arch=x86-64-v4"))) void kernels_bf16_fused_avx512(const struct kernels_bf16_job *j)
{
    run(j, 16);
}
#else
void kernels_bf16_fused_avx2(const struct kernels_bf16_job *j)
{
    run(j, 8);
}

void kernels_bf16_fused_avx512(const struct kernels_bf16_job *j)
{
    run(j, 8);
}
#endif
