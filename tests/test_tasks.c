/* Synthetic tasks: every sample is solved from its text alone, has the length that was asked for, and is the same
 * again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "tests/lib/tasks.h"
#include "tests/suites.h"

static const struct {
    const char *name;
    int evidence; /* 1: a span holds one answer; 0: the spans together are what the solver needs */
} task[] = {{"niah_single_1", 1},
            {"niah_single_2", 1},
            {"niah_single_3", 1},
            {"niah_multikey_1", 1},
            {"niah_multikey_2", 1},
            {"niah_multikey_3", 1},
            {"niah_multivalue", 1},
            {"niah_multiquery", 1},
            {"vt", 1},
            {"cwe", 1},
            {"fwe", 1},
            {"passkey", 1},
            {"lines", 1},
            {"kv", 1},
            {"induction", 1},
            {"copy", 1},
            {"arithmetic", 0}};
enum { N_TASK = sizeof task / sizeof *task };

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a text; sorted when their order is nobody's business. */
static int split(char *text, int sorted, char *line[64])
{
    char *save = NULL;
    int n = 0;
    for (char *l = strtok_r(text, "\n", &save); l && n < 64; l = strtok_r(NULL, "\n", &save))
        line[n++] = l;
    if (sorted)
        qsort(line, (size_t)n, sizeof *line, by_text);
    return n;
}

static void check_answers(const char *what, int sorted, const struct dataset_question *q, struct str *found)
{
    struct str given = {0};
    char *a[64], *b[64];
    for (int i = 0; i < q->n_answer; i++)
        str_addf(&given, "%s\n", q->answer[i]);
    int n = split(given.p, sorted, a), m = split(found->p, sorted, b);
    ck_assert_msg(n == q->n_answer && n == m, "%s: %d answers, the solver finds %d", what, n, m);
    for (int i = 0; i < n; i++)
        ck_assert_msg(strcmp(a[i], b[i]) == 0, "%s: answer %s, the solver finds %s", what, a[i], b[i]);
    str_free(&given);
}

static void check_evidence(const char *what, int t, int compact, const struct dataset_item *item)
{
    struct str facts = {0}, found = {0};
    ck_assert_msg(item->n_evidence > 0, "%s: no evidence", what);
    for (int i = 0; i < item->n_evidence; i++) {
        const struct dataset_span *s = &item->evidence[i];
        ck_assert_msg(s->begin < s->end && s->end <= item->n_context, "%s: span %d", what, i);
        str_addn(&facts, item->context + s->begin, s->end - s->begin);
        str_add(&facts, ".\n");
    }
    for (int q = 0; q < item->n_question; q++)
        for (int a = 0; a < item->question[q].n_answer && task[t].evidence; a++) {
            int hit = 0;
            for (int i = 0; i < item->n_evidence; i++) {
                const struct dataset_span *s = &item->evidence[i];
                size_t n = strlen(item->question[q].answer[a]);
                hit |= s->end - s->begin == n && memcmp(item->context + s->begin, item->question[q].answer[a], n) == 0;
            }
            ck_assert_msg(hit, "%s: no span is %s", what, item->question[q].answer[a]);
        }
    if (!task[t].evidence) {
        str_addf(&facts, "%s%s", item->question[0].text, item->question[0].answer_prefix);
        ck_assert_msg(tasks_solve(task[t].name, compact, facts.p, &found) == 0, "%s: the evidence is not enough", what);
        check_answers(what, 1, &item->question[0], &found);
    }
    str_free(&facts);
    str_free(&found);
}

static void check_sample(const char *what, int t, int compact, enum tasks_tokens kind, int prompt_tokens,
                         const struct dataset_item *item)
{
    struct str prompt = {0}, found = {0};
    int longest = 0;
    for (int q = 0; q < item->n_question; q++) {
        int n = tasks_prompt_tokens(kind, item, q);
        longest = n > longest ? n : longest;
        tasks_prompt(item, q, &prompt);
        ck_assert_msg(tasks_solve(task[t].name, compact, prompt.p, &found) == 0, "%s: the solver finds nothing in\n%s",
                      what, prompt.p);
        check_answers(what, !compact, &item->question[q], &found);
    }
    ck_assert_msg(longest == prompt_tokens, "%s: %d tokens, expected %d", what, longest, prompt_tokens);
    check_evidence(what, t, compact, item);
    str_free(&prompt);
    str_free(&found);
}

