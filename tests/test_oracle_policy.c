/* Controls: the oracle scorer against the plain forward pass of tests/lib/plain.h, and protection that is matched
 * across policies. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/report/profile.h"
#include "harness/run/calibration.h"
#include "harness/run/runner.h"
#include "tests/lib/lab.h"
#include "tests/lib/plain.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

enum { PROMPT = 60, QUESTION = 6, SUFFIX = 3 };

static int kept(const struct lab *l, int cell, int layer, int head, int pos)
{
    return keepset_has(l->result[cell].keep, layer, head, pos);
}

/* Share of the attention of the queries first .. last on every prompt entry before n, per (layer, KV head). */
static double *answer_attention(const struct lab *l, const struct plain *p, int n, int first, int last)
{
    const struct hparams *hp = &l->model->hp;
    double *mass = mem_new((size_t)hp->n_layer * (size_t)hp->n_kv_head * (size_t)n, sizeof *mass);
    for (int layer = 0; layer < hp->n_layer; layer++)
        for (int q = 0; q < hp->n_head; q++)
            for (int i = first; i <= last; i++) {
                const double *row =
                    p->attention +
                    (((size_t)layer * (size_t)hp->n_head + (size_t)q) * (size_t)p->room + (size_t)i) * (size_t)p->room;
                double sum = 0;
                for (int j = 0; j < n; j++)
                    sum += row[j];
                for (int j = 0; j < n; j++)
                    mass[((size_t)layer * (size_t)hp->n_kv_head + (size_t)(q / hp->n_group)) * (size_t)n + (size_t)j] +=
                        row[j] / sum;
            }
    return mass;
}

/* Every entry that stays is attended to at least as much as every one that goes. */
static void check_oracle(struct lab *l, enum prune_after after, int held)
{
    const struct hparams *hp = &l->model->hp;
    struct token_ids answer = {0};
    int n = PROMPT - held, m = n / 5;
    lab_run(l, after);
    ck_assert_int_eq(tokenizer_encode(l->model->tokenizer, "42 or so", 8, &answer, NULL), 0);
    struct plain *p = plain_create(l->model, PROMPT + answer.n, 0);
    for (int i = 0; i < PROMPT; i++)
        plain_feed(p, l->prompt.ids.id[i]);
    for (int i = 0; i + 1 < answer.n; i++)
        plain_feed(p, answer.id[i]);
    double *mass = answer_attention(l, p, n, PROMPT - 1, PROMPT + answer.n - 2);
    for (int layer = 0; layer < hp->n_layer; layer++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            const double *of = mass + ((size_t)layer * (size_t)hp->n_kv_head + (size_t)h) * (size_t)n;
            double least = (double)INFINITY, most = 0;
            int count = 0;
            for (int j = 0; j < n; j++) {
                if (kept(l, 1, layer, h, j))
                    least = fmin(least, of[j]);
                else
                    most = fmax(most, of[j]);
                count += kept(l, 1, layer, h, j);
            }
            ck_assert_int_eq(count, m);
            ck_assert_msg(least > most * (1 - 1e-5), "layer %d, head %d: %.9g stays, %.9g goes", layer, h, least, most);
        }
    mem_free(mass);
    plain_destroy(p);
    token_ids_free(&answer);
}

START_TEST(the_oracle_keeps_what_predicts_the_reference_answer)
{
    static const struct {
        enum prune_after after;
        int held;
    } c[] = {{PRUNE_AFTER_ALL_BUT_LAST, 1}, {PRUNE_AFTER_CONTEXT, QUESTION + SUFFIX}, {PRUNE_AFTER_PROMPT, 0}};
    struct lab l;
    lab_open(&l, "  - {policy: [oracle, random], keep: 0.2}\n", "max_new_tokens: 4\n", PROMPT, QUESTION, SUFFIX);
    for (int i = 0; i < 3; i++)
        check_oracle(&l, c[i].after, c[i].held);
    lab_close(&l);
}
END_TEST

START_TEST(the_oracle_changes_nothing_for_the_other_cells)
{
    struct lab l;
    struct str with = {0}, without = {0};
    for (int i = 0; i < 2; i++) {
        lab_open(&l, i ? "  - {policy: [snapkv], keep: 0.2}\n" : "  - {policy: [snapkv, oracle], keep: 0.2}\n",
                 "max_new_tokens: 4\n", PROMPT, QUESTION, SUFFIX);
        lab_run(&l, PRUNE_AFTER_ALL_BUT_LAST);
        for (int c = 0; c < 2; c++) {
            lab_text(&l, c, "output", i ? &without : &with);
            lab_text(&l, c, "kl", i ? &without : &with);
            lab_text(&l, c, "nll", i ? &without : &with);
            lab_text(&l, c, "attention_lost", i ? &without : &with);
        }
        lab_close(&l);
    }
    ck_assert_str_eq(with.p, without.p);
    str_free(&with);
    str_free(&without);
}
END_TEST

