/* The forward pass: phases against each other, bits that do not move, statistics against the definition. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/kernels_few.h"
#include "models/kernels_ref.h"
#include "models/kernels_rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { VOCAB = 97, T = 150 };

static const struct {
    int n_layer, n_head, n_kv_head, head_dim, d_ff, tied;
} shapes[] = {{2, 4, 4, 8, 40, 1}, {3, 6, 2, 16, 56, 0}, {2, 9, 3, 12, 33, 1}, {1, 8, 1, 64, 64, 0}};

static struct model *make(int i)
{
    return support_tiny_model(shapes[i].n_layer, shapes[i].n_head, shapes[i].n_kv_head, shapes[i].head_dim,
                              shapes[i].d_ff, VOCAB, shapes[i].tied, 7 + (uint64_t)i);
}

static void tokens(int32_t *t, int n, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, "tokens");
    for (int i = 0; i < n; i++)
        t[i] = (int32_t)rng_below(&r, VOCAB);
}

/* float32 against double accumulators: about sqrt(k) roundings of 6e-8 a layer, few layers; 2e-5 leaves a decade. */
static const double TOLERANCE = 2e-5;

START_TEST(prefill_and_cells_agree_with_the_reference)
{
    struct model *m = make(_i);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *ref = mem_new(T * VOCAB, sizeof *ref), *got = mem_new(T * VOCAB, sizeof *got);
    struct err e;
    tokens(t, T, 1);
    struct kvcache *a = kvcache_create(&m->hp, T, NULL), *b = kvcache_create(&m->hp, T, NULL),
                   *c = kvcache_create(&m->hp, T, NULL);
    ck_assert_msg(support_feed(m, w, FORWARD_REFERENCE, a, t, 0, T, NULL, ref, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, b, t, 0, T, NULL, got, &e), 0);
    ck_assert_double_lt(support_relative_error(got, ref, T * VOCAB), TOLERANCE);
    for (int i = 0; i < T; i++)
        ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, c, t, i, 1, NULL, got + i * VOCAB, &e), 0);
    ck_assert_double_lt(support_relative_error(got, ref, T * VOCAB), TOLERANCE);
    ck_assert_int_eq(kvcache_n_seen(c), T);
    kvcache_destroy(a);
    kvcache_destroy(b);
    kvcache_destroy(c);
    mem_free(ref);
    mem_free(got);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(a_chunk_of_cell_rows_has_the_bits_of_single_rows_on_any_number_of_threads)
{
    struct model *m = make(_i);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *one = mem_new(T * VOCAB, sizeof *one), *many = mem_new(T * VOCAB, sizeof *many);
    tokens(t, T, 2);
    kernels_share_from(0);
    struct kvcache *full = kvcache_create(&m->hp, 100, NULL);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, full, t, 0, 100, NULL, one, NULL), 0);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    struct kvcache *a = kvcache_derive(full, NULL, 50, NULL, NULL);
    for (int i = 100; i < T; i++)
        ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, a, t, i, 1, NULL, one + (i - 100) * VOCAB, NULL), 0);
    for (int threads = 1; threads <= 3; threads++) {
        transformer_set_threads(threads);
        struct kvcache *b = kvcache_derive(full, NULL, 50, NULL, NULL);
        ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, b, t, 100, 50, NULL, many, NULL), 0);
        ck_assert_mem_eq(one, many, 50 * VOCAB * sizeof *one);
        kvcache_destroy(b);
    }
    kvcache_destroy(a);
    kvcache_destroy(full);
    mem_free(one);
    mem_free(many);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(a_cell_has_the_same_bits_among_twenty_others)
{
    struct model *m = make(1);
    struct workspace *w = workspace_create();
    int32_t t[T];
    enum { N = 21 };
    struct kvcache *full = kvcache_create(&m->hp, 100, NULL), *cache[N], *alone;
    struct forward_row row[N];
    float *all = mem_new(T * VOCAB, sizeof *all), *one = mem_new(VOCAB, sizeof *one);
    tokens(t, T, 3);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, full, t, 0, 100, NULL, all, NULL), 0);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    struct kvcache_pool *pool = kvcache_pool_create();
    struct keepset *keep[N];
    for (int c = 0; c < N; c++) {
        keep[c] = keepset_create(m->hp.n_layer, m->hp.n_kv_head, 100, NULL);
        for (int l = 0; l < m->hp.n_layer; l++)
            for (int h = 0; h < m->hp.n_kv_head; h++)
                for (int j = c % 7; j < 100; j += 1 + c % 5)
                    keepset_add(keep[c], l, h, j);
        cache[c] = kvcache_derive(full, keep[c], 4, pool, NULL);
        row[c] = (struct forward_row){.token = t[100], .pos = 100, .cache = c, .want_logits = 1};
    }
    struct forward f = {.phase = FORWARD_CELL, .row = row, .n_row = N, .cache = cache, .n_cache = N, .logits = all};
    ck_assert_int_eq(transformer_forward(m, w, &f, NULL), 0);
    for (int c = 0; c < N; c++) {
        alone = kvcache_derive(full, keep[c], 4, NULL, NULL);
        ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, alone, t, 100, 1, NULL, one, NULL), 0);
        ck_assert_mem_eq(one, all + c * VOCAB, VOCAB * sizeof *one);
        kvcache_destroy(alone);
        kvcache_destroy(cache[c]);
        keepset_destroy(keep[c]);
    }
    kvcache_pool_destroy(pool);
    kvcache_destroy(full);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
    mem_free(all);
    mem_free(one);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(prefill_has_the_same_bits_on_any_number_of_threads_and_with_a_tap)
{
    struct model *m = make(_i);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *one = mem_new(T * VOCAB, sizeof *one), *many = mem_new(T * VOCAB, sizeof *many);
    struct tap tap = {.stats = TRANSFORMER_STAT_COLUMNS | TRANSFORMER_STAT_ROWS | TRANSFORMER_STAT_ENTROPY |
                               TRANSFORMER_STAT_QUERIES | TRANSFORMER_STAT_HIDDEN,
                      .last_rows = 9};
    tokens(t, T, 4);
    kernels_share_from(0);
    for (int threads = 1; threads <= 3; threads++) {
        transformer_set_threads(threads);
        struct kvcache *c = kvcache_create(&m->hp, T, NULL);
        ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, c, t, 0, T, threads == 3 ? &tap : NULL,
                                      threads == 1 ? one : many, NULL),
                         0);
        if (threads > 1)
            ck_assert_mem_eq(one, many, T * VOCAB * sizeof *one);
        kvcache_destroy(c);
    }
    mem_free(one);
    mem_free(many);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

