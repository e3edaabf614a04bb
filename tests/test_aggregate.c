/* From rows to numbers: pairing, pooling of seeds, clusters, order, and rows that are none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"
#include "harness/report/pool.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static char dir[] = "/tmp/depthkv-aggregate-XXXXXX";
static char *rows;

static void setup(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    rows = fs_join(dir, "rows.jsonl");
}

static void teardown(void)
{
    unlink(rows);
    rmdir(dir);
    mem_free(rows);
}

static void write_rows(const struct rows_fake *f, int n)
{
    struct str s = {0};
    for (int i = 0; i < n; i++)
        rows_add_fake(&s, &f[i]);
    ck_assert_int_eq(fs_write_atomic(rows, s.p, s.n, NULL), 0);
    str_free(&s);
}

static const double none = (double)NAN;

START_TEST(differences_pair_the_same_sample_and_question)
{
    static const struct rows_fake f[] = {
        {"b", 1, 1, "c1", "q", "knorm", "0.5", 1, 0.25, 0.4,
         .status = NULL}, /* the journal's order is nobody's business */
        {"a", 0, 0, "c0", "q", "full", "", 1, 1.0, 0.0, .status = NULL},
        {"b", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.2, .status = NULL},
        {"a", 0, 1, "c1", "q", "full", "", 1, 0.5, 0.0, .status = NULL},
        {"a", 0, 2, "c2", "q", "full", "", 1, 0.9, 0.0, .status = NULL}, /* nobody to pair with */
    };
    struct aggregate a;
    write_rows(f, 5);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_cell, 2);
    ck_assert_str_eq(a.cell[0].id, "a");
    ck_assert_int_eq(a.cell[1].baseline, 0);
    ck_assert_int_eq(a.cell[1].diff[COLUMN_SCORE].n, 2);
    ck_assert_double_eq_tol(a.cell[1].diff[COLUMN_SCORE].diff, -0.375, 1e-12);
    ck_assert_double_eq_tol(a.cell[1].diff[COLUMN_KL].diff, 0.3, 1e-12);
    ck_assert_int_eq(a.cell[0].diff[COLUMN_SCORE].n, 0);
    ck_assert_double_eq_tol(a.cell[0].summary[COLUMN_SCORE].mean, 0.8, 1e-12);
    ck_assert_double_nan(a.cell[0].summary[COLUMN_NLL].mean);
    aggregate_free(&a);
}
END_TEST

START_TEST(a_row_that_was_computed_again_counts_once_and_failed_rows_count_nowhere)
{
    static const struct rows_fake f[] = {
        {"a", 0, 0, "c0", "q", "full", "", 1, 0.1, 0.0, .status = NULL},
        {"a", 0, 0, "c0", "q", "full", "", 1, 0.7, 0.0, .status = NULL},
        {"a", 0, 1, "c1", "q", "full", "", 1, 0.0, 0.0, .status = "failed"},
    };
    struct aggregate a;
    write_rows(f, 3);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.cell[0].n_ok, 1);
    ck_assert_int_eq(a.cell[0].n_failed, 1);
    ck_assert_int_eq(a.cell[0].summary[COLUMN_SCORE].n, 1);
    ck_assert_double_eq(a.cell[0].summary[COLUMN_SCORE].mean, 0.7);
    aggregate_free(&a);
}
END_TEST

START_TEST(policy_seeds_pool_into_one_line_whose_unit_is_the_context)
{
    struct rows_fake f[24];
    int n = 0;
    for (int i = 0; i < 4; i++) {
        static const char *const context[] = {"c0", "c1", "c2", "c3"};
        f[n++] = (struct rows_fake){"full", 0, i, context[i], "q", "full", "", 1, 1, 0, .status = NULL};
        f[n++] = (struct rows_fake){"r1", 1, i, context[i], "q", "random", "0.5", 1, i / 4.0, 0.5, .status = NULL};
        f[n++] = (struct rows_fake){"r2", 2, i, context[i], "q", "random", "0.5", 2, i / 4.0, 0.7, .status = NULL};
        f[n++] = (struct rows_fake){"s", 3, i, context[i], "q", "snapkv", "0.5", 1, 1, 0.1, .status = NULL};
    }
    struct aggregate a;
    struct stats_paired p;
    struct err e;
    int budgets;
    write_rows(f, n);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_cell, 4);
    ck_assert_int_eq(a.n_line, 3);
    ck_assert_int_eq(a.line[1].seeds, 2);
    ck_assert_int_eq(a.line[1].summary[COLUMN_SCORE].n, 8);
    /* two equal values a context are worth one: the standard error is that of four */
    ck_assert_double_eq_tol(a.line[1].summary[COLUMN_SCORE].se, a.cell[1].summary[COLUMN_SCORE].se, 1e-12);
    ck_assert_double_eq_tol(a.line[1].summary[COLUMN_KL].mean, 0.6, 1e-12);
    ck_assert_int_eq(aggregate_pair(&a, "random", "snapkv", COLUMN_KL, 0.6, &p, &budgets, NULL), 0);
    ck_assert_int_eq(p.n, 4);
    ck_assert_int_eq(budgets, 1);
    ck_assert_double_eq_tol(p.diff, 0.5, 1e-12);
    ck_assert_int_eq(aggregate_pair(&a, "random", "snapkv", COLUMN_KL, 0.5, &p, &budgets, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "no budget below 0.5"));
    aggregate_free(&a);
}
END_TEST

