/* The real model against Hugging Face transformers and float64 arithmetic (tests/vectors/make_smollm2.py). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/decode.h"
#include "harness/engine/encode.h"
#include "tests/lib/smollm2.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* Promised: twice the largest error that transformers makes in float32. */
static const double ERROR_RATIO = 2;

/* Feeds ids[0 .. n) to an empty cache; logits of the wanted rows. */
static struct kvcache *feed(const struct model *m, struct workspace *w, enum forward_phase phase,
                            const struct token_ids *ids, const unsigned char *want, float *logits)
{
    struct err e = {0};
    struct forward_row *row = mem_new((size_t)ids->n, sizeof *row);
    struct kvcache *c = kvcache_create(&m->hp, ids->n, &e);
    for (int i = 0; i < ids->n; i++)
        row[i] = (struct forward_row){.token = ids->id[i], .pos = i, .want_logits = want[i]};
    struct forward f = {.phase = phase, .row = row, .n_row = ids->n, .cache = &c, .n_cache = 1, .logits = logits};
    ck_assert_msg(c && transformer_forward(m, w, &f, &e) == 0, "%s", e.msg);
    mem_free(row);
    return c;
}

static void same_ids(const struct token_ids *got, const struct token_ids *want, const char *what)
{
    ck_assert_msg(got->n == want->n, "%s: %d tokens, expected %d", what, got->n, want->n);
    for (int i = 0; i < want->n; i++)
        ck_assert_msg(got->id[i] == want->id[i], "%s: token %d is %d, expected %d", what, i, got->id[i], want->id[i]);
}

/* Largest |logit - float64 logit| over the vectors' subset. */
static double largest_error(const struct json *root, const float *logits, int n_vocab, int n_row)
{
    double worst = 0;
    int r = 0, step = smollm2_integer(root, "vocabulary_step");
    for (const struct json *row = json_first(json_get(root, "logits")); row; row = json_next(row), r++) {
        int at = 0;
        for (const struct json *v = json_first(row); v; v = json_next(v), at += step) {
            ck_assert(r < n_row && at < n_vocab);
            double d = fabs((double)logits[(size_t)r * (size_t)n_vocab + (size_t)at] - json_number(v, (double)NAN));
            worst = d > worst || isnan(d) ? d : worst;
        }
        ck_assert_int_ge(at, n_vocab);
    }
    ck_assert_int_eq(r, n_row);
    return worst;
}

START_TEST(logits_of_a_thousand_tokens_are_as_near_to_float64_as_those_of_transformers)
{
    char *vectors, *text;
    struct json *root = smollm2_vectors("smollm2.json", &vectors);
    struct model *m = smollm2_open("logits_of_a_thousand_tokens_are_as_near_to_float64_as_those_of_transformers", root);
    if (!m) {
        json_free(root);
        mem_free(vectors);
        return;
    }
    struct workspace *w = workspace_create();
    struct token_ids ids = {0}, got = {0}, positions = {0};
    unsigned char *want = mem_new(1000, 1);
    smollm2_ids(json_get(root, "ids"), &ids);
    smollm2_ids(json_get(root, "positions"), &positions);
    ck_assert_int_eq(ids.n, 1000);
    ck_assert_int_ge(positions.n, 50);
    text = smollm2_excerpt(root);
    ck_assert_int_eq(tokenizer_encode(m->tokenizer, text, strlen(text), &got, NULL), 0);
    same_ids(&got, &ids, "the excerpt");
    for (int i = 0; i < positions.n; i++)
        want[positions.id[i]] = 1;
    float *logits = mem_new((size_t)positions.n * (size_t)m->hp.n_vocab, sizeof *logits);
    double limit = ERROR_RATIO * json_number(json_get(root, "float32_error"), 0);
    ck_assert(limit > 0 && limit < 1e-3);
    enum forward_phase last = support_is_long() ? FORWARD_CELL : FORWARD_PREFILL; /* greedy text goes by cells, too */
    for (enum forward_phase phase = FORWARD_PREFILL; phase <= last; phase++) {
        kvcache_destroy(feed(m, w, phase, &ids, want, logits));
        double error = largest_error(root, logits, m->hp.n_vocab, positions.n);
        ck_assert_msg(error <= limit, "%s: largest error %g, allowed is %g",
                      phase == FORWARD_PREFILL ? "prefill" : "cell", error, limit);
    }
    mem_free(logits);
    mem_free(want);
    mem_free(text);
    token_ids_free(&ids);
    token_ids_free(&got);
    token_ids_free(&positions);
    workspace_destroy(w);
    model_close(m);
    json_free(root);
    mem_free(vectors);
}
END_TEST

static double log_sum(const float *x, int n)
{
    double top = (double)x[0], sum = 0;
    for (int i = 1; i < n; i++)
        top = fmax(top, (double)x[i]);
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    return top + log(sum);
}

/* Mean over rows of the sum of p ln(p / q). */
static double divergence(const float *p, const float *q, int n_row, int n)
{
    double all = 0;
    for (int r = 0; r < n_row; r++, p += n, q += n) {
        double a = log_sum(p, n), b = log_sum(q, n);
        for (int i = 0; i < n; i++)
            all += exp((double)p[i] - a) * ((double)p[i] - a - (double)q[i] + b);
    }
    return all / n_row;
}