/* Collects the statistics of the last layer, and every attention row of it. */
struct seen {
    int layer;
    double *a; /* [n_head][T][T] */
    float *off, *diag, *rows, *entropy;
};

static int see(void *ctx, const struct attention_stats *s, struct err *e)
{
    struct seen *x = ctx;
    (void)e;
    if (s->layer != x->layer)
        return 0;
    for (int q = 0; q < 6; q++) {
        memcpy(x->off + q * T, s->off_diagonal[q], T * sizeof(float));
        memcpy(x->diag + q * T, s->diagonal[q], T * sizeof(float));
        memcpy(x->entropy + q * T, s->entropy[q], T * sizeof(float));
        memcpy(x->rows + (size_t)q * 9 * T, s->rows[q], 9 * T * sizeof(float));
    }
    ck_assert_int_eq(s->n_row, 9);
    return 0;
}

static int see_row(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct seen *x = ctx;
    (void)e;
    for (int i = 0; layer == x->layer && i < n_key; i++)
        x->a[((size_t)head * T + (size_t)row) * T + (size_t)i] = (double)weight[i];
    return 0;
}

START_TEST(statistics_are_those_of_the_attention_matrix)
{
    struct model *m = make(1); /* 6 heads */
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *logits = mem_new(T * VOCAB, sizeof *logits), *buffer = mem_new(6 * T * 12, sizeof *buffer);
    struct seen s = {.layer = m->hp.n_layer - 1,
                     .a = mem_new(6 * T * T, sizeof(double)),
                     .off = buffer,
                     .diag = buffer + 6 * T,
                     .entropy = buffer + 12 * T,
                     .rows = buffer + 18 * T};
    struct tap stats = {.ctx = &s,
                        .attention = see,
                        .last_rows = 9,
                        .stats = TRANSFORMER_STAT_COLUMNS | TRANSFORMER_STAT_ROWS | TRANSFORMER_STAT_ENTROPY};
    struct tap rows = {.ctx = &s, .weights = see_row};
    tokens(t, T, 5);
    struct kvcache *c = kvcache_create(&m->hp, T, NULL), *d = kvcache_create(&m->hp, T, NULL);
    ck_assert_int_eq(support_feed(m, w, FORWARD_REFERENCE, c, t, 0, T, &rows, logits, NULL), 0);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, d, t, 0, T, &stats, logits, NULL), 0);
    for (int q = 0; q < 6; q++)
        for (int j = 0; j < T; j++) {
            double sum = 0, entropy = 0;
            for (int i = j + 1; i < T; i++)
                sum += s.a[((size_t)q * T + (size_t)i) * T + (size_t)j];
            for (int i = 0; i <= j; i++) {
                double p = s.a[((size_t)q * T + (size_t)j) * T + (size_t)i];
                entropy -= p > 0 ? p * log(p) : 0;
            }
            ck_assert_double_eq_tol(s.off[q * T + j], sum, 1e-4 * (1 + sum));
            ck_assert_double_eq_tol(s.diag[q * T + j], s.a[((size_t)q * T + (size_t)j) * T + (size_t)j], 1e-5);
            ck_assert_double_eq_tol(s.entropy[q * T + j], entropy, 1e-4);
            for (int r = 0; r < 9; r++)
                ck_assert_double_eq_tol(s.rows[((size_t)q * 9 + (size_t)r) * T + (size_t)j],
                                        s.a[((size_t)q * T + (size_t)(T - 9 + r)) * T + (size_t)j], 1e-5);
        }
    kvcache_destroy(c);
    kvcache_destroy(d);
    mem_free(s.a);
    mem_free(buffer);
    mem_free(logits);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

