/* The row as text, and the journal: what a killed run leaves, what another run may do, what is remembered. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/rows/record.h"
#include "harness/rows/source_id.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* An experiment of one task and one cell, put together by hand. */
static struct exp_model model = {.name = (char[]){"m"}};
static const struct metric_ops *metric[2];
static struct exp_task task = {
    .label = (char[]){"t \"1\""}, .params = (char[]){"{\"length\":9}"}, .length = 9, .metric = metric, .n_metric = 2};
static struct cell cell = {.params = (char[]){"{\"window\":3}"},
                           .budget_text = (char[]){"0.5"},
                           .layer_budget = (char[]){"\"uniform\""},
                           .protect_json = (char[]){"{}"},
                           .prefill = (char[]){"\"full\""},
                           .decode = (char[]){"\"frozen\""},
                           .policy_seed = 4,
                           .max_new_tokens = 7,
                           .id = "0123456789abcdef"};
static struct experiment x = {.model = &model,
                              .n_model = 1,
                              .task = &task,
                              .n_task = 1,
                              .cell = &cell,
                              .n_cell = 1,
                              .template_name = (char[]){"raw"},
                              .seed = 2};

static struct row make_row(const char *key, int sample, const char *question)
{
    metric[0] = metric_find("exact");
    metric[1] = metric_find("f1");
    task.ops = dataset_find("passkey");
    cell.policy = policy_find("snapkv");
    cell.allocator = allocator_find("uniform");
    cell.heads = head_find("uniform");
    struct row r;
    row_begin(&r, &x, &cell, 2, sample);
    r.key = key;
    r.question_id = question;
    r.context_id = "c";
    r.engine = "0123456789abcdef and more";
    strcpy(r.data, "fedcba9876543210 and more");
    strcpy(r.prompt_sha256, "ab");
    r.prompt_tokens = 12;
    r.finish_reason = "eos";
    r.group_cells = 3;
    return r;
}

START_TEST(a_row_has_every_column_in_a_fixed_order)
{
    static const double kept[] = {3, 2.5}, lost[] = {0.25, 0}, found[] = {1, 0.5};
    struct row r = make_row("k", 5, "q\n");
    struct str s = {0}, want = {0};
    r.n = 10;
    r.keep = 0.275;
    r.keep_tokens = 2;
    r.keep_bytes = 88;
    r.kept = kept;
    r.attention_lost = lost;
    r.evidence_kept = found;
    r.cache_bytes = 100;
    r.cache_share = 0.125;
    r.cache_bytes_bf16 = 50;
    r.cache_bytes_end = 120;
    r.cache_bytes_peak = 640;
    r.resident_bytes = 900;
    r.output = "a\tb";
    r.output_tokens = 2;
    r.metric[0] = 1;
    r.metric[1] = 0.5;
    r.extra[0].name = "recall";
    r.extra[0].value = 0.75;
    r.n_extra = 1;
    r.nll = 2.5;
    r.kl = 0.125;
    r.top1 = 0.5;
    r.kl_max = 0.25;
    r.first_divergence = 1;
    r.prefill_s = 0.5;
    r.decode_s = 0.25;
    record_json(&r, &s);
    str_addf(&want,
             "{\"schema\":1,\"cell\":\"0123456789abcdef\",\"key\":\"k\",\"engine\":\"0123456789abcdef\",\"build\":\"%"
             "s\",\"cell_index\":0,\"model\":\"m\",",
             source_id_git);
    str_addf(&want, "\"task\":\"t \\\"1\\\"\",\"task_version\":%d,", dataset_find("passkey")->version);
    str_add(&want, "\"task_params\":{\"length\":9},\"length\":9,\"sample\":5,\"seed\":2,"
                   "\"question_id\":\"q\\n\",\"context_id\":\"c\",\"prompt_sha256\":\"ab\",\"data\":"
                   "\"fedcba9876543210\",\"policy\":\"snapkv\",\"params\":{\"window\":3},"
                   "\"keep\":0.275,\"keep_tokens\":2,\"keep_bytes\":88,\"budget\":\"0.5\",\"level\":null,\"layer_"
                   "budget\":\"uniform\","
                   "\"head_budget\":\"uniform\",\"protect\":{},\"positions\":\"original\",\"windows\":\"keep\","
                   "\"prefill\":\"full\","
                   "\"decode\":\"frozen\","
                   "\"prune_after\":\"context\",\"policy_seed\":4,\"weight_dtype\":\"f32\",\"max_new_tokens\":7,"
                   "\"arithmetic\":\"f32\",\"cache_dtype\":\"f32\","
                   "\"template\":\"raw\",\"status\":\"ok\",\"reason\":\"\","
                   "\"prompt_tokens\":12,\"n\":10,\"kept\":[3,2.5],\"protection_cut\":false,\"cache_bytes\":100,"
                   "\"cache_share\":0.125,\"cache_bytes_bf16\":50,"
                   "\"cache_bytes_end\":120,\"cache_bytes_peak\":640,\"policy_bytes\":0,\"caches_rss\":900,\"output\":"
                   "\"a\\tb\",\"output_tokens\":2,"
                   "\"finish_reason\":\"eos\",\"metric\":\"exact\",\"score\":1,\"metrics\":{\"exact\":1,\"f1\":0.5,"
                   "\"recall\":0.75},\"nll\":2.5,"
                   "\"kl\":0.125,\"top1\":0.5,\"kl_max\":0.25,\"first_divergence\":1,\"attention_lost\":[0.25,0],"
                   "\"evidence_kept\":[1,0.5],"
                   "\"prefill_s\":0.5,\"decode_s\":0.25,\"group_cells\":3}");
    ck_assert_str_eq(s.p, want.p);
    str_free(&s);
    str_free(&want);
}
END_TEST

