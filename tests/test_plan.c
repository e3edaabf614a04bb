/* Which rows of a folder count: a folder that other experiments, models and programs have used gives the tables of a
 * fresh one, whatever else its journal holds. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"
#include "harness/report/pool.h"
#include "harness/rows/plan.h"
#include "harness/rows/rowkey.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* Records q<from> .. of a file, in the order of `which`; "-" marks an answer that was corrected. */
static void write_records(const char *which)
{
    struct str s = {0};
    for (const char *p = which; *p; p++) {
        int mended = p[1] == '-';
        str_addf(&s,
                 "{\"id\":\"q%c\",\"context\":\"The captain is called Mora%c. \",\"question\":\"Who? "
                 "\",\"answer_prefix\":\"\","
                 "\"answers\":[\"Mora%c\"]}\n",
                 *p, *p, mended ? 'x' : *p);
        p += mended;
    }
    rows_write("r.jsonl", s.p);
    str_free(&s);
}

static void run(const char *out, const char *axes, struct runner_summary *sum)
{
    struct str y = {0};
    str_addf(&y,
             "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks:\n  - jsonl: {file: r.jsonl, prompt: "
             "\"{context}{question}{answer_prefix}\", "
             "metric: exact, max_new_tokens: 4}\nmeasure: [score, nll]\n%s\n",
             axes);
    rows_run(y.p, out, 0, sum);
    str_free(&y);
}

static const char both[] = "samples: 20\nsweep:\n  - {policy: streaming, keep: 0.5}\n  - {policy: random, keep: 0.5}";
static const char two[] = "samples: 2\nsweep:\n  - {policy: streaming, keep: 0.5}\n  - {policy: random, keep: 0.5}";
static const char late[] =
    "samples: 3\nfirst_sample: 2\nsweep:\n  - {policy: streaming, keep: 0.5}\n  - {policy: random, keep: 0.5}";
static const char turned[] = "samples: 20\nsweep:\n  - {policy: random, keep: 0.5}\n  - {policy: streaming, keep: 0.5}";

/* cells.csv but for the columns of times, which stand at the end. */
static char *cells(const char *out, struct aggregate *a)
{
    struct quote csv = {.language = QUOTE_CSV};
    struct str kept = {0};
    char *dir = rows_path(out);
    struct err e;
    ck_assert_msg(aggregate_load(dir, a, &e) == 0, "%s", e.msg);
    aggregate_csv(a, &csv);
    for (char *p = csv.page.p, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        char *q = end;
        for (int comma = 0; comma < 2; comma += *q == ',')
            q--;
        str_addn(&kept, p, (size_t)(q - p));
        str_addc(&kept, '\n');
    }
    quote_free(&csv);
    mem_free(dir);
    return str_take(&kept);
}

/* Runs into the used folder and into a fresh one; both must say the same, and the used one what it has left out. */
static void check(const char *what, const char *records, const char *axes, int n, int written, enum plan_verdict why,
                  int left)
{
    struct aggregate used, fresh;
    struct runner_summary sum;
    static int number;
    char out[16];
    snprintf(out, sizeof out, "fresh-%d", number++);
    write_records(records);
    run("used", axes, &sum);
    run(out, axes, NULL);
    char *a = cells("used", &used), *b = cells(out, &fresh);
    ck_assert_msg(strcmp(a, b) == 0, "%s:\n%s\nand fresh:\n%s", what, a, b);
    ck_assert_msg(used.cell[0].n_ok == n, "%s: n %d, expected %d", what, used.cell[0].n_ok, n);
    ck_assert_msg((int)sum.rows == written, "%s: %ld rows written, expected %d", what, sum.rows, written);
    ck_assert_msg(used.left_out[why] == left, "%s: %d rows left out for reason %d, expected %d", what,
                  used.left_out[why], why, left);
    aggregate_free(&used);
    aggregate_free(&fresh);
    mem_free(a);
    mem_free(b);
}

START_TEST(a_used_folder_gives_the_tables_of_a_fresh_one)
{
    check("six records", "012345", both, 6, 18, PLAN_SAMPLE, 0);
    check("the last three deleted", "012", both, 3, 0, PLAN_SAMPLE, 9);
    check("all of them again", "012345", both, 6, 0, PLAN_SAMPLE, 0);
    check("the first deleted", "12345", both, 5, 15, PLAN_SAMPLE, 18);
    check("two samples", "012345", two, 2, 0, PLAN_SAMPLE, 27);
    check("samples from 2 on", "012345", late, 3, 0, PLAN_SAMPLE, 24);
    check("in another order", "543210", both, 6, 15 /* q3 stands where it stood without q0 */, PLAN_SAMPLE, 30);
    check("a corrected answer", "012-345", both, 6, 3, PLAN_DATA, 3);
    check("cells in another order", "012345", turned, 6, 0, PLAN_DATA, 3);
}
END_TEST