static void same_item(const char *what, const struct dataset_item *a, const struct dataset_item *b)
{
    ck_assert_msg(a->n_context == b->n_context && memcmp(a->context, b->context, a->n_context) == 0,
                  "%s: the context differs", what);
    ck_assert_str_eq(a->question[0].text, b->question[0].text);
    ck_assert_str_eq(a->question[0].answer[0], b->question[0].answer[0]);
    ck_assert_int_eq(a->n_evidence, b->n_evidence);
    ck_assert(memcmp(a->evidence, b->evidence, (size_t)a->n_evidence * sizeof *a->evidence) == 0);
}

/* Some samples of one length and wording. 0 when the length can't hold the task. */
static int check_length(int t, int compact, enum tasks_tokens kind, int length)
{
    static const uint64_t seeds[] = {1, 7, 1234567890123};
    struct tasks_opened o, other;
    struct str params = {0}, what = {0};
    str_addf(&params, "length=%d,wording=%s", length, compact ? "compact" : "ruler");
    tasks_open(&o, task[t].name, params.p, kind);
    tasks_open(&other, task[t].name, params.p, kind);
    int fits = 1, max_new = o.ops->max_new_tokens;
    for (int i = 0; i < 3 && fits; i++) {
        struct dataset_item item = {0}, again = {0};
        struct err e = {0};
        str_clear(&what);
        str_addf(&what, "%s %s, tokens %d, sample %d of seed %llu", task[t].name, params.p, kind, i,
                 (unsigned long long)seeds[i]);
        if (o.ops->item(o.self, i, seeds[i], max_new, &item, &e)) {
            ck_assert_msg(i == 0 && (strstr(e.msg, "the shortest prompt has") || strstr(e.msg, "leaves nothing")),
                          "%s: %s", what.p, e.msg);
            fits = 0;
        } else {
            check_sample(what.p, t, compact, kind, length - max_new, &item);
            ck_assert_int_eq(other.ops->item(other.self, i, seeds[i], max_new, &again, NULL), 0);
            same_item(what.p, &item, &again);
        }
        dataset_item_fini(&item);
        dataset_item_fini(&again);
    }
    tasks_close(&o);
    tasks_close(&other);
    str_free(&params);
    str_free(&what);
    return fits;
}

START_TEST(a_solver_answers_every_sample_which_has_exactly_its_length)
{
    static const int length[] = {256, 512, 1024, 4096};
    int t = _i / 2, compact = _i % 2, fit = 0;
    for (int l = 0; l < 4; l++) {
        int fits = check_length(t, compact, TASKS_FOURS, length[l]);
        ck_assert_msg(fits || length[l] < 1024, "%s: %d tokens are not enough", task[t].name, length[l]);
        fit += fits;
    }
    ck_assert_int_ge(fit, 2);
}
END_TEST

START_TEST(so_it_is_under_bytes_and_byte_level_bpe)
{
    int t = _i / 2, compact = _i % 2;
    /* two numbered lists are long when every byte counts */
    int long_list = !compact && strcmp(task[t].name, "cwe") == 0;
    ck_assert(check_length(t, compact, TASKS_BYTES, long_list ? 3000 : 2048));
    ck_assert(check_length(t, compact, TASKS_BPE, 1500));
}
END_TEST

