/* Decoding and teacher forcing: what decoding saw on its way is what a forced pass over the same tokens computes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/decode.h"
#include "harness/engine/measure.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { VOCAB = 97, N = 60, HELD = 3, NEW = 9 };

struct seen {
    const struct sequence *s;
    float logits[NEW][VOCAB];
    int n;
};

static int see(void *ctx, const int *active, const float *const *logits, int n, struct err *e)
{
    struct seen *x = ctx;
    (void)e;
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(active[0], 0);
    ck_assert_int_eq(x->n, x->s->out.n); /* the logits predict this token */
    memcpy(x->logits[x->n++], logits[0], sizeof x->logits[0]);
    return 0;
}

struct taken {
    float logits[NEW][VOCAB];
    int n;
};

static void take(void *ctx, int i, const float *logits, int n)
{
    struct taken *t = ctx;
    ck_assert_int_eq(i, 0);
    ck_assert_int_le(n, t->n);
    memcpy(t->logits, logits, (size_t)t->n * sizeof t->logits[0]);
}

START_TEST(a_forced_pass_goes_on_from_any_step_with_the_bits_of_decoding)
{
    struct model *m = support_tiny_model(2, 4, 2, 8, 40, VOCAB, 1, 11);
    struct workspace *w = workspace_create();
    int32_t token[N + HELD];
    struct rng r;
    struct err e = {0};
    rng_init(&r, 3, "tokens");
    for (int i = 0; i < N + HELD; i++)
        token[i] = (int32_t)rng_below(&r, VOCAB);
    float *logits = mem_new(N * VOCAB, sizeof *logits);
    struct kvcache *full = kvcache_create(&m->hp, N, NULL);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, full, token, 0, N, NULL, logits, NULL), 0);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    for (int held = 0; held <= HELD; held += HELD)
        for (int from = held == 0; from < NEW; from++) {
            struct sequence s = {.n = N,
                                 .held = token + N,
                                 .n_held = held,
                                 .max_new_tokens = NEW,
                                 .fixed_length = 1,
                                 .first_logits = logits + (N - 1) * VOCAB};
            struct sequence *run[1] = {&s};
            struct seen seen = {.s = &s};
            struct decode_watch watch = {.ctx = &seen, .step = see};
            s.cache = kvcache_derive(full, NULL, decode_tail_capacity(held, NEW), NULL, NULL);
            ck_assert_msg(decode_greedy(m, w, run, 1, &watch, &e) == 0, "%s", e.msg);
            ck_assert_int_eq(seen.n, NEW);
            struct taken got = {.n = NEW - from};
            struct forced f = {.s = &s, .target = s.out.id, .n_target = NEW, .from = from};
            ck_assert_int_eq(decode_forced(m, w, &f, 1, NULL, take, &got, &e), 0);
            ck_assert_mem_eq(got.logits[0], seen.logits[from], (size_t)(NEW - from) * sizeof got.logits[0]);
            decode_sequence_fini(&s);
        }
    kvcache_destroy(full);
    mem_free(logits);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

static void never(void *ctx, int i, const float *logits, int n)
{
    (void)logits;
    ck_abort_msg("%p: logits of pass %d, %d rows, were taken", ctx, i, n);
}

/* By the first logits, by a later step, and by a forced pass. */
START_TEST(logits_that_are_no_numbers_fail_their_sequence)
{
    struct model *m = support_tiny_model(1, 2, 1, 8, 24, VOCAB, 1, 5);
    struct workspace *w = workspace_create();
    int32_t token[N] = {0};
    struct err e = {0};
    float *logits = mem_new(N * VOCAB, sizeof *logits);
    struct kvcache *full = kvcache_create(&m->hp, N, NULL);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, full, token, 0, N, NULL, logits, NULL), 0);
    ck_assert_int_eq(kvcache_seal(full, 0, NULL), 0);
    float *first = logits + (N - 1) * VOCAB;
    for (int at = 0; at < 2; at++) {
        struct sequence s = {.n = N, .max_new_tokens = NEW, .fixed_length = 1, .first_logits = first};
        struct sequence *run[1] = {&s};
        s.cache = kvcache_derive(full, NULL, decode_tail_capacity(0, NEW), NULL, NULL);
        if (at == 0)
            first[7] = NAN;
        else
            ((float *)(uintptr_t)m->output_norm)[3] = INFINITY;
        ck_assert_int_eq(decode_greedy(m, w, run, 1, NULL, &e), 0);
        ck_assert_str_eq(s.finish_reason, "failed");
        ck_assert_int_eq(s.out.n, at);
        ck_assert_msg(strstr(s.err.msg, at ? "of token 1 of the answer is" : "logit 7 of token 0 of the answer is NaN"),
                      "%s", s.err.msg);
        if (at == 1) {
            struct forced f = {.s = &s, .target = token, .n_target = 4, .from = 2};
            s.err = (struct err){0};
            ck_assert_int_eq(decode_forced(m, w, &f, 1, NULL, never, NULL, &e), 0);
            ck_assert_msg(strstr(s.err.msg, "of token 2 of the answer is"), "%s", s.err.msg);
        }
        decode_sequence_fini(&s);
        first[7] = 0;
    }
    kvcache_destroy(full);
    mem_free(logits);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* The first step of the answer comes from decoding, and with several new tokens perhaps more; the rest is forced. */
