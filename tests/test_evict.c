/* `decode: evict` and {interval: N}: against the plain twin, budgets in bytes, and the same bits in any company. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/tally.h"
#include "models/transformer.h"
#include "tests/lib/lab.h"
#include "tests/lib/plain.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N = 120, NEW = 9 };

static const struct {
    const char *yaml, *rest; /* the policy; the axes */
    struct plain_course course;
    int packed;
} cases[] = {
    {"h2o", "keep: 0.3, decode: evict", {{.policy = "h2o"}, .keep = 0.3, .every = 1}, 0},
    {"{h2o: {recent: 0}}", "keep: 0.2, decode: evict", {{.policy = "heavy"}, .keep = 0.2, .every = 1}, 0},
    {"{h2o: {recent: 0}}", "keep: 0.2, decode: {interval: 3}", {{.policy = "heavy"}, .keep = 0.2, .every = 3}, 0},
    {"{h2o: {recent: 0, normalise: visible}}",
     "keep: 0.2, decode: {interval: 2}",
     {{.policy = "visible"}, .keep = 0.2, .every = 2},
     0},
    {"h2o", "keep: 0.3, decode: {interval: 4}", {{.policy = "h2o"}, .keep = 0.3, .every = 4}, 0},
    {"h2o", "keep: 0.25, decode: evict, positions: packed", {{.policy = "h2o"}, .keep = 0.25, .every = 1}, 1},
    {"h2o",
     "keep: 0.3, decode: evict, prefill: {chunked: {size: 50}}",
     {{.policy = "h2o"}, .keep = 0.3, .size = 50, .carry = 1, .every = 1},
     0},
    {"h2o",
     "keep: 0.3, decode: {interval: 3}, positions: packed, prefill: {chunked: {size: 50, carry: false}}",
     {{.policy = "h2o"}, .keep = 0.3, .size = 50, .every = 3},
     1},
    {"tova", "keep: 0.3, decode: evict", {{.policy = "tova"}, .keep = 0.3, .every = 1}, 0},
    {"tova", "keep: 0.1, decode: {interval: 2}", {{.policy = "tova"}, .keep = 0.1, .every = 2}, 0},
    {"{streaming: {sinks: 3}}",
     "keep: 0.2, decode: evict",
     {{.policy = "streaming", .sinks = 3}, .keep = 0.2, .every = 1},
     0},
    {"{streaming: {sinks: 3}}",
     "keep: 0.2, decode: evict, positions: packed",
     {{.policy = "streaming", .sinks = 3}, .keep = 0.2, .every = 1},
     1},
    {"random",
     "keep: 0.5, decode: evict",
     {{.policy = "random", .policy_seed = 1, .sample = LAB_SAMPLE}, .keep = 0.5, .every = 1},
     0},
    {"random",
     "keep: 0.4, protect: {recent: 7}, decode: {interval: 5}",
     {{.policy = "random", .policy_seed = 1, .sample = LAB_SAMPLE, .recent = 7}, .keep = 0.4, .every = 5},
     0},
    /* generated tokens may repeat, and then their keys tie but for rounding: they are protected */
    {"knorm",
     "keep: 0.3, protect: {recent: 24}, decode: evict",
     {{.policy = "knorm", .recent = 24}, .keep = 0.3, .every = 1},
     0},
    {"{snapkv: {window: 9, kernel: 3}}",
     "keep: 0.3, decode: evict",
     {{.policy = "snapkv", .window = 9, .kernel = 3}, .keep = 0.3, .every = 1},
     0},
    {"{snapkv: {window: 16, kernel: 1}}",
     "keep: 0.4, decode: {interval: 6}, prefill: {chunked: {size: 50}}",
     {{.policy = "snapkv", .window = 16, .kernel = 1}, .keep = 0.4, .size = 50, .carry = 1, .every = 6},
     0},
    {"depthkv", "keep: 0.3, decode: evict", {{.policy = "depthkv"}, .keep = 0.3, .every = 1}, 0},
    {"h2o", "keep: 0.3, decode: {interval: 1000}", {{.policy = "h2o"}, .keep = 0.3, .every = 1000}, 0},
};
enum { N_CASE = sizeof cases / sizeof *cases };