START_TEST(another_seed_or_index_is_another_sample)
{
    struct tasks_opened o;
    struct dataset_item item[3] = {0};
    tasks_open(&o, task[_i].name, "length=1024", TASKS_FOURS);
    static const struct {
        int index;
        uint64_t seed;
    } of[] = {{0, 1}, {1, 1}, {0, 2}};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(o.ops->item(o.self, of[i].index, of[i].seed, o.ops->max_new_tokens, &item[i], NULL), 0);
    for (int i = 1; i < 3; i++) {
        ck_assert_str_ne(item[0].context, item[i].context);
        ck_assert_str_ne(item[0].question->answer[0], item[i].question->answer[0]);
    }
    for (int i = 0; i < 3; i++)
        dataset_item_fini(&item[i]);
    tasks_close(&o);
}
END_TEST

static const struct {
    const char *name, *params;
} several[] = {{"niah_multikey_1", "questions=3"},
               {"niah_multikey_2", "questions=4"},
               {"niah_multivalue", "num_needle_v=3,questions=2"},
               {"niah_multiquery", "num_needle_q=2,questions=2"},
               {"niah_single_1", "questions=5,depth=100"},
               {"lines", "questions=5"},
               {"kv", "questions=3,depth=100"},
               {"induction", "questions=40,length=2048"},
               {"vt", "num_chains=3,questions=2,length=2048"},
               {"vt", "num_chains=4,type_haystack=essay,length=3000"},
               {"vt", "num_hops=12,length=3000"},
               {"arithmetic", "num_hops=6,num_distractors=8"},
               {"cwe", "num_cw=3,freq_cw=9,freq_ucw=4"},
               {"cwe", "num_fewshot=0,length=700"},
               {"fwe", "alpha=1.3"},
               {"copy", "type_haystack=noise,num_words=20"},
               {"niah_multikey_1", "type_haystack=noise,num_needle_k=8"}};

START_TEST(parameters_keep_the_answer_in_the_text)
{
    for (int compact = 0; compact < 2; compact++) {
        struct tasks_opened o;
        struct str params = {0}, what = {0};
        int t = 0;
        while (strcmp(task[t].name, several[_i].name) != 0)
            t++;
        str_addf(&params, "wording=%s,%s", compact ? "compact" : "ruler", several[_i].params);
        tasks_open(&o, several[_i].name, params.p, TASKS_FOURS);
        int64_t length;
        memcpy(&length, (char *)o.config + param_find(o.ops->params, "length")->offset, sizeof length);
        for (int i = 0; i < 4; i++) {
            struct dataset_item item = {0};
            struct err e = {0};
            str_clear(&what);
            str_addf(&what, "%s %s, sample %d", several[_i].name, params.p, i);
            ck_assert_msg(o.ops->item(o.self, i, 3, o.ops->max_new_tokens, &item, &e) == 0, "%s: %s", what.p, e.msg);
            check_sample(what.p, t, compact, TASKS_FOURS, (int)length - o.ops->max_new_tokens, &item);
            dataset_item_fini(&item);
        }
        tasks_close(&o);
        str_free(&params);
        str_free(&what);
    }
}
END_TEST

START_TEST(depth_puts_the_answer_where_it_says)
{
    static const char *const with_depth[] = {"niah_single_1", "niah_single_2", "niah_multikey_1", "niah_multikey_2",
                                             "passkey",       "copy",          "lines",           "kv",
                                             "induction"};
    static const int depths[] = {0, 25, 50, 75, 100};
    for (int d = 0; d < 5; d++) {
        struct tasks_opened o;
        struct dataset_item item = {0};
        struct str params = {0};
        str_addf(&params, "length=4096,depth=%d,wording=compact", depths[d]);
        tasks_open(&o, with_depth[_i], params.p, TASKS_FOURS);
        ck_assert_int_eq(o.ops->item(o.self, d, 1, o.ops->max_new_tokens, &item, NULL), 0);
        double at = 100 * (double)item.evidence[0].begin / (double)item.n_context;
        /* depth counts sentences or records: those of books are of very different lengths, so that the byte is
         * elsewhere */
        double most = depths[d] % 100 == 0 ? 2 : strstr("niah_single_2 niah_multikey_1 copy", with_depth[_i]) ? 15 : 3;
        ck_assert_msg(at > depths[d] - most && at < depths[d] + most, "%s: %g %% instead of %d %%", with_depth[_i], at,
                      depths[d]);
        dataset_item_fini(&item);
        tasks_close(&o);
        str_free(&params);
    }
}
END_TEST

