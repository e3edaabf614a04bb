/* Logits of tiny random models of every architecture against Hugging Face transformers (tests/vectors/
 * make_transformer.py; the weights are those of tests/lib/hashed.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "tests/lib/hashed.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* The models are float32 here and float64 there, two or three layers deep: errors stay near 1e-6. 2e-5 of the
 * largest logit is a fifth of what is promised, and every deviation of a formula is far above it. */
static const double TOLERANCE = 2e-5;

enum { N_MODEL = 8 };

static char *text;
static struct json *root;

static void load(void)
{
    struct err e;
    size_t n;
    text = fs_read("tests/vectors/transformer.json", &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    root = json_parse("transformer.json", text, n, &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
}

static void unload(void)
{
    json_free(root);
    mem_free(text);
}

static int fetch(void *ctx, const char *name, float *dst, size_t n, struct err *e)
{
    const struct hparams *hp = ctx;
    (void)e;
    hashed_weights(name, hp->norm_offset == 0 ? 1.0f : 0.0f, dst, n);
    return 0;
}

static int integer(const struct json *v, const char *key)
{
    int64_t x = 0;
    ck_assert_msg(json_int64(json_get(v, key), &x) == 0, "transformer.json lacks %s", key);
    return (int)x;
}

static struct model *build(const struct json *v)
{
    const char *kind = json_string(json_get(v, "architecture")), *rope = json_string(json_get(v, "rope_scaling"));
    struct hparams hp = {
        .n_layer = integer(v, "n_layer"),
        .d_model = integer(v, "d_model"),
        .n_head = integer(v, "n_head"),
        .n_kv_head = integer(v, "n_kv_head"),
        .head_dim = integer(v, "head_dim"),
        .d_ff = integer(v, "d_ff"),
        .n_vocab = integer(v, "n_vocab"),
        .tied = integer(v, "tied"),
        .context_length = 128,
        .norm_eps = 1e-5f,
        .embedding_scale = 1,
        .qkv_bias = strcmp(kind, "qwen2") == 0,
        .qk_norm = strcmp(kind, "qwen3") == 0,
        .rope_base = json_number(json_get(v, "rope_base"), 0),
        .rope_factor = json_number(json_get(v, "rope_factor"), 0),
        .rope_low_freq_factor = json_number(json_get(v, "rope_low"), 0),
        .rope_high_freq_factor = json_number(json_get(v, "rope_high"), 0),
        .rope_original_context = integer(v, "rope_original"),
        .rope_scaling = strcmp(rope, "linear") == 0   ? MODEL_ROPE_LINEAR
                        : strcmp(rope, "llama3") == 0 ? MODEL_ROPE_LLAMA3
                                                      : MODEL_ROPE_PLAIN,
    };
    snprintf(hp.architecture, sizeof hp.architecture, "%s", kind);
    if (strcmp(kind, "gemma") == 0) {
        hp.norm_offset = 1;
        hp.embedding_scale = sqrtf((float)hp.d_model);
        hp.activation = MODEL_GELU_TANH;
    }
    struct err e;
    struct model *m = model_build(&hp, fetch, &hp, &e);
    ck_assert_msg(m != NULL, "%s: %s", kind, e.msg);
    return m;
}

static const struct json *nth(const struct json *list, int n)
{
    const struct json *v = json_first(list);
    while (v && n-- > 0)
        v = json_next(v);
    return v;
}

static void compare(const struct json *v, const float *got, int n_vocab, const char *how)
{
    double worst = 0, scale = 0;
    for (int r = 0; r < json_size(json_get(v, "rows")); r++) {
        int row = (int)json_number(nth(json_get(v, "rows"), r), -1), i = 0;
        const struct json *logit = nth(json_get(v, "logits"), r);
        ck_assert_int_eq(json_size(logit), n_vocab);
        for (const struct json *x = json_first(logit); x; x = json_next(x), i++) {
            double want = json_number(x, (double)NAN), d = fabs((double)got[row * n_vocab + i] - want);
            worst = d > worst || isnan(d) ? d : worst;
            scale = fmax(scale, fabs(want));
        }
    }
    ck_assert_msg(scale > 0.1 && worst < TOLERANCE * scale, "%s, %s: %g of %g",
                  json_string(json_get(v, "architecture")), how, worst, scale);
}

START_TEST(logits_are_those_of_hugging_face_transformers_in_every_phase)
{
    const struct json *v = nth(root, _i), *token = json_get(v, "tokens");
    struct model *m = build(v);
    struct workspace *w = workspace_create();
    struct err e;
    int n = json_size(token), n_vocab = m->hp.n_vocab;
    int32_t *id = mem_new((size_t)n, sizeof *id);
    float *logits = mem_new((size_t)(n * n_vocab), sizeof *logits);
    for (int i = 0; i < n; i++)
        id[i] = (int32_t)json_number(nth(token, i), -1);
    for (enum forward_phase phase = FORWARD_PREFILL; phase <= FORWARD_REFERENCE; phase++) {
        static const char *const how[] = {"prefill", "one chunk of cell rows", "reference"};
        struct kvcache *c = kvcache_create(&m->hp, n, NULL);
        ck_assert_msg(support_feed(m, w, phase, c, id, 0, n, NULL, logits, &e) == 0, "%s", e.msg);
        compare(v, logits, n_vocab, how[phase]);
        kvcache_destroy(c);
    }
    struct kvcache *c = kvcache_create(&m->hp, n, NULL);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, c, id, i, 1, NULL, logits + i * n_vocab, &e), 0);
    compare(v, logits, n_vocab, "token by token");
    kvcache_destroy(c);
    mem_free(id);
    mem_free(logits);
    workspace_destroy(w);
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
    tcase_add_checked_fixture(t, load, unload);
    tcase_add_test(t, the_vectors_cover_as_many_models_as_the_loop_runs);
    tcase_add_loop_test(t, logits_are_those_of_hugging_face_transformers_in_every_phase, 0, N_MODEL);
    suite_add_tcase(s, t);
    return s;
}