static void add_case(struct str *s, int i)
{
    str_addf(s, "  - {policy: %s, %s}\n", cases[i].yaml, cases[i].rest);
}

static struct str all_cases(void)
{
    struct str s = {0};
    for (int i = 0; i < N_CASE; i++)
        add_case(&s, i);
    return s;
}

static const enum prune_after afters[] = {PRUNE_AFTER_ALL_BUT_LAST, PRUNE_AFTER_QUESTION, PRUNE_AFTER_CONTEXT,
                                          PRUNE_AFTER_PROMPT};
static const int held[] = {1, 3, 13, 0}; /* a question of 10 tokens, a suffix of 3 */
static const double NEAR = 2e-6;         /* see test_chunked.c */

/* The twin where the first answer token is predicted. */
static struct plain *twin(const struct lab *l, int i, int after, struct plain_course *c)
{
    int n = N - held[after];
    *c = cases[i].course;
    c->windows = lab_kind == LAB_PRUNE;
    struct plain *p = plain_read(l->model, c, l->prompt.ids.id, n, N + 30, cases[i].packed);
    for (int j = n; j < N; j++)
        plain_continue(p, c, l->prompt.ids.id[j]);
    return p;
}

/* Mean of ln p_full - ln p_cell under p_full, both forced along y. whole: the full cache's twin behind the prompt. It
 * and p are left as they are. */
static double twin_kl(const struct lab *l, const struct plain *whole, const struct plain *cut, struct plain_course c,
                      const int32_t *y, int n)
{
    struct plain_course none = {.rule = {.policy = "knorm"}, .keep = 1};
    struct plain *full = plain_copy(whole), *p = plain_copy(cut);
    double sum = 0;
    for (int t = 0; t < n; t++) {
        for (int v = 0; v < l->model->hp.n_vocab; v++)
            sum += exp(-plain_nll(full, v)) * (plain_nll(p, v) - plain_nll(full, v)) / n;
        plain_continue(full, &none, y[t]);
        plain_continue(p, &c, y[t]);
    }
    plain_destroy(full);
    plain_destroy(p);
    return sum;
}

START_TEST(cells_decode_as_the_plain_twin_does)
{
    struct str s = all_cases();
    struct lab lab;
    int after = _i % 4;
    lab_kind = (enum lab_kind)(_i / 4);
    lab_open(&lab, s.p, "max_new_tokens: 9\n", N, 10, 3);
    ck_assert_int_eq(lab.x.n_cell, N_CASE + 1);
    lab_run(&lab, afters[after]);
    const struct lab_result *full = &lab.result[0];
    struct plain_course none = {.rule = {.policy = "knorm"}, .keep = 1};
    struct plain *whole = plain_read(lab.model, &none, lab.prompt.ids.id, N, N + 30, 0);
    for (int i = 0; i < N_CASE; i++) {
        struct plain_course begin, c;
        char what[200];
        snprintf(what, sizeof what, "%s, %s, %d held, model %d", cases[i].yaml, cases[i].rest, held[after],
                 (int)lab_kind);
        ck_assert_msg(lab.result[i + 1].keep != NULL, "%s: %s", what, lab.result[i + 1].row);
        struct plain *at_begin = twin(&lab, i, after, &begin), *p = plain_copy(at_begin);
        c = begin;
        for (int t = 0; t < lab.result[i + 1].n_out; t++) {
            ck_assert_msg(plain_argmax(p) == lab.result[i + 1].out[t], "%s: token %d is %d, not %d", what, t,
                          lab.result[i + 1].out[t], plain_argmax(p));
            plain_continue(p, &c, plain_argmax(p));
        }
        ck_assert_msg(c.least > NEAR, "%s: scores %g apart; choose another prompt", what, c.least);
        plain_destroy(p);
        p = plain_copy(at_begin);
        c = begin;
        double nll = lab_nll(&lab, p, &c), kl = twin_kl(&lab, whole, at_begin, begin, full->out, full->n_out);
        ck_assert_msg(fabs(lab_number(&lab, i + 1, "nll") - nll) < 2e-5, "%s: nll %g, not %g", what,
                      lab_number(&lab, i + 1, "nll"), nll);
        ck_assert_msg(fabs(lab_number(&lab, i + 1, "kl") - kl) < 2e-5, "%s: kl %g, not %g", what,
                      lab_number(&lab, i + 1, "kl"), kl);
        plain_destroy(p);
        plain_destroy(at_begin);
    }
    plain_destroy(whole);
    lab_close(&lab);
    str_free(&s);
}
END_TEST

