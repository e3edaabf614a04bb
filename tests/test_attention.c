/* Attention in bf16 arithmetic, of one layer on its own: prefill and cells against the definition in double, over
 * segments and tails, windows, caps and heads of every width; and bits that do not depend on who computes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/attention.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/kernels_bf16_rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* n_seg tokens were sealed, of which every second one of the last KV head is gone when `cut` is 1; n_before were fed
 * since, and then the rows. */
static const struct shape {
    int n_head, n_kv_head, head_dim, n_seg, cut, n_before, n_row, window;
    double cap;
} shapes[] = {
    {6, 2, 64, 0, 0, 0, 150, 0, 0},    {4, 4, 8, 0, 0, 0, 1, 0, 0},      {9, 3, 24, 0, 0, 0, 600, 0, 0},
    {4, 2, 80, 37, 1, 5, 70, 0, 0},    {3, 1, 96, 530, 1, 3, 33, 0, 0},  {8, 1, 12, 1, 0, 0, 130, 0, 30},
    {4, 2, 128, 40, 0, 0, 90, 0, 0},   {6, 2, 16, 20, 0, 0, 1100, 0, 0}, {2, 2, 64, 0, 0, 0, 700, 100, 0},
    {4, 2, 32, 700, 0, 30, 50, 40, 9}, {4, 1, 64, 1030, 1, 1, 3, 0, 0},  {2, 1, 33, 65, 1, 0, 20, 0, 0},
};
enum { N_SHAPE = sizeof shapes / sizeof *shapes };

struct layer {
    struct hparams hp;
    struct kvcache *cache;
    struct forward_row *row;
    float *q;
    struct attention_job job;
    struct attention_scratch *scratch;
    size_t n_out;
};

/* Numbers whose scores differ by a few powers of two; the last entries are the largest, so that maxima rise. */
static void fill_tail(const struct hparams *hp, struct kvcache *c, int n, int pos, struct rng *r)
{
    size_t d = (size_t)hp->head_dim;
    for (int h = 0; h < hp->n_kv_head; h++) {
        struct kv_tail *t = kvcache_tail(c, 0, h);
        for (int i = 0; i < n; i++, t->n++) {
            float x[DIMS_MAX_HEAD_DIM];
            support_random(r, x, d);
            kvrows_put(kvrows_at(t->v, (size_t)t->n * d), x, d);
            support_random(r, x, d);
            for (size_t at = 0; at < d; at++)
                x[at] *= 1 + (float)(pos + i) / 300;
            kvrows_put(kvrows_at(t->k, (size_t)t->n * d), x, d);
            t->pos[t->n] = pos + i;
        }
    }
}

static struct layer layer(const struct shape *s, enum model_dtype held_as)
{
    struct layer l = {0};
    struct rng r;
    rng_init(&r, 3, "attention");
    l.hp = (struct hparams){.n_layer = 1,
                            .n_head = s->n_head,
                            .n_kv_head = s->n_kv_head,
                            .n_group = s->n_head / s->n_kv_head,
                            .head_dim = s->head_dim,
                            .attention_cap = s->cap,
                            .window = s->window,
                            .context_length = 4096};
    strcpy(l.hp.layer_kinds, s->window ? "w" : "");
    int room = s->n_before + s->n_row;
    struct kvcache *full = kvcache_create_held(&l.hp, held_as, s->n_seg ? s->n_seg : room, NULL);
    if (s->n_seg) {
        struct keepset *keep = keepset_create(1, s->n_kv_head, s->n_seg, NULL);
        for (int h = 0; h < s->n_kv_head; h++)
            for (int i = 0; i < s->n_seg; i += s->cut && h == s->n_kv_head - 1 ? 2 : 1)
                keepset_add(keep, 0, h, i);
        fill_tail(&l.hp, full, s->n_seg, 0, &r);
        kvcache_set_seen(full, s->n_seg);
        ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
        l.cache = kvcache_derive(full, keep, room, NULL, NULL);
        keepset_destroy(keep);
        kvcache_destroy(full);
    } else {
        l.cache = full;
    }
    fill_tail(&l.hp, l.cache, room, s->n_seg, &r);
    size_t width = (size_t)s->n_head * (size_t)s->head_dim;
    l.n_out = (size_t)s->n_row * width;
    l.row = mem_new((size_t)s->n_row, sizeof *l.row);
    l.q = mem_new(l.n_out, sizeof *l.q);
    support_random(&r, l.q, l.n_out);
    for (size_t i = 0; i < l.n_out; i++)
        l.q[i] *= 3;
    for (int i = 0; i < s->n_row; i++)
        l.row[i].pos = s->n_seg + s->n_before + i;
    l.scratch = attention_scratch_create();
    return l;
}

