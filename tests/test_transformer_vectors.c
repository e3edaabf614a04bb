/* Tiny random models of every architecture against Hugging Face transformers (tests/vectors/make_transformer.py; the
 * weights are those of tests/lib/hashed.h). Each is written as a Hugging Face folder and as a GGUF file, with the
 * names, the order of rows and the norms that these have, imported, and run: so what an architecture's row implies is
 * proven by the numbers. */
#include <string.h>

#include "harness/base/mem.h"
#include "models/transformer.h"
#include "tests/lib/support.h"
#include "tests/lib/vectors.h"
#include "tests/suites.h"

struct seen {
    const struct json *model;
    const char *how;
    int width, layers;
};

static int compare_stage(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    struct seen *s = ctx;
    (void)stage;
    (void)n_row;
    (void)e;
    vectors_compare(json_get(s->model, "hidden_rows"), vectors_nth(json_get(s->model, "hidden"), layer), x, 0, s->width,
                    vectors_name(s->model), s->how);
    s->layers++;
    return 0;
}

/* The whole text at once, with what every layer reads. */
static void run_whole(const struct json *v, const struct model *m, enum forward_phase phase, const char *how)
{
    int32_t id[64];
    int n = vectors_tokens(json_get(v, "tokens"), id, 64);
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, n, NULL);
    float *logits = mem_new((size_t)(n * m->hp.n_vocab), sizeof *logits);
    struct seen seen = {v, how, m->hp.d_model, 0};
    struct tap tap = {.ctx = &seen, .stages = 1 << TAP_PRE, .stage = compare_stage};
    struct err e;
    ck_assert_msg(support_feed(m, w, phase, c, id, 0, n, &tap, logits, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(seen.layers, m->hp.n_layer);
    vectors_compare(json_get(v, "rows"), json_get(v, "logits"), logits, 0, m->hp.n_vocab, vectors_name(v), how);
    mem_free(logits);
    kvcache_destroy(c);
    workspace_destroy(w);
}

/* In pieces of `size`; `sealed`: the first of them becomes a segment, as a prompt does. */
static void run_pieces(const struct json *v, const struct model *m, enum forward_phase phase, int size, int sealed,
                       const char *how)
{
    int32_t id[64];
    int n = vectors_tokens(json_get(v, "tokens"), id, 64), n_vocab = m->hp.n_vocab;
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, n, NULL);
    float *logits = mem_new((size_t)(n * n_vocab), sizeof *logits);
    for (int i = 0; i < n; i += size) {
        int now = n - i < size ? n - i : size;
        ck_assert_int_eq(support_feed(m, w, phase, c, id, i, now, NULL, logits + i * n_vocab, NULL), 0);
        if (i == 0 && sealed)
            ck_assert_int_eq(kvcache_seal(c, n, NULL), 0);
    }
    vectors_compare(json_get(v, "rows"), json_get(v, "logits"), logits, 0, n_vocab, vectors_name(v), how);
    mem_free(logits);
    kvcache_destroy(c);
    workspace_destroy(w);
}

START_TEST(an_imported_folder_gives_the_numbers_of_transformers_in_every_phase)
{
    const struct json *v = vectors_model(_i);
    struct model *m = vectors_folder(v);
    run_whole(v, m, FORWARD_PREFILL, "prefill");
    run_whole(v, m, FORWARD_CELL, "one chunk of cell rows");
    run_whole(v, m, FORWARD_REFERENCE, "reference");
    run_pieces(v, m, FORWARD_PREFILL, 13, 0, "chunks of a prefill");
    run_pieces(v, m, FORWARD_CELL, 13, 0, "chunks of cell rows");
    run_pieces(v, m, FORWARD_CELL, 1, 0, "token by token");
    run_pieces(v, m, FORWARD_CELL, 11, 1, "behind a sealed prompt");
    model_close(m);
}
END_TEST

START_TEST(an_imported_gguf_gives_them_too)
{
    const struct json *v = vectors_model(_i);
    if (!json_is_array(json_get(v, "gguf")))
        return; /* GGUF has no words for what this one is */
    struct model *m = vectors_gguf(v);
    run_whole(v, m, FORWARD_PREFILL, "prefill");
    run_pieces(v, m, FORWARD_CELL, 1, 0, "token by token");
    model_close(m);
}
END_TEST

/* ---- windows longer than a block of keys ----------------------------------------------------- */

enum { LONG = 1300, WINDOW = 642, WINDOWED_LAYER = 1 };