START_TEST(the_budget_in_bytes_is_met_after_every_token)
{
    struct str s = all_cases();
    struct lab lab;
    lab_kind = (enum lab_kind)(_i % 2); /* windows that stay whole are full all the time */
    lab_open(&lab, s.p, _i / 2 ? "max_new_tokens: 9\ncache_dtype: bf16\n" : "max_new_tokens: 9\n", N, 10, 3);
    lab_run(&lab, PRUNE_AFTER_CONTEXT);
    const struct hparams *hp = &lab.model->hp;
    double heads = model_n_prunable(hp) * hp->n_kv_head, entry = 2 * hp->head_dim * (_i / 2 ? 2.0 : 4.0);
    double windows = (hp->n_layer - model_n_prunable(hp)) * hp->n_kv_head * entry * hp->window;
    for (int c = 1; c < lab.x.n_cell; c++) {
        double fed = 13 + lab_number(&lab, c, "output_tokens") - 1, every = (double)lab.x.cell[c].cut_every;
        double after = lab_number(&lab, c, "cache_bytes"), end = lab_number(&lab, c, "cache_bytes_end");
        ck_assert_double_eq(end, after + heads * entry * fmod(fed, every));
        double in_flight = fed < every ? fed : every;
        double chunk = lab.x.cell[c].chunk.size ? lab_number(&lab, c, "cache_bytes_peak") : N - 13;
        if (!lab.x.cell[c].chunk.size) {
            ck_assert_double_eq(lab_number(&lab, c, "cache_bytes_peak"),
                                fmax(heads * entry * chunk + windows, after + heads * entry * in_flight));
        } else {
            ck_assert_double_ge(chunk, after + heads * entry * in_flight);
        }
        unsigned needs = policy_needs_of(lab.x.cell[c].policy, lab.x.cell[c].policy_config);
        ck_assert_int_eq(lab_number(&lab, c, "policy_bytes") > 0, (needs & (STATISTIC_COLUMNS | STATISTIC_ROWS)) != 0);
    }
    lab_close(&lab);
    str_free(&s);
}
END_TEST

static const char *const same[] = {
    "output", "kept", "cache_bytes", "cache_bytes_end", "cache_bytes_peak", "policy_bytes",
    "nll",    "kl",   "top1",        "kl_max",          "attention_lost",   "first_divergence"};

static void check_same(const struct lab *a, int x, const struct lab *b, int y, const char *what)
{
    for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
        struct str u = {0}, v = {0};
        lab_text(a, x, same[k], &u);
        lab_text(b, y, same[k], &v);
        ck_assert_msg(strcmp(u.p, v.p) == 0, "%s: %s is %s, not %s", what, same[k], u.p, v.p);
        str_free(&u);
        str_free(&v);
    }
}

START_TEST(a_cell_alone_gives_what_it_gives_among_others_in_any_memory_on_any_threads)
{
    struct str s = all_cases();
    struct lab all, one;
    const char *top = _i == LAB_N_KIND ? "max_new_tokens: 9\ncache_dtype: bf16\n" : "max_new_tokens: 9\n";
    lab_kind = (enum lab_kind)(_i % LAB_N_KIND);
    lab_open(&all, s.p, top, N, 10, 3);
    lab_run(&all, PRUNE_AFTER_QUESTION);
    for (int i = 0; i < N_CASE; i++) {
        struct str b = {0};
        add_case(&b, i);
        lab_open(&one, b.p, top, N, 10, 3);
        for (int threads = 1; threads <= 3; threads++) {
            transformer_set_threads(threads);
            one.batch_bytes = threads == 2 ? 1 : 0;
            lab_run(&one, PRUNE_AFTER_QUESTION);
            check_same(&one, 1, &all, i + 1, cases[i].rest);
        }
        transformer_set_threads(2);
        lab_close(&one);
        str_free(&b);
    }
    all.batch_bytes = 1;
    lab_open(&one, s.p, top, N, 10, 3);
    one.batch_bytes = 40000;
    lab_run(&one, PRUNE_AFTER_QUESTION);
    for (int i = 0; i < N_CASE; i++)
        check_same(&one, i + 1, &all, i + 1, cases[i].rest);
    lab_close(&one);
    lab_close(&all);
    str_free(&s);
}
END_TEST