/* Texts that were drawn, of many samples of one half. */
static int collect(const char *name, const char *half, char *text[4000])
{
    struct tasks_opened o;
    struct str params = {0};
    int n = 0;
    str_addf(&params, "length=512,wording=compact,split=%s", half);
    tasks_open(&o, name, params.p, TASKS_FOURS);
    for (int i = 0; i < 150; i++) {
        struct dataset_item item = {0};
        ck_assert_int_eq(o.ops->item(o.self, i, 5, o.ops->max_new_tokens, &item, NULL), 0);
        const struct dataset_question *q = item.question;
        const char *key = strncmp(name, "niah", 4) == 0 || !strcmp(name, "arithmetic") ? strstr(q->text, " of ")
                          : !strcmp(name, "lines")                                     ? strstr(q->text, "line")
                          : !strcmp(name, "kv")                                        ? strstr(q->text, "key")
                                                                                       : NULL;
        if (key) {
            key = strchr(key + 1, ' ') + 1;
            text[n++] = mem_strndup(key, strcspn(key, "?,"));
        }
        for (int a = 0; a < q->n_answer && strcmp(name, "arithmetic") != 0; a++) {
            char *copy = mem_strdup(q->answer[a]), *save = NULL;
            for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
                text[n++] = mem_strdup(w);
            mem_free(copy);
        }
        dataset_item_fini(&item);
    }
    tasks_close(&o);
    str_free(&params);
    return n;
}

START_TEST(training_and_evaluation_share_no_key_and_no_value)
{
    char *train[4000], *eval[4000];
    int n = collect(task[_i].name, "train", train), m = collect(task[_i].name, "eval", eval);
    ck_assert_int_ge(n, 150);
    ck_assert_int_ge(m, 150);
    qsort(eval, (size_t)m, sizeof *eval, by_text);
    for (int i = 0; i < n; i++)
        ck_assert_msg(bsearch(&train[i], eval, (size_t)m, sizeof *eval, by_text) == NULL, "%s is in both halves",
                      train[i]);
    for (int i = 0; i < n; i++)
        mem_free(train[i]);
    for (int i = 0; i < m; i++)
        mem_free(eval[i]);
}
END_TEST

START_TEST(what_has_no_meaning_is_refused)
{
    static const struct {
        const char *name, *params, *what;
    } c[] = {
        {"niah_single_1", "split=train", "split: train needs wording: compact"},
        {"niah_multivalue", "num_needle_k=11,num_needle_v=4", "11 keys with 4 values each are 44 needles; at most 40"},
        {"vt", "num_chains=9,num_hops=4", "9 chains of 4 hops are 45 assignments; at most 40"},
        {"arithmetic", "num_hops=30,num_distractors=10", "30 hops and 10 distractors are 41 facts; at most 40"},
        {"cwe", "freq_cw=2,freq_ucw=3", "freq_cw 2 must be above freq_ucw 3"},
        {"cwe", "freq_ucw=6", "freq_cw 6 must be above freq_ucw 6"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tasks_opened o;
        struct err e = {0};
        ck_assert_int_eq(tasks_try_open(&o, c[i].name, c[i].params, TASKS_FOURS, &e), -1);
        ck_assert_msg(strstr(e.msg, c[i].what) != NULL, "%s", e.msg);
        tasks_close(&o);
    }
    static const struct {
        const char *name, *params, *what;
    } late[] = {
        {"vt", "length=512", "num_fewshot: 0"},
        {"cwe", "length=512", "num_fewshot: 0"},
        {"lines", "length=10000", "exceeds the model's context of 8192"},
    };
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        struct tasks_opened o;
        struct dataset_item item = {0};
        struct err e = {0};
        tasks_open(&o, late[i].name, late[i].params, TASKS_FOURS);
        ck_assert_int_eq(o.ops->item(o.self, 0, 1, o.ops->max_new_tokens, &item, &e), -1);
        ck_assert_msg(strstr(e.msg, late[i].what) != NULL, "%s", e.msg);
        dataset_item_fini(&item);
        tasks_close(&o);
    }
}
END_TEST

