/* The loop over an experiment's prompts: which come, in which order, and what it tells of those that can't be made. */
#include <check.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/prompts.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static struct experiment x;
static struct model model;
static struct encode_context encode;

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    tokenizer_destroy(model.tokenizer);
    model.tokenizer = NULL;
    experiment_fini(&x);
    rows_leave();
}

static void load(const char *tasks_and_sweep)
{
    struct str y = {0}, errors = {0};
    struct err e;
    str_addf(&y, "schema: 1\nexperiment: x\nmodel: tiny.h5\n%s", tasks_and_sweep);
    rows_write("x.yaml", y.p);
    char *path = rows_path("x.yaml");
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, &errors, &e) == 0, "%s", str_c(&errors));
    model.hp = x.model[0].hp;
    encode.model = &model;
    ck_assert_int_eq(prompts_open(&x, 0, &model, &encode, NULL), 0);
    mem_free(path);
    str_free(&y);
    str_free(&errors);
}

/* A prompt of 396 tokens fits, one of 20 does not. */
static const char two_lengths[] = "tasks: [passkey: {length: 400}]\nsamples: 3\nfirst_sample: 2\nsweep:\n"
                                  "  - {policy: knorm, keep: [0.5, 0.25], max_new_tokens: [4, 380]}\n";

START_TEST(every_sample_comes_once_for_every_number_of_new_tokens)
{
    struct prompts_at at;
    int n = 0;
    load(two_lengths);
    struct prompts *p = prompts_begin(&x, 0, 0, &encode, NULL, NULL);
    ck_assert_int_eq(prompts_count(p), 3);
    for (; prompts_next(p, &at, NULL) == 1; n++) {
        int new_tokens = at.cell->max_new_tokens;
        ck_assert_int_eq(at.sample, 2 + n / 2);
        ck_assert_int_eq(at.is_last, n % 2);
        ck_assert_int_eq(new_tokens, n % 2 ? 380 : 4);
        ck_assert_int_eq(at.prompt != NULL, new_tokens == 4);
        ck_assert_int_eq(at.item != NULL, new_tokens == 4);
        ck_assert_int_eq(at.why != NULL, new_tokens == 380); /* and the others go on */
        if (at.prompt)
            ck_assert_int_eq(at.prompt[0].ids.n, 396);
        else
            ck_assert_ptr_nonnull(strstr(at.why->msg, "the shortest prompt has"));
    }
    ck_assert_int_eq(n, 6);
    ck_assert_int_eq(prompts_next(p, &at, NULL), 0);
    prompts_end(p);
}
END_TEST

START_TEST(one_cell_and_some_samples_can_be_asked_for)
{
    struct prompts_some some = {.is_from = 1, .from = 7, .most = 2};
    struct prompts_at at;
    struct err e;
    load(two_lengths);
    for (int c = 0; c < x.n_cell; c++) {
        some.cell = &x.cell[c];
        struct prompts *p = prompts_begin(&x, 0, 0, &encode, &some, NULL);
        ck_assert_int_eq(prompts_count(p), 2);
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(prompts_next(p, &at, NULL), 1);
            ck_assert_int_eq(at.sample, 7 + i);
            ck_assert_int_eq(at.is_last, 1);
            ck_assert_int_eq(at.cell->max_new_tokens, x.cell[c].max_new_tokens);
        }
        if (!at.prompt) {
            ck_assert_int_eq(prompts_fail(p, &at, &e), -1);
            ck_assert_ptr_nonnull(strstr(e.msg, "x.yaml:4: task 'passkey', sample 8: "));
        }
        ck_assert_int_eq(prompts_next(p, &at, NULL), 0);
        prompts_end(p);
    }
}
END_TEST

START_TEST(samples_that_the_data_do_not_have_are_refused_by_number)
{
    struct prompts_some some = {.is_from = 1, .from = 3};
    struct err e = {0};
    rows_write("a.jsonl", "{\"context\": \"a hare\", \"answers\": [\"x\"]}\n{\"context\": \"a hound\", \"answers\": "
                          "[\"y\"]}\n");
    load("tasks: [jsonl: {file: a.jsonl}]\nsamples: 5\nsweep: [{policy: knorm, keep: 0.5}]\n");
    struct prompts *p = prompts_begin(&x, 0, 0, &encode, NULL, NULL);
    ck_assert_int_eq(prompts_count(p), 2); /* of 5 */
    prompts_end(p);
    ck_assert_ptr_null(prompts_begin(&x, 0, 0, &encode, &some, &e));
    ck_assert_msg(strstr(e.msg, "x.yaml:4: sample 3: task 'jsonl' has samples 0 to 1") != NULL, "%s", e.msg);
    x.first_sample = 2;
    ck_assert_ptr_null(prompts_begin(&x, 0, 0, &encode, NULL, &e));
    ck_assert_msg(strstr(e.msg, "x.yaml:4: first_sample 2: task 'jsonl' has samples 0 to 1") != NULL, "%s", e.msg);
}
END_TEST

Suite *make_prompts_suite(void)
{
    Suite *s = suite_create("prompts");
    TCase *t = tcase_create("prompts");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_sample_comes_once_for_every_number_of_new_tokens);
    tcase_add_test(t, one_cell_and_some_samples_can_be_asked_for);
    tcase_add_test(t, samples_that_the_data_do_not_have_are_refused_by_number);
    suite_add_tcase(s, t);
    return s;
}
