/* Products of bf16 by blocks, for processors without instructions for them: the factors are widened to float, which is
 * exact, and so are their products, whether or not multiplication and addition are fused.
 *
 *   for a group of 16 rows, for a block of 32 terms: widen the rows' tile
 *     R rows x V vectors of outputs: the even terms' sums, the odd terms' sums, both together to y */
#include <string.h>

#include "harness/base/cpu.h"
#include "models/kernels_bf16_int.h"
#include "models/lanes.h"

/* One block of one strip of outputs. */
struct strip {
    float *y;
    size_t ldy;
    const float *x;    /* [16][32] */
    const uint16_t *w; /* [16][ldw][2] */
    size_t ldw;
};

/* term: adds terms 2 i + part to the sums. strip: all terms of a block; `both`: even and odd sums fit the registers
 * together, so that weights are read once. */
#define STRIP(N, LANES, MOST) \
    INLINE void term##N(LANES sum[6][MOST], const struct strip *s, int i, const int part, const int R, const int V) \
    { \
        LANES b[MOST]; \
        for (int v = 0; v < V; v++) \
            LANES##_widen(&b[v], s->w + 2 * ((size_t)i * s->ldw + N * (size_t)v), part); \
        for (int r = 0; r < R; r++) \
            for (int v = 0; v < V; v++) \
                sum[r][v] += b[v] * s->x[r * BF16_TERMS + 2 * i + part]; \
    } \
\
    INLINE void strip##N(const struct strip *s, const int R, const int V, const int both) \
    { \
        LANES even[6][MOST], odd[6][MOST]; \
        for (int r = 0; r < R; r++) \
            for (int v = 0; v < V; v++) \
                even[r][v] = odd[r][v] = (LANES){0}; \
        for (int i = 0; i < BF16_TERMS / 2; i++) { \
            term##N(even, s, i, 0, R, V); \
            if (both) \
                term##N(odd, s, i, 1, R, V); \
        } \
        for (int i = 0; !both && i < BF16_TERMS / 2; i++) \
            term##N(odd, s, i, 1, R, V); \
        for (int r = 0; r < R; r++) \
            for (int v = 0; v < V; v++) \
                *(LANES *)(s->y + (size_t)r * s->ldy + N * v) += even[r][v] + odd[r][v]; \
    }
STRIP(16, lanes16, 6)
STRIP(8, lanes8, 8)

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
