/* Tiny random models of every architecture against Hugging Face transformers (tests/vectors/make_transformer.py; the
 * weights are those of tests/lib/hashed.h). Each is written as a Hugging Face folder and as a GGUF file, with the
 * names, the order of rows and the norms that these have, imported, and run: so what an architecture's row implies is
 * proven by the numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/gguf.h"
#include "models/import.h"
#include "tests/lib/hashed.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* The models are float32 here and float64 there, two to seven layers deep: errors stay near 1e-6. 2e-5 of the largest
 * value is a fifth of what is promised, and every deviation of a formula is far above it. */
static const double TOLERANCE = 2e-5;

enum { N_MODEL = 19 };

static struct json *root;
static char folder[64], output[96];

static void setup(void)
{
    root = support_json("tests/vectors/transformer.json");
    strcpy(folder, "/tmp/depthkv-vectors-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(output, sizeof output, "%s/model.h5", folder);
}

static void teardown(void)
{
    static const char *const files[] = {"config.json", "model.safetensors", "model.gguf", "model.h5"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = fs_join(folder, files[i]);
        unlink(path);
        mem_free(path);
    }
    rmdir(folder);
    json_free(root);
}

static int integer(const struct json *v, const char *key)
{
    int64_t x = 0;
    ck_assert_msg(json_int64(json_get(v, key), &x) == 0, "transformer.json lacks %s", key);
    return (int)x;
}

static const struct json *nth(const struct json *list, int n)
{
    const struct json *v = json_first(list);
    while (v && n-- > 0)
        v = json_next(v);
    return v;
}

static const char *name_of(const struct json *v)
{
    return json_string(json_get(json_get(v, "config"), "model_type"));
}

/* ---- sources --------------------------------------------------------------------------------- */

/* [ours, Hugging Face's, GGUF's, shape] */
struct tensor {
    const char *ours, *hf, *gguf;
    int rank;
    size_t rows, cols; /* of a vector: 1, n */
};

static struct tensor read_tensor(const struct json *v)
{
    const struct json *shape = nth(v, 3);
    struct tensor t = {.ours = json_string(nth(v, 0)),
                       .hf = json_string(nth(v, 1)),
                       .gguf = json_string(nth(v, 2)),
                       .rank = json_size(shape)};
    t.rows = t.rank == 2 ? (size_t)json_number(nth(shape, 0), 0) : 1;
    t.cols = (size_t)json_number(nth(shape, t.rank - 1), 0);
    return t;
}

/* The values, to be freed; `plus` is added to norms. */
static float *values(const struct json *model, const struct tensor *t, float plus)
{
    float *x = mem_new(t->rows * t->cols, sizeof *x);
    hashed_weights(t->ours, integer(model, "one_plus") ? plus : 1.0f, x, t->rows * t->cols);
    return x;
}

static void write_file(const char *name, const struct str *s)
{
    char *path = fs_join(folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(s->p, 1, s->n, f), s->n);
    fclose(f);
    mem_free(path);
}

static void put(struct str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_addc(s, (char)(v >> 8 * i & 255));
}

static void write_folder(const struct json *model)
{
    struct str header = {0}, data = {0}, all = {0}, config = {0};
    char *text = json_print(json_get(model, "config"));
    str_add(&config, text);
    write_file("config.json", &config);
    for (const struct json *v = json_first(json_get(model, "tensors")); v; v = json_next(v)) {
        struct tensor t = read_tensor(v);
        float *x = values(model, &t, 0);
        size_t from = data.n;
        str_addn(&data, (const char *)x, t.rows * t.cols * sizeof *x);
        str_addf(&header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", header.n ? "," : "{", t.hf);
        if (t.rank == 2)
            str_addf(&header, "%zu,", t.rows);
        str_addf(&header, "%zu],\"data_offsets\":[%zu,%zu]}", t.cols, from, data.n);
        mem_free(x);
    }
    str_addc(&header, '}');
    put(&all, header.n, 8);
    str_addn(&all, header.p, header.n);
    str_addn(&all, data.p, data.n);
    write_file("model.safetensors", &all);
    mem_free(text);
    str_free(&header);
    str_free(&data);
    str_free(&all);
    str_free(&config);
}

static void put_text(struct str *s, const char *text)
{
    put(s, strlen(text), 8);
    str_add(s, text);
}

static void put_key(struct str *s, const struct json *key)
{
    const char *type = json_string(nth(key, 1));
    const struct json *value = nth(key, 2);
    put_text(s, json_string(nth(key, 0)));
    if (strcmp(type, "string") == 0) {
        put(s, GGUF_STRING, 4);
        put_text(s, json_string(value));
    } else if (strcmp(type, "u32") == 0) {
        put(s, GGUF_U32, 4);
        put(s, (uint64_t)json_number(value, 0), 4);
    } else {
        float x = (float)json_number(value, 0);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        put(s, GGUF_F32, 4);
        put(s, bits, 4);
    }
}

/* The rows of Q and K as llama.cpp's converter puts them for some: the members of a pair side by side. */
static void put_rows(struct str *s, const struct json *model, const struct tensor *t, const float *x)
{
    const struct json *c = json_get(model, "config");
    const char *leaf = strrchr(t->ours, '/');
    int heads = !leaf || !integer(model, "permuted") ? 0
                : strcmp(leaf, "/wq") == 0           ? integer(c, "num_attention_heads")
                : strcmp(leaf, "/wk") == 0           ? integer(c, "num_key_value_heads")
                                                     : 0;
    size_t head_dim = heads ? t->rows / (size_t)heads : 1;
    for (size_t r = 0; r < t->rows; r++) {
        size_t in_head = r % head_dim, from = heads ? r - in_head + in_head % 2 * (head_dim / 2) + in_head / 2 : r;
        str_addn(s, (const char *)(x + from * t->cols), t->cols * sizeof *x);
    }
}

/* The row of a tensor of floats in the table, whose data are the next. */
static void put_info(struct str *s, const char *name, const struct tensor *t, size_t offset)
{
    put_text(s, name);
    put(s, (uint64_t)t->rank, 4);
    put(s, t->cols, 8);
    if (t->rank == 2)
        put(s, t->rows, 8);
    put(s, 0, 4);
    put(s, offset, 8);
}

static void write_gguf(const struct json *model)
{
    const struct json *keys = json_get(model, "gguf"), *tensors = json_get(model, "tensors"),
                      *factors = json_get(model, "rope_factors");
    struct tensor more = {.rank = 1, .rows = 1, .cols = (size_t)json_size(factors)};
    struct str s = {0}, data = {0};
    str_add(&s, "GGUF");
    put(&s, 3, 4);
    put(&s, (uint64_t)(json_size(tensors) + json_is_array(factors)), 8);
    put(&s, (uint64_t)json_size(keys), 8);
    for (const struct json *k = json_first(keys); k; k = json_next(k))
        put_key(&s, k);
    for (const struct json *v = json_first(tensors); v; v = json_next(v)) {
        struct tensor t = read_tensor(v);
        float *x = values(model, &t, 1);
        put_info(&s, t.gguf, &t, data.n);
        put_rows(&data, model, &t, x);
        while (data.n % 32)
            str_addc(&data, 0);
        mem_free(x);
    }
    if (json_is_array(factors))
        put_info(&s, "rope_freqs.weight", &more, data.n);
    for (const struct json *f = json_first(factors); f; f = json_next(f)) {
        float x = (float)json_number(f, 0);
        str_addn(&data, (const char *)&x, sizeof x);
    }
    while (s.n % 32)
        str_addc(&s, 0);
    str_addn(&s, data.p, data.n);
    write_file("model.gguf", &s);
    str_free(&s);
    str_free(&data);
}

/* Imports a source and opens what came of it. */
static struct model *import(const char *path, const char *what)
{
    static const struct import_options o = {.dtype = MODEL_F32};
    struct import_source s;
    struct err e;
    ck_assert_msg(import_open(path, &s, &e) == 0, "%s: %s", what, e.msg);
    ck_assert_msg(s.notes.n == 0, "%s: %s", what, str_c(&s.notes));
    ck_assert_msg(import_write(&s, output, &o, &e) == 0, "%s: %s", what, e.msg);
    import_close(&s);
    struct model *m = model_open(output, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s: %s", what, e.msg);
    ck_assert_str_eq(m->sha256, m->stated_sha256);
    return m;
}

static struct model *import_folder(const struct json *model)
{
    write_folder(model);
    return import(folder, name_of(model));
}

static struct model *import_gguf(const struct json *model)
{
    write_gguf(model);
    char *path = fs_join(folder, "model.gguf");
    struct model *m = import(path, name_of(model));
    mem_free(path);
    return m;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Rows of `got` [n][width] against a list of rows. */
static void compare(const struct json *rows, const struct json *want, const float *got, int width, const char *what,
                    const char *how)
{
    double worst = 0, scale = 0;
    for (int r = 0; r < json_size(rows); r++) {
        int row = (int)json_number(nth(rows, r), -1), i = 0;
        ck_assert_int_eq(json_size(nth(want, r)), width);
        for (const struct json *x = json_first(nth(want, r)); x; x = json_next(x), i++) {
            double v = json_number(x, (double)NAN), d = fabs((double)got[row * width + i] - v);
            worst = d > worst || isnan(d) ? d : worst;
            scale = fmax(scale, fabs(v));
        }
    }
    ck_assert_msg(scale > 0.01 && worst < TOLERANCE * scale, "%s, %s: %g of %g", what, how, worst, scale);
}

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
    compare(json_get(s->model, "hidden_rows"), nth(json_get(s->model, "hidden"), layer), x, s->width, name_of(s->model),
            s->how);
    s->layers++;
    return 0;
}

static const struct json *tokens(const struct json *model, int32_t *id)
{
    const struct json *list = json_get(model, "tokens");
    for (int i = 0; i < json_size(list); i++)
        id[i] = (int32_t)json_number(nth(list, i), -1);
    return list;
}

/* The whole text at once, with what every layer reads. */
static void run_whole(const struct json *v, const struct model *m, enum forward_phase phase, const char *how)
{
    int32_t id[64];
    int n = json_size(tokens(v, id));
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, n, NULL);
    float *logits = mem_new((size_t)(n * m->hp.n_vocab), sizeof *logits);
    struct seen seen = {v, how, m->hp.d_model, 0};
    struct tap tap = {.ctx = &seen, .stages = 1 << TAP_PRE, .stage = compare_stage};
    struct err e;
    ck_assert_msg(support_feed(m, w, phase, c, id, 0, n, &tap, logits, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(seen.layers, m->hp.n_layer);
    compare(json_get(v, "rows"), json_get(v, "logits"), logits, m->hp.n_vocab, name_of(v), how);
    mem_free(logits);
    kvcache_destroy(c);
    workspace_destroy(w);
}

/* In pieces of `size`; `sealed`: the first of them becomes a segment, as a prompt does. */
static void run_pieces(const struct json *v, const struct model *m, enum forward_phase phase, int size, int sealed,
                       const char *how)
{
    int32_t id[64];
    int n = json_size(tokens(v, id)), n_vocab = m->hp.n_vocab;
    struct workspace *w = workspace_create();
    struct kvcache *c = kvcache_create(&m->hp, n, NULL);
    float *logits = mem_new((size_t)(n * n_vocab), sizeof *logits);
    for (int i = 0; i < n; i += size) {
        int now = n - i < size ? n - i : size;
        ck_assert_int_eq(support_feed(m, w, phase, c, id, i, now, NULL, logits + i * n_vocab, NULL), 0);
        if (i == 0 && sealed)
            ck_assert_int_eq(kvcache_seal(c, n, NULL), 0);
    }
    compare(json_get(v, "rows"), json_get(v, "logits"), logits, n_vocab, name_of(v), how);
    mem_free(logits);
    kvcache_destroy(c);
    workspace_destroy(w);
}

START_TEST(an_imported_folder_gives_the_numbers_of_transformers_in_every_phase)
{
    const struct json *v = nth(root, _i);
    struct model *m = import_folder(v);
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
    const struct json *v = nth(root, _i);
    if (!json_is_array(json_get(v, "gguf")))
        return; /* GGUF has no words for what this one is */
    struct model *m = import_gguf(v);
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
    struct model *m = import_folder(nth(root, 13));
    ck_assert_int_eq(model_layer_kind(&m->hp, WINDOWED_LAYER), MODEL_LAYER_WINDOW);
    m->hp.window = WINDOW;
    m->hp.context_length = LONG;
    size_t n = (size_t)(LONG * m->hp.n_vocab);
    float *want = mem_new(n, sizeof *want), *got = mem_new(n, sizeof *got);
    struct shown *ref = mem_new(1, sizeof *ref), *fast = mem_new(1, sizeof *fast);
    run_long(m, FORWARD_REFERENCE, LONG, 1, want, ref);
    run_long(m, FORWARD_PREFILL, LONG, 1, got, fast);
    ck_assert_int_eq(ref->hidden_seen + fast->hidden_seen, 0);
    ck_assert(support_relative_error(got, want, n) < TOLERANCE);
    ck_assert(support_relative_error(fast->column, ref->column, LONG) < 1e-4);
    ck_assert(support_relative_error(fast->entropy, ref->entropy, LONG) < 1e-4);
    ck_assert(support_relative_error(fast->last, ref->last, LONG) < 1e-4);
    run_long(m, FORWARD_PREFILL, 700, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < TOLERANCE);
    run_long(m, FORWARD_CELL, 100, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < TOLERANCE);
    run_long(m, FORWARD_CELL, 3, 0, got, NULL);
    ck_assert(support_relative_error(got, want, n) < TOLERANCE);
    mem_free(want);
    mem_free(got);
    mem_free(ref);
    mem_free(fast);
    model_close(m);
}
END_TEST

START_TEST(the_vectors_cover_as_many_models_as_the_loop_runs)
{
    ck_assert_int_eq(json_size(root), N_MODEL);
}
END_TEST

Suite *make_transformer_vectors_suite(void)
{
    Suite *s = suite_create("transformer_vectors");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_vectors_cover_as_many_models_as_the_loop_runs);
    tcase_add_loop_test(t, an_imported_folder_gives_the_numbers_of_transformers_in_every_phase, 0, N_MODEL);
    tcase_add_loop_test(t, an_imported_gguf_gives_them_too, 0, N_MODEL);
    tcase_add_test(t, windows_longer_than_a_block_of_keys_agree_with_the_reference);
    suite_add_tcase(s, t);
    return s;
}