static void free_layer(struct layer *l)
{
    attention_scratch_destroy(l->scratch);
    kvcache_destroy(l->cache);
    mem_free(l->row);
    mem_free(l->q);
}

typedef int attention_fn(struct attention_scratch *s, const struct attention_job *j, struct err *e);

static float *attend(struct layer *l, attention_fn *f, enum model_dtype arithmetic, const struct tap *tap)
{
    float *out = mem_new(l->n_out, sizeof *out);
    struct err e;
    struct attention_job j = {.hp = &l->hp,
                              .arithmetic = arithmetic,
                              .row = l->row,
                              .n_row = (int)(l->n_out / (size_t)(l->hp.n_head * l->hp.head_dim)),
                              .cache = &l->cache,
                              .n_cache = 1,
                              .q = l->q,
                              .ldq = (size_t)(l->hp.n_head * l->hp.head_dim),
                              .out = out,
                              .tap = tap};
    memset(out, 0xff, l->n_out * sizeof *out);
    ck_assert_msg(f(l->scratch, &j, &e) == 0, "%s", e.msg);
    return out;
}

static double apart(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum / (double)n);
}

/* A score's last bit differs by the order of its sum, and about one weight in some thousands is then rounded to the
 * neighbour; so what is left is far below what rounding does, but not zero. */
START_TEST(prefill_and_cells_are_the_definition_with_rounded_factors)
{
    struct layer l = layer(&shapes[_i], MODEL_F32);
    float *ref = attend(&l, attention_reference, MODEL_BF16, NULL);
    float *wide = attend(&l, attention_reference, MODEL_F32, NULL);
    double rounding = apart(ref, wide, l.n_out);
    ck_assert_double_gt(rounding, 1e-5);
    ck_assert_double_lt(rounding, 3e-2);
    for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
        if (!kernels_bf16_has((enum kernels_bf16_way)way))
            continue;
        kernels_bf16_take((enum kernels_bf16_way)way);
        float *got = attend(&l, attention_prefill, MODEL_BF16, NULL);
        ck_assert_msg(apart(got, ref, l.n_out) < 0.1 * rounding, "%s: %g from the definition, rounding moves by %g",
                      kernels_bf16_names[way], apart(got, ref, l.n_out), rounding);
        mem_free(got);
    }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
    float *got = attend(&l, attention_cell, MODEL_BF16, NULL);
    ck_assert_msg(apart(got, ref, l.n_out) < 0.1 * rounding, "cells: %g from the definition, rounding moves by %g",
                  apart(got, ref, l.n_out), rounding);
    mem_free(got);
    mem_free(ref);
    mem_free(wide);
    free_layer(&l);
}
END_TEST

static int ignore(void *ctx, const struct attention_stats *s, struct err *e)
{
    (void)ctx;
    (void)s;
    (void)e;
    return 0;
}

START_TEST(bits_depend_neither_on_threads_nor_on_onlookers_nor_on_the_way)
{
    struct layer l = layer(&shapes[_i], MODEL_F32);
    struct tap tap = {.attention = ignore, .stats = TRANSFORMER_STAT_COLUMNS};
    kernels_share_from(0);
    for (int by_pairs = 0; by_pairs < 2; by_pairs++) {
        float *first = NULL;
        for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
            int pairs = way == KERNELS_BF16_PAIRS || way == KERNELS_BF16_PAIRS_TWIN;
            if (!kernels_bf16_has((enum kernels_bf16_way)way) || pairs != by_pairs)
                continue;
            kernels_bf16_take((enum kernels_bf16_way)way);
            transformer_set_threads(1 + way % 3);
            float *got = attend(&l, attention_prefill, MODEL_BF16, way % 2 ? &tap : NULL);
            if (first)
                ck_assert_msg(memcmp(first, got, l.n_out * sizeof *got) == 0, "%s", kernels_bf16_names[way]);
            mem_free(first);
            first = got;
        }
        mem_free(first);
    }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
    free_layer(&l);
}
END_TEST

