/* Products of bf16 by pairs, with AVX512-BF16's instruction, or step by step as it does. VDPBF16PS adds to a lane of
 * sums the product of the upper halves of two lanes, rounds, adds that of the lower halves, rounds again. */
#include <string.h>

#include "harness/base/cpu.h"
#include "models/kernels_bf16_int.h"

static float widen(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

void kernels_bf16_pairs_twin(const struct kernels_bf16_job *j)
{
    for (int r = 0; r < j->rows; r++)
        for (int c = 0; c < j->n; c++) {
            const uint16_t *x = j->x + (size_t)(r / BF16_ROWS) * j->group + r % BF16_ROWS * BF16_TERMS;
            float sum = j->y[(size_t)r * j->ldy + (size_t)c];
            for (int i = 0; i < j->blocks * BF16_TERMS / 2; i++) {
                const uint16_t *a = x + i / (BF16_TERMS / 2) * BF16_TILE + i % (BF16_TERMS / 2) * 2;
                const uint16_t *b = j->w + 2 * ((size_t)i * j->ldw + (size_t)c);
                sum += widen(a[1]) * widen(b[1]);
                sum += widen(a[0]) * widen(b[0]);
            }
            j->y[(size_t)r * j->ldy + (size_t)c] = sum;
        }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define TARGET target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

int kernels_bf16_pairs_has(void)
{
    unsigned a, b, c, d;
    return CPU_HAS_V4 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

/* R rows, all of one group, x 16 V outputs. */
static inline __attribute__((always_inline, TARGET)) void strip(const struct kernels_bf16_job *j, int row, int col,
                                                                const int R, const int V)
{
    __m512 sum[6][6];
    const uint16_t *x = j->x + (size_t)(row / BF16_ROWS) * j->group + row % BF16_ROWS * BF16_TERMS;
    const uint16_t *w = j->w + 2 * (size_t)col;
    float *y = j->y + (size_t)row * j->ldy + (size_t)col;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            sum[r][v] = _mm512_loadu_ps(y + (size_t)r * j->ldy + 16 * v);
    for (int b = 0; b < j->blocks; b++, x += BF16_TILE)
        for (int i = 0; i < BF16_TERMS / 2; i++, w += 2 * j->ldw) {
            __m512i weights[6];
            for (int v = 0; v < V; v++)
                weights[v] = _mm512_loadu_si512(w + 32 * v);
            for (int r = 0; r < R; r++) {
                int pair;
                memcpy(&pair, x + r * BF16_TERMS + 2 * i, sizeof pair);
                __m512i a = _mm512_set1_epi32(pair);
                for (int v = 0; v < V; v++)
                    sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)a, (__m512bh)weights[v]);
            }
        }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++)
            _mm512_storeu_ps(y + (size_t)r * j->ldy + 16 * v, sum[r][v]);
}

/* Four rows at a time, which never lie in two groups. */
static inline __attribute__((always_inline, TARGET)) void strips(const struct kernels_bf16_job *j, int col, const int V)
{
    int r = 0;
    for (; r + 4 <= j->rows; r += 4)
        strip(j, r, col, 4, V);
    switch (j->rows - r) {
    case 3: strip(j, r, col, 3, V); break;
    case 2: strip(j, r, col, 2, V); break;
    case 1: strip(j, r, col, 1, V); break;
    default: break;
    }
}

__attribute__((TARGET)) void kernels_bf16_pairs(const struct kernels_bf16_job *j)
{
    int col = 0;
    for (; col + 96 <= j->n; col += 96)
        strips(j, col, 6);
    for (; col + 32 <= j->n; col += 32)
        strips(j, col, 2);
    for (; col < j->n; col += 16)
        strips(j, col, 1);
}
#else
int kernels_bf16_pairs_has(void)
{
    return 0;
}

void kernels_bf16_pairs(const struct kernels_bf16_job *j)
{
    kernels_bf16_pairs_twin(j);
}
#endif