START_TEST(nll_does_not_depend_on_how_many_tokens_were_decoded)
{
    static const char text[] =
        "# ?\nschema: 1\nexperiment: x\nmodel: tiny.h5\ntasks:\n  - jsonl: {name: q, file: q.jsonl, metric: contains}\n"
        "samples: 3\nmeasure: [score, nll, kl]\nsweep:\n  - policy: full\n    max_new_tokens: [1, 7]\n"
        "  - policy: [streaming, snapkv, h2o]\n    keep: [0.9, 0.2]\n    max_new_tokens: [1, 7]\n"
        "    prune_after: [prompt, all_but_last]\n";
    struct str records = {0};
    struct rows r;
    int pairs = 0;
    for (int i = 0; i < 3; i++) {
        str_add(&records, "{\"context\": \"");
        for (int k = 0; k < 120; k++)
            str_addc(&records, (char)('a' + (k * (i + 3) + i) % 26));
        str_addf(&records, "\", \"question\": \"what?\", \"answers\": [\"%s\"]}\n", i ? "seven bytes" : "x");
    }
    rows_write("q.jsonl", records.p);
    rows_run_and_load(text, "out", &r);
    for (int i = 0; i < r.n; i++)
        for (int k = 0; k < r.n; k++) {
            static const char *const same[] = {"policy", "budget", "prune_after", "sample"};
            int alike =
                !strcmp(rows_text(r.v[i], "max_new_tokens"), "1") && !strcmp(rows_text(r.v[k], "max_new_tokens"), "7");
            for (int c = 0; alike && c < 4; c++) {
                char *mine = mem_strdup(rows_text(r.v[i], same[c]));
                alike = !strcmp(mine, rows_text(r.v[k], same[c]));
                mem_free(mine);
            }
            if (!alike)
                continue;
            char *mine = mem_strdup(rows_text(r.v[i], "nll"));
            ck_assert_str_eq(mine, rows_text(r.v[k], "nll"));
            ck_assert_str_ne(mine, "null");
            mem_free(mine);
            pairs++;
        }
    ck_assert_int_ge(pairs, 3 * 3 * 2 * 2);
    rows_free(&r);
    str_free(&records);
}
END_TEST

START_TEST(divergence_is_that_of_the_definition)
{
    float full[2][3] = {{0, 1, 2}, {3, 0, 0}}, cell[2][3] = {{2, 1, 0}, {3, 0, 0}};
    struct reference r = {0};
    struct divergence d;
    measure_divergence_begin(&d);
    for (int t = 0; t < 2; t++) {
        ck_assert_int_eq(measure_reference_add(&r, full[t], 3, NULL), 0);
        measure_divergence_add(&d, &r, cell[t]);
    }
    measure_divergence_end(&d);
    /* p = (1, e, e^2) / (1 + e + e^2); ln p - ln q = -2, 0, 2 */
    const double e1 = 2.718281828459045, z = 1 + e1 + e1 * e1, kl = (-2 + 2 * e1 * e1) / z;
    ck_assert_double_eq_tol(d.kl, kl / 2, 1e-15);
    ck_assert_double_eq_tol(d.kl_max, kl, 1e-15);
    ck_assert_double_eq(d.top1, 0.5);
    ck_assert_int_eq(d.first, 0);
    ck_assert_double_eq_tol(measure_loss(full[0], 1, 3), 0.40760596444438 + 1, 1e-12); /* ln(1 + e + e^2) - 1 */
    measure_reference_fini(&r);
}
END_TEST

Suite *make_decode_suite(void)
{
    Suite *s = suite_create("decode");
    TCase *t = tcase_create("core");
    tcase_add_test(t, a_forced_pass_goes_on_from_any_step_with_the_bits_of_decoding);
    tcase_add_test(t, logits_that_are_no_numbers_fail_their_sequence);
    tcase_add_test(t, divergence_is_that_of_the_definition);
    suite_add_tcase(s, t);
    TCase *rows = tcase_create("rows");
    tcase_set_timeout(rows, 60);
    tcase_add_checked_fixture(rows, setup, teardown);
    tcase_add_test(rows, nll_does_not_depend_on_how_many_tokens_were_decoded);
    suite_add_tcase(s, rows);
    return s;
}
