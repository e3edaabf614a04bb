/* With few rows (the heads of one group, when a sequence is decoded alone) a product over the cache should wait for
 * memory and for nothing else; with rows as lanes most lanes would be empty. So eight keys are the lanes here,
 * transposed in registers four dimensions at a time, and every sum still runs over its terms from the front, one fused
 * multiply-add a term where the machine has them: the order of kernels_rows, hence its bits. The hardware fetches ahead
 * within pages of 4 KiB only, which is 16 keys of 64 dimensions; so what comes next is asked for here. */
#include "models/kernels_few.h"

#include <string.h>

#include "harness/base/cpu.h"
#include "models/lanes.h"

#define SHUFFLE __builtin_shufflevector

enum {
    KEYS = 8,   /* lanes */
    LINE = 64,  /* bytes */
    FAR = 8192, /* bytes beyond the block that the first-level cache is to hold: as yet for the second */
    VALUES_AHEAD = 4096 / sizeof(float)
};

INLINE void halves(lanes8 *to, const float *low, const float *high)
{
    *to = SHUFFLE(*(const lanes4 *)low, *(const lanes4 *)high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* Four dimensions of the keys at k + at[0 .. 7]: to[i] holds dimension i of all of them. */
INLINE void transpose(lanes8 to[4], const float *k, const size_t at[KEYS])
{
    lanes8 a, b, c, d;
    halves(&a, k + at[0], k + at[4]);
    halves(&b, k + at[1], k + at[5]);
    halves(&c, k + at[2], k + at[6]);
    halves(&d, k + at[3], k + at[7]);
    lanes8 ab0 = SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13), ab2 = SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    lanes8 cd0 = SHUFFLE(c, d, 0, 8, 1, 9, 4, 12, 5, 13), cd2 = SHUFFLE(c, d, 2, 10, 3, 11, 6, 14, 7, 15);
    to[0] = SHUFFLE(ab0, cd0, 0, 1, 8, 9, 4, 5, 12, 13);
    to[1] = SHUFFLE(ab0, cd0, 2, 3, 10, 11, 6, 7, 14, 15);
    to[2] = SHUFFLE(ab2, cd2, 0, 1, 8, 9, 4, 5, 12, 13);
    to[3] = SHUFFLE(ab2, cd2, 2, 3, 10, 11, 6, 7, 14, 15);
}

/* R rows x G times eight keys, of which `left` exist: the last one stands for those beyond. */
INLINE void score_block(float *score, size_t ld, const float *q, const float *k, size_t d, const char *ahead, int left,
                        const int R, const int G)
{
    lanes8 sum[2][KERNELS_FEW_ROWS];
    size_t at[2][KEYS];
    for (int g = 0; g < G; g++) {
        for (int i = 0; i < KEYS; i++)
            at[g][i] = (size_t)(KEYS * g + i < left ? KEYS * g + i : left - 1) * d;
        for (int r = 0; r < R; r++)
            sum[g][r] = (lanes8){0};
    }
    for (size_t i = 0; i < d; i += KERNELS_FEW_STEP) {
        for (int line = 0; line < 2 * G; line++) { /* a block is as many lines as its steps ask for */
            const char *next = ahead + (i / KERNELS_FEW_STEP * 2 * (size_t)G + (size_t)line) * LINE;
            __builtin_prefetch(next);
            __builtin_prefetch(next + FAR, 0, 2);
        }
        for (int g = 0; g < G; g++) {
            lanes8 x[KERNELS_FEW_STEP];
            transpose(x, k + i, at[g]);
            for (int j = 0; j < KERNELS_FEW_STEP; j++)
                for (int r = 0; r < R; r++)
                    sum[g][r] += x[j] * q[(size_t)r * d + i + (size_t)j];
        }
    }
    for (int g = 0; g < G; g++)
        for (int r = 0; r < R; r++)
            if (left >= KEYS * (g + 1))
                *(lanes8 *)(score + (size_t)r * ld + KEYS * g) = sum[g][r];
            else
                memcpy(score + (size_t)r * ld + KEYS * g, &sum[g][r], (size_t)(left - KEYS * g) * sizeof *score);
}

INLINE void scores(float *score, size_t ld, const float *q, const float *k, int n, size_t d, const float *next,
                   const int R, const int G)
{
    int i = 0, block = KEYS * G;
    for (; i + block <= n; i += block) {
        int after = i + block;
        const float *ahead = after + block <= n ? k + (size_t)after * d : next;
        score_block(score + i, ld, q, k + (size_t)i * d, d, (const char *)ahead, block, R, G);
    }
    for (; i < n; i += KEYS)
        score_block(score + i, ld, q, k + (size_t)i * d, d, (const char *)next, n - i < KEYS ? n - i : KEYS, R, 1);
}

INLINE void scores_of_rows(float *score, size_t ld, const float *q, int rows, const float *k, int n, size_t d,
                           const float *next, const int G)
{
    switch (rows) {
    case 1: scores(score, ld, q, k, n, d, next, 1, G); break;
    case 2: scores(score, ld, q, k, n, d, next, 2, G); break;
    case 3: scores(score, ld, q, k, n, d, next, 3, G); break;
    default: scores(score, ld, q, k, n, d, next, 4, G); break;
    }
}

/* V vectors of dimensions for all R rows, and the weights' sums. */
INLINE void value_strip(float *out, float *total, const float *weight, size_t ld, const float *v, int n, size_t d,
                        const int R, const int V)
{
    lanes16 sum[KERNELS_FEW_ROWS][4];
    float all[KERNELS_FEW_ROWS] = {0};
    for (int r = 0; r < R; r++)
        for (int i = 0; i < V; i++)
            sum[r][i] = (lanes16){0};
    for (int k = 0; k < n; k++, v += d) {
        lanes16 x[4];
        for (int i = 0; i < V; i++) {
            __builtin_prefetch(v + VALUES_AHEAD + 16 * i);
            x[i] = *(const lanes16 *)(v + 16 * i);
        }
        for (int r = 0; r < R; r++) {
            float a = weight[(size_t)r * ld + (size_t)k];
            all[r] += a;
            for (int i = 0; i < V; i++)
                sum[r][i] += x[i] * a;
        }
    }
    for (int r = 0; r < R; r++) {
        total[r] = all[r];
        for (int i = 0; i < V; i++)
            *(lanes16 *)(out + (size_t)r * d + 16 * i) = sum[r][i];
    }
}

INLINE void values(float *out, float *total, const float *weight, size_t ld, const float *v, int n, size_t d,
                   const int R, const int V)
{
    size_t i = 0, wide = 16 * (size_t)V;
    for (; i + wide <= d; i += wide)
        value_strip(out + i, total, weight, ld, v + i, n, d, R, V);
    for (; i + 16 <= d; i += 16)
        value_strip(out + i, total, weight, ld, v + i, n, d, R, 1);
    for (; i < d; i += 4)
        for (int r = 0; r < R; r++) {
            lanes4 sum = {0};
            float all = 0;
            for (int k = 0; k < n; k++) {
                float a = weight[(size_t)r * ld + (size_t)k];
                sum += *(const lanes4 *)(v + (size_t)k * d + i) * a;
                all += a;
            }
            *(lanes4 *)(out + (size_t)r * d + i) = sum;
            total[r] = all;
        }
}

INLINE void values_of_rows(float *out, float *total, const float *weight, size_t ld, int rows, const float *v, int n,
                           size_t d, const int V)
{
    switch (rows) {
    case 1: values(out, total, weight, ld, v, n, d, 1, V); break;
    case 2: values(out, total, weight, ld, v, n, d, 2, V); break;
    case 3: values(out, total, weight, ld, v, n, d, 3, V); break;
    default: values(out, total, weight, ld, v, n, d, 4, V); break;
    }
}

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v4"))) static void wide_scores(float *score, size_t ld, const float *q, int rows,
                                                                  const float *k, int n, size_t d, const float *next)
{
    scores_of_rows(score, ld, q, rows, k, n, d, next, 2);
}