/* RULER's numbers, counted in the text. */
START_TEST(rulers_definitions_show_in_the_text)
{
    static const struct {
        const char *name, *params, *text;
        int times;
    } c[] = {
        {"niah_multikey_1", "length=1024", "One of the special magic numbers for ", 4},
        {"niah_multivalue", "length=1024", "One of the special magic numbers for ", 4},
        {"niah_multiquery", "length=1024", "One of the special magic numbers for ", 4},
        {"niah_single_3", "length=1024", "One of the special magic uuids for ", 1},
        {"vt", "length=1024", "Memorize and track the chain(s)", 2},
        {"vt", "length=1024", " = VAR ", 8},
        {"vt", "length=1024,num_fewshot=0", " = VAR ", 4},
        {"cwe", "length=2048", "Below is a numbered list of words.", 2},
        {"cwe", "length=2048", " 40. ", 2}, /* both lists; the example has 10 words 3 times and 10 once */
        {"cwe", "length=2048", " 41. ", 1},
        {"cwe", "length=4096", " 190. ", 2}, /* from 4096 tokens on 10 words 10 times and 30 three times */
        {"cwe", "length=4096", " 191. ", 1},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tasks_opened o;
        struct dataset_item item = {0};
        int times = 0;
        tasks_open(&o, c[i].name, c[i].params, TASKS_FOURS);
        ck_assert_int_eq(o.ops->item(o.self, 0, 1, o.ops->max_new_tokens, &item, NULL), 0);
        for (const char *p = item.context; (p = strstr(p, c[i].text)); p++)
            times++;
        ck_assert_msg(times == c[i].times, "%s %s: '%s' stands there %d times", c[i].name, c[i].params, c[i].text,
                      times);
        dataset_item_fini(&item);
        tasks_close(&o);
    }
}
END_TEST

START_TEST(statements_of_a_chain_stand_in_different_lines_of_noise)
{
    struct tasks_opened o;
    tasks_open(&o, "vt", "length=1400,num_hops=8", TASKS_FOURS);
    for (int i = 0; i < 20; i++) {
        struct dataset_item item = {0};
        ck_assert_int_eq(o.ops->item(o.self, i, 1, o.ops->max_new_tokens, &item, NULL), 0);
        const char *p = item.context;
        for (const char *next; (p = strstr(p, "\nVAR ")) && (next = strchr(p + 1, '\n')); p = next)
            ck_assert_msg(strncmp(next, "\nThe grass is green.", 20) == 0 || strlen(next) < 20, "sample %d: %.60s", i,
                          p);
        dataset_item_fini(&item);
    }
    tasks_close(&o);
}
END_TEST

Suite *make_tasks_suite(void)
{
    Suite *s = suite_create("tasks");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_solver_answers_every_sample_which_has_exactly_its_length, 0, 2 * N_TASK);
    tcase_add_loop_test(t, so_it_is_under_bytes_and_byte_level_bpe, 0, 2 * N_TASK);
    tcase_add_loop_test(t, another_seed_or_index_is_another_sample, 0, N_TASK);
    tcase_add_loop_test(t, parameters_keep_the_answer_in_the_text, 0, (int)(sizeof several / sizeof *several));
    tcase_add_loop_test(t, depth_puts_the_answer_where_it_says, 0, 9);
    tcase_add_loop_test(t, training_and_evaluation_share_no_key_and_no_value, 0, N_TASK);
    tcase_add_test(t, what_has_no_meaning_is_refused);
    tcase_add_test(t, rulers_definitions_show_in_the_text);
    tcase_add_test(t, statements_of_a_chain_stand_in_different_lines_of_noise);
    suite_add_tcase(s, t);
    return s;
}