START_TEST(an_interval_of_one_evicts_and_one_never_reached_freezes)
{
    struct lab lab;
    lab_kind = (enum lab_kind)_i;
    lab_open(
        &lab,
        "  - policy: [h2o, {snapkv: {window: 9}}, tova, streaming, random, knorm, keydiff, depthkv]\n    keep: 0.3\n"
        "    decode: [frozen, evict, {interval: [1, 999]}]\n    positions: [original, packed]\n",
        "max_new_tokens: 9\n", N, 10, 3);
    ck_assert_int_eq(lab.x.n_cell, 65);
    for (int a = 0; a < 4; a++) {
        lab_run(&lab, afters[a]);
        for (int p = 0; p < 8; p++)
            for (int packed = 0; packed < 2; packed++) {
                int at = 1 + p * 8 + packed;
                ck_assert_int_eq((int)lab.x.cell[at + 2].cut_every, 1);
                ck_assert_int_eq((int)lab.x.cell[at + 6].cut_every, 999);
                check_same(&lab, at + 2, &lab, at + 4, lab.x.cell[at].params);
                static const char *const frozen[] = {"output", "nll", "kl", "cache_bytes_end"};
                for (size_t k = 0; k < sizeof frozen / sizeof *frozen; k++) {
                    struct str u = {0}, v = {0};
                    double x = lab_number(&lab, at, frozen[k]), y = lab_number(&lab, at + 6, frozen[k]);
                    lab_text(&lab, at, frozen[k], &u);
                    lab_text(&lab, at + 6, frozen[k], &v);
                    /* one list of entries instead of two: the same sums, put together in other parts */
                    ck_assert_msg(k == 1 || k == 2 ? fabs(x - y) < 1e-5 : strcmp(u.p, v.p) == 0, "%s: %s is %s, not %s",
                                  lab.x.cell[at].policy->name, frozen[k], v.p, u.p);
                    str_free(&u);
                    str_free(&v);
                }
            }
    }
    lab_close(&lab);
}
END_TEST

START_TEST(one_token_and_one_held_back_make_one_cut)
{
    struct lab lab;
    lab_open(&lab, "  - {policy: [h2o, tova, random], keep: 0.3, decode: evict}\n", "max_new_tokens: 1\n", N, 10, 3);
    for (int a = 0; a < 4; a++) {
        lab_run(&lab, afters[a]);
        for (int c = 1; c < lab.x.n_cell; c++) {
            ck_assert_double_eq(lab_number(&lab, c, "output_tokens"), 1);
            ck_assert_double_eq(lab_number(&lab, c, "cache_bytes_end"), lab_number(&lab, c, "cache_bytes"));
            if (afters[a] == PRUNE_AFTER_PROMPT)
                ck_assert_double_eq(lab_number(&lab, c, "kl"), 0); /* the prefill's logits are everybody's */
        }
    }
    lab_close(&lab);
}
END_TEST

