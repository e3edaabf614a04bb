/* Real models against Hugging Face transformers in float32 (tests/vectors/make_real.py): what follows 700 tokens of a
 * book with the full cache and with pruned ones, greedy text, and every policy at keep 1.0.
 *
 * $DEPTHKV_REAL names the models, by blanks (models/fetch.txt); without it those that are small enough for every day.
 * All of it is computed with the first of the names, and with the others under make check-long and make real; otherwise
 * they leave out the predictions of the text's beginning, packed positions and most of the greedy text, which is much
 * work and no code that the first one does not pass. What is named and not in models/cache is left out with a word, or
 * fails when $DEPTHKV_REQUIRE_MODEL is 1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/engine/decode.h"
#include "models/rope.h"
#include "policies/policy.h"
#include "tests/lib/rows.h"
#include "tests/lib/smollm2.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const char *const names[] = {"smollm2", "qwen05", "gemma3", "qwen15"};
enum { N_NAME = sizeof names / sizeof *names, CHUNK = 100, NEW = 64, FEW_NEW = 16 };

/* Sanitizers slow the engine down tenfold: then the first one alone, and no more of it than of the others. */
#if defined(__SANITIZE_ADDRESS__)
enum { IS_SLOW = 1 };
#else
enum { IS_SLOW = 0 };
#endif

/* Promised, in nats a token. */
static const double NLL_TOLERANCE = 5e-4;

struct real {
    int whole; /* 1: all that there are vectors of */
    char *text, *path;
    struct json *v; /* the vectors */
    struct model *m;
    struct workspace *w;
};

static int is_chosen(const char *name)
{
    const char *list = getenv("DEPTHKV_REAL"), *at = list ? list : names[0];
    size_t n = strlen(name);
    for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == n && strncmp(at, name, n) == 0)
            return 1;
    return 0;
}

/* The vectors and the place of the model; 0 when it is not asked for or not there. */
static int real_find(struct real *r, const char *name, const char *test)
{
    const char *own = strcmp(name, "smollm2") == 0 ? getenv("DEPTHKV_SMOLLM2") : NULL,
               *require = getenv("DEPTHKV_REQUIRE_MODEL");
    char file[32];
    *r = (struct real){.whole = support_is_long() || (strcmp(name, names[0]) == 0 && !IS_SLOW)};
    if (!is_chosen(name) || (IS_SLOW && strcmp(name, names[0]) != 0))
        return 0;
    snprintf(file, sizeof file, "real_%s.json", name);
    r->v = smollm2_vectors(file, &r->text);
    ck_assert_ptr_nonnull(json_string(json_get(r->v, "file")));
    r->path = own ? mem_strdup(own) : fs_join("models/cache", json_string(json_get(r->v, "file")));
    if (fs_exists(r->path))
        return 1;
    ck_assert_msg(!require || strcmp(require, "1") != 0, "%s needs %s (make %s)", test, r->path, name);
    fprintf(stderr, "SKIP %s: %s is not there (make %s)\n", test, r->path, name);
    json_free(r->v);
    mem_free(r->text);
    mem_free(r->path);
    return 0;
}

static int real_open(struct real *r, const char *name, const char *test)
{
    struct err e = {0};
    if (!real_find(r, name, test))
        return 0;
    r->m = model_open(r->path, MODEL_F32, &e);
    ck_assert_msg(r->m != NULL, "%s", e.msg);
    ck_assert_msg(strcmp(r->m->sha256, json_string(json_get(r->v, "model_sha256"))) == 0,
                  "%s is not the model of the vectors", r->path);
    r->w = workspace_create();
    return 1;
}

static void real_close(struct real *r)
{
    workspace_destroy(r->w);
    model_close(r->m);
    json_free(r->v);
    mem_free(r->text);
    mem_free(r->path);
}

/* Where somebody asked for the models, what was found is said. */
static void tell(const char *name, const char *text)
{
    if (getenv("DEPTHKV_REAL"))
        printf("%s: %s\n", name, text);
    fflush(stdout);
}

