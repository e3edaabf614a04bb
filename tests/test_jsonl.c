/* datasets/jsonl: what a record holds is used, or refused with its line; nothing is lost on the way. */
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "tests/lib/tasks.h"
#include "tests/suites.h"

static const char path[] = "build/test_jsonl.jsonl";

static int try_records(struct tasks_opened *o, const char *text, const char *params, struct err *e)
{
    struct str all = {0};
    str_addf(&all, "file=%s%s%s", path, *params ? "," : "", params);
    ck_assert_int_eq(fs_write_atomic(path, text, strlen(text), NULL), 0);
    int rc = tasks_try_open(o, "jsonl", all.p, TASKS_FOURS, e);
    str_free(&all);
    return rc;
}

static void open_records(struct tasks_opened *o, const char *text, const char *params)
{
    struct err e = {.msg = ""};
    ck_assert_msg(try_records(o, text, params, &e) == 0, "%s", e.msg);
}

#define CA "{\"context\":\"c\",\"answers\":[\"a\"]"

static const struct {
    const char *text, *params, *why;
} bad[] = {
    {"{\"context\":\"a \\u0000 b\",\"answers\":[]}", "", "jsonl:1:15: a text holds a NUL"},
    {CA "}\n" CA ",\"x\":True}", "", "jsonl:2:36: 'True' is not JSON: JSON writes true"},
    {"\n" CA ",\"n\":NaN}", "", "jsonl:2:36: 'NaN' is no number of JSON"},
    /* fields of a wrong type, and texts that are empty */
    {"{\"context\":3,\"answers\":[]}", "", ":1: field 'context': expected a text, found 3"},
    {"{\"context\":\"c\",\"answers\":null}", "",
     ":1: field 'answers': expected a list of texts or numbers, found null"},
    {"{\"context\":\"c\",\"answers\":{\"a\":1}}", "",
     ":1: field 'answers': expected a list of texts or numbers, found {\"a\":1}"},
    {"{\"context\":\"c\",\"answers\":[\"a\",null]}", "",
     ":1: field 'answers': expected texts that aren't empty, or numbers, found null"},
    {"{\"context\":\"c\",\"answers\":[\"\"]}", "",
     ":1: field 'answers': expected texts that aren't empty, or numbers, found \"\""},
    {CA ",\"question\":5}", "", ":1: field 'question': expected a text, found 5"},
    {CA ",\"id\":[1]}", "", ":1: field 'id': expected a text or a number, found [1]"},
    {CA ",\"group\":true}", "", ":1: field 'group': expected a text or a number, found true"},
    {CA ",\"stop\":[3]}", "", ":1: field 'stop': expected a list of texts that aren't empty, found 3"},
    {CA ",\"stop\":\"\"}", "", ":1: field 'stop': expected a list of texts that aren't empty, found \"\""},
    {CA ",\"max_new_tokens\":\"9\"}", "",
     ":1: field 'max_new_tokens': expected a whole number in [1, 1000000], found \"9\""},
    {CA ",\"max_new_tokens\":1.5}", "", "expected a whole number in [1, 1000000], found 1.5"},
    {CA ",\"classes\":[1,2]}", "", ":1: field 'classes': expected a list of texts that aren't empty, found 1"},
    /* classes */
    {CA ",\"classes\":[\"a\"]}\n" CA "}", "metric=f1 classification",
     ":2: metric 'classification' needs all classes, and field 'classes' lists none; there are context, answers "
     "(parameter 'classes_field')"},
    {"{\"input\":\"q\",\"context\":\"c\",\"answers\":[\"a\"],\"all_classes\":[\"a\",\"b\"]}", "metric=classification",
     ":1: metric 'classification' needs all classes, and field 'classes' lists none; there are input, context, "
     "answers, all_classes"},
    {CA ",\"classes\":[]}", "metric=classification", "lists none"},
    {CA ",\"classes\":null}", "metric=classification", "lists none"},
    {CA ",\"classes\":[\"A\",\"b\"]}", "metric=classification",
     ":1: no answer of field 'answers' is one of the classes of field 'classes'"},
    /* names */
    {CA ",\"input\":\"q\"}", "question_field=inputt",
     "parameter 'question_field': no record of ./build/test_jsonl.jsonl has a field 'inputt'; did you mean 'input'?"},
    {CA "}", "classes_field=all_classes", "has a field 'all_classes'; there are context, answers"},
    {CA "}", "group_field=g", "parameter 'group_field': no record"},
    {CA "}", "id_field=_id", "parameter 'id_field': no record"},
    {CA "}", "prefix_field=p", "parameter 'prefix_field': no record"},
    {CA "}", "context_field=contex",
     ":1: field 'contex' is missing; did you mean 'context'? (parameter 'context_field')"},
    {CA "}", "answers_field=outputs",
     ":1: field 'outputs' is missing; there are context, answers (parameter 'answers_field')"},
    {"{\"contxt\":\"c\",\"answers\":[]}", "", ":1: field 'context' is missing; did you mean 'contxt'?"},
    /* fields that a record spells otherwise, and that nobody would read */
    {CA ",\"max_new_tokens\":2}\n" CA ",\"max_new_token\":2}", "",
     ":2: nobody reads field 'max_new_token'; did you mean 'max_new_tokens'?"},
    {CA ",\"maxNewTokens\":2}", "", ":1: nobody reads field 'maxNewTokens'; did you mean 'max_new_tokens'?"},
    {CA ",\"Question\":\"q\"}", "",
     ":1: nobody reads field 'Question'; did you mean 'question'? (parameter 'question_field', '' for none)"},
    {CA ",\"stops\":[\".\"]}", "", ":1: nobody reads field 'stops'; did you mean 'stop'?"},
    {CA ",\"answer_prefx\":\"A:\"}", "",
     ":1: nobody reads field 'answer_prefx'; did you mean 'answer_prefix'? (parameter 'prefix_field'"},
    {CA ",\"input\":\"q\"}", "",
     "no record of ./build/test_jsonl.jsonl has a field 'question', and they have 'input': question_field: input reads "
     "it"},
    {CA ",\"query\":\"q\"}", "",
     "and they have 'query': question_field: query reads it, question_field: '' leaves it out"},
    {CA ",\"Instruction\":\"q\"}", "", "and they have 'Instruction': question_field: Instruction reads it"},
    {CA "}\n" CA ",\"user_question\":\"q\"}", "",
     "and they have 'user_question': question_field: user_question reads it"},
    /* prompts */
    {CA "}", "prompt={question}", "parameter 'prompt': {context} must stand in it once"},
    {CA "}", "prompt={context}{answer_prefix}{question}",
     "parameter 'prompt': {answer_prefix} must stand in it once, after the ones before it"},
    {CA "}", "prompt={context}{context}", "parameter 'prompt': {context} must stand in it once"},
    {CA ",\"question\":\"q\"}", "prompt={context}",
     ":1: field 'question' has no place in the prompt: write {question} there, or question_field: '' to leave it out"},
    {CA ",\"answer_prefix\":\"q\"}", "prompt={context}{question}",
     ":1: field 'answer_prefix' has no place in the prompt"},
    {CA ",\"input\":\"q\"}", "prompt={context},question_field=input",
     ":1: field 'input' has no place in the prompt: write {question} there"},
    {CA ",\"input\":\"q\"}", "prompt={context} {input}", "parameter 'prompt': {input} is no placeholder"},
};

