/* Products in bf16 arithmetic: every way against the double sums of the rounded factors and, bit by bit, against the
 * order that it promises; and the forward pass in that arithmetic. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/kernels_ref.h"
#include "models/kernels_rows.h"
#include "models/transformer.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* A product of x[rows][cols] and random weights [out][cols]. */
struct sample {
    int rows, out, cols;
    float *x;
    uint16_t *w, *packed, *tiles; /* w as rows; in panels; x in tiles */
    struct matrix m;
};

static void pack(struct sample *s)
{
    matrix_touch(&s->m, s->packed);
    matrix_pack_bf16(&s->m, s->packed, s->w, s->out, 0, NULL);
    kernels_bf16_round(s->tiles, s->x, (size_t)s->cols, s->rows, s->cols);
}

static struct sample sample(int rows, int out, int cols, uint64_t seed)
{
    struct sample s = {.rows = rows, .out = out, .cols = cols, .m = {.rows = out, .cols = cols, .is_bf16 = 1}};
    size_t nx = (size_t)rows * (size_t)cols, nw = (size_t)out * (size_t)cols,
           words = kernels_bf16_words((size_t)rows, (size_t)cols);
    struct rng r;
    float *w = mem_new(nw, sizeof *w);
    rng_init(&r, seed, "bf16");
    s.x = mem_new(nx, sizeof *s.x);
    s.w = mem_new(nw, sizeof *s.w);
    s.packed = mem_new(matrix_elements(&s.m), sizeof *s.packed);
    s.tiles = mem_new(words, sizeof *s.tiles);
    support_random(&r, s.x, nx);
    support_random(&r, w, nw);
    for (size_t i = 0; i < nw; i++)
        s.w[i] = half_to_bf16(w[i]);
    memset(s.tiles, 0xff, words * sizeof *s.tiles); /* NaN, where padding is forgotten */
    s.m.bf16 = s.packed;
    pack(&s);
    mem_free(w);
    return s;
}

static void free_sample(struct sample *s)
{
    mem_free(s->x);
    mem_free(s->w);
    mem_free(s->packed);
    mem_free(s->tiles);
}

static float x_at(const struct sample *s, int r, int k)
{
    return k < s->cols ? half_round_bf16(s->x[(size_t)r * (size_t)s->cols + (size_t)k]) : 0;
}

static float w_at(const struct sample *s, int o, int k)
{
    return k < s->cols ? half_round_bf16(half_from_bf16(s->w[(size_t)o * (size_t)s->cols + (size_t)k])) : 0;
}

/* One output as the header's two orders have it, each addition fused with its product as in the processors' manuals. */
static float in_order(const struct sample *s, int r, int o, int by_pairs)
{
    float sum = 0;
    for (int b = 0; b < s->cols; b += MATRIX_DEPTH) {
        float part[2] = {0};
        for (int k = b; k < b + MATRIX_DEPTH; k++)
            if (by_pairs)
                sum = fmaf(x_at(s, r, k ^ 1), w_at(s, o, k ^ 1), sum);
            else
                part[k % 2] = fmaf(x_at(s, r, k), w_at(s, o, k), part[k % 2]);
        sum += by_pairs ? 0 : part[0] + part[1];
    }
    return sum;
}

static int is_by_pairs(int way)
{
    return way == KERNELS_BF16_PAIRS || way == KERNELS_BF16_PAIRS_TWIN;
}

/* Several times the plain tile: panels with one, two and three squares of 32 outputs, ragged ends everywhere. */
static const int outs[] = {1, 17, 40, 96, 130}, cols[] = {1, 31, 33, 64, 100, 1100},
                 rows_of[] = {1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 31, 33, 50};
enum { OUTS = 5, COLS = 6, ROWS = 13 };

