/* Keys and values held as bf16: every kernel of attention gives the bits that the same numbers held as floats give;
 * what is held is what was computed, rounded before anybody reads it; and it takes half the bytes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/attention.h"
#include "models/half.h"
#include "models/kernels.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { VOCAB = 97, T = 90 };

static const enum model_dtype forms[] = {MODEL_F32, MODEL_BF16};

/* Of numbers that the vectors of kernels are made for, and of others. */
static const struct {
    int n_layer, n_head, n_kv_head, head_dim, d_ff, tied;
} shapes[] = {{2, 4, 2, 64, 40, 1}, {3, 6, 2, 16, 56, 0}, {2, 9, 3, 12, 33, 1}, {2, 8, 1, 6, 64, 0}};
enum { N_SHAPE = sizeof shapes / sizeof *shapes };

static struct model *make(int i)
{
    return support_tiny_model(shapes[i].n_layer, shapes[i].n_head, shapes[i].n_kv_head, shapes[i].head_dim,
                              shapes[i].d_ff, VOCAB, shapes[i].tied, 11 + (uint64_t)i);
}

static void tokens(int32_t *t)
{
    struct rng r;
    rng_init(&r, 5, "tokens");
    for (int i = 0; i < T; i++)
        t[i] = (int32_t)rng_below(&r, VOCAB);
}

START_TEST(numbers_are_rounded_as_products_in_bf16_take_them)
{
    static const float x[] = {1,          1 + 0x1p-8f, 1 + 0x3p-8f, -3.14159265f, 0x1p-126f, 0x1p-127f,
                              -0x1p-130f, 0x1.ffp127f, 0x1.fep127f, INFINITY,     -0.0f,     0.1f};
    enum { N = sizeof x / sizeof *x };
    uint16_t word[N + 1] = {0};
    float back[N];
    struct kv_rows held = {.bf16 = word};
    kvrows_put(held, x, N);
    kvrows_get(back, held, N);
    for (int i = 0; i < N; i++) {
        float want = half_round_bf16(x[i]), one = kvrows_number(held, (size_t)i);
        ck_assert_mem_eq(&back[i], &want, sizeof want);
        ck_assert_mem_eq(&one, &want, sizeof want);
    }
    ck_assert_mem_eq(&back[1], &(float){1}, sizeof(float)); /* a tie goes to the even one, */
    ck_assert_mem_eq(&back[2], &(float){1 + 0x1p-6f}, sizeof(float));
    ck_assert_mem_eq(&back[5], &(float){0}, sizeof(float)); /* and tiny ones are zero, with their signs */
    ck_assert_mem_eq(&back[6], &(float){-0.0f}, sizeof(float));
    ck_assert_uint_eq(word[N], 0);
    kvrows_put(held, &(float){NAN}, 1);
    ck_assert(isnan(kvrows_number(held, 0)));
    ck_assert_uint_eq(2 * kvrows_size(MODEL_BF16), kvrows_size(MODEL_F32));
}
END_TEST

/* ---- kernels of attention --------------------------------------------------------------------- */

enum { LAYERS = 2, LONG = 1100 /* more than two chunks */, CELLS = 3 };

static struct hparams shape_of(int head_dim, int n_group)
{
    struct hparams hp = {.n_layer = LAYERS,
                         .n_kv_head = 2,
                         .n_group = n_group,
                         .n_head = 2 * n_group,
                         .head_dim = head_dim,
                         .d_model = 8,
                         .window = 600,
                         .layer_kinds = "fw"};
    return hp;
}

/* n entries of positions from `pos` on in every tail, the same for both forms, which hold them exactly. */
static void append(struct kvcache *c, const struct hparams *hp, int pos, int n)
{
    size_t d = (size_t)hp->head_dim;
    float *x = mem_new(d, sizeof *x);
    struct rng r;
    rng_init(&r, (uint64_t)pos, "entries");
    for (int i = 0; i < n; i++)
        for (int h = 0; h < LAYERS * hp->n_kv_head; h++) {
            struct kv_tail *t = kvcache_tail(c, h / hp->n_kv_head, h % hp->n_kv_head);
            for (int part = 0; part < 2; part++) {
                support_random(&r, x, d);
                for (size_t k = 0; k < d; k++)
                    x[k] = half_round_bf16(x[k]);
                kvrows_put(kvrows_at(part ? t->v : t->k, (size_t)t->n * d), x, d);
            }
            t->pos[t->n++] = pos + i;
        }
    kvcache_set_seen(c, pos + n);
    mem_free(x);
}