START_TEST(the_forms_of_a_task_share_their_contexts_and_tasks_do_not)
{
    struct rows_fake f[8];
    struct aggregate a;
    struct stats_paired p;
    int budgets;
    for (int other = 0; other < 2; other++) {
        for (int i = 0; i < 8; i++) /* two policies, two contexts, at two lengths or of two tasks */
            f[i] = (struct rows_fake){(const char *const[]){"a", "b", "c", "d"}[i / 2],
                                      i / 2,
                                      i % 2,
                                      i % 2 ? "1" : "0",
                                      "q",
                                      i / 2 % 2 ? "knorm" : "random",
                                      "0.5",
                                      1,
                                      0,
                                      i / 2 % 2 ? 0.5 : 1,
                                      .length = i < 4 || other ? 64 : 128,
                                      .task = i < 4 || !other ? "t" : "u"};
        write_rows(f, 8);
        ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
        ck_assert_int_eq(aggregate_pair(&a, "random", "knorm", COLUMN_KL, 1, &p, &budgets, NULL), 0);
        ck_assert_int_eq(p.n, 4);
        ck_assert_double_eq(p.diff, 0.5);
        /* all differences are equal: two patterns of signs reach them, out of 2 ^ clusters */
        ck_assert_double_eq_tol(p.p, other ? 2.0 / 16 : 2.0 / 4, 1e-12);
        aggregate_free(&a);
    }
}
END_TEST

START_TEST(hits_and_misses_get_an_interval_with_a_width)
{
    static const struct rows_fake f[] = {{"a", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL},
                                         {"a", 0, 1, "c1", "q", "full", "", 1, 1, 0, .status = NULL}};
    struct aggregate a;
    write_rows(f, 2);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_double_eq_tol(a.cell[0].summary[COLUMN_SCORE].lo, 0.3424, 1e-4);
    ck_assert_double_eq(a.cell[0].summary[COLUMN_SCORE].hi, 1);
    aggregate_free(&a);
}
END_TEST

START_TEST(the_csv_has_one_line_a_cell_and_names_parameters_where_they_differ)
{
    static const struct rows_fake f[] = {
        {"a", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL},
        {"b", 1, 0, "c0", "q", "snapkv", "0.5", 1, 0.5, none, .status = NULL},
        {"c", 7, 0, "c0", "q", "snapkv", "0.5", 1, 0.5, 0.25, NULL, .window = 64},
    };
    struct aggregate a;
    struct quote csv = {.language = QUOTE_CSV};
    struct str label = {0};
    write_rows(f, 3);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    aggregate_csv(&a, &csv);
    int lines = 0, commas[4] = {0}, quoted = 0;
    for (const char *p = csv.page.p; *p; p++) {
        quoted ^= *p == '"';
        commas[lines] += *p == ',' && !quoted;
        lines += *p == '\n';
    }
    ck_assert_int_eq(lines, 4);
    for (int i = 1; i < 4; i++)
        ck_assert_int_eq(commas[i], commas[0]);
    ck_assert_ptr_nonnull(strstr(csv.page.p, "\"{\"\"window\"\":32}\""));
    ck_assert_ptr_nonnull(strstr(csv.page.p, ",recall,recall_se,"));
    ck_assert_ptr_null(strstr(csv.page.p, "nan"));
    aggregate_policy_label(&a, &a.line[2], &label);
    ck_assert_str_eq(label.p, "snapkv window=64");
    str_clear(&label);
    aggregate_policy_label(&a, &a.line[0], &label);
    ck_assert_str_eq(label.p, "full");
    quote_free(&csv);
    str_free(&label);
    aggregate_free(&a);
}
END_TEST