START_TEST(every_way_adds_in_the_order_that_it_promises)
{
    for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
        if (!kernels_bf16_has((enum kernels_bf16_way)way))
            continue;
        kernels_bf16_take((enum kernels_bf16_way)way);
        for (int i = 0; i < OUTS * COLS; i++) {
            struct sample s = sample(rows_of[i % ROWS], outs[i / COLS], cols[i % COLS], (uint64_t)i);
            float *y = mem_new((size_t)(s.rows * s.out), sizeof *y);
            kernels_bf16_tile(y, (size_t)s.out, s.tiles, s.rows, &s.m);
            for (int k = 0; k < s.rows * s.out; k++) {
                float want = in_order(&s, k / s.out, k % s.out, is_by_pairs(way));
                ck_assert_msg(memcmp(&y[k], &want, sizeof want) == 0,
                              "%s: %d x %d x %d, row %d, output %d: %.9g, expected %.9g", kernels_bf16_names[way],
                              s.rows, s.out, s.cols, k / s.out, k % s.out, (double)y[k], (double)want);
            }
            mem_free(y);
            free_sample(&s);
        }
    }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
}
END_TEST

/* With exact products, each of fewer than k + 64 additions rounds by at most 2^-24 of a partial sum, and no partial sum
 * exceeds the sum of magnitudes (by more than the roundings before, which 1.01 allows for). */
START_TEST(every_way_is_as_near_to_the_double_sum_as_its_roundings_allow)
{
    for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
        if (!kernels_bf16_has((enum kernels_bf16_way)way))
            continue;
        kernels_bf16_take((enum kernels_bf16_way)way);
        for (int i = 0; i < OUTS * COLS; i++) {
            struct sample s = sample(rows_of[(i + 3) % ROWS], outs[i / COLS], cols[i % COLS], (uint64_t)i + 100);
            size_t n = (size_t)(s.rows * s.out);
            float *y = mem_new(n, sizeof *y), *ref = mem_new(n, sizeof *ref);
            kernels_bf16_matmul(y, (size_t)s.out, s.tiles, s.rows, &s.m);
            kernels_ref_matmul_bf16(ref, (size_t)s.out, s.x, (size_t)s.cols, s.rows, &s.m);
            for (int k = 0; k < s.rows * s.out; k++) {
                double all = 0;
                for (int t = 0; t < s.cols; t++)
                    all += fabs((double)x_at(&s, k / s.out, t) * (double)w_at(&s, k % s.out, t));
                ck_assert_msg(fabs((double)y[k] - (double)ref[k]) <= 1.01 * (s.cols + 64) * 0x1p-24 * all,
                              "%s: %.9g, expected %.9g", kernels_bf16_names[way], (double)y[k], (double)ref[k]);
            }
            mem_free(y);
            mem_free(ref);
            free_sample(&s);
        }
    }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
}
END_TEST

START_TEST(a_row_has_the_same_bits_alone_among_others_and_on_any_number_of_threads)
{
    kernels_share_from(0);
    for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
        if (!kernels_bf16_has((enum kernels_bf16_way)way))
            continue;
        kernels_bf16_take((enum kernels_bf16_way)way);
        struct sample s = sample(way == KERNELS_BF16_PLAIN ? 53 : 147, 130, 1100, 9);
        size_t out = (size_t)s.out, n = (size_t)s.rows * out;
        float *y = mem_new(n, sizeof *y), *z = mem_new(n, sizeof *z);
        uint16_t *one = mem_new(kernels_bf16_words(1, (size_t)s.cols), sizeof *one);
        kernels_bf16_tile(y, out, s.tiles, s.rows, &s.m);
        for (int threads = 1; threads <= 3; threads++) {
            transformer_set_threads(threads);
            memset(z, 0xff, n * sizeof *z);
            kernels_bf16_matmul(z, out, s.tiles, s.rows, &s.m);
            ck_assert_mem_eq(y, z, n * sizeof *y);
        }
        for (int p = 0; p < matrix_n_panel(&s.m); p++)
            kernels_bf16_panel(z + p * MATRIX_PANEL, out, s.tiles, s.rows, &s.m, p);
        ck_assert_mem_eq(y, z, n * sizeof *y);
        for (int r = 0; r < s.rows; r++) {
            kernels_bf16_round(one, s.x + (size_t)r * (size_t)s.cols, (size_t)s.cols, 1, s.cols);
            kernels_bf16_matmul(z, out, one, 1, &s.m);
            ck_assert_mem_eq(y + (size_t)r * out, z, out * sizeof *y);
        }
        mem_free(one);
        mem_free(y);
        mem_free(z);
        free_sample(&s);
    }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
}
END_TEST