/* The ids of a stretch by our own tokenizer, BOS where the model asks for it; they must be those of the vectors. */
static void encode(const struct real *r, const struct json *stretch, struct token_ids *out)
{
    const struct tokenizer *t = r->m->tokenizer;
    struct token_ids want = {0};
    char *text = smollm2_excerpt(stretch);
    if (tokenizer_add_bos(t))
        token_ids_add(out, tokenizer_bos(t));
    ck_assert_int_eq(tokenizer_encode(t, text, strlen(text), out, NULL), 0);
    smollm2_ids(json_get(stretch, "ids"), &want);
    ck_assert_int_eq(out->n, want.n);
    for (int i = 0; i < want.n; i++)
        ck_assert_msg(out->id[i] == want.id[i], "token %d is %d, expected %d", i, out->id[i], want.id[i]);
    token_ids_free(&want);
    mem_free(text);
}

static double loss(const float *logits, int n_vocab, int32_t target)
{
    double top = (double)logits[0], sum = 0;
    for (int i = 1; i < n_vocab; i++)
        top = fmax(top, (double)logits[i]);
    for (int i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - top);
    return log(sum) + top - (double)logits[target];
}

/* Feeds ids[from .. to); the sum of -ln p of the tokens that these rows predict. */
static double feed(const struct real *r, enum forward_phase phase, struct kvcache *c, const struct token_ids *ids,
                   int from, int to)
{
    int n_vocab = r->m->hp.n_vocab;
    float *logits = mem_new((size_t)CHUNK * (size_t)n_vocab, sizeof *logits);
    double sum = 0;
    struct err e = {0};
    for (int i = from, n; i < to; i += n) {
        n = to - i < CHUNK ? to - i : CHUNK;
        ck_assert_msg(support_feed(r->m, r->w, phase, c, ids->id, i, n, NULL, logits, &e) == 0, "%s", e.msg);
        for (int k = 0; k < n && i + k + 1 < ids->n; k++)
            sum += loss(logits + (size_t)k * (size_t)n_vocab, n_vocab, ids->id[i + k + 1]);
    }
    mem_free(logits);
    return sum;
}

/* keep_rule of make_real.py in the layers that can be pruned. */
static struct keepset *keep_rule(const struct real *r, int n)
{
    const struct hparams *hp = &r->m->hp;
    int sinks = smollm2_integer(r->v, "sinks"), recent = smollm2_integer(r->v, "recent"),
        step = smollm2_integer(r->v, "step");
    struct keepset *k = keepset_create(hp->n_layer, hp->n_kv_head, n, NULL);
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++)
            for (int j = 0; j < n; j++)
                if (!model_layer_prunable(hp, l) || j < sinks || j >= n - recent || (j + l + h) % step == 0)
                    keepset_add(k, l, h, j);
    return k;
}

static void same_nll(const struct real *r, const char *name, const char *what, double got)
{
    double want = json_number(json_get(json_get(r->v, "nll"), what), (double)NAN);
    char line[128];
    snprintf(line, sizeof line, "nll %s %.5f, transformers %.5f", what, got, want);
    tell(name, line);
    ck_assert_msg(fabs(got - want) <= NLL_TOLERANCE, "%s, %s: %.6f nats, transformers %.6f", name, what, got, want);
}

/* The rest of the text behind what stays of its first n tokens; `head` is the loss of the token that they predict. */
static void go_on(const struct real *r, const char *name, const char *what, struct kvcache *c,
                  const struct token_ids *ids, int n, double head)
{
    ck_assert_ptr_nonnull(c);
    double sum = head + feed(r, FORWARD_CELL, c, ids, n, ids->n);
    same_nll(r, name, what, sum / (ids->n - n));
    kvcache_destroy(c);
}