START_TEST(what_is_no_row_is_refused_with_its_line)
{
    static const struct {
        const char *from, *to, *message;
    } c[] = {
        {"\"schema\":1", "\"schema\":2", "rows.jsonl:2: schema 2, expected 1"},
        {"\"schema\":1,", "", "rows.jsonl:2: field 'schema': expected a whole number, found none"},
        {"\"sample\":0", "\"sample\":0.5",
         "rows.jsonl:2: field 'sample': expected a whole number, found something else"},
        {"\"sample\":0", "\"sample\":1e300",
         "rows.jsonl:2: field 'sample': expected a whole number, found something else"},
        {"\"policy\":\"full\",", "", "rows.jsonl:2: field 'policy': expected text, found none"},
        {"\"status\":\"ok\"", "\"status\":null", "rows.jsonl:2: field 'status': expected text, found something else"},
        {"\"top1\":null,", "", "rows.jsonl:2: field 'top1': expected a number or null, found none"},
        {"\"kl\":0", "\"kl\":[]", "rows.jsonl:2: field 'kl': expected a number or null, found something else"},
        {"{\"schema\":1", "{\"schema\":", "rows.jsonl:2: not valid JSON"},
    };
    static const struct rows_fake f = {"a", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL};
    struct str good = {0};
    rows_add_fake(&good, &f);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        struct aggregate a;
        struct err e = {.msg = "garbage"};
        const char *at = strstr(good.p, c[i].from);
        ck_assert_ptr_nonnull(at);
        str_add(&s, good.p);
        str_addn(&s, good.p, (size_t)(at - good.p));
        str_addf(&s, "%s%s", c[i].to, at + strlen(c[i].from));
        ck_assert_int_eq(fs_write_atomic(rows, s.p, s.n, NULL), 0);
        ck_assert_msg(aggregate_load(dir, &a, &e) == -1, "case %zu was accepted", i);
        ck_assert_int_eq(e.code, ERR_FORMAT);
        ck_assert_msg(strstr(e.msg, c[i].message) != NULL, "case %zu: %s", i, e.msg);
        str_free(&s);
    }
    str_free(&good);
}
END_TEST

START_TEST(a_last_line_without_newline_is_not_there_yet)
{
    static const struct rows_fake f = {"a", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL};
    struct str s = {0};
    struct aggregate a;
    rows_add_fake(&s, &f);
    str_add(&s, "{\"schema\":1,\"ce");
    ck_assert_int_eq(fs_write_atomic(rows, s.p, s.n, NULL), 0);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_row, 1);
    aggregate_free(&a);
    ck_assert_int_eq(fs_write_atomic(rows, "", 0, NULL), 0);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_cell, 0);
    aggregate_free(&a);
    str_free(&s);
}
END_TEST