/* Every upper half of a float, with lower halves on both sides of half way. */
START_TEST(activations_are_rounded_as_defined)
{
    static const uint32_t low[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    uint16_t tile[512];
    for (uint32_t h = 0; h < 1 << 16; h += 5)
        for (int i = 0; i < 6; i++) {
            uint32_t u = h << 16 | low[i];
            float x;
            memcpy(&x, &u, sizeof x);
            kernels_bf16_round(tile, &x, 1, 1, 1);
            float got = half_from_bf16(tile[0]), want = half_round_bf16(x);
            ck_assert_mem_eq(&got, &want, sizeof want);
            ck_assert(tile[1] == 0 && tile[32] == 0 && tile[511] == 0);
            if (isnan(x))
                ck_assert(isnan(got));
            else if (fabsf(x) < 0x1p-126f && (h & 0x7F) != 0x7F) /* those just below may round up to it */
                ck_assert(got == 0 && signbit(got) == signbit(x));
            else if (fabsf(x) <= 3.3e38f)
                ck_assert(fabs((double)got - (double)x) <= 0x1p-8 * fabs((double)x) || fabsf(x) < 0x1p-125f);
        }
}
END_TEST

START_TEST(tiny_factors_count_as_zero_and_infinities_and_nan_go_on)
{
    struct sample s = sample(1, 3, 40, 4);
    for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
        float y[3];
        if (!kernels_bf16_has((enum kernels_bf16_way)way))
            continue;
        kernels_bf16_take((enum kernels_bf16_way)way);
        for (int k = 0; k < 40; k++) {
            s.x[k] = k == 7 ? 0x1p-128f : k == 8 ? 0x1p127f : 0;
            for (int o = 0; o < 3; o++)
                s.w[o * 40 + k] = half_to_bf16(k == 7 ? 0x1p127f : k == 8 ? 0x1p-128f : 1);
        }
        pack(&s);
        kernels_bf16_tile(y, 3, s.tiles, 1, &s.m);
        ck_assert_msg(y[0] == 0, "%s: %g", kernels_bf16_names[way], (double)y[0]);
        s.x[7] = INFINITY;
        s.x[8] = 0;
        pack(&s);
        kernels_bf16_tile(y, 3, s.tiles, 1, &s.m);
        ck_assert(isinf(y[1]) && y[1] > 0);
        s.x[9] = -INFINITY;
        pack(&s);
        kernels_bf16_tile(y, 3, s.tiles, 1, &s.m);
        ck_assert(isnan(y[2]));
        volatile float tiny = 0x1p-120f; /* what a caller computes afterwards keeps its small numbers */
        ck_assert(tiny * 0x1p-10f > 0);
    }
    free_sample(&s);
    kernels_bf16_take(KERNELS_BF16_N_WAY);
}
END_TEST