START_TEST(what_is_held_as_bf16_is_what_it_is_rounded_to)
{
    struct layer wide = layer(&shapes[_i], MODEL_F32), held = layer(&shapes[_i], MODEL_BF16);
    static attention_fn *const phase[] = {attention_prefill, attention_cell, attention_reference};
    for (int i = 0; i < 3; i++) {
        float *a = attend(&wide, phase[i], MODEL_BF16, NULL), *b = attend(&held, phase[i], MODEL_BF16, NULL);
        ck_assert_msg(memcmp(a, b, wide.n_out * sizeof *a) == 0, "phase %d", i);
        mem_free(a);
        mem_free(b);
    }
    free_layer(&wide);
    free_layer(&held);
}
END_TEST

/* ---- statistics ------------------------------------------------------------------------------ */

struct sums {
    int n_head;
    double *of; /* [n_head][n_key] */
    double entropy;
    int n_key; /* of the first KV head, which is never cut */
};

static int add_up(void *ctx, const struct attention_stats *s, struct err *e)
{
    struct sums *x = ctx;
    (void)e;
    x->n_key = s->n_key[0];
    mem_free(x->of);
    x->of = mem_new((size_t)(x->n_head * x->n_key), sizeof *x->of);
    for (int q = 0; q < x->n_head; q++)
        for (int i = 0; i < x->n_key && q == 0; i++)
            x->of[q * x->n_key + i] = (double)s->off_diagonal[q][i] + (double)s->diagonal[q][i];
    for (int i = 0; i < s->n_query; i++)
        x->entropy += (double)s->entropy[0][i];
    return 0;
}

/* They are of weights that are not rounded. */
START_TEST(statistics_are_those_of_the_definition)
{
    struct layer l = layer(&shapes[_i], MODEL_F32);
    struct sums want = {.n_head = l.hp.n_head}, got = want;
    struct tap tap = {.ctx = &want,
                      .attention = add_up,
                      .stats = TRANSFORMER_STAT_COLUMNS | TRANSFORMER_STAT_ENTROPY | TRANSFORMER_STAT_ROWS,
                      .last_rows = 2};
    mem_free(attend(&l, attention_reference, MODEL_BF16, &tap));
    tap.ctx = &got;
    mem_free(attend(&l, attention_prefill, MODEL_BF16, &tap));
    ck_assert_int_eq(want.n_key, got.n_key);
    double all = 0;
    for (int i = 0; i < want.n_key; i++) {
        ck_assert_double_eq_tol(got.of[i], want.of[i], 1e-5 * (1 + want.of[i]));
        all += got.of[i];
    }
    ck_assert_double_eq_tol(all, shapes[_i].n_row, 1e-4 * shapes[_i].n_row);
    ck_assert_double_eq_tol(got.entropy, want.entropy, 1e-4 * (1 + want.entropy));
    mem_free(want.of);
    mem_free(got.of);
    free_layer(&l);
}
END_TEST

/* ---- kernels --------------------------------------------------------------------------------- */

/* Products of rows by rows, and of rows by terms, against sums of the rounded factors: small whole numbers, which every
 * order adds up exactly. */