START_TEST(what_a_record_cannot_mean_is_refused)
{
    struct tasks_opened o;
    struct err e = {.msg = "garbage"};
    ck_assert_msg(try_records(&o, bad[_i].text, bad[_i].params, &e) == -1, "accepted: %s", bad[_i].text);
    ck_assert_msg(strstr(e.msg, bad[_i].why) != NULL, "%s with '%s':\n%s\nexpected\n%s", bad[_i].text, bad[_i].params,
                  e.msg, bad[_i].why);
    tasks_close(&o);
}
END_TEST

static void item_of(struct tasks_opened *o, int index, int new_tokens, struct dataset_item *item)
{
    struct err e = {.msg = ""};
    *item = (struct dataset_item){0};
    ck_assert_msg(o->ops->item(o->self, index, 1, new_tokens, item, &e) == 0, "%s", e.msg);
}

START_TEST(numbers_are_texts_as_they_are_written_and_null_is_absent)
{
    static const char *const answers[] = {"18", "1.50", "-3", "12345678901234567890", "1e3"};
    struct tasks_opened o;
    struct dataset_item item;
    open_records(&o,
                 "{\"context\":\"c\",\"answers\":[18, 1.50, -3, 12345678901234567890, "
                 "1e3],\"id\":12345678901234567891,\"group\":1.0}\n"
                 "{\"context\":\"c\",\"answers\":7,\"group\":\"1.0\",\"id\":null,\"max_new_tokens\":null,\"stop\":null,"
                 "\"classes\":null,"
                 "\"question\":null,\"answer_prefix\":null}\n"
                 "{\"context\":\"d\",\"answers\":\"x\",\"group\":null,\"stop\":\"end\"}\n"
                 "{\"context\":\"d\",\"answers\":[],\"group\":null,\"stop\":[]}\n",
                 "stop=.");
    ck_assert_int_eq(o.ops->count(o.self), 3);
    item_of(&o, 0, 8, &item);
    ck_assert_int_eq(item.n_question, 2);
    ck_assert_str_eq(item.context_id, "1.0");
    ck_assert_int_eq(item.question[0].n_answer, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(item.question[0].answer[i], answers[i]);
    ck_assert_str_eq(item.question[0].id, "12345678901234567891");
    const struct dataset_question *q = &item.question[1];
    ck_assert_str_eq(q->answer[0], "7");
    ck_assert_str_eq(q->id, "2");
    ck_assert_int_eq(q->max_new_tokens, 0);
    ck_assert_int_eq(q->n_class, 0);
    ck_assert_str_eq(q->stop[0], ".");
    dataset_item_fini(&item);
    item_of(&o, 1, 8, &item);
    ck_assert_str_eq(item.question[0].stop[0], "end");
    dataset_item_fini(&item);
    item_of(&o, 2, 8, &item);
    ck_assert_int_eq(item.question[0].n_stop, 0);
    ck_assert_int_eq(item.question[0].n_answer, 0);
    dataset_item_fini(&item);
    tasks_close(&o);
}
END_TEST

START_TEST(a_prompt_may_leave_out_all_but_the_context)
{
    static const struct {
        const char *prompt, *text, *prefix;
    } c[] = {{"{context}", "", ""},
             {"{context} And?", " And?", ""},
             {"{context}|{question}|", "|q", "|"},
             {"{context}|{answer_prefix}!", "|", "p!"},
             {"<{context}>{question}/{answer_prefix}", ">q", "/p"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tasks_opened o;
        struct dataset_item item;
        struct str text = {0}, params = {0};
        str_addf(&text, CA "%s%s}", strstr(c[i].prompt, "{question}") ? ",\"question\":\"q\"" : "",
                 strstr(c[i].prompt, "{answer_prefix}") ? ",\"answer_prefix\":\"p\"" : "");
        str_addf(&params, "prompt=%s", c[i].prompt);
        open_records(&o, text.p, params.p);
        item_of(&o, 0, 8, &item);
        ck_assert_str_eq(item.question[0].text, c[i].text);
        ck_assert_str_eq(item.question[0].answer_prefix, c[i].prefix);
        dataset_item_fini(&item);
        tasks_close(&o);
        str_free(&text);
        str_free(&params);
    }
}
END_TEST

/* 400 words of one token each; the limit counts what a record says it generates, not what the task says. */
START_TEST(truncation_leaves_room_for_what_a_record_generates)
{
    struct tasks_opened o;
    struct dataset_item item;
    struct str text = {0};
    struct err e;
    str_add(&text, "{\"context\":\"");
    for (int i = 0; i < 400; i++)
        str_add(&text, "word ");
    str_add(&text, "\",\"question\":\"who\",\"answers\":[\"a\"],\"group\":1,\"max_new_tokens\":100}\n");
    char *first = mem_strdup(text.p);
    char *end = strstr(first, ",\"max_new_tokens\"");
    str_addn(&text, first, (size_t)(end - first));
    str_add(&text, "}\n");
    open_records(&o, text.p, "truncate=middle,max_length=300");
    item_of(&o, 0, 8, &item);
    ck_assert_int_eq(item.n_question, 2);
    ck_assert_int_le(tasks_prompt_tokens(TASKS_FOURS, &item, 0), 200);
    ck_assert_int_ge(tasks_prompt_tokens(TASKS_FOURS, &item, 0), 190);
    dataset_item_fini(&item);
    tasks_close(&o);
    open_records(&o, first, "truncate=middle,max_length=102");
    item = (struct dataset_item){0};
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 8, &item, &e), -1);
    ck_assert_msg(strstr(e.msg, "question '1' alone has 1 tokens, which with 100 to generate leave nothing of 102"),
                  "%s", e.msg);
    dataset_item_fini(&item);
    tasks_close(&o);
    mem_free(first);
    str_free(&text);
}
END_TEST