/* bf16 weights in float arithmetic lie in the same pairs: a depth that ends within one, and within a slice of k. */
START_TEST(float_products_of_bf16_weights_are_those_of_the_same_weights_as_float)
{
    for (int i = 0; i < OUTS * COLS; i++)
        for (int rows = 1; rows <= 9 && outs[i / COLS] % 8 == 0; rows += 4) { /* outputs beyond are summed one by one */
            struct sample s = sample(rows, outs[i / COLS], cols[i % COLS], (uint64_t)i + 7);
            size_t n = (size_t)(s.rows * s.out), all = (size_t)(s.out * s.cols);
            struct matrix wide = {.rows = s.out, .cols = s.cols};
            float *w = mem_new(all, sizeof *w), *packed = mem_new(matrix_elements(&wide), sizeof *packed);
            float *y = mem_new(n, sizeof *y), *z = mem_new(n + (size_t)s.cols, sizeof *z);
            for (size_t k = 0; k < all; k++)
                w[k] = half_from_bf16(s.w[k]);
            wide.f32 = packed;
            matrix_pack_f32(&wide, packed, w, s.out, 0, NULL);
            kernels_rows_matmul(y, (size_t)s.out, s.x, (size_t)s.cols, rows, &s.m);
            kernels_rows_matmul(z, (size_t)s.out, s.x, (size_t)s.cols, rows, &wide);
            ck_assert_mem_eq(y, z, n * sizeof *y);
            for (int o = 0; o < s.out; o++) {
                matrix_row(&s.m, o, z);
                ck_assert_mem_eq(w + o * s.cols, z, (size_t)s.cols * sizeof *z);
                ck_assert(matrix_get(&s.m, o, s.cols - 1) == z[s.cols - 1]);
            }
            mem_free(w);
            mem_free(packed);
            mem_free(y);
            mem_free(z);
            free_sample(&s);
        }
}
END_TEST

/* ---- the forward pass ----------------------------------------------------------------------- */

enum { VOCAB = 97, T = 120 };

static struct model *make(int i, int narrow)
{
    static const int shape[][6] = {
        {2, 4, 4, 8, 40, 1}, {3, 6, 2, 16, 56, 0}, {2, 9, 3, 12, 33, 1}, {1, 8, 1, 64, 64, 0}};
    const int *s = shape[i];
    return (narrow ? support_tiny_bf16 : support_tiny_model)(s[0], s[1], s[2], s[3], s[4], VOCAB, s[5],
                                                             7 + (uint64_t)i);
}

static void tokens(int32_t *t)
{
    struct rng r;
    rng_init(&r, 5, "tokens");
    for (int i = 0; i < T; i++)
        t[i] = (int32_t)rng_below(&r, VOCAB);
}

static void feed(const struct model *m, enum forward_phase phase, int step, const int32_t *t, float *logits)
{
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, T, NULL);
    struct err e;
    for (int i = 0; i < T; i += step)
        ck_assert_msg(support_feed(m, w, phase, c, t, i, T - i < step ? T - i : step, NULL, logits + i * VOCAB, &e) ==
                          0,
                      "%s", e.msg);
    kvcache_destroy(c);
    workspace_destroy(w);
}

/* The sums differ in their last bits, so that now and then an activation is rounded to the neighbour: a few such, where
 * rounding moves all of them. So the phases are nearer to each other than to float arithmetic, by far. */
START_TEST(phases_agree_in_bf16_arithmetic_and_it_is_not_that_of_float)
{
    struct model *m = make(_i, 1), *f32 = make(_i, 0);
    int32_t t[T];
    float *ref = mem_new(T * VOCAB, sizeof *ref), *got = mem_new(T * VOCAB, sizeof *got),
          *wide = mem_new(T * VOCAB, sizeof *wide);
    tokens(t);
    feed(m, FORWARD_REFERENCE, T, t, ref);
    feed(f32, FORWARD_REFERENCE, T, t, wide);
    double rounding = 0, apart = 0;
    for (int i = 0; i < T * VOCAB; i++)
        rounding += pow((double)ref[i] - (double)wide[i], 2);
    ck_assert_double_gt(support_relative_error(ref, wide, T * VOCAB), 5e-4);
    ck_assert_double_lt(support_relative_error(ref, wide, T * VOCAB), 5e-2);
    for (int phase = 0; phase < 2; phase++) {
        feed(m, phase ? FORWARD_CELL : FORWARD_PREFILL, phase ? 7 : T, t, got);
        for (int i = 0; i < T * VOCAB; i++)
            apart += pow((double)got[i] - (double)ref[i], 2) / 2;
    }
    ck_assert_msg(apart < 0.05 * rounding, "the phases are %g apart, rounding moves by %g", sqrt(apart),
                  sqrt(rounding));
    mem_free(ref);
    mem_free(got);
    mem_free(wide);
    model_close(m);
    model_close(f32);
}
END_TEST

