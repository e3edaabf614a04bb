/* baseline: which cell the differences of every cell refer to, and the differences themselves. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"
#include "harness/report/report.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

static int load(const char *baseline, const char *sweep, struct experiment *x, struct str *errors)
{
    struct str y = {0};
    str_addf(&y,
             "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: [300, 400]}]\nsamples: "
             "1\nmax_new_tokens: 2\n%s%s%s\nsweep:\n%s",
             *baseline ? "baseline: " : "", baseline, "", sweep);
    char *path = rows_path("x.yaml");
    rows_write("x.yaml", y.p);
    int rc = experiment_load(path, NULL, 0, 0, x, errors, NULL);
    mem_free(path);
    str_free(&y);
    return rc;
}

/* Numbers of the baselines of the first task's cells; cells of the second task, the same number on, agree. */
static void chosen(const char *baseline, const char *sweep, const char *want)
{
    struct experiment x;
    struct str errors = {0}, got = {0};
    ck_assert_msg(load(baseline, sweep, &x, &errors) == 0, "%s: %s", baseline, str_c(&errors));
    int half = x.n_cell / 2;
    for (int i = 0; i < half; i++) {
        str_addf(&got, "%s%d", i ? " " : "", x.cell[i].baseline);
        int other = x.cell[half + i].baseline;
        ck_assert_int_eq(other < 0 ? other : other - half, x.cell[i].baseline);
    }
    ck_assert_msg(strcmp(got.p, want) == 0, "%s: %s, expected %s", baseline, got.p, want);
    experiment_fini(&x);
    str_free(&errors);
    str_free(&got);
}

/* 0 full after context, 1 full after prompt; 2 3 random 0.5 (context, prompt), 4 5 random 0.25, 6 7 knorm 0.5, 8 9
 * knorm 0.25, 10 11 knorm 0.25 with weighted layers */
static const char sweep[] =
    "  - {policy: [random, knorm], keep: [0.5, 0.25], prune_after: [context, prompt]}\n"
    "  - {policy: knorm, keep: 0.25, prune_after: [context, prompt], layer_budget: {proportional: [1, 2, 3]}}\n";

START_TEST(a_selector_names_some_axes_and_the_cell_the_others)
{
    chosen("", sweep, "-1 -1 0 1 0 1 0 1 0 1 0 1");
    chosen("{policy: full}", sweep, "-1 -1 0 1 0 1 0 1 0 1 0 1");
    chosen("{policy: random, keep: 0.5}", sweep, "2 3 -1 -1 2 3 2 3 2 3 2 3");
    chosen("{policy: random, keep: .50, prune_after: prompt}", sweep, "3 3 3 -1 3 3 3 3 3 3 3 3");
    /* no budget named: the control at the same budget; of full nobody can say */
    chosen("{policy: random}", sweep, "-1 -1 -1 -1 -1 -1 2 3 4 5 4 5");
    /* no policy named: the same one, spread uniformly */
    chosen("{layer_budget: uniform}", sweep, "-1 -1 -1 -1 -1 -1 -1 -1 -1 -1 8 9");
    chosen("{layer_budget: {proportional: [1, 2, 3]}}", sweep, "10 11 10 11 10 11 10 11 10 11 -1 -1");
}
END_TEST

START_TEST(every_axis_can_be_named)
{
    /* 0 full; 1 snapkv w16, 2 w32; 3 4 random seeds; 5 tokens; 6 bytes; 7 shared; 8 protected */
    static const char all[] =
        "  - {policy: {snapkv: {window: [16, 32]}}, keep: 0.5}\n  - {policy: random, keep: 0.5, policy_seed: [1, 2]}\n"
        "  - {policy: knorm, keep_tokens: 90}\n  - {policy: knorm, keep_bytes: 32KiB}\n"
        "  - {policy: knorm, keep: 0.5, head_budget: shared}\n  - {policy: knorm, keep: 0.5, protect: {sinks: 4, "
        "question: true}}\n";
    chosen("{policy: {snapkv: {window: 32}}}", all, "2 2 -1 2 2 2 2 2 2");
    chosen("{policy: random, policy_seed: 2}", all, "4 4 4 4 -1 4 4 4 4");
    chosen("{keep_tokens: 90}", all, "5 5 5 5 5 -1 5 5 5");
    chosen("{keep_bytes: 32768}", all, "6 6 6 6 6 6 -1 6 6");
    chosen("{head_budget: shared}", all, "7 7 7 7 7 7 7 -1 7");
    chosen("{protect: {question: true, sinks: 4}}", all, "8 8 8 8 8 8 8 8 -1");
    chosen("{policy: full, prefill: full, decode: frozen, positions: original, weight_dtype: f32, max_new_tokens: 2}",
           all, "-1 0 0 0 0 0 0 0 0");
}
END_TEST