START_TEST(what_a_failed_row_does_not_know_is_null)
{
    static const char *const unknown[] = {
        "keep",  "keep_tokens", "keep_bytes", "n",    "kept",   "cache_bytes",      "cache_share",    "output_tokens",
        "score", "nll",         "kl",         "top1", "kl_max", "first_divergence", "attention_lost", "evidence_kept"};
    struct row r = make_row("k", 0, "q");
    struct str s = {0};
    r.status = ROW_FAILED;
    r.reason = "policy 'snapkv': no";
    record_json(&r, &s);
    struct json *v = json_parse("row", s.p, s.n, NULL);
    ck_assert_str_eq(json_string(json_get(v, "status")), "failed");
    ck_assert_str_eq(json_string(json_get(v, "reason")), "policy 'snapkv': no");
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        ck_assert_msg(json_is_null(json_get(v, unknown[i])), "%s", unknown[i]);
    json_free(v);
    str_free(&s);
}
END_TEST

static struct journal *open_journal(void)
{
    struct err e;
    struct journal *j = journal_open(dir, NULL, &e);
    ck_assert_msg(j != NULL, "%s", e.msg);
    return j;
}

static void append(struct journal *j, const char *key, int sample, const char *question, enum row_status status)
{
    struct row r = make_row(key, sample, question);
    struct err e;
    r.status = status;
    ck_assert_msg(journal_append(j, &r, &e) == 0, "%s", e.msg);
}

START_TEST(rows_are_found_again_by_key_sample_and_question)
{
    struct journal *j = open_journal();
    append(j, "k", 0, "q", ROW_OK);
    append(j, "k", 1, "q", ROW_OK);
    append(j, "l", 0, "q r", ROW_OK);
    append(j, "f", 0, "q", ROW_FAILED);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_int_eq(journal_count(j), 3);
        ck_assert(journal_has(j, "k", 0, "q") && journal_has(j, "k", 1, "q") && journal_has(j, "l", 0, "q r"));
        ck_assert(!journal_has(j, "k", 2, "q") && !journal_has(j, "k", 0, "r") && !journal_has(j, "l", 0, "q"));
        ck_assert(!journal_has(j, "f", 0, "q")); /* failed rows are tried again */
        journal_close(j);
        j = open_journal();
    }
    append(j, "f", 0, "q", ROW_OK);
    ck_assert(journal_has(j, "f", 0, "q"));
    journal_close(j);
}
END_TEST

START_TEST(many_rows_are_remembered)
{
    struct journal *j = open_journal();
    char key[16];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 3000; i++) { /* the table grows on the way */
            snprintf(key, sizeof key, "k%d", i);
            if (pass == 0)
                append(j, key, i, "q", ROW_OK);
            ck_assert(journal_has(j, key, i, "q") && !journal_has(j, key, i + 1, "q"));
        }
        ck_assert_int_eq(journal_count(j), 3000);
        journal_close(j);
        j = open_journal();
    }
    journal_close(j);
}
END_TEST

/* rows.jsonl as it is after two rows, and more text. */
static char *two_rows_and(const char *more)
{
    struct journal *j = open_journal();
    append(j, "a", 0, "q", ROW_OK);
    append(j, "b", 0, "q", ROW_OK);
    journal_close(j);
    struct str s = {0};
    char *good = rows_read("rows.jsonl");
    str_add(&s, good);
    str_add(&s, more);
    rows_write("rows.jsonl", s.p);
    str_free(&s);
    return good;
}

