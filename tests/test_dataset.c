/* Tasks: the ABI, text, lengths that cannot be met, the user's own records (test_tasks.c and test_qa.c have the
 * others). */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "tests/lib/tasks.h"
#include "tests/suites.h"

START_TEST(every_task_keeps_the_rules_of_the_abi)
{
    struct err e;
    ck_assert_msg(dataset_validate(dataset_at(_i), &e) == 0, "%s", e.msg);
    ck_assert_ptr_eq(dataset_find(dataset_at(_i)->name), dataset_at(_i));
}
END_TEST

START_TEST(text_continues_where_the_context_ends)
{
    struct tasks_opened o;
    struct dataset_item item = {0};
    const struct dataset_env *env = tasks_env(TASKS_FOURS);
    tasks_open(&o, "text", "length=900", TASKS_FOURS);
    ck_assert_int_eq(o.ops->item(o.self, 3, 1, 16, &item, NULL), 0);
    ck_assert_int_eq(tasks_prompt_tokens(TASKS_FOURS, &item, 0), 900 - 128);
    ck_assert_int_eq(env->prompt_tokens(env->ctx, "", 0, item.question->answer[0], ""), 128);
    dataset_item_fini(&item);
    tasks_close(&o);
}
END_TEST

START_TEST(a_length_that_cannot_be_met_is_refused_with_the_numbers)
{
    struct tasks_opened o;
    struct dataset_item item = {0};
    struct err e;
    tasks_open(&o, "niah_single_2", "length=150", TASKS_FOURS);
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 128, &item, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "22"));
    tasks_close(&o);
    tasks_open(&o, "niah_single_2", "length=9000", TASKS_FOURS);
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 128, &item, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "8192"));
    dataset_item_fini(&item);
    tasks_close(&o);
}
END_TEST

static int open_records(struct tasks_opened *o, const char *text, struct err *e)
{
    const char *path = "build/test_records.jsonl";
    ck_assert_int_eq(fs_write_atomic(path, text, strlen(text), NULL), 0);
    o->ops = dataset_find("jsonl");
    o->config = mem_new(1, o->ops->config_size);
    param_defaults(o->ops->params, o->config);
    param_set(param_find(o->ops->params, "file"), o->config, &path, 1, NULL);
    o->self = NULL;
    return o->ops->open(&o->self, o->config, tasks_env(TASKS_FOURS), e);
}

START_TEST(records_of_one_group_share_a_context)
{
    struct tasks_opened o;
    struct dataset_item item = {0};
    ck_assert_int_eq(open_records(&o,
                                  "{\"context\":\"C\",\"question\":\"Q1\",\"answers\":[\"a\",\"b\"],\"group\":1}\n\n"
                                  "{\"context\":\"D\",\"answers\":[],\"max_new_tokens\":7,\"stop\":[\"x\"]}\n"
                                  "{\"context\":\"C\",\"question\":\"Q2\",\"answers\":[\"c\"],\"group\":1}",
                                  NULL),
                     0);
    ck_assert_int_eq(o.ops->count(o.self), 2);
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 8, &item, NULL), 0);
    ck_assert_int_eq(item.n_question, 2);
    ck_assert_str_eq(item.context, "C");
    ck_assert_str_eq(item.question[1].text, "\n\nQ2");
    ck_assert_str_eq(item.question[1].id, "4");
    ck_assert_str_eq(item.question[0].answer[1], "b");
    dataset_item_fini(&item);
    ck_assert_int_eq(o.ops->item(o.self, 1, 1, 8, &item, NULL), 0);
    ck_assert_int_eq(item.question[0].max_new_tokens, 7);
    ck_assert_str_eq(item.question[0].stop[0], "x");
    dataset_item_fini(&item);
    tasks_close(&o);
}
END_TEST

START_TEST(broken_records_are_refused_with_file_and_line)
{
    static const struct {
        const char *text, *what;
    } c[] = {
        {"", "no record"},
        {"{\"context\":\"c\",\"answers\":[]}\n{\"context\":", ":2:12: expected a value"},
        {"[]", ":1: expected a JSON object"},
        {"{\"answers\":[]}", ":1: field 'context'"},
        {"{\"context\":\"c\"}", ":1: field 'answers'"},
        {"{\"context\":\"c\",\"answers\":[true]}", "found true"},
        {"{\"context\":\"c\",\"context\":\"d\",\"answers\":[]}", "twice"},
        {"{\"context\":\"c\",\"answers\":[],\"id\":\"x\"}\n{\"context\":\"c\",\"answers\":[],\"id\":\"x\"}",
         ":2: id 'x'"},
        {"{\"context\":\"c\",\"answers\":[],\"group\":\"g\"}\n{\"context\":\"d\",\"answers\":[],\"group\":\"g\"}",
         ":2: group"},
        {"{\"context\":\"c\",\"answers\":[],\"max_new_tokens\":0}", "max_new_tokens"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tasks_opened o;
        struct err e;
        memset(&e, 0xFF, sizeof e);
        ck_assert_int_eq(open_records(&o, c[i].text, &e), -1);
        ck_assert_msg(strstr(e.msg, c[i].what) && strstr(e.msg, "test_records.jsonl"), "case %zu: %s", i, e.msg);
        param_fini(o.ops->params, o.config);
        mem_free(o.config);
    }
}
END_TEST

Suite *make_dataset_suite(void)
{
    Suite *s = suite_create("dataset");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, every_task_keeps_the_rules_of_the_abi, 0, dataset_count());
    tcase_add_test(t, text_continues_where_the_context_ends);
    tcase_add_test(t, a_length_that_cannot_be_met_is_refused_with_the_numbers);
    tcase_add_test(t, records_of_one_group_share_a_context);
    tcase_add_test(t, broken_records_are_refused_with_file_and_line);
    suite_add_tcase(s, t);
    return s;
}