START_TEST(bf16_arithmetic_moves_predictions_less_than_that_of_transformers_does)
{
    const char *name = "bf16_arithmetic_moves_predictions_less_than_that_of_transformers_does";
    char *vectors;
    struct json *root = smollm2_vectors("smollm2.json", &vectors);
    const struct json *bf16 = json_get(root, "bf16");
    struct model *m = smollm2_open(name, root);
    if (m) {
        struct workspace *w = workspace_create();
        struct token_ids ids = {0};
        int n = smollm2_integer(bf16, "tokens"), vocab = m->hp.n_vocab;
        double theirs = json_number(json_get(bf16, "kl"), 0);
        unsigned char *want = mem_new((size_t)n, 1);
        float *wide = mem_new((size_t)n * (size_t)vocab, sizeof *wide),
              *narrow = mem_new((size_t)n * (size_t)vocab, sizeof *wide);
        smollm2_ids(json_get(root, "ids"), &ids);
        ids.n = n;
        memset(want, 1, (size_t)n);
        kvcache_destroy(feed(m, w, FORWARD_PREFILL, &ids, want, wide));
        model_close(m);
        m = model_open(smollm2_path(name), MODEL_BF16, NULL);
        m->arithmetic = MODEL_BF16;
        enum forward_phase last = support_is_long() ? FORWARD_CELL : FORWARD_PREFILL;
        for (enum forward_phase phase = FORWARD_PREFILL; phase <= last; phase++) {
            kvcache_destroy(feed(m, w, phase, &ids, want, narrow));
            double ours = divergence(wide, narrow, n, vocab);
            ck_assert_msg(ours > 0 && ours < theirs, "ours moves by %g, transformers by %g", ours, theirs);
        }
        mem_free(want);
        mem_free(wide);
        mem_free(narrow);
        token_ids_free(&ids);
        workspace_destroy(w);
    }
    model_close(m);
    json_free(root);
    mem_free(vectors);
}
END_TEST

/* The prompt's ids, by our own encoder: a raw excerpt, or a question in the chat template. */
static void encode(const struct model *m, const struct json *v, struct token_ids *out)
{
    struct err e = {0};
    const char *question = json_string(json_get(v, "question"));
    char *text = question ? mem_strdup(question) : smollm2_excerpt(v), empty[1] = "";
    struct encode_context c = {.model = m};
    struct prompt p;
    struct dataset_question asked = {.text = empty, .answer_prefix = empty};
    struct dataset_item item = {.context = text, .n_context = strlen(text), .question = &asked, .n_question = 1};
    ck_assert_msg(tokenizer_template(m->tokenizer, question ? "chat" : "raw", &c.pieces, &e) == 0, "%s", e.msg);
    ck_assert_msg(encode_prompt(&c, &item, 0, &p, &e) == 0, "%s", e.msg);
    *out = p.ids;
    p.ids = (struct token_ids){0};
    encode_prompt_fini(&p);
    mem_free(text);
}

START_TEST(sixty_four_greedy_tokens_are_those_of_transformers)
{
    enum { MOST = 8, NEW = 64 };
    char *vectors;
    struct err e = {0};
    struct json *root = smollm2_vectors("smollm2.json", &vectors);
    struct model *m = smollm2_open("sixty_four_greedy_tokens_are_those_of_transformers", root);
    if (!m) {
        json_free(root);
        mem_free(vectors);
        return;
    }
    struct workspace *w = workspace_create();
    struct sequence s[MOST] = {{0}}, *run[MOST];
    float *first[MOST];
    int n = 0;
    for (const struct json *v = json_first(json_get(root, "greedy")); v; v = json_next(v), n++) {
        struct token_ids ids = {0}, want = {0};
        ck_assert_int_lt(n, MOST);
        encode(m, v, &ids);
        smollm2_ids(json_get(v, "ids"), &want);
        same_ids(&ids, &want, "the prompt");
        unsigned char *last = mem_new((size_t)ids.n, 1);
        last[ids.n - 1] = 1;
        first[n] = mem_new((size_t)m->hp.n_vocab, sizeof *first[n]);
        struct kvcache *full = feed(m, w, FORWARD_PREFILL, &ids, last, first[n]);
        ck_assert_int_eq(kvcache_seal(full, 0, &e), 0);
        s[n] = (struct sequence){.cache = kvcache_derive(full, NULL, decode_tail_capacity(0, NEW), NULL, &e),
                                 .n = ids.n,
                                 .first_logits = first[n],
                                 .max_new_tokens = NEW};
        ck_assert_msg(s[n].cache != NULL, "%s", e.msg);
        run[n] = &s[n];
        kvcache_destroy(full);
        mem_free(last);
        token_ids_free(&ids);
        token_ids_free(&want);
    }
    ck_assert_int_ge(n, 3);
    ck_assert_msg(decode_greedy(m, w, run, n, NULL, &e) == 0, "%s", e.msg);
    n = 0;
    for (const struct json *v = json_first(json_get(root, "greedy")); v; v = json_next(v), n++) {
        struct token_ids want = {0};
        smollm2_ids(json_get(v, "greedy"), &want);
        ck_assert_int_eq(want.n, NEW);
        same_ids(&s[n].out, &want, json_string(json_get(v, "book")) ? json_string(json_get(v, "book")) : "the chat");
        token_ids_free(&want);
        decode_sequence_fini(&s[n]);
        mem_free(first[n]);
    }
    workspace_destroy(w);
    model_close(m);
    json_free(root);
    mem_free(vectors);
}
END_TEST

Suite *make_smollm2_suite(void)
{
    Suite *s = suite_create("smollm2");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, bf16_arithmetic_moves_predictions_less_than_that_of_transformers_does);
    tcase_add_test(t, logits_of_a_thousand_tokens_are_as_near_to_float64_as_those_of_transformers);
    tcase_add_test(t, sixty_four_greedy_tokens_are_those_of_transformers);
    suite_add_tcase(s, t);
    return s;
}
