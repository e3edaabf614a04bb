/* The runner where things go wrong: a row for every failure, the others as if nothing had been; progress. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/cmd/cli.h"
#include "harness/report/aggregate.h"
#include "harness/run/progress.h"
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

static const char head[] =
    "schema: 1\nexperiment: x\nmodel: tiny.h5\nmeasure: [score, nll, kl]\nmax_new_tokens: 3\nsamples: 9\n";

START_TEST(a_cell_that_fails_is_a_row_and_changes_no_other)
{
    /* line 9: two whole layers of three leave nothing at a budget of a tenth */
    static const char bad[] = "  - {policy: knorm, keep: [0.1, 0.9], protect: {first_layers: 2}}\n";
    struct str y = {0};
    struct rows good, both;
    struct runner_summary sum;
    str_addf(&y, "%stasks: [passkey: {length: 400}]\nsweep:\n  - {policy: [tova, random], keep: 0.5}\n", head);
    rows_run_and_load(y.p, "good", &good);
    str_add(&y, bad);
    rows_run(y.p, "both", 0, &sum);
    rows_load("both", &both);
    rows_check_all(&good, &both, 0, "beside a cell that fails");
    ck_assert_int_eq((int)sum.rows, 9 * 5);
    ck_assert_int_eq((int)sum.failed, 9);
    ck_assert_ptr_nonnull(strstr(
        sum.first_failure,
        "x.yaml:10: protect: first_layers 2 need 792 entries of a total of 117, which leaves -675 for 1 other layers"));
    int failed = 0;
    for (int i = 0; i < both.n; i++)
        if (strcmp(rows_text(both.v[i], "status"), "failed") == 0) {
            ck_assert_str_eq(rows_text(both.v[i], "budget"), "0.1");
            ck_assert_ptr_nonnull(strstr(rows_text(both.v[i], "reason"), "first_layers 2 need 792 entries"));
            ck_assert_str_eq(rows_text(both.v[i], "output"), "");
            ck_assert_str_eq(rows_text(both.v[i], "kl"), "null");
            failed++;
        }
    ck_assert_int_eq(failed, 9);
    rows_run(y.p, "both", 0, &sum); /* failed rows are tried again, others not */
    ck_assert_int_eq((int)sum.rows, 9);
    ck_assert_int_eq((int)sum.reused, 36);
    rows_free(&good);
    rows_free(&both);
    str_free(&y);
}
END_TEST

START_TEST(a_prompt_that_no_model_holds_fails_its_rows_alone)
{
    struct str y = {0}, records = {0};
    struct rows r;
    struct runner_summary sum;
    for (int i = 0; i < 3; i++) {
        str_addf(&records, "{\"id\": \"r%d\", \"context\": \"", i);
        for (int k = 0; k < (i == 1 ? 600 : 60); k++)
            str_addc(&records, (char)('a' + k % 23));
        str_add(&records, "\", \"answers\": [\"x\"]}\n");
    }
    rows_write("qa.jsonl", records.p);
    str_addf(&y, "%stasks: [jsonl: {file: qa.jsonl}]\nsweep:\n  - {policy: [tova, knorm], keep: 0.5}\n", head);
    rows_run(y.p, "out", 0, &sum);
    rows_load("out", &r);
    ck_assert_int_eq((int)sum.rows, 9);
    ck_assert_int_eq((int)sum.failed, 3);
    for (int i = 0; i < r.n; i++) {
        int bad = strcmp(rows_text(r.v[i], "question_id"), "r1") == 0;
        ck_assert_str_eq(rows_text(r.v[i], "status"), bad ? "failed" : "ok");
        ck_assert_str_eq(rows_text(r.v[i], "reason"),
                         bad ? "prompt of 603 tokens + 3 to generate exceed the model's context of 512" : "");
        ck_assert_str_eq(rows_text(r.v[i], "sample"), bad ? "1" : rows_text(r.v[i], "question_id") + 1);
        ck_assert_str_eq(rows_text(r.v[i], "context_id"), rows_text(r.v[i], "question_id"));
        ck_assert_uint_eq(strlen(rows_text(r.v[i], "prompt_sha256")), 64);
    }
    rows_free(&r);
    str_free(&y);
    str_free(&records);
}
END_TEST