__attribute__((target("arch=x86-64-v3"))) static void middle_scores(float *score, size_t ld, const float *q, int rows,
                                                                    const float *k, int n, size_t d, const float *next)
{
    scores_of_rows(score, ld, q, rows, k, n, d, next, 2);
}

__attribute__((target("arch=x86-64-v4"))) static void wide_values(float *out, float *total, const float *weight,
                                                                  size_t ld, int rows, const float *v, int n, size_t d)
{
    values_of_rows(out, total, weight, ld, rows, v, n, d, 4);
}

__attribute__((target("arch=x86-64-v3"))) static void middle_values(float *out, float *total, const float *weight,
                                                                    size_t ld, int rows, const float *v, int n,
                                                                    size_t d)
{
    values_of_rows(out, total, weight, ld, rows, v, n, d, 1);
}
#endif

void kernels_few_scores(float *score, size_t ld, const float *q, int rows, const float *k, int n, int d,
                        const float *next)
{
#if defined(__x86_64__)
    if (CPU_HAS_V4) {
        wide_scores(score, ld, q, rows, k, n, (size_t)d, next);
        return;
    }
    if (CPU_HAS_V3) {
        middle_scores(score, ld, q, rows, k, n, (size_t)d, next);
        return;
    }
#endif
    scores_of_rows(score, ld, q, rows, k, n, (size_t)d, next, 1);
}

void kernels_few_values(float *out, float *total, const float *weight, size_t ld, int rows, const float *v, int n,
                        int d)
{
#if defined(__x86_64__)
    if (CPU_HAS_V4) {
        wide_values(out, total, weight, ld, rows, v, n, (size_t)d);
        return;
    }
    if (CPU_HAS_V3) {
        middle_values(out, total, weight, ld, rows, v, n, (size_t)d);
        return;
    }
#endif
    values_of_rows(out, total, weight, ld, rows, v, n, (size_t)d, 1);
}