/* Reads the first n tokens of a text; the loss of the next one. */
static double read_beginning(const struct real *r, struct kvcache *c, const struct token_ids *ids, int n)
{
    struct err e = {0};
    struct forward_row *row = mem_new((size_t)n, sizeof *row);
    float *logits = mem_new((size_t)r->m->hp.n_vocab, sizeof *logits);
    for (int i = 0; i < n; i++)
        row[i] = (struct forward_row){.token = ids->id[i], .pos = i, .want_logits = i == n - 1};
    struct forward f = {.phase = FORWARD_PREFILL, .row = row, .n_row = n, .cache = &c, .n_cache = 1, .logits = logits};
    ck_assert_msg(transformer_forward(r->m, r->w, &f, &e) == 0, "%s", e.msg);
    double l = loss(logits, r->m->hp.n_vocab, ids->id[n]);
    mem_free(logits);
    mem_free(row);
    return l;
}

/* nll of a book, with all and with a part of the cache. */
static void check_nll(const struct real *r, const char *name)
{
    struct token_ids ids = {0};
    struct rope_set rope = {0};
    encode(r, json_get(r->v, "text"), &ids);
    int n = smollm2_integer(r->v, "n"), rest = ids.n - n;
    ck_assert_int_gt(rest, 100);
    struct kvcache *full = kvcache_create(&r->m->hp, n, NULL);
    /* the last row predicts token n, which belongs to the rest */
    double prompt = r->whole ? feed(r, FORWARD_PREFILL, full, &ids, 0, n - 1) : 0;
    double head = r->whole ? feed(r, FORWARD_PREFILL, full, &ids, n - 1, n) : read_beginning(r, full, &ids, n);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    struct kvcache *whole = kvcache_derive(full, NULL, rest, NULL, NULL);
    double all = head + feed(r, FORWARD_CELL, whole, &ids, n, ids.n);
    kvcache_destroy(whole);
    if (r->whole)
        same_nll(r, name, "all", (prompt + all) / (ids.n - 1));
    same_nll(r, name, "full", all / rest);
    struct keepset *keep = keep_rule(r, n);
    go_on(r, name, "pruned", kvcache_derive(full, keep, rest, NULL, NULL), &ids, n, head);
    if (r->whole) {
        ck_assert_int_eq(rope_set_reserve(&rope, r->m, 0, ids.n, NULL), 0);
        go_on(r, name, "packed", kvcache_derive_packed(full, keep, rest, NULL, &rope, NULL), &ids, n, head);
        rope_set_fini(&rope);
    }
    keepset_destroy(keep);
    kvcache_destroy(full);
    token_ids_free(&ids);
}

/* A prompt of the vectors, read, and ready to be decoded from; *first [n_vocab] is what it predicts. */
static struct sequence begin_sequence(const struct real *r, const struct json *prompt, float **first)
{
    struct token_ids ids = {0};
    struct err e = {0};
    encode(r, prompt, &ids);
    struct kvcache *full = kvcache_create(&r->m->hp, ids.n, &e);
    struct forward_row *row = mem_new((size_t)ids.n, sizeof *row);
    for (int i = 0; i < ids.n; i++)
        row[i] = (struct forward_row){.token = ids.id[i], .pos = i, .want_logits = i == ids.n - 1};
    *first = mem_new((size_t)r->m->hp.n_vocab, sizeof **first);
    struct forward f = {
        .phase = FORWARD_PREFILL, .row = row, .n_row = ids.n, .cache = &full, .n_cache = 1, .logits = *first};
    ck_assert_msg(transformer_forward(r->m, r->w, &f, &e) == 0 && kvcache_seal(full, 0, &e) == 0, "%s", e.msg);
    struct sequence s = {.cache = kvcache_derive(full, NULL, decode_tail_capacity(0, NEW), NULL, &e),
                         .n = ids.n,
                         .first_logits = *first,
                         .max_new_tokens = r->whole ? NEW : FEW_NEW,
                         .fixed_length = 1};
    ck_assert_ptr_nonnull(s.cache);
    kvcache_destroy(full);
    mem_free(row);
    token_ids_free(&ids);
    return s;
}