/* A cache that holds a pruned segment, different in every head, and a tail of three. */
static struct kvcache *pruned(const struct model *m, struct workspace *w, const struct kvcache *full, const int32_t *t,
                              float *logits)
{
    struct keepset *k = keepset_create(m->hp.n_layer, m->hp.n_kv_head, 60, NULL);
    for (int l = 0; l < m->hp.n_layer; l++)
        for (int h = 0; h < m->hp.n_kv_head; h++)
            for (int j = l + h; j < 60; j += 1 + h)
                keepset_add(k, l, h, j);
    struct kvcache *c = kvcache_derive(full, k, 93, NULL, NULL);
    keepset_destroy(k);
    ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, c, t, 60, 3, NULL, logits, NULL), 0);
    return c;
}

START_TEST(every_phase_continues_a_pruned_segment_and_a_tail)
{
    struct model *m = make(_i);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *ref = mem_new(T * VOCAB, sizeof *ref), *got = mem_new(T * VOCAB, sizeof *got);
    tokens(t, T, 6);
    struct kvcache *full = kvcache_create(&m->hp, 60, NULL);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, full, t, 0, 60, NULL, ref, NULL), 0);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    struct kvcache *slow = pruned(m, w, full, t, ref);
    ck_assert_int_eq(support_feed(m, w, FORWARD_REFERENCE, slow, t, 63, T - 63, NULL, ref, NULL), 0);
    for (enum forward_phase phase = FORWARD_PREFILL; phase <= FORWARD_CELL; phase++) {
        struct kvcache *c = pruned(m, w, full, t, got);
        ck_assert_int_eq(support_feed(m, w, phase, c, t, 63, T - 63, NULL, got, NULL), 0);
        ck_assert_double_lt(support_relative_error(got, ref, (T - 63) * VOCAB), TOLERANCE);
        ck_assert_int_eq(kvcache_n_seen(c), T);
        kvcache_destroy(c);
    }
    kvcache_destroy(slow);
    kvcache_destroy(full);
    mem_free(ref);
    mem_free(got);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

static int give_up(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    (void)head;
    (void)row;
    (void)weight;
    (void)n_key;
    return layer == *(const int *)ctx ? err_set(e, ERR_POLICY, "enough") : 0;
}