/* CELLS caches that share a sealed prompt, the last one but a part of it, with `rows` entries each behind it. */
static void make_cells(const struct hparams *hp, enum model_dtype held_as, int rows, struct kvcache **cell)
{
    struct kvcache *full = kvcache_create_held(hp, held_as, LONG, NULL);
    struct keepset *keep = keepset_create(LAYERS, hp->n_kv_head, LONG, NULL);
    append(full, hp, 0, LONG);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    for (int h = 0; h < LAYERS * hp->n_kv_head; h++)
        for (int j = h; j < LONG; j += 3)
            if (h / hp->n_kv_head == 0 || j >= LONG - hp->window)
                keepset_add(keep, h / hp->n_kv_head, h % hp->n_kv_head, j);
    for (int c = 0; c < CELLS; c++) {
        cell[c] = kvcache_derive(full, c == CELLS - 1 ? keep : NULL, rows, NULL, NULL);
        ck_assert_int_eq(kvcache_held_as(cell[c]), held_as);
        append(cell[c], hp, LONG, rows);
    }
    keepset_destroy(keep);
    kvcache_destroy(full);
}

/* Attention of the last `rows` tokens of every cache, out[cache][row][n_head head_dim]. */
static void attend(const struct hparams *hp, int layer, enum forward_phase phase, struct kvcache *const *cache,
                   int n_cache, int rows, const float *q, float *out)
{
    struct attention_scratch *s = attention_scratch_create();
    struct forward_row *row = mem_new((size_t)(n_cache * rows), sizeof *row);
    for (int i = 0; i < n_cache * rows; i++)
        row[i] = (struct forward_row){.pos = kvcache_n_seen(cache[i / rows]) - rows + i % rows, .cache = i / rows};
    struct attention_job j = {.hp = hp,
                              .layer = layer,
                              .row = row,
                              .n_row = n_cache * rows,
                              .cache = cache,
                              .n_cache = n_cache,
                              .q = q,
                              .ldq = (size_t)(hp->n_head * hp->head_dim),
                              .out = out};
    struct err e;
    int rc = phase == FORWARD_PREFILL ? attention_prefill(s, &j, &e)
             : phase == FORWARD_CELL  ? attention_cell(s, &j, &e)
                                      : attention_reference(s, &j, &e);
    ck_assert_msg(rc == 0, "%s", e.msg);
    mem_free(row);
    attention_scratch_destroy(s);
}

START_TEST(attention_over_bf16_has_the_bits_of_the_same_numbers_as_floats)
{
    static const int dims[] = {64, 128, 24, 12, 6}, groups[] = {1, 3, 4}, most = 40;
    size_t numbers = (size_t)CELLS * (size_t)most * 2 * 4 * 128;
    float *q = mem_new(numbers, sizeof *q), *out[2] = {mem_new(numbers, sizeof *q), mem_new(numbers, sizeof *q)};
    struct rng r;
    rng_init(&r, 3, "queries");
    support_random(&r, q, numbers);
    struct hparams hp = shape_of(dims[_i % 5], groups[_i / 5]);
    for (int rows = 1; rows <= most; rows += 13) {
        struct kvcache *cell[2][CELLS];
        for (int f = 0; f < 2; f++)
            make_cells(&hp, forms[f], rows, cell[f]);
        for (int layer = 0; layer < LAYERS; layer++)
            for (int p = 0; p < 4; p++) { /* the three phases for one cache, and all cells together */
                enum forward_phase phase = p == 3 ? FORWARD_CELL : (enum forward_phase)p;
                int n = p == 3 ? CELLS : 1;
                size_t bytes = (size_t)(n * rows * hp.n_head * hp.head_dim) * sizeof *q;
                for (int f = 0; f < 2; f++)
                    attend(&hp, layer, phase, cell[f], n, rows, q, out[f]);
                ck_assert_mem_eq(out[0], out[1], bytes);
            }
        for (int c = 0; c < CELLS; c++) {
            ck_assert_uint_eq(kvcache_bytes(cell[0][c]), 2 * kvcache_bytes(cell[1][c]));
            kvcache_destroy(cell[0][c]);
            kvcache_destroy(cell[1][c]);
        }
    }
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
    mem_free(q);
    mem_free(out[0]);
    mem_free(out[1]);
}
END_TEST

/* ---- the forward pass ------------------------------------------------------------------------- */

static struct kvcache *feed(const struct model *m, enum model_dtype held_as, enum forward_phase phase, int step,
                            const int32_t *t, float *logits)
{
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create_held(&m->hp, held_as, T, NULL);
    struct err e;
    for (int i = 0; i < T; i += step) {
        int rc = support_feed(m, w, phase, c, t, i, T - i < step ? T - i : step, NULL, logits + i * VOCAB, &e);
        ck_assert_msg(rc == 0, "%s", e.msg);
    }
    workspace_destroy(w);
    return c;
}