/* What the windowed layer's first head shows of a pass. */
struct shown {
    float column[LONG], entropy[LONG], last[LONG];
    int hidden_seen; /* weights beyond the window that are not zero */
};

static int show_statistics(void *ctx, const struct attention_stats *st, struct err *e)
{
    struct shown *s = ctx;
    (void)e;
    if (st->layer != WINDOWED_LAYER)
        return 0;
    memcpy(s->column, st->off_diagonal[0], sizeof s->column);
    memcpy(s->entropy, st->entropy[0], sizeof s->entropy);
    memcpy(s->last, st->rows[0], sizeof s->last);
    return 0;
}

static int show_weights(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct shown *s = ctx;
    (void)head;
    (void)e;
    for (int k = 0; layer == WINDOWED_LAYER && k < n_key; k++)
        s->hidden_seen += k <= row - WINDOW && weight[k] != 0;
    return 0;
}

static void run_long(const struct model *m, enum forward_phase phase, int piece, int shows, float *logits,
                     struct shown *out)
{
    int32_t id[LONG];
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, LONG, NULL);
    struct tap tap = {.ctx = out,
                      .stats = TRANSFORMER_STAT_COLUMNS | TRANSFORMER_STAT_ENTROPY | TRANSFORMER_STAT_ROWS,
                      .last_rows = 1,
                      .attention = show_statistics,
                      .weights = shows ? show_weights : NULL};
    for (int i = 0; i < LONG; i++)
        id[i] = (int32_t)((i * 31 + i * i % 17) % m->hp.n_vocab);
    for (int i = 0; i < LONG; i += piece)
        ck_assert_int_eq(support_feed(m, w, phase, c, id, i, LONG - i < piece ? LONG - i : piece, out ? &tap : NULL,
                                      logits + i * m->hp.n_vocab, NULL),
                         0);
    kvcache_destroy(c);
    workspace_destroy(w);
}

START_TEST(windows_longer_than_a_block_of_keys_agree_with_the_reference)
{
    struct model *m = vectors_folder(vectors_model(13));
    ck_assert_int_eq(model_layer_kind(&m->hp, WINDOWED_LAYER), MODEL_LAYER_WINDOW);
    m->hp.window = WINDOW;
    m->hp.context_length = LONG;
    size_t n = (size_t)(LONG * m->hp.n_vocab);
    float *want = mem_new(n, sizeof *want), *got = mem_new(n, sizeof *got);
    struct shown *ref = mem_new(1, sizeof *ref), *fast = mem_new(1, sizeof *fast);
    run_long(m, FORWARD_REFERENCE, LONG, 1, want, ref);
    run_long(m, FORWARD_PREFILL, LONG, 1, got, fast);
    ck_assert_int_eq(ref->hidden_seen + fast->hidden_seen, 0);
    ck_assert(support_relative_error(got, want, n) < vectors_tolerance);
    ck_assert(support_relative_error(fast->column, ref->column, LONG) < 1e-4);
    ck_assert(support_relative_error(fast->entropy, ref->entropy, LONG) < 1e-4);
    ck_assert(support_relative_error(fast->last, ref->last, LONG) < 1e-4);
    run_long(m, FORWARD_PREFILL, 700, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < vectors_tolerance);
    run_long(m, FORWARD_CELL, 100, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < vectors_tolerance);
    run_long(m, FORWARD_CELL, 3, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < vectors_tolerance);
    mem_free(want);
    mem_free(got);
    mem_free(ref);
    mem_free(fast);
    model_close(m);
}
END_TEST

START_TEST(the_vectors_cover_as_many_models_as_the_loop_runs)
{
    ck_assert_int_eq(vectors_count(), VECTORS_N_MODEL);
}
END_TEST

Suite *make_transformer_vectors_suite(void)
{
    Suite *s = suite_create("transformer_vectors");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, vectors_open, vectors_close);
    tcase_add_test(t, the_vectors_cover_as_many_models_as_the_loop_runs);
    tcase_add_loop_test(t, an_imported_folder_gives_the_numbers_of_transformers_in_every_phase, 0, VECTORS_N_MODEL);
    tcase_add_loop_test(t, an_imported_gguf_gives_them_too, 0, VECTORS_N_MODEL);
    tcase_add_test(t, windows_longer_than_a_block_of_keys_agree_with_the_reference);
    suite_add_tcase(s, t);
    return s;
}