START_TEST(a_torn_last_line_is_cut_off)
{
    static const char *const torn[] = {"{\"schema\":1,\"cell\":\"01",   "{",    "x",
                                       "{\"schema\":1,\"cell\":\"01\n", "{}\n", "\n"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        rows_write("rows.jsonl", "");
        char *good = two_rows_and(torn[i]);
        struct journal *j = open_journal();
        ck_assert_int_eq(journal_count(j), 2);
        char *text = rows_read("rows.jsonl");
        ck_assert_msg(strcmp(text, good) == 0, "case %zu: %s", i, text + strlen(good));
        mem_free(text);
        append(j, "c", 0, "q", ROW_OK); /* and the next row begins a line of its own */
        journal_close(j);
        j = open_journal();
        ck_assert_int_eq(journal_count(j), 3);
        journal_close(j);
        mem_free(good);
    }
}
END_TEST

START_TEST(a_broken_line_in_the_middle_is_an_error_with_its_line)
{
    static const char *const broken[] = {"{\"schema\":1,\"cell\":\"01\n",
                                         "not JSON\n",
                                         "{}\n",
                                         "\n",
                                         "{\"key\":\"a\",\"question_id\":\"q\",\"status\":\"ok\"}\n",
                                         "{\"key\":\"a\",\"question_id\":\"q\",\"status\":\"ok\",\"sample\":0.5}\n"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct str s = {0}, want = {0};
        struct err e = {.msg = "garbage"};
        rows_write("rows.jsonl", "");
        char *good = two_rows_and("");
        str_add(&s, broken[i]);
        str_add(&s, good);
        rows_write("rows.jsonl", s.p);
        ck_assert_msg(journal_open(dir, NULL, &e) == NULL, "case %zu is accepted", i);
        ck_assert_int_eq(e.code, ERR_FORMAT);
        str_addf(&want, "%s/rows.jsonl:1: not a row; mend or remove the line", dir);
        ck_assert_str_eq(e.msg, want.p);
        char *text = rows_read("rows.jsonl");
        ck_assert_str_eq(text, s.p); /* nothing was touched */
        mem_free(text);
        mem_free(good);
        str_free(&s);
        str_free(&want);
    }
}
END_TEST

START_TEST(one_run_keeps_another_out_until_it_ends_however_it_ends)
{
    struct err e = {.msg = "garbage"};
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) { /* holds the folder until it is killed */
        struct journal *j = journal_open(dir, NULL, NULL);
        if (write(ready[1], j ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    ck_assert_ptr_null(journal_open(dir, NULL, &e));
    ck_assert_int_eq(e.code, ERR_IO);
    struct str want = {0};
    str_addf(&want, "%s: another run (process %ld) writes to this folder", dir, (long)pid);
    ck_assert_str_eq(e.msg, want.p);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct journal *j = open_journal();
    append(j, "k", 0, "q", ROW_OK);
    journal_close(j);
    str_free(&want);
}
END_TEST

START_TEST(a_folder_is_made_with_its_parents_and_what_is_no_folder_is_refused)
{
    struct err e;
    char *deep = rows_path("a/b/c"), *file = rows_path("tiny.h5");
    struct journal *j = journal_open(deep, NULL, &e);
    ck_assert_msg(j != NULL, "%s", e.msg);
    journal_close(j);
    ck_assert(fs_is_dir(deep));
    ck_assert_ptr_null(journal_open(file, NULL, &e));
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.msg, "tiny.h5: Not a directory"));
    mem_free(deep);
    mem_free(file);
}
END_TEST

Suite *make_journal_suite(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_row_has_every_column_in_a_fixed_order);
    tcase_add_test(t, what_a_failed_row_does_not_know_is_null);
    tcase_add_test(t, rows_are_found_again_by_key_sample_and_question);
    tcase_add_test(t, many_rows_are_remembered);
    tcase_add_test(t, a_torn_last_line_is_cut_off);
    tcase_add_test(t, a_broken_line_in_the_middle_is_an_error_with_its_line);
    tcase_add_test(t, one_run_keeps_another_out_until_it_ends_however_it_ends);
    tcase_add_test(t, a_folder_is_made_with_its_parents_and_what_is_no_folder_is_refused);
    suite_add_tcase(s, t);
    return s;
}