/* Every record's place among many, in groups that interleave; what stands twice is told with the earlier line. */
START_TEST(many_records_keep_their_order)
{
    enum { N = 20000, GROUPS = 7 };
    struct tasks_opened o;
    struct dataset_item item;
    struct str text = {0};
    struct err e;
    for (int i = 0; i < N; i++)
        str_addf(&text, "{\"id\":%d,\"group\":\"g%d\",\"context\":\"c%d\",\"answers\":[]}\n", N - i, i % GROUPS,
                 i % GROUPS);
    open_records(&o, text.p, "");
    ck_assert_int_eq(o.ops->count(o.self), GROUPS);
    for (int g = 0; g < GROUPS; g++) {
        item_of(&o, g, 8, &item);
        ck_assert_int_eq(item.n_question, (N - g + GROUPS - 1) / GROUPS);
        for (int q = 0; q < item.n_question; q++)
            ck_assert_int_eq(atoi(item.question[q].id), N - g - q * GROUPS);
        dataset_item_fini(&item);
    }
    tasks_close(&o);
    str_add(&text, "{\"id\":\"19999\",\"context\":\"c\",\"answers\":[]}\n");
    ck_assert_int_eq(try_records(&o, text.p, "", &e), -1);
    ck_assert_msg(strstr(e.msg, ":20001: id '19999' stands in line 2 already"), "%s", e.msg);
    tasks_close(&o);
    str_free(&text);
}
END_TEST

Suite *make_jsonl_suite(void)
{
    Suite *s = suite_create("jsonl");
    TCase *t = tcase_create("records");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, what_a_record_cannot_mean_is_refused, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(t, numbers_are_texts_as_they_are_written_and_null_is_absent);
    tcase_add_test(t, a_prompt_may_leave_out_all_but_the_context);
    tcase_add_test(t, truncation_leaves_room_for_what_a_record_generates);
    tcase_add_test(t, many_records_keep_their_order);
    suite_add_tcase(s, t);
    return s;
}