static void check_greedy(const struct real *r, const char *name)
{
    enum { MOST = 4 };
    const struct json *list = json_get(r->v, "greedy");
    struct err e = {0};
    struct sequence s[MOST] = {{0}}, *run[MOST];
    float *first[MOST];
    char line[96];
    int n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v), n++) {
        ck_assert_int_lt(n, MOST);
        s[n] = begin_sequence(r, v, &first[n]);
        run[n] = &s[n];
    }
    ck_assert_int_ge(n, 2);
    ck_assert_msg(decode_greedy(r->m, r->w, run, n, NULL, &e) == 0, "%s", e.msg);
    n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v), n++) {
        struct token_ids want = {0};
        smollm2_ids(json_get(v, "greedy"), &want);
        ck_assert(want.n == NEW && s[n].out.n == s[n].max_new_tokens);
        for (int i = 0; i < s[n].out.n; i++)
            ck_assert_msg(s[n].out.id[i] == want.id[i], "%s: new token %d of text %d is %d, expected %d", name, i, n,
                          s[n].out.id[i], want.id[i]);
        token_ids_free(&want);
        decode_sequence_fini(&s[n]);
        mem_free(first[n]);
    }
    snprintf(line, sizeof line, "greedy text of %d prompts, %d tokens each: that of transformers", n,
             r->whole ? NEW : FEW_NEW);
    tell(name, line);
}

START_TEST(what_a_real_model_computes_is_what_transformers_computes)
{
    struct real r;
    if (!real_open(&r, names[_i], "what_a_real_model_computes_is_what_transformers_computes"))
        return;
    check_nll(&r, names[_i]);
    check_greedy(&r, names[_i]);
    real_close(&r);
}
END_TEST

START_TEST(every_policy_at_keep_1_gives_a_real_model_the_bits_of_full)
{
    struct real r;
    struct rows rows;
    struct str y = {0};
    struct hparams hp;
    char sha256[HASH_HEX], line[96], *path;
    if (!getenv("DEPTHKV_REAL") ||
        !real_find(&r, names[_i], "every_policy_at_keep_1_gives_a_real_model_the_bits_of_full"))
        return;
    ck_assert_int_eq(model_open_hparams(r.path, &hp, sha256, NULL), 0);
    path = realpath(r.path, NULL);
    ck_assert_ptr_nonnull(path);
    /* where there are windows, the prompt is longer than they are */
    str_addf(&y,
             "# The same?\nschema: 1\nexperiment: x\nmodel: %s\ntasks:\n  - passkey: {length: %d}\nsamples: 1\n"
             "measure: [score, nll, kl]\nmax_new_tokens: %d\nsweep:\n  - policy: [",
             path, hp.window + (r.whole ? 256 : 96), r.whole ? 6 : 2);
    rows_add_policies(&y);
    str_addf(&y, "]\n    keep: 1.0\n%s", hp.window ? "    windows: [keep, prune]\n" : "");
    rows_enter();
    rows_run_and_load(y.p, "out", &rows);
    int n = rows_check_keeps_all(&rows);
    ck_assert_int_eq(n, (policy_count() - 1) * (hp.window ? 2 : 1));
    snprintf(line, sizeof line, "%d cells of %d policies at keep 1.0: the bits of full", n, policy_count() - 1);
    tell(names[_i], line);
    rows_leave();
    rows_free(&rows);
    str_free(&y);
    free(path);
    json_free(r.v);
    mem_free(r.text);
    mem_free(r.path);
}
END_TEST

Suite *make_real_models_suite(void)
{
    Suite *s = suite_create("real_models");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 1200);
    tcase_add_loop_test(t, what_a_real_model_computes_is_what_transformers_computes, 0, N_NAME);
    tcase_add_loop_test(t, every_policy_at_keep_1_gives_a_real_model_the_bits_of_full, 0, N_NAME);
    suite_add_tcase(s, t);
    return s;
}
