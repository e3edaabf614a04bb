/* Tasks: exact lengths, oracles that solve every sample from its text alone, determinism, hostile records. */
#include <stdio.h>
#include <string.h>

#include "datasets/dataset.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "tests/suites.h"

/* A token is a word of at most four bytes: enough like a tokenizer for the search. */
static int count_tokens(const char *s, size_t n)
{
    int tokens = 0, run = 0;
    for (size_t i = 0; i < n; i++) {
        run = s[i] == ' ' || s[i] == '\n' ? 0 : run + 1;
        tokens += run == 0 ? 0 : run % 4 == 1;
    }
    return tokens;
}

static int prompt_tokens(void *ctx, const char *c, size_t n, const char *q, const char *p)
{
    (void)ctx;
    return count_tokens(c, n) + count_tokens(q, strlen(q)) + count_tokens(p, strlen(p));
}

static size_t head_bytes(void *ctx, const char *text, size_t n, int max)
{
    size_t i = 0;
    (void)ctx;
    while (i < n && count_tokens(text, i + 1) <= max)
        i++;
    return i;
}

static char *truncate_middle(void *ctx, const char *c, size_t n, int max, struct err *e)
{
    (void)ctx;
    (void)e;
    (void)n;
    return mem_strndup(c, head_bytes(NULL, c, n, max));
}

static const struct dataset_env env = {.prompt_tokens = prompt_tokens, .head_bytes = head_bytes,
                                       .truncate_middle = truncate_middle, .context_length = 8192,
                                       .data_dir = "datasets/books", .base_dir = "."};

struct opened {
    const struct dataset_ops *ops;
    void *config, *self;
};

static void open_task(struct opened *o, const char *name, const char *param, const char *value)
{
    struct err e = {0};
    o->ops = dataset_find(name);
    ck_assert_ptr_nonnull(o->ops);
    o->config = mem_new(1, o->ops->config_size);
    param_defaults(o->ops->params, o->config);
    if (param)
        ck_assert_int_eq(param_set(param_find(o->ops->params, param), o->config, &value, 1, NULL), 0);
    ck_assert_msg(o->ops->open(&o->self, o->config, &env, &e) == 0, "%s", e.msg);
}

static void close_task(struct opened *o)
{
    o->ops->close(o->self);
    param_fini(o->ops->params, o->config);
    mem_free(o->config);
}

START_TEST(every_task_keeps_the_rules_of_the_abi)
{
    struct err e;
    ck_assert_msg(dataset_validate(dataset_at(_i), &e) == 0, "%s", e.msg);
    ck_assert_ptr_eq(dataset_find(dataset_at(_i)->name), dataset_at(_i));
}
END_TEST

static const char *const retrieval[] = {"niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1",
                                        "niah_multivalue", "niah_multiquery", "passkey"};

START_TEST(retrieval_tasks_meet_their_length_and_can_be_solved_from_the_text)
{
    static const int lengths[] = {512, 1024, 2000, 4096};
    for (int l = 0; l < 4; l++) {
        struct opened o;
        char text[16];
        snprintf(text, sizeof text, "%d", lengths[l]);
        open_task(&o, retrieval[_i], "length", text);
        for (int s = 0; s < 4; s++) {
            struct dataset_item item = {0}, again = {0}, other = {0};
            struct err e;
            ck_assert_msg(o.ops->item(o.self, s, 7, 128, &item, &e) == 0, "%s", e.msg);
            ck_assert_int_eq(o.ops->item(o.self, s, 7, 128, &again, NULL), 0);
            ck_assert_int_eq(o.ops->item(o.self, s, 8, 128, &other, NULL), 0);
            ck_assert_str_eq(item.context, again.context);
            ck_assert_str_ne(item.context, other.context);
            const struct dataset_question *q = &item.question[0];
            int total = prompt_tokens(NULL, item.context, item.n_context, q->text, q->answer_prefix) + 128;
            ck_assert_int_eq(total, lengths[l]);
            ck_assert_int_eq(q->n_answer * (_i == 6 ? 2 : 1), item.n_evidence); /* a pass key stands there twice */
            for (int a = 0; a < q->n_answer; a++) {
                /* the oracle: the answer stands where the evidence says, and nowhere in the question */
                ck_assert(strncmp(item.context + item.evidence[a].begin, q->answer[a],
                                  item.evidence[a].end - item.evidence[a].begin) == 0);
                ck_assert_ptr_null(strstr(q->text, q->answer[a]));
            }
            dataset_item_fini(&item);
            dataset_item_fini(&again);
            dataset_item_fini(&other);
        }
        close_task(&o);
    }
}
END_TEST

START_TEST(the_question_names_the_key_whose_value_is_the_answer)
{
    struct opened o;
    struct dataset_item item = {0};
    open_task(&o, "niah_multikey_1", NULL, NULL);
    for (int s = 0; s < 8; s++) {
        ck_assert_int_eq(o.ops->item(o.self, s, 1, 128, &item, NULL), 0);
        const char *for_ = strstr(item.question->text, " for ") + 5;
        char key[100], needle[200];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(for_, " "), for_);
        snprintf(needle, sizeof needle, "for %s is: %s.", key, item.question->answer[0]);
        ck_assert_msg(strstr(item.context, needle) != NULL, "%s", needle);
        int needles = 0;
        for (const char *p = item.context; (p = strstr(p, "special magic numbers for")); p++)
            needles++;
        ck_assert_int_eq(needles, 4);
        ck_assert_int_eq((int)strlen(item.question->answer[0]), 7);
        dataset_item_fini(&item);
    }
    close_task(&o);
}
END_TEST