START_TEST(of_two_models_in_one_file_each_gets_its_own_table)
{
    char *model = rows_path("tiny.h5");
    check("model A", "0123", both, 4, 12, PLAN_INPUTS, 0);
    support_model_file(model, 2, 2);
    check("model B", "0123", both, 4, 12, PLAN_INPUTS, 12);
    support_model_file(model, 3, 2);
    check("model A again", "0123", both, 4, 0, PLAN_INPUTS, 12);
    support_model_file(model, 2, 2);
    check("model B, two samples", "0123", two, 2, 0, PLAN_INPUTS, 6);
    mem_free(model);
}
END_TEST

START_TEST(a_run_that_was_stopped_shows_what_is_there_of_it)
{
    struct aggregate a, whole;
    struct str left = {0};
    check("four records", "0123", both, 4, 12, PLAN_SAMPLE, 0);
    char *rows = rows_read("used/rows.jsonl"), *end = rows;
    mem_free(cells("used", &whole));
    for (int i = 0; i < 5; i++)
        end = strchr(end, '\n') + 1;
    rows_write("used/rows.jsonl", "");
    str_addn(&left, rows, (size_t)(end - rows));
    rows_write("used/rows.jsonl", left.p); /* as it was after five rows; the plan is there from the beginning */
    mem_free(cells("used", &a));
    ck_assert_int_eq(a.n_row, 5);
    ck_assert_int_eq(a.unlisted, 0);
    for (int i = 0; i < a.n_row; i++)
        ck_assert_str_eq(a.cell[a.row[i].cell].id, whole.cell[a.row[i].cell].id); /* in the experiment's order */
    aggregate_free(&a);
    aggregate_free(&whole);
    str_free(&left);
    mem_free(rows);
}
END_TEST

START_TEST(rows_that_do_not_belong_are_counted_by_reason)
{
    static const char *const change[][2] = {
        {"\"schema\":1", "\"schema\":2"},    {"\"cell\":\"", "\"cell\":\"f"}, {"\"sample\":0", "\"sample\":7"},
        {"\"engine\":\"", "\"engine\":\"x"}, {"\"key\":\"", "\"key\":\"f"},
    };
    static const enum plan_verdict why[] = {PLAN_SCHEMA, PLAN_CELL, PLAN_SAMPLE, PLAN_BUILD, PLAN_INPUTS};
    struct aggregate a;
    struct str text = {0};
    struct message_list told = {0};
    write_records("0");
    run("used", both, NULL);
    char *rows = rows_read("used/rows.jsonl"), *end = strchr(rows, '\n');
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) { /* the first row again, with one thing changed */
        char *at = strstr(rows, change[i][0]);
        ck_assert(at && at < end);
        str_addn(&text, rows, (size_t)(at - rows));
        str_add(&text, change[i][1]);
        str_addn(&text, at + strlen(change[i][0]), (size_t)(end + 1 - at) - strlen(change[i][0]));
    }
    /* a key of another engine is another one */
    char *key = strstr(text.p, "\"engine\":\"x") - 66;
    memcpy(key, "ffff", 4);
    str_add(&text, rows);
    rows_write("used/rows.jsonl", text.p);
    mem_free(cells("used", &a));
    ck_assert_int_eq(a.n_row, 3);
    for (size_t i = 0; i < sizeof why / sizeof *why; i++)
        ck_assert_msg(a.left_out[why[i]] == 1, "reason %d: %d", why[i], a.left_out[why[i]]);
    aggregate_tell(&a, &told);
    ck_assert_str_eq(
        told.v[0].text,
        "left out: 1 row of 1 cell that the experiment no longer has, 1 row of samples or questions that the "
        "experiment "
        "no longer has, 1 row by another build, processor or library (engines in manifest.json), 1 row of another "
        "model, tokenizer or profile, other measures, or other sources of the policy or layer budget, 1 row in the "
        "form of another version");
    aggregate_free(&a);
    str_free(&text);
    message_list_free(&told);
    mem_free(rows);
}
END_TEST

START_TEST(pooled_tables_say_what_they_leave_out)
{
    struct quote all = {.language = QUOTE_MARKDOWN}, some = all;
    char *dir = rows_path("used");
    write_records("012");
    run("used", both, NULL);
    ck_assert_int_eq(pool_markdown(dir, &all, NULL), 0);
    ck_assert_ptr_null(strstr(all.page.p, "left out"));
    run("used", two, NULL);
    ck_assert_int_eq(pool_markdown(dir, &some, NULL), 0);
    ck_assert_ptr_nonnull(strstr(
        some.page.p, "\n**warning**: left out: 3 rows of samples or questions that the experiment no longer has\n"));
    quote_free(&all);
    quote_free(&some);
    mem_free(dir);
}
END_TEST