/* Keys and values of the first layer depend on no other's: they are those of a cache of floats, rounded. */
START_TEST(what_is_held_is_what_was_computed_rounded)
{
    struct model *m = make(_i);
    int32_t t[T];
    float *logits = mem_new(T * VOCAB, sizeof *logits);
    tokens(t);
    for (int phase = FORWARD_PREFILL; phase <= FORWARD_REFERENCE; phase++) {
        struct kvcache *wide = feed(m, MODEL_F32, (enum forward_phase)phase, T, t, logits);
        struct kvcache *narrow = feed(m, MODEL_BF16, (enum forward_phase)phase, T, t, logits);
        ck_assert_uint_eq(kvcache_bytes(wide), 2 * kvcache_bytes(narrow));
        ck_assert_uint_eq(kvcache_bytes(narrow), (size_t)(m->hp.n_layer * m->hp.n_kv_head * T * m->hp.head_dim) * 4);
        for (int h = 0; h < m->hp.n_kv_head; h++)
            for (int i = 0; i < T * m->hp.head_dim; i++) {
                const struct kv_tail *a = kvcache_tail(wide, 0, h), *b = kvcache_tail(narrow, 0, h);
                double k = (double)half_round_bf16(a->k.f32[i]), v = (double)half_round_bf16(a->v.f32[i]);
                ck_assert_double_eq((double)kvrows_number(b->k, (size_t)i), k);
                ck_assert_double_eq((double)kvrows_number(b->v, (size_t)i), v);
            }
        kvcache_destroy(wide);
        kvcache_destroy(narrow);
    }
    mem_free(logits);
    model_close(m);
}
END_TEST

/* The sums of the phases differ in their last bits, so that now and then a number is rounded to the neighbour: a few
 * such, where rounding moves all of them. So they are nearer to each other than to a cache of floats, by far; a prompt
 * in pieces, and token by token, sees what is held of the tokens that it is fed with. */
START_TEST(phases_and_pieces_agree_and_it_is_no_cache_of_floats)
{
    struct model *m = make(_i);
    int32_t t[T];
    float *ref = mem_new(T * VOCAB, sizeof *ref), *got = mem_new(T * VOCAB, sizeof *got),
          *wide = mem_new(T * VOCAB, sizeof *wide);
    static const struct {
        enum forward_phase phase;
        int step;
    } ways[] = {{FORWARD_PREFILL, T}, {FORWARD_PREFILL, 17}, {FORWARD_CELL, T},
                {FORWARD_CELL, 7},    {FORWARD_CELL, 1},     {FORWARD_REFERENCE, 1}};
    tokens(t);
    kvcache_destroy(feed(m, MODEL_BF16, FORWARD_REFERENCE, T, t, ref));
    kvcache_destroy(feed(m, MODEL_F32, FORWARD_REFERENCE, T, t, wide));
    double rounding = 0;
    for (int i = 0; i < T * VOCAB; i++)
        rounding += pow((double)ref[i] - (double)wide[i], 2);
    ck_assert_double_gt(support_relative_error(ref, wide, T * VOCAB), 1e-4);
    ck_assert_double_lt(support_relative_error(ref, wide, T * VOCAB), 5e-2);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        double apart = 0;
        kvcache_destroy(feed(m, MODEL_BF16, ways[k].phase, ways[k].step, t, got));
        for (int i = 0; i < T * VOCAB; i++)
            apart += pow((double)got[i] - (double)ref[i], 2);
        ck_assert_msg(apart < 0.05 * rounding, "way %zu: %g apart, rounding moves by %g", k, sqrt(apart),
                      sqrt(rounding));
    }
    mem_free(ref);
    mem_free(got);
    mem_free(wide);
    model_close(m);
}
END_TEST

START_TEST(bits_depend_neither_on_threads_nor_on_company)
{
    struct model *m = make(_i);
    int32_t t[T];
    float *a = mem_new(T * VOCAB, sizeof *a), *b = mem_new(T * VOCAB, sizeof *b);
    tokens(t);
    kernels_share_from(0);
    for (int threads = 1; threads <= 3; threads++) {
        transformer_set_threads(threads);
        kvcache_destroy(feed(m, MODEL_BF16, FORWARD_PREFILL, T, t, threads == 1 ? a : b));
        if (threads > 1)
            ck_assert_mem_eq(a, b, T * VOCAB * sizeof *a);
    }
    kvcache_destroy(feed(m, MODEL_BF16, FORWARD_CELL, 1, t, a));
    kvcache_destroy(feed(m, MODEL_BF16, FORWARD_CELL, 41, t, b));
    ck_assert_mem_eq(a, b, T * VOCAB * sizeof *a);
    mem_free(a);
    mem_free(b);
    model_close(m);
}
END_TEST

Suite *make_cache_dtype_suite(void)
{
    Suite *s = suite_create("cache_dtype");
    TCase *t = tcase_create("cache_dtype");
    tcase_add_test(t, numbers_are_rounded_as_products_in_bf16_take_them);
    tcase_add_loop_test(t, attention_over_bf16_has_the_bits_of_the_same_numbers_as_floats, 0, 15);
    tcase_add_loop_test(t, what_is_held_is_what_was_computed_rounded, 0, N_SHAPE);
    tcase_add_loop_test(t, phases_and_pieces_agree_and_it_is_no_cache_of_floats, 0, N_SHAPE);
    tcase_add_loop_test(t, bits_depend_neither_on_threads_nor_on_company, 0, N_SHAPE);
    suite_add_tcase(s, t);
    return s;
}