START_TEST(depth_is_honoured)
{
    static const char *const depth[] = {"0", "50", "100"};
    for (int d = 0; d < 3; d++)
        for (int t = 1; t < 7; t += 5) {
            struct opened o;
            struct dataset_item item = {0};
            open_task(&o, retrieval[t], "depth", depth[d]);
            ck_assert_int_eq(o.ops->item(o.self, 0, 1, 128, &item, NULL), 0);
            /* needles stand between sentences, and depth counts those: long ones shift the byte */
            double at = (double)item.evidence[0].begin / (double)item.n_context;
            ck_assert_msg(at > d * 0.5 - 0.2 && at < d * 0.5 + 0.2, "%s %s: %g", retrieval[t], depth[d], at);
            dataset_item_fini(&item);
            close_task(&o);
        }
}
END_TEST

START_TEST(text_continues_where_the_context_ends)
{
    struct opened o;
    struct dataset_item item = {0};
    open_task(&o, "text", "length", "900");
    ck_assert_int_eq(o.ops->item(o.self, 3, 1, 16, &item, NULL), 0);
    ck_assert_int_eq(count_tokens(item.context, item.n_context), 900 - 128);
    ck_assert_int_eq(count_tokens(item.question->answer[0], strlen(item.question->answer[0])), 128);
    dataset_item_fini(&item);
    close_task(&o);
}
END_TEST

START_TEST(a_length_that_cannot_be_met_is_refused_with_the_numbers)
{
    struct opened o;
    struct dataset_item item = {0};
    struct err e;
    open_task(&o, "niah_single_2", "length", "150");
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 128, &item, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "22"));
    close_task(&o);
    open_task(&o, "niah_single_2", "length", "9000");
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 128, &item, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "8192"));
    dataset_item_fini(&item);
    close_task(&o);
}
END_TEST

static int open_records(struct opened *o, const char *text, struct err *e)
{
    const char *path = "build/test_records.jsonl";
    ck_assert_int_eq(fs_write_atomic(path, text, strlen(text), NULL), 0);
    o->ops = dataset_find("jsonl");
    o->config = mem_new(1, o->ops->config_size);
    param_defaults(o->ops->params, o->config);
    param_set(param_find(o->ops->params, "file"), o->config, &path, 1, NULL);
    o->self = NULL;
    return o->ops->open(&o->self, o->config, &env, e);
}

START_TEST(records_of_one_group_share_a_context)
{
    struct opened o;
    struct dataset_item item = {0};
    ck_assert_int_eq(open_records(&o, "{\"context\":\"C\",\"question\":\"Q1\",\"answers\":[\"a\",\"b\"],\"group\":1}\n\n"
                                      "{\"context\":\"D\",\"answers\":[],\"max_new_tokens\":7,\"stop\":[\"x\"]}\n"
                                      "{\"context\":\"C\",\"question\":\"Q2\",\"answers\":[\"c\"],\"group\":1}", NULL), 0);
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
    close_task(&o);
}
END_TEST

START_TEST(broken_records_are_refused_with_file_and_line)
{
    static const struct { const char *text, *what; } c[] = {
        {"", "no record"},
        {"{\"context\":\"c\",\"answers\":[]}\n{\"context\":", ":2: not valid"},
        {"[]", ":1: expected a JSON object"},
        {"{\"answers\":[]}", ":1: field 'context'"},
        {"{\"context\":\"c\"}", ":1: field 'answers'"},
        {"{\"context\":\"c\",\"answers\":[1]}", "holds something"},
        {"{\"context\":\"c\",\"context\":\"d\",\"answers\":[]}", "twice"},
        {"{\"context\":\"c\",\"answers\":[],\"id\":\"x\"}\n{\"context\":\"c\",\"answers\":[],\"id\":\"x\"}", ":2: id 'x'"},
        {"{\"context\":\"c\",\"answers\":[],\"group\":\"g\"}\n{\"context\":\"d\",\"answers\":[],\"group\":\"g\"}", ":2: group"},
        {"{\"context\":\"c\",\"answers\":[],\"max_new_tokens\":0}", "max_new_tokens"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct opened o;
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
    tcase_add_loop_test(t, retrieval_tasks_meet_their_length_and_can_be_solved_from_the_text, 0, 7);
    tcase_add_test(t, the_question_names_the_key_whose_value_is_the_answer);
    tcase_add_test(t, depth_is_honoured);
    tcase_add_test(t, text_continues_where_the_context_ends);
    tcase_add_test(t, a_length_that_cannot_be_met_is_refused_with_the_numbers);
    tcase_add_test(t, records_of_one_group_share_a_context);
    tcase_add_test(t, broken_records_are_refused_with_file_and_line);
    suite_add_tcase(s, t);
    return s;
}