START_TEST(without_a_reference_answer_only_the_oracle_fails)
{
    struct lab l;
    struct str status = {0}, reason = {0};
    lab_open(&l, "  - {policy: [oracle, random], keep: 0.2}\n", "max_new_tokens: 4\n", PROMPT, QUESTION, SUFFIX);
    l.item.question[0].n_answer = 0;
    token_ids_free(&l.prompt.target);
    lab_run(&l, PRUNE_AFTER_ALL_BUT_LAST);
    lab_text(&l, 1, "status", &status);
    lab_text(&l, 1, "reason", &reason);
    ck_assert_str_eq(status.p, "\"failed\"");
    ck_assert_msg(strstr(reason.p, "policy 'oracle' reads the reference answer, which this sample lacks"), "%s",
                  reason.p);
    str_clear(&status);
    lab_text(&l, 2, "status", &status);
    ck_assert_str_eq(status.p, "\"ok\"");
    str_free(&status);
    str_free(&reason);
    lab_close(&l);
}
END_TEST

/* 66 records, the last of which repeats record `twin`. */
static void write_records(int twin)
{
    struct str s = {0};
    for (int i = 0; i < 66; i++)
        str_addf(&s,
                 "{\"id\": \"r%d\", \"context\": \"the number of box %d is %d.\", \"question\": \" which?\", "
                 "\"answers\": [\"7\"]}\n",
                 i, i < 65 ? i : twin, i < 65 ? i : twin);
    rows_write("r.jsonl", s.p);
    str_free(&s);
}

/* Two samples from `first` on, into the folder `out`. */
static int evaluate(int first, const char *out, struct runner_summary *sum, struct err *e)
{
    static const char use[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [jsonl: {file: r.jsonl, metric: f1}]\nsamples: "
        "2\nfirst_sample: %d\nmax_new_tokens: 2\n"
        "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {sensitivity: {profile: study/profile.h5}}}\n";
    struct experiment x;
    char text[600], *path = rows_path("y.yaml"), *to = rows_path(out);
    snprintf(text, sizeof text, use, first);
    rows_write("y.yaml", text);
    struct runner_options o = {.dir = to, .quiet = 1};
    int rc = experiment_load(path, NULL, 0, 0, &x, NULL, e);
    if (rc == 0) {
        rc = runner_run(&x, &o, sum, e);
        ck_assert_int_eq(calibration_check(&x, NULL), rc); /* as `check` has it */
        experiment_fini(&x);
    }
    mem_free(path);
    mem_free(to);
    return rc;
}

/* 64 prompts of calibration, one of which is the last of the evaluation's: nothing of it runs. */
START_TEST(one_prompt_of_64_that_calibration_shares_is_enough_to_refuse)
{
    static const char study[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [jsonl: {file: r.jsonl, metric: f1}]\nsamples: "
        "64\nmax_new_tokens: 2\n"
        "measure: [kl]\nsweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {single: {layer: all}}}\n";
    struct runner_summary sum = {0};
    struct aggregate a;
    struct err e = {0};
    char *out, *fresh;
    rows_enter();
    out = rows_path("study");
    fresh = rows_path("fresh");
    write_records(1000);
    rows_run(study, "study", 0, &sum);
    ck_assert_int_eq(sum.rows, 4 * 64);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_int_eq(profile_write(out, &a, NULL), 0);
    aggregate_free(&a);
    ck_assert_msg(evaluate(64, "old", &sum, &e) == 0, "%s", e.msg); /* records 64 and 65 are others */
    ck_assert_int_eq(sum.rows, 4);
    char *before = rows_read("old/rows.jsonl");
    write_records(17);
    for (int resumed = 0; resumed < 2; resumed++) {
        memset(&e, 'x', sizeof e);
        ck_assert_int_eq(evaluate(64, resumed ? "old" : "fresh", &sum, &e), -1);
        ck_assert_int_eq(e.code, ERR_CONFIG);
        ck_assert_int_eq(sum.rows, 0);
        ck_assert_msg(
            strstr(e.msg, "y.yaml:9: ") &&
                strstr(e.msg,
                       "study/profile.h5 was calibrated on a prompt of this evaluation: task 'jsonl', sample 65"),
            "%s", e.msg);
    }
    ck_assert(!fs_exists(fresh));
    char *after = rows_read("old/rows.jsonl");
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(evaluate(66, "fresh", &sum, &e), -1);
    ck_assert_msg(strstr(e.msg, "y.yaml:4: first_sample 66: task 'jsonl' has samples 0 to 65"), "%s", e.msg);
    mem_free(before);
    mem_free(after);
    mem_free(out);
    mem_free(fresh);
    rows_leave();
}
END_TEST

Suite *make_oracle_policy_suite(void)
{
    Suite *s = suite_create("oracle_policy");
    TCase *t = tcase_create("control");
    tcase_add_test(t, the_oracle_keeps_what_predicts_the_reference_answer);
    tcase_add_test(t, the_oracle_changes_nothing_for_the_other_cells);
    tcase_add_test(t, without_a_reference_answer_only_the_oracle_fails);
    tcase_add_test(t, one_prompt_of_64_that_calibration_shares_is_enough_to_refuse);
    suite_add_tcase(s, t);
    return s;
}