static void refused(const char *baseline, const char *blocks, const char *message)
{
    struct experiment x;
    struct str errors = {0};
    ck_assert_msg(load(baseline, blocks, &x, &errors) == -1, "%s is accepted", baseline);
    ck_assert_msg(strstr(errors.p, message) != NULL, "%s: %s", baseline, errors.p);
    str_free(&errors);
}

START_TEST(nothing_and_several_are_errors_with_the_line)
{
    static const char seeds[] =
        "  - {policy: random, keep: 0.5, policy_seed: [1, 2]}\n  - {policy: knorm, keep: 0.5}\n";
    refused("{policy: random, keep: 0.3}", sweep,
            "x.yaml:7: baseline: no cell of task 'passkey', model 'tiny' is {policy: random, keep: 0.3}\n");
    refused("{policy: tova}", sweep, "x.yaml:7: baseline: no cell of task 'passkey', model 'tiny' is {policy: tova}\n");
    refused("{policy: random}", seeds,
            "x.yaml:7: baseline: 2 cells of task 'passkey' match for the one of line 10 (policy knorm); they differ in "
            "policy_seed: name it\n");
    refused("{policy: random}", "  - {policy: random, keep: [0.5, 0.25]}\n  - {policy: knorm, keep: 0.75}\n",
            "match for the one of line 10 (policy knorm); they differ in keep: name it\n");
    refused("{policy: ranom}", sweep, "x.yaml:7: policy 'ranom' unknown; did you mean 'random'?");
    refused("{polcy: random}", sweep, "x.yaml:7: key 'polcy' unknown; did you mean 'policy'?");
    refused("{policy: random, keep: 2}", sweep, "x.yaml:7: keep: expected a fraction in (0, 1], found '2'");
    refused("{policy: random, keep: [0.5]}", sweep, "x.yaml:7: baseline: keep: one value is expected");
    refused("{policy: [random, knorm]}", sweep, "x.yaml:7: baseline: policy: one value is expected");
    refused("{policy: random, keep: 0.5, keep_tokens: 4}", sweep,
            "x.yaml:7: keep_tokens: the baseline takes one of keep, keep_tokens, keep_bytes");
    refused("{prune_after: contex}", sweep, "x.yaml:7: prune_after 'contex' unknown; did you mean 'context'?");
    refused("random", sweep,
            "x.yaml:7: baseline: expected a map that names a cell, such as {policy: random, keep: 0.5}");
    refused("{}", sweep, "x.yaml:7: baseline: expected a map that names a cell, such as {policy: random, keep: 0.5}");
}
END_TEST

static const char study[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                            "3\nmax_new_tokens: 4\nmeasure: [score, kl, nll]\n"
                            "baseline: %s\nsweep:\n  - {policy: [random, knorm], keep: [0.5, 0.1]}\n";

/* The mean of kl over samples of a cell. */
static double mean_kl(const struct rows *r, const char *policy, const char *budget)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < r->n; i++)
        if (!strcmp(rows_text(r->v[i], "policy"), policy) && !strcmp(rows_text(r->v[i], "budget"), budget)) {
            sum += json_number(json_get(r->v[i], "kl"), (double)NAN);
            n++;
        }
    ck_assert_int_eq(n, 3);
    return sum / n;
}

static const struct agg_cell *cell_of(const struct aggregate *a, const char *policy, const char *budget)
{
    for (int c = 0; c < a->n_cell; c++)
        if (!strcmp(aggregate_text(&a->cell[c], "policy"), policy) &&
            !strcmp(aggregate_text(&a->cell[c], "budget"), budget))
            return &a->cell[c];
    ck_abort_msg("no cell %s %s", policy, budget);
    return NULL;
}