START_TEST(a_model_that_was_not_loaded_yet_has_rows_that_wait)
{
    struct experiment x;
    struct err e;
    write_records("0");
    run("used", both, NULL);
    char *path = rows_path("x.yaml"), *dir = rows_path("used");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), 0);
    struct plan *p = plan_create(&x, "0123456789abcdef0123");
    ck_assert_msg(plan_write(p, dir, &e) == 0, "%s", e.msg);
    plan_destroy(p);
    struct aggregate a;
    mem_free(cells("used", &a));
    ck_assert_int_eq(a.n_row, 0);
    ck_assert_int_eq(a.left_out[PLAN_PENDING], 3);
    aggregate_free(&a);
    experiment_fini(&x);
    mem_free(path);
    mem_free(dir);
}
END_TEST

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(a_plan_that_is_none_is_an_error_with_file_and_line)
{
    static const char head[] = "{\"schema\":1,\"engine\":\"0123456789abcdef\"}\n";
    static const char *const bad[][2] = {
        {"", "plan.jsonl: empty"},
        {"{\"schema\":2,\"engine\":\"0123456789abcdef\"}\n", "plan.jsonl:1: field 'schema': expected 1"},
        {"{\"schema\":1,\"engine\":\"x\"}\n", "plan.jsonl:1: field 'engine': expected 16 hexadecimal digits"},
        {"+{\"cell\":\"a\",\"key\":null,\"data\":-1}\n", "plan.jsonl:2: field 'data': expected a whole number"},
        {"+{\"cell\":\"a\",\"key\":\"12\",\"data\":0}\n",
         "plan.jsonl:2: field 'key': expected 64 hexadecimal digits or null"},
        {"+{\"cell\":\"" HEX "0\",\"key\":null,\"data\":0}\n", "plan.jsonl:2: field 'cell': expected the id of a cell"},
        {"+{\"cell\":\"a\",\"key\":null,\"data\":0}\n{\"cell\":\"a\",\"key\":null,\"data\":0}\n",
         "plan.jsonl:3: field 'cell': a cell that has a line"},
        {"+{\"data\":0,\"sample\":0,\"question\":\"q\",\"sha256\":\"\"}\n",
         "plan.jsonl:2: expected a cell, or a question"},
        {"+[]\n", "plan.jsonl:2: not valid JSON"},
        {"+{\"cell\":\"a\"", "plan.jsonl:2: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct str text = {0};
        struct plan *p;
        struct err e = {0};
        str_addf(&text, "%s%s", bad[i][0][0] == '+' ? head : "", bad[i][0] + (bad[i][0][0] == '+'));
        rows_write("plan.jsonl", str_c(&text));
        char *dir = rows_path("");
        ck_assert_msg(plan_read(dir, &p, &e) == -1 && !p, "case %zu was accepted", i);
        ck_assert_msg(strstr(e.msg, bad[i][1]) != NULL, "%s", e.msg);
        mem_free(dir);
        str_free(&text);
    }
}
END_TEST

START_TEST(ids_of_one_sample_need_not_be_unique)
{
    static const char plan[] =
        "{\"schema\":1,\"engine\":\"0123456789abcdef\"}\n{\"cell\":\"a\",\"key\":\"" HEX "\",\"data\":0}\n"
        "{\"data\":0,\"sample\":0,\"question\":\"q \\\"\",\"sha256\":\"" HEX "\"}\n"
        "{\"data\":0,\"sample\":0,\"question\":\"q "
        "\\\"\",\"sha256\":\"f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}\n";
    struct plan *p;
    struct err e;
    char key[3][HASH_HEX], *dir = rows_path("");
    rowkey_join(HEX, HEX, key[0]);
    rowkey_join(HEX, "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", key[1]);
    rowkey_join(HEX, "e123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", key[2]);
    rows_write("plan.jsonl", plan);
    ck_assert_msg(plan_read(dir, &p, &e) == 0, "%s", e.msg);
    for (int i = 0; i < 3; i++) {
        struct str s = {0};
        str_addf(&s,
                 "{\"schema\":1,\"cell\":\"a\",\"key\":\"%s\",\"engine\":\"0123456789abcdef\",\"sample\":0,\"question_"
                 "id\":\"q \\\"\",\"data\":\"e123\"}",
                 key[i]);
        struct json *row = json_parse("row", s.p, s.n, &e);
        ck_assert_int_eq(plan_judge(p, row), i < 2 ? PLAN_BELONGS : PLAN_DATA);
        json_free(row);
        str_free(&s);
    }
    plan_destroy(p);
    mem_free(dir);
}
END_TEST

Suite *make_plan_suite(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_used_folder_gives_the_tables_of_a_fresh_one);
    tcase_add_test(t, of_two_models_in_one_file_each_gets_its_own_table);
    tcase_add_test(t, a_run_that_was_stopped_shows_what_is_there_of_it);
    tcase_add_test(t, rows_that_do_not_belong_are_counted_by_reason);
    tcase_add_test(t, pooled_tables_say_what_they_leave_out);
    tcase_add_test(t, a_model_that_was_not_loaded_yet_has_rows_that_wait);
    tcase_add_test(t, a_plan_that_is_none_is_an_error_with_file_and_line);
    tcase_add_test(t, ids_of_one_sample_need_not_be_unique);
    suite_add_tcase(s, t);
    return s;
}
