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

/* Addresses are in bytes: four floats, or eight bf16, of a key are transposed together. */
enum {
    KEYS = 8,  /* lanes */
    STEP = 16, /* bytes */
    LINE = 64,
    FAR = 8192, /* beyond the block that the first-level cache is to hold: as yet for the second */
    VALUES_AHEAD = 4096
};

/* A number as it is held. */
#define SIZE(half) ((half) ? sizeof(uint16_t) : sizeof(float))

INLINE void halves(lanes8 *to, const char *low, const char *high)
{
    *to = SHUFFLE(*(const lanes4 *)low, *(const lanes4 *)high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* Four words of the keys at k + at[0 .. 7]: to[i] holds word i of all of them. */
INLINE void transpose(lanes8 to[4], const char *k, const size_t at[KEYS])
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

/* Of words that hold two bf16 each the first, which lies in their lower half, and the second, as floats. */
INLINE void split(lanes8 *first, lanes8 *second, const lanes8 *pairs)
{
    typedef uint32_t bits __attribute__((vector_size(32)));
    bits b, low, high;
    memcpy(&b, pairs, sizeof b);
    low = b << 16;
    high = b & 0xFFFF0000u;
    memcpy(first, &low, sizeof low);
    memcpy(second, &high, sizeof high);
}

/* R rows x G times eight keys, of which `left` exist: the last one stands for those beyond. */
INLINE void score_block(float *score, size_t ld, const float *q, const char *k, size_t d, const char *ahead, int left,
                        const int R, const int G, const int half)
{
    lanes8 sum[2][KERNELS_FEW_ROWS];
    size_t at[2][KEYS];
    for (int g = 0; g < G; g++) {
        for (int i = 0; i < KEYS; i++)
            at[g][i] = (size_t)(KEYS * g + i < left ? KEYS * g + i : left - 1) * d * SIZE(half);
        for (int r = 0; r < R; r++)
            sum[g][r] = (lanes8){0};
    }
    for (size_t i = 0; i < d; i += STEP / SIZE(half)) {
        size_t byte = i * SIZE(half);
        for (int line = 0; line < 2 * G; line++) { /* a block is as many lines as its steps ask for */
            const char *next = ahead + (byte / STEP * 2 * (size_t)G + (size_t)line) * LINE;
            __builtin_prefetch(next);
            __builtin_prefetch(next + FAR, 0, 2);
        }
        for (int g = 0; g < G; g++) {
            lanes8 x[4], y[2];
            transpose(x, k + byte, at[g]);
            for (int j = 0; j < 4 && !half; j++)
                for (int r = 0; r < R; r++)
                    sum[g][r] += x[j] * q[(size_t)r * d + i + (size_t)j];
            for (int j = 0; j < 4 && half; j++) {
                split(&y[0], &y[1], &x[j]);
                for (int part = 0; part < 2; part++)
                    for (int r = 0; r < R; r++)
                        sum[g][r] += y[part] * q[(size_t)r * d + i + (size_t)(2 * j + part)];
            }
        }
    }
    for (int g = 0; g < G; g++)
        for (int r = 0; r < R; r++)
            if (left >= KEYS * (g + 1))
                *(lanes8 *)(score + (size_t)r * ld + KEYS * g) = sum[g][r];
            else
                memcpy(score + (size_t)r * ld + KEYS * g, &sum[g][r], (size_t)(left - KEYS * g) * sizeof *score);
}

INLINE void scores(float *score, size_t ld, const float *q, const char *k, int n, size_t d, const char *next,
                   const int R, const int G, const int half)
{
    int i = 0, block = KEYS * G;
    size_t row = d * SIZE(half);
    for (; i + block <= n; i += block) {
        int after = i + block;
        const char *ahead = after + block <= n ? k + (size_t)after * row : next;
        score_block(score + i, ld, q, k + (size_t)i * row, d, ahead, block, R, G, half);
    }
    for (; i < n; i += KEYS)
        score_block(score + i, ld, q, k + (size_t)i * row, d, next, n - i < KEYS ? n - i : KEYS, R, 1, half);
}

INLINE void scores_of_rows(float *score, size_t ld, const float *q, int rows, const char *k, int n, size_t d,
                           const char *next, const int G, const int half)
{
    switch (rows) {
    case 1: scores(score, ld, q, k, n, d, next, 1, G, half); break;
    case 2: scores(score, ld, q, k, n, d, next, 2, G, half); break;
    case 3: scores(score, ld, q, k, n, d, next, 3, G, half); break;
    default: scores(score, ld, q, k, n, d, next, 4, G, half); break;
    }
}

/* Sixteen values, or four. */
INLINE void load16(lanes16 *to, const char *v, const int half)
{
    if (half)
        lanes16_widen_row(to, (const uint16_t *)(const void *)v);
    else
        *to = *(const lanes16 *)v;
}

INLINE void load4(lanes4 *to, const char *v, const int half)
{
    if (half)
        lanes4_widen_row(to, (const uint16_t *)(const void *)v);
    else
        *to = *(const lanes4 *)v;
}

/* V vectors of dimensions for all R rows, and the weights' sums. */
INLINE void value_strip(float *out, float *total, const float *weight, size_t ld, const char *v, int n, size_t d,
                        const int R, const int V, const int half)
{
    lanes16 sum[KERNELS_FEW_ROWS][4];
    float all[KERNELS_FEW_ROWS] = {0};
    for (int r = 0; r < R; r++)
        for (int i = 0; i < V; i++)
            sum[r][i] = (lanes16){0};
    for (int k = 0; k < n; k++, v += d * SIZE(half)) {
        lanes16 x[4];
        for (int i = 0; i < V; i++) {
            const char *at = v + 16 * SIZE(half) * (size_t)i;
            if (!half || i % 2 == 0) /* two of bf16 are a line */
                __builtin_prefetch(at + VALUES_AHEAD);
            load16(&x[i], at, half);
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

INLINE void values(float *out, float *total, const float *weight, size_t ld, const char *v, int n, size_t d,
                   const int R, const int V, const int half)
{
    size_t i = 0, wide = 16 * (size_t)V;
    for (; i + wide <= d; i += wide)
        value_strip(out + i, total, weight, ld, v + i * SIZE(half), n, d, R, V, half);
    for (; i + 16 <= d; i += 16)
        value_strip(out + i, total, weight, ld, v + i * SIZE(half), n, d, R, 1, half);
    for (; i < d; i += 4)
        for (int r = 0; r < R; r++) {
            lanes4 sum = {0}, x;
            float all = 0;
            for (int k = 0; k < n; k++) {
                float a = weight[(size_t)r * ld + (size_t)k];
                load4(&x, v + ((size_t)k * d + i) * SIZE(half), half);
                sum += x * a;
                all += a;
            }
            *(lanes4 *)(out + (size_t)r * d + i) = sum;
            total[r] = all;
        }
}

INLINE void values_of_rows(float *out, float *total, const float *weight, size_t ld, int rows, const char *v, int n,
                           size_t d, const int V, const int half)
{
    switch (rows) {
    case 1: values(out, total, weight, ld, v, n, d, 1, V, half); break;
    case 2: values(out, total, weight, ld, v, n, d, 2, V, half); break;
    case 3: values(out, total, weight, ld, v, n, d, 3, V, half); break;
    default: values(out, total, weight, ld, v, n, d, 4, V, half); break;
    }
}

/* Both forms on one level of processors: G as above, V of values. */
#define LEVEL(NAME, TARGET, G, V) \
    TARGET static void NAME##_scores(float *score, size_t ld, const float *q, int rows, const char *k, int n, \
                                     size_t d, const char *next, int half) \
    { \
        if (half) \
            scores_of_rows(score, ld, q, rows, k, n, d, next, G, 1); \
        else \
            scores_of_rows(score, ld, q, rows, k, n, d, next, G, 0); \
    } \
    TARGET static void NAME##_values(float *out, float *total, const float *weight, size_t ld, int rows, \
                                     const char *v, int n, size_t d, int half) \
    { \
        if (half) \
            values_of_rows(out, total, weight, ld, rows, v, n, d, V, 1); \
        else \
            values_of_rows(out, total, weight, ld, rows, v, n, d, V, 0); \
    }

#if defined(__x86_64__)
LEVEL(wide, __attribute__((target("arch=x86-64-v4"))), 2, 4)
LEVEL(middle, __attribute__((target("arch=x86-64-v3"))), 2, 1)
#endif
LEVEL(narrow, , 1, 1)

int kernels_few_takes(int rows, struct kv_rows k, int d)
{
    return rows <= KERNELS_FEW_ROWS && (size_t)d % (STEP / SIZE(k.bf16 != NULL)) == 0;
}

void kernels_few_scores(float *score, size_t ld, const float *q, int rows, struct kv_rows k, int n, int d,
                        struct kv_rows next)
{
    const char *from = kvrows_memory(k), *then = kvrows_memory(next);
    int half = k.bf16 != NULL;
#if defined(__x86_64__)
    if (CPU_HAS_V4) {
        wide_scores(score, ld, q, rows, from, n, (size_t)d, then, half);
        return;
    }
    if (CPU_HAS_V3) {
        middle_scores(score, ld, q, rows, from, n, (size_t)d, then, half);
        return;
    }
#endif
    narrow_scores(score, ld, q, rows, from, n, (size_t)d, then, half);
}

void kernels_few_values(float *out, float *total, const float *weight, size_t ld, int rows, struct kv_rows v, int n,
                        int d)
{
    const char *from = kvrows_memory(v);
    int half = v.bf16 != NULL;
#if defined(__x86_64__)
    if (CPU_HAS_V4) {
        wide_values(out, total, weight, ld, rows, from, n, (size_t)d, half);
        return;
    }
    if (CPU_HAS_V3) {
        middle_values(out, total, weight, ld, rows, from, n, (size_t)d, half);
        return;
    }
#endif
    narrow_values(out, total, weight, ld, rows, from, n, (size_t)d, half);
}