START_TEST(statistics_go_with_their_entries_and_a_reused_slot_begins_anew)
{
    struct model *m = support_tiny_model(1, 2, 1, 8, 16, 9, 1, 3);
    struct kvcache *c = kvcache_create(&m->hp, 4, NULL);
    struct tally *t = tally_create(&m->hp, c, 4, &(struct tally_of){.columns = 1, .window = 2}, NULL);
    const float a[] = {1.0f}, b[] = {0.25f, 0.75f}, d[] = {0.5f, 0.125f, 0.375f}, x[] = {0.25f, 0.25f, 0.5f};
    tally_row(t, 0, 1, a, 1);
    tally_row(t, 0, 1, b, 2);
    tally_row(t, 0, 1, d, 3);
    const struct tally_head *h = &t->head[1];
    ck_assert_mem_eq(h->off, ((float[]){0.75f, 0.125f, 0}), 3 * sizeof(float));
    ck_assert_mem_eq(h->diag, ((float[]){1, 0.75f, 0.375f}), 3 * sizeof(float));
    ck_assert_mem_eq(tally_row_at(t, 0, 1, 0), ((float[]){0.25f, 0.75f, 0, 0}), 4 * sizeof(float));
    ck_assert_mem_eq(tally_row_at(t, 0, 1, 1), ((float[]){0.5f, 0.125f, 0.375f, 0}), 4 * sizeof(float));
    const int32_t to[] = {0, -1, 1}; /* the middle one goes, the last takes its slot */
    tally_move(t, 0, 0, to, 3);
    tally_row(t, 0, 1, x, 3);
    ck_assert_mem_eq(h->off, ((float[]){1, 0.25f, 0}), 3 * sizeof(float));
    ck_assert_mem_eq(h->diag, ((float[]){1, 0.375f, 0.5f}), 3 * sizeof(float));
    ck_assert_mem_eq(tally_row_at(t, 0, 1, 0), ((float[]){0.5f, 0.375f, 0, 0}), 4 * sizeof(float));
    ck_assert_mem_eq(tally_row_at(t, 0, 1, 1), ((float[]){0.25f, 0.25f, 0.5f, 0}), 4 * sizeof(float));
    tally_destroy(t);
    kvcache_destroy(c);
    model_close(m);
}
END_TEST

START_TEST(no_refused_allocation_leaks_or_is_passed_over)
{
    struct lab lab;
    lab_kind = (enum lab_kind)_i;
    int refused = 0;
    lab_open(&lab,
             "  - {policy: [h2o, {snapkv: {window: 12}}, knorm], keep: 0.4, positions: packed, decode: {interval: 2}}\n"
             "  - {policy: h2o, keep: 0.4, decode: evict, prefill: {chunked: {size: 60}}}\n",
             "max_new_tokens: 3\n", N, 10, 3);
    for (long nth = 1;; nth += 1 + nth / 9) {
        struct err e = {0};
        size_t live;
        lab_clear(&lab);
        live = mem_live();
        mem_fail_at(nth);
        int rc = lab_try(&lab, PRUNE_AFTER_QUESTION, &e), failed = 0;
        mem_fail_at(0);
        for (int c = 0; rc == 0 && c < lab.x.n_cell; c++)
            failed += !lab.result[c].keep;
        if (rc == 0 && !failed)
            break; /* fewer than nth were asked for */
        if (rc)
            ck_assert_int_eq(e.code, ERR_NOMEM);
        lab_clear(&lab);
        ck_assert_uint_eq(mem_live(), live);
        ck_assert_uint_eq(kvcache_resident_bytes(), 0);
        refused++;
    }
    ck_assert_int_gt(refused, 20);
    lab_close(&lab);
}
END_TEST

Suite *make_evict_suite(void)
{
    Suite *s = suite_create("evict");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, cells_decode_as_the_plain_twin_does, 0, 4 * LAB_N_KIND);
    tcase_add_loop_test(t, the_budget_in_bytes_is_met_after_every_token, 0, 2 * LAB_PRUNE);
    tcase_add_loop_test(t, a_cell_alone_gives_what_it_gives_among_others_in_any_memory_on_any_threads, 0,
                        LAB_N_KIND + 1);
    tcase_add_loop_test(t, an_interval_of_one_evicts_and_one_never_reached_freezes, 0, LAB_PRUNE);
    tcase_add_test(t, one_token_and_one_held_back_make_one_cut);
    tcase_add_test(t, statistics_go_with_their_entries_and_a_reused_slot_begins_anew);
    tcase_add_loop_test(t, no_refused_allocation_leaks_or_is_passed_over, 0, LAB_N_KIND);
    suite_add_tcase(s, t);
    return s;
}