/* knorm misses everything of task t, at both lengths, and half of task u. */
START_TEST(tasks_are_pooled_by_their_intervals_and_lengths_are_one_task)
{
    static const char *const context[] = {"0", "1", "2", "3"};
    struct rows_fake f[24];
    struct aggregate a;
    struct pool_line *line;
    double lo[2], hi[2];
    int n = 0;
    for (int cell = 0; cell < 6; cell++) /* full and knorm for each of t at 64, t at 128, u at 64 */
        for (int i = 0; i < 4; i++, n++)
            f[n] = (struct rows_fake){(const char *const[]){"a", "b", "c", "d", "e", "f"}[cell],
                                      cell,
                                      i,
                                      context[i],
                                      "q",
                                      cell % 2 ? "knorm" : "full",
                                      cell % 2 ? "0.5" : "",
                                      1,
                                      !(cell % 2) || (cell == 5 && i % 2),
                                      cell % 2 ? 1 + cell : 0,
                                      .length = cell / 2 == 1 ? 128 : 64,
                                      .task = cell < 4 ? "t" : "u",
                                      .bytes = 10 + cell};
    write_rows(f, n);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_line, 6);
    ck_assert_int_eq(pool_lines(&a, &line), 2);
    ck_assert_str_eq(aggregate_text(line[1].cell, "policy"), "knorm");
    ck_assert_int_eq(line[1].score.n, 2);
    ck_assert_int_eq(line[1].n_sample, 12);
    ck_assert_double_eq_tol(line[1].score.mean, 0.25, 1e-12);
    ck_assert_double_eq_tol(line[1].bytes, ((11 + 13) / 2.0 + 15) / 2, 1e-12);
    static const double hits[] = {0, 0, 0, 0, 1, 1};
    const struct stats_range fraction = {0, 1};
    for (int k = 0; k < 2; k++) { /* four contexts, not eight rows */
        struct stats_summary own = stats_mean(hits + 2 * k, 4, &fraction);
        lo[k] = own.lo;
        hi[k] = own.hi;
    }
    ck_assert_double_eq_tol(line[1].score.lo, 0.25 - sqrt(0 + pow(0.5 - lo[1], 2)) / 2, 1e-12);
    ck_assert_double_eq_tol(line[1].score.hi, 0.25 + sqrt(pow(hi[0], 2) + pow(hi[1] - 0.5, 2)) / 2, 1e-12);
    ck_assert_double_eq_tol(line[1].score_diff.mean, -0.75, 1e-12);
    ck_assert_double_eq_tol(line[1].score_diff.lo, -0.75 - fabs(-0.5 - a.line[5].diff[COLUMN_SCORE].lo) / 2, 1e-12);
    /* all four contexts of t are lost: its own interval ends at -(4 - z^2) / (4 + z^2) */
    ck_assert_double_eq_tol(line[1].score_diff.hi,
                            -0.75 + sqrt(pow(1 - 0.020213, 2) + pow(a.line[5].diff[COLUMN_SCORE].hi + 0.5, 2)) / 2,
                            1e-5);
    ck_assert(line[0].kl.lo == 0 && line[0].kl.hi == 0); /* the full cache against itself */
    ck_assert(isnan(line[1].kl.lo));                     /* equal values without a range */
    ck_assert_double_eq_tol(line[1].kl.mean, ((2 + 4) / 2.0 + 6) / 2, 1e-12);
    ck_assert_double_eq_tol(line[0].score.mean, 1, 1e-12);
    ck_assert_double_lt(line[0].score.lo, 0.8);
    mem_free(line);
    aggregate_free(&a);
}
END_TEST

START_TEST(a_task_that_a_cell_lacks_or_failed_is_not_pooled_as_zero)
{
    static const struct rows_fake f[] = {
        {"a", 0, 0, "0", "q", "knorm", "0.5", 1, 1, 2, .task = "t", .bytes = 10},
        {"a", 0, 1, "1", "q", "knorm", "0.5", 1, 0, 2, .task = "t", .bytes = 10},
        {"b", 1, 0, "0", "q", "knorm", "0.5", 1, 1, 9, .task = "u", .bytes = 99, .status = "failed"},
    };
    struct aggregate a;
    struct pool_line *line;
    write_rows(f, 3);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(pool_lines(&a, &line), 1);
    ck_assert_int_eq(line[0].score.n, 1);
    ck_assert_double_eq(line[0].score.mean, 0.5);
    ck_assert_double_eq(line[0].bytes, 10);
    ck_assert_double_eq(line[0].kl.mean, 2);
    ck_assert_int_eq(line[0].score_diff.n, 0);
    ck_assert_double_nan(line[0].score_diff.mean);
    mem_free(line);
    aggregate_free(&a);
}
END_TEST

Suite *make_aggregate_suite(void)
{
    Suite *s = suite_create("aggregate");
    TCase *t = tcase_create("aggregate");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, differences_pair_the_same_sample_and_question);
    tcase_add_test(t, a_row_that_was_computed_again_counts_once_and_failed_rows_count_nowhere);
    tcase_add_test(t, policy_seeds_pool_into_one_line_whose_unit_is_the_context);
    tcase_add_test(t, tasks_are_pooled_by_their_intervals_and_lengths_are_one_task);
    tcase_add_test(t, a_task_that_a_cell_lacks_or_failed_is_not_pooled_as_zero);
    tcase_add_test(t, the_forms_of_a_task_share_their_contexts_and_tasks_do_not);
    tcase_add_test(t, hits_and_misses_get_an_interval_with_a_width);
    tcase_add_test(t, the_csv_has_one_line_a_cell_and_names_parameters_where_they_differ);
    tcase_add_test(t, what_is_no_row_is_refused_with_its_line);
    tcase_add_test(t, a_last_line_without_newline_is_not_there_yet);
    suite_add_tcase(s, t);
    return s;
}