START_TEST(factors_are_packed_and_padded_for_every_way)
{
    enum { N = 70, K = 75, ROWS = 37, LD = 112, DEPTH = 96 };
    static float x[ROWS * K], z[N * K], y[ROWS * LD];
    static uint16_t tiles[48 * DEPTH], by_rows[DEPTH * LD], by_terms[DEPTH * LD];
    for (int i = 0; i < ROWS * K; i++)
        x[i] = (float)(i * 7 % 31 - 15);
    for (int i = 0; i < N * K; i++)
        z[i] = (float)(i * 5 % 23 - 11);
    for (int n = 1; n <= N; n += 23)
        for (int k = 1; k <= K; k += 37)
            for (int way = 0; way < KERNELS_BF16_N_WAY; way++) {
                if (!kernels_bf16_has((enum kernels_bf16_way)way))
                    continue;
                kernels_bf16_take((enum kernels_bf16_way)way);
                memset(by_rows, 0xff, sizeof by_rows); /* NaN, where padding is forgotten */
                memset(by_terms, 0xff, sizeof by_terms);
                memset(y, 0xff, sizeof y);
                kernels_bf16_round(tiles, x, K, ROWS, k);
                kernels_bf16_pack_rows(by_rows, LD, z, K, n, k);
                kernels_bf16_product(y, LD, tiles, k, ROWS, by_rows, LD, n, k, 0);
                kernels_bf16_pack_terms(by_terms, LD, z, N, k, n);
                kernels_bf16_product(y, LD, tiles, k, ROWS, by_terms, LD, n, k, 1);
                for (int r = 0; r < ROWS; r++)
                    for (int o = 0; o < n; o++) {
                        float sum = 0;
                        for (int i = 0; i < k; i++)
                            sum += x[r * K + i] * (z[o * K + i] + z[i * N + o]);
                        ck_assert_msg(sum == y[r * LD + o], "%s, %d x %d x %d: y[%d][%d] = %g, expected %g",
                                      kernels_bf16_names[way], ROWS, n, k, r, o, (double)y[r * LD + o], (double)sum);
                    }
            }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
}
END_TEST

/* 2^x within 3e-7, rounded to the nearest bf16, zero when hidden; and a weight is rounded alike whatever whole number
 * it is relative to. The scores are such that nothing is lost when that is taken from them. */
START_TEST(weights_are_powers_of_two_rounded_alike_whatever_they_are_relative_to)
{
    enum { N = 75, PADDED = 128 };
    float x[PADDED], kept[PADDED], by_eight[PADDED];
    uint16_t tile[PADDED / 32 * 512], other[PADDED / 32 * 512];
    for (int round = 0; round < 2; round++) {
        float sum = 0, all;
        double total = 0;
        memset(tile, 0xff, sizeof tile);
        memset(other, 0xff, sizeof other);
        for (int i = 0; i < PADDED; i++)
            x[i] = i == 50 ? -INFINITY : (float)(i * 37 % 101) / -8 - 0.0625f * (float)(i % 3);
        memcpy(by_eight, x, sizeof x);
        all = kernels_bf16_weigh(tile, kept, x, N, PADDED, 1);
        sum = kernels_bf16_weigh(other, round ? by_eight : NULL, by_eight, N, PADDED, 4);
        for (int i = 0; i < N; i++) {
            double want = i == 50 ? 0 : exp2((double)((float)(i * 37 % 101) / -8 - 0.0625f * (float)(i % 3)) - 1);
            int at = i / 32 * 512 + i % 32;
            ck_assert(fabs((double)kept[i] - want) <= 3e-7 * want);
            ck_assert_uint_eq(tile[at], half_to_bf16(kept[i]));
            ck_assert(half_from_bf16(tile[at]) == 8 * half_from_bf16(other[at]));
            ck_assert(!round || kept[i] == 8 * by_eight[i]);
            total += want;
        }
        for (int i = N; i < PADDED; i++)
            ck_assert(tile[i / 32 * 512 + i % 32] == 0 && kept[i] == 0);
        ck_assert_double_eq_tol((double)all, total, 1e-6 * total);
        ck_assert(all == 8 * sum);
    }
}
END_TEST

Suite *make_attention_suite(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_add_test(t, factors_are_packed_and_padded_for_every_way);
    tcase_add_test(t, weights_are_powers_of_two_rounded_alike_whatever_they_are_relative_to);
    tcase_add_loop_test(t, prefill_and_cells_are_the_definition_with_rounded_factors, 0, N_SHAPE);
    tcase_add_loop_test(t, bits_depend_neither_on_threads_nor_on_onlookers_nor_on_the_way, 0, N_SHAPE);
    tcase_add_loop_test(t, what_is_held_as_bf16_is_what_it_is_rounded_to, 0, N_SHAPE);
    tcase_add_loop_test(t, statistics_are_those_of_the_definition, 0, N_SHAPE);
    suite_add_tcase(s, t);
    return s;
}