START_TEST(what_was_cut_off_is_counted)
{
    struct str y = {0};
    struct rows r;
    struct runner_summary sum;
    int cut = 0;
    struct str book = {0}, want = {0};
    struct aggregate a;
    struct message_list told = {0};
    for (int i = 0; i < 100; i++)
        str_addf(&book, "Line %d of a book in which not much happens.\n\n", i);
    rows_write("book.txt", book.p);
    str_free(&book);
    str_addf(&y,
             "%stasks:\n  - passkey: {length: 300}\n  - text: {length: 300, file: book.txt}\nsweep:\n  - {policy: "
             "[tova, knorm], keep: 0.5}\n",
             head);
    rows_run(y.p, "out", 0, &sum);
    rows_load("out", &r);
    for (int i = 0; i < r.n; i++) /* of a likelihood nothing is cut off */
        cut += strcmp(rows_text(r.v[i], "finish_reason"), "length") == 0 &&
               strcmp(rows_text(r.v[i], "task"), "passkey") == 0;
    ck_assert_int_gt(cut, 0);
    ck_assert_int_eq((int)sum.rows, 2 * 9 * 3);
    char *dir = rows_path("out");
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    aggregate_tell(&a, &told);
    str_addf(&want, "%d of %d outputs were cut off by max_new_tokens", cut, 9 * 3);
    ck_assert_msg(strstr(rows_told(&told), want.p) != NULL, "%s", rows_told(&told));
    message_list_free(&told);
    aggregate_free(&a);
    mem_free(dir);
    str_free(&want);
    rows_free(&r);
    str_free(&y);
}
END_TEST

START_TEST(an_interrupt_stops_before_the_next_row_and_the_next_run_continues)
{
    struct experiment x;
    struct runner_summary sum;
    struct str y = {0};
    struct err e = {0};
    str_addf(&y, "%stasks: [passkey: {length: 300}]\nsweep:\n  - {policy: tova, keep: 0.5}\n", head);
    rows_write("x.yaml", y.p);
    char *path = rows_path("x.yaml"), *out = rows_path("out");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), 0);
    leave_when_asked();
    raise(SIGINT);
    alarm(0); /* the grace that it gives may be too short on a busy machine */
    ck_assert_int_eq(leave_asked(), 1);
    struct runner_options o = {.dir = out, .quiet = 1};
    ck_assert_int_eq(runner_run(&x, &o, &sum, &e), -1);
    ck_assert_int_eq(e.code, ERR_INTERRUPTED);
    ck_assert_str_eq(e.msg, "stopped; run the same command again to continue");
    ck_assert_int_eq((int)sum.rows, 0);
    char *manifest = rows_read("out/manifest.json"); /* a run that was stopped can be audited, too */
    ck_assert_ptr_nonnull(strstr(manifest, "\"finished\": null"));
    ck_assert_ptr_nonnull(strstr(manifest, "\"baseline\": \"{policy: full}\""));
    mem_free(manifest);
    mem_free(path);
    mem_free(out);
    experiment_fini(&x);
    str_free(&y);
}
END_TEST

/* What progress prints off a terminal, with its times left out. */
static char *progress_text(int quiet, long total)
{
    char *file = rows_path("stderr");
    int old = dup(STDERR_FILENO);
    ck_assert_ptr_nonnull(freopen(file, "w", stderr));
    struct progress p;
    progress_begin(&p, "samples", total, quiet);
    for (long i = 0; i < total; i++)
        progress_step(&p, i == total - 1 ? "the last" : "another");
    progress_end(&p);
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    mem_free(file);
    return rows_read("stderr");
}

START_TEST(progress_off_a_terminal_is_a_line_now_and_then)
{
    char *text = progress_text(0, 5);
    ck_assert_int_eq(strncmp(text, "[########################] 5/5 samples  ", 40), 0);
    ck_assert_ptr_nonnull(strstr(text, "/s  0 s left  the last\n"));
    ck_assert_ptr_eq(strchr(text, '\n') + 1, text + strlen(text)); /* one line: the others came within seconds */
    mem_free(text);
    text = progress_text(1, 5);
    ck_assert_str_eq(text, "");
    mem_free(text);
}
END_TEST

Suite *make_runner_suite(void)
{
    Suite *s = suite_create("runner");
    TCase *t = tcase_create("runner");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_cell_that_fails_is_a_row_and_changes_no_other);
    tcase_add_test(t, a_prompt_that_no_model_holds_fails_its_rows_alone);
    tcase_add_test(t, what_was_cut_off_is_counted);
    tcase_add_test(t, an_interrupt_stops_before_the_next_row_and_the_next_run_continues);
    tcase_add_test(t, progress_off_a_terminal_is_a_line_now_and_then);
    suite_add_tcase(s, t);
    return s;
}