START_TEST(bits_in_bf16_arithmetic_depend_neither_on_threads_nor_on_company)
{
    struct model *m = make(_i, 1);
    int32_t t[T];
    float *a = mem_new(T * VOCAB, sizeof *a), *b = mem_new(T * VOCAB, sizeof *b);
    tokens(t);
    kernels_share_from(0);
    transformer_set_threads(1);
    feed(m, FORWARD_PREFILL, T, t, a);
    for (int threads = 2; threads <= 3; threads++) {
        transformer_set_threads(threads);
        feed(m, FORWARD_PREFILL, T, t, b);
        ck_assert_mem_eq(a, b, T * VOCAB * sizeof *a);
    }
    feed(m, FORWARD_CELL, 1, t, a);
    feed(m, FORWARD_CELL, 41, t, b);
    ck_assert_mem_eq(a, b, T * VOCAB * sizeof *a);
    mem_free(a);
    mem_free(b);
    model_close(m);
}
END_TEST

START_TEST(weights_held_as_float_are_refused)
{
    struct model *m = make(0, 0);
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, T, NULL);
    int32_t t[T];
    struct err e;
    tokens(t);
    m->arithmetic = MODEL_BF16;
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, c, t, 0, 2, NULL, NULL, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "bf16 arithmetic takes weights that are held as bf16"));
    kvcache_destroy(c);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(a_way_that_the_environment_names_is_taken_or_refused)
{
    struct err e;
    setenv("DEPTHKV_BF16", "plain", 1);
    ck_assert_int_eq(kernels_bf16_check(&e), 0);
    ck_assert_int_eq(kernels_bf16_chosen(), KERNELS_BF16_PLAIN);
    setenv("DEPTHKV_BF16", "fast", 1);
    ck_assert_int_eq(kernels_bf16_check(&e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "DEPTHKV_BF16 is 'fast', expected plain, avx2, "));
    setenv("DEPTHKV_BF16", "amx", 1);
    ck_assert_int_eq(kernels_bf16_check(&e), kernels_bf16_has(KERNELS_BF16_TILES) ? 0 : -1);
    unsetenv("DEPTHKV_BF16");
    ck_assert_int_eq(kernels_bf16_check(&e), 0);
}
END_TEST

Suite *make_kernels_bf16_suite(void)
{
    Suite *s = suite_create("kernels_bf16");
    TCase *t = tcase_create("kernels_bf16");
    tcase_add_test(t, every_way_adds_in_the_order_that_it_promises);
    tcase_add_test(t, every_way_is_as_near_to_the_double_sum_as_its_roundings_allow);
    tcase_add_test(t, a_row_has_the_same_bits_alone_among_others_and_on_any_number_of_threads);
    tcase_add_test(t, activations_are_rounded_as_defined);
    tcase_add_test(t, tiny_factors_count_as_zero_and_infinities_and_nan_go_on);
    tcase_add_test(t, float_products_of_bf16_weights_are_those_of_the_same_weights_as_float);
    tcase_add_loop_test(t, phases_agree_in_bf16_arithmetic_and_it_is_not_that_of_float, 0, 4);
    tcase_add_loop_test(t, bits_in_bf16_arithmetic_depend_neither_on_threads_nor_on_company, 0, 4);
    tcase_add_test(t, weights_held_as_float_are_refused);
    tcase_add_test(t, a_way_that_the_environment_names_is_taken_or_refused);
    suite_add_tcase(s, t);
    return s;
}