START_TEST(a_callback_that_fails_leaves_the_cache_as_it_was_and_a_patient_one_changes_no_bit)
{
    struct model *m = make(1);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *want = mem_new(T * VOCAB, sizeof *want), *got = mem_new(T * VOCAB, sizeof *got);
    tokens(t, T, 7);
    for (enum forward_phase phase = FORWARD_PREFILL; phase <= FORWARD_REFERENCE; phase++) {
        int at = 1;
        struct tap tap = {.ctx = &at, .weights = give_up};
        struct err e = {0};
        struct kvcache *c = kvcache_create(&m->hp, T, NULL), *d = kvcache_create(&m->hp, T, NULL);
        ck_assert_int_eq(support_feed(m, w, phase, d, t, 0, T, NULL, want, NULL), 0);
        ck_assert_int_eq(support_feed(m, w, phase, c, t, 0, T, &tap, got, &e), -1);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_uint_eq(kvcache_bytes(c), 0);
        ck_assert_int_eq(kvcache_n_seen(c), 0);
        at = -1;
        ck_assert_int_eq(support_feed(m, w, phase, c, t, 0, T, &tap, got, NULL), 0);
        ck_assert_mem_eq(want, got, T * VOCAB * sizeof *want);
        kvcache_destroy(c);
        kvcache_destroy(d);
    }
    mem_free(want);
    mem_free(got);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(rows_that_cannot_be_are_refused_and_leave_the_cache_alone)
{
    struct model *m = make(0);
    struct workspace *w = workspace_create();
    float logits[VOCAB];
    struct err e = {0};
    struct kvcache *c = kvcache_create(&m->hp, 2, NULL), *caches[1] = {c};
    struct forward_row row = {.token = VOCAB, .want_logits = 1};
    struct forward f = {
        .phase = FORWARD_CELL, .row = &row, .n_row = 1, .cache = caches, .n_cache = 1, .logits = logits};
    ck_assert_int_eq(transformer_forward(m, w, &f, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "vocabulary"));
    row.token = 1;
    row.pos = m->hp.context_length;
    ck_assert_int_eq(transformer_forward(m, w, &f, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "context"));
    row.pos = 0;
    ck_assert_int_eq(transformer_forward(m, w, &f, &e), 0);
    ck_assert_int_eq(transformer_forward(m, w, &f, &e), 0);
    ck_assert_int_eq(transformer_forward(m, w, &f, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "tail"));
    ck_assert_int_eq(kvcache_n_tail(c), 2);
    kvcache_rewind(c, 0);
    ck_assert_int_eq(kvcache_n_seen(c), 0);
    kvcache_destroy(c);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(skinny_products_agree_with_the_reference_over_odd_shapes)
{
    static const int size[] = {1, 3, 16, 17, 64, 65};
    struct rng r;
    rng_init(&r, 1, "skinny");
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 6; b++)
            for (int rows = 1; rows <= 13; rows++) {
                int out = size[a], k = size[b];
                float *w = mem_new((size_t)(out * k), sizeof *w), *x = mem_new((size_t)(rows * k), sizeof *x);
                float *y = mem_new((size_t)(rows * out), sizeof *y), *z = mem_new((size_t)(rows * out), sizeof *z);
                struct matrix m = {.rows = out, .cols = k};
                float *packed = mem_new(matrix_elements(&m), sizeof *packed);
                support_random(&r, w, (size_t)(out * k));
                m.f32 = packed;
                matrix_pack_f32(&m, packed, w, out, 0, NULL);
                support_random(&r, x, (size_t)(rows * k));
                kernels_rows_matmul(y, (size_t)out, x, (size_t)k, rows, &m);
                kernels_ref_matmul(z, (size_t)out, x, (size_t)k, rows, &m);
                for (int i = 0; i < rows * out; i++) /* k roundings of values below 1 */
                    ck_assert_double_eq_tol(y[i], z[i], 6e-8 * k + 1e-7);
                kernels_rows_matmul(z, (size_t)out, x, (size_t)k, 1, &m); /* alone: the same bits */
                ck_assert_mem_eq(y, z, (size_t)out * sizeof *y);
                mem_free(packed);
                mem_free(w);
                mem_free(x);
                mem_free(y);
                mem_free(z);
            }
}
END_TEST

START_TEST(exponentials_are_within_their_stated_error)
{
    double worst = 0;
    for (int i = 0; i < 126000; i++) {
        float x[1] = {-(float)i / 1000.0f};
        double want = exp2((double)x[0]);
        kernels_exp2_sum(x, 1, 0);
        worst = fmax(worst, fabs((double)x[0] / want - 1));
    }
    ck_assert_double_lt(worst, 3e-7);
}
END_TEST

/* The kernel for many rows has rows as lanes: eight of them here, the first ones being the few. It takes floats; the
 * other takes the same numbers as bf16 too. */
START_TEST(few_rows_have_the_bits_of_many)
{
    enum { LANES = 8, N = 530, D = 84 };
    static const int dim[] = {4, 16, 24, 64, D}, keys[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 512, N};
    float *k = mem_new(N * D, sizeof *k), *q = mem_new(LANES * D, sizeof *q),
          *turned = mem_new(LANES * D, sizeof *turned);
    float *many = mem_new(N * LANES, sizeof *many), *few = mem_new(LANES * N, sizeof *few);
    float *out = mem_new(LANES * D, sizeof *out), *few_out = mem_new(LANES * D, sizeof *few_out);
    float top[LANES], total[LANES], few_total[LANES];
    uint16_t *word = mem_new(N * D, sizeof *word);
    struct kv_rows held = _i ? (struct kv_rows){.bf16 = word} : (struct kv_rows){.f32 = k};
    struct rng r;
    int taken = 0;
    rng_init(&r, 1, "few rows");
    support_random(&r, k, N * D);
    half_round_row(word, k, N * D);
    for (int i = 0; i < N * D && _i; i++)
        k[i] = half_from_bf16(word[i]);
    support_random(&r, q, LANES * D);
    for (int i = 0; i < LANES * D; i++)
        q[i] *= 3; /* weights of very different sizes */
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 11; b++)
            for (int rows = 1; rows <= KERNELS_FEW_ROWS; rows++) {
                int d = dim[a], n = keys[b];
                if (!kernels_few_takes(rows, held, d))
                    continue;
                taken++;
                for (int i = 0; i < LANES * d; i++)
                    turned[i % d * LANES + i / d] = q[i];
                kernels_rows(many, LANES, k, (size_t)d, 1, n, turned, LANES, LANES, d);
                kernels_few_scores(few, N, q, rows, held, n, d, held);
                for (int i = 0; i < rows * n; i++)
                    ck_assert_mem_eq(&few[i / n * N + i % n], &many[i % n * LANES + i / n], sizeof *few);
                kernels_exp2_columns(many, LANES, n, 0, top, total);
                kernels_rows(out, (size_t)d, many, 1, LANES, rows, k, (size_t)d, d, n);
                for (int i = 0; i < rows; i++)
                    kernels_exp2(few + i * N, n, kernels_max(few + i * N, n));
                memset(few_out, 0xff, LANES * D * sizeof *few_out);
                kernels_few_values(few_out, few_total, few, N, rows, held, n, d);
                ck_assert_mem_eq(few_total, total, (size_t)rows * sizeof *total);
                ck_assert_mem_eq(few_out, out, (size_t)(rows * d) * sizeof *out);
            }
    ck_assert_int_eq(taken, (_i ? 3 : 5) * 11 * KERNELS_FEW_ROWS); /* eight of bf16 go together, four floats */
    mem_free(word);
    mem_free(k);
    mem_free(q);
    mem_free(turned);
    mem_free(many);
    mem_free(few);
    mem_free(out);
    mem_free(few_out);
}
END_TEST

Suite *make_transformer_suite(void)
{
    Suite *s = suite_create("transformer");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, skinny_products_agree_with_the_reference_over_odd_shapes);
    tcase_add_loop_test(t, few_rows_have_the_bits_of_many, 0, 2);
    tcase_add_test(t, exponentials_are_within_their_stated_error);
    tcase_add_loop_test(t, prefill_and_cells_agree_with_the_reference, 0, 4);
    tcase_add_loop_test(t, a_chunk_of_cell_rows_has_the_bits_of_single_rows_on_any_number_of_threads, 0, 4);
    tcase_add_test(t, a_cell_has_the_same_bits_among_twenty_others);
    tcase_add_loop_test(t, prefill_has_the_same_bits_on_any_number_of_threads_and_with_a_tap, 0, 4);
    tcase_add_test(t, statistics_are_those_of_the_attention_matrix);
    tcase_add_loop_test(t, every_phase_continues_a_pruned_segment_and_a_tail, 0, 4);
    tcase_add_test(t, a_callback_that_fails_leaves_the_cache_as_it_was_and_a_patient_one_changes_no_bit);
    tcase_add_test(t, rows_that_cannot_be_are_refused_and_leave_the_cache_alone);
    suite_add_tcase(s, t);
    return s;
}