START_TEST(differences_are_to_the_cell_that_was_chosen_and_follow_another_choice)
{
    struct rows r;
    struct aggregate a;
    struct runner_summary sum;
    struct str y = {0};
    char *out = rows_path("out"), *table;
    str_addf(&y, study, "{policy: random, keep: 0.5}");
    rows_run(y.p, "out", 0, NULL);
    rows_load("out", &r);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    const struct agg_cell *base = cell_of(&a, "random", "0.5");
    static const char *const budget[] = {"0.5", "0.1"};
    for (int b = 0; b < 2; b++) {
        const struct agg_cell *c = cell_of(&a, "knorm", budget[b]);
        ck_assert_ptr_eq(&a.cell[c->baseline], base);
        ck_assert_int_eq(c->diff[COLUMN_KL].n, 3);
        ck_assert_double_eq_tol(c->diff[COLUMN_KL].diff, mean_kl(&r, "knorm", budget[b]) - mean_kl(&r, "random", "0.5"),
                                1e-12);
    }
    ck_assert_int_eq(base->baseline, -1);
    ck_assert_int_eq(base->diff[COLUMN_KL].n, 0);
    ck_assert_double_eq_tol(cell_of(&a, "full", "")->diff[COLUMN_KL].diff, -mean_kl(&r, "random", "0.5"), 1e-12);
    struct quote csv = {.language = QUOTE_CSV};
    struct str part = {0};
    struct message_list messages = {0};
    aggregate_csv(&a, &csv);
    str_addf(&part, ",%s,0..2,", base->id); /* the columns `baseline` and `samples` */
    ck_assert_ptr_nonnull(strstr(csv.page.p, part.p));
    aggregate_free(&a);
    message_list_free(&messages);
    ck_assert_int_eq(report_write(out, &messages, NULL), 0);
    table = rows_read("out/table.md");
    ck_assert_ptr_nonnull(strstr(table, "- baseline"));
    ck_assert_ptr_nonnull(strstr(table, "paired difference to {policy: random, keep: 0.5} on the same samples"));
    ck_assert_ptr_null(strstr(table, "- full"));
    mem_free(table);

    str_clear(&y);
    str_addf(&y, study, "{policy: random}"); /* at the same budget */
    rows_run(y.p, "out", 0, &sum);
    ck_assert_int_eq((int)sum.rows, 0); /* nothing is computed again */
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_double_eq_tol(cell_of(&a, "knorm", "0.1")->diff[COLUMN_KL].diff,
                            mean_kl(&r, "knorm", "0.1") - mean_kl(&r, "random", "0.1"), 1e-12);
    ck_assert_int_eq(cell_of(&a, "full", "")->baseline, -1);
    aggregate_free(&a);

    str_clear(&y);
    str_addf(&y, study, "{policy: full}");
    rows_run(y.p, "out", 0, &sum);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_double_eq_tol(cell_of(&a, "knorm", "0.1")->diff[COLUMN_KL].diff, mean_kl(&r, "knorm", "0.1"), 1e-12);
    ck_assert_ptr_null(a.baseline);
    aggregate_free(&a);
    str_free(&y);
    quote_free(&csv);
    message_list_free(&messages);
    str_free(&part);
    mem_free(out);
    rows_free(&r);
}
END_TEST

START_TEST(a_broken_manifest_is_an_error_that_names_it)
{
    struct aggregate a;
    struct err e = {.msg = "garbage"};
    char *out = rows_path("out");
    struct str y = {0};
    str_addf(&y, study, "{policy: random, keep: 0.5}");
    rows_run(y.p, "out", 0, NULL);
    rows_write("out/manifest.json", "{\"baseline\": ");
    ck_assert_int_eq(aggregate_load(out, &a, &e), -1);
    ck_assert_int_eq(e.code, ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.msg, "out/manifest.json:1:"));
    str_free(&y);
    mem_free(out);
}
END_TEST

Suite *make_baseline_suite(void)
{
    Suite *s = suite_create("baseline");
    TCase *t = tcase_create("baseline");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_selector_names_some_axes_and_the_cell_the_others);
    tcase_add_test(t, every_axis_can_be_named);
    tcase_add_test(t, nothing_and_several_are_errors_with_the_line);
    tcase_add_test(t, differences_are_to_the_cell_that_was_chosen_and_follow_another_choice);
    tcase_add_test(t, a_broken_manifest_is_an_error_that_names_it);
    suite_add_tcase(s, t);
    return s;
}
