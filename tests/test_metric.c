/* harness/metric: the table, and every metric against reference implementations. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/unicode.h"
#include "harness/metric/metric.h"
#include "tests/suites.h"

static int strings(const struct json *list, char ***out)
{
    int n = 0;
    *out = mem_new((size_t)json_size(list) + 1, sizeof **out);
    for (const struct json *v = json_first(list); v; v = json_next(v))
        (*out)[n++] = mem_strdup(json_string(v));
    return n;
}

static void strings_free(char **s, int n)
{
    for (int i = 0; i < n; i++)
        mem_free(s[i]);
    mem_free(s);
}

START_TEST(scores_equal_those_of_the_reference_implementations)
{
    struct err e;
    size_t size;
    char *text = fs_read("tests/vectors/metrics.json", &size, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    struct json *root = json_parse("metrics.json", text, size, &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
    int seen = 0;
    for (const struct json *c = json_first(root); c; c = json_next(c), seen++) {
        const char *name = json_string(json_get(c, "metric"));
        const struct metric_ops *m = metric_find(name);
        ck_assert_msg(m != NULL, "no metric %s", name);
        char **answer, **classes;
        struct metric_input in = {.output = json_string(json_get(c, "output"))};
        in.n_answer = strings(json_get(c, "answers"), &answer);
        in.n_class = strings(json_get(c, "classes"), &classes);
        in.answer = answer;
        in.classes = classes;
        double value[4];
        m->score(&in, value);
        int i = 0;
        for (const struct json *v = json_first(json_get(c, "value")); v; v = json_next(v), i++)
            ck_assert_msg(fabs(value[i] - json_number(v, NAN)) < 1e-12,
                          "case %d: %s[%d] of '%s' on '%s' is %.17g, not %.17g", seen, name, i, in.output, answer[0],
                          value[i], json_number(v, NAN));
        strings_free(answer, in.n_answer);
        strings_free(classes, in.n_class);
    }
    ck_assert_int_ge(seen, 300);
    json_free(root);
    mem_free(text);
}
END_TEST

START_TEST(every_row_of_the_table_is_complete_and_names_are_unique)
{
    for (int i = 0; i < metric_count(); i++) {
        const struct metric_ops *m = metric_at(i);
        ck_assert_ptr_eq(metric_find(m->name), m);
        ck_assert(*m->summary && *m->source && *m->unit);
        ck_assert_msg(m->score || strcmp(m->name, "nll") == 0, "%s has no score", m->name);
    }
    ck_assert_ptr_null(metric_find("f2"));
    ck_assert_int_eq(metric_find("nll")->higher_is_better, 0);
    ck_assert_int_eq(metric_find("yap")->higher_is_better, 0);
    ck_assert_int_eq(metric_find("f1")->higher_is_better, 1);
}
END_TEST

START_TEST(yap_is_the_excess_in_tokens_and_never_negative)
{
    static const struct {
        int output, answer;
        double want;
    } c[] = {{10, 4, 6}, {4, 10, 0}, {4, 4, 0}, {0, 0, 0}, {1, 0, 1}};
    char *answer[] = {NULL};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct metric_input in = {"x", answer, 1, NULL, 0, c[i].output, c[i].answer};
        double v;
        metric_find("yap")->score(&in, &v);
        ck_assert_msg(v == c[i].want, "case %zu: %g", i, v);
    }
}
END_TEST

START_TEST(without_answers_there_is_no_score)
{
    for (int i = 0; i < metric_count(); i++) {
        const struct metric_ops *m = metric_at(i);
        struct metric_input in = {.output = "x"};
        double v[4] = {0};
        if (!m->score || strcmp(m->name, "yap") == 0)
            continue;
        m->score(&in, v);
        ck_assert_msg(isnan(v[0]), "%s gives %g", m->name, v[0]);
    }
}
END_TEST

START_TEST(last_number_reads_answers_as_lm_eval_does)
{
    static const struct {
        const char *output, *answer;
        double want; /* -1: no score */
    } c[] = {
        {" 52850", "She counts 5 keys.\n#### 52850", 1},
        {" 52850", "#### 52850", 1},
        {" 52850", "52850", 1},
        {" 52850", "####52850", 1},
        {"so 52,850.", "#### 52850", 1},
        {"so 52850", "5 + 6 #### 52,850", 1},
        {"1000", "#### $1,000", 1},
        {"1000", "$1000.", 1},
        {"-7", "#### -7", 1},
        {"7", "#### -7", 0},
        {"3.50", "#### 3.50", 1},
        {"3.5", "#### 3.50", 0},
        {" 5", "5 keys #### 52850", 0},
        {"1 #### 2", "a #### 1 #### 2", 1},
        {"no number", "#### 52850", 0},
        {"", "#### 52850", 0},
        {"52850\n", " 52850\n", 1},
        {"5", "five", -1},
        {"", "", -1},
        {"5", "####", -1},
        {"5", "5 #### five", -1},
        {"5", "5 keys", -1},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *answer[] = {mem_strdup(c[i].answer)};
        struct metric_input in = {.output = c[i].output, .answer = answer, .n_answer = 1};
        double v = 7;
        metric_find("last_number")->score(&in, &v);
        ck_assert_msg(c[i].want < 0 ? isnan(v) : v == c[i].want, "case %zu: '%s' for '%s' is %g", i, c[i].output,
                      c[i].answer, v);
        mem_free(answer[0]);
    }
}
END_TEST

START_TEST(a_count_in_words_has_no_score)
{
    char text[] = "five", *answer[] = {text};
    struct metric_input in = {.output = "5", .answer = answer, .n_answer = 1};
    double v = 7;
    metric_find("count")->score(&in, &v);
    ck_assert(isnan(v));
}
END_TEST

START_TEST(retrieval_takes_the_first_number_where_no_paragraph_is_named)
{
    static const struct {
        const char *output, *answer;
        double want;
    } c[] = {{"7",
              "\xE6\xAE\xB5\xE8\x90\xBD"
              "7",
              1},
             {"7 8", "7", 0.5},
             {"17", "7", 0}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *answer[] = {mem_strdup(c[i].answer), mem_strdup("no number")};
        struct metric_input in = {.output = c[i].output, .answer = answer, .n_answer = 2};
        double v;
        metric_find("retrieval")->score(&in, &v);
        ck_assert_msg(v == c[i].want, "case %zu: %g", i, v);
        in.answer = answer + 1;
        in.n_answer = 1;
        metric_find("retrieval")->score(&in, &v);
        ck_assert(isnan(v));
        mem_free(answer[0]);
        mem_free(answer[1]);
    }
}
END_TEST

START_TEST(bytes_that_are_no_utf8_become_replacement_characters)
{
    static const struct {
        const char *text, *lower;
        size_t n;
    } c[] = {{"A\xFF"
              "B",
              "a\xEF\xBF\xBD"
              "b",
              3},
             {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD", 2},
             {"", "", 0},
             {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", 1},
             {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 3}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        size_t n;
        char *low = unicode_lower(c[i].text);
        int32_t *point = unicode_points(c[i].text, &n);
        ck_assert_str_eq(low, c[i].lower);
        ck_assert_msg(n == c[i].n, "case %zu: %zu", i, n);
        mem_free(low);
        mem_free(point);
    }
}
END_TEST

Suite *make_metric_suite(void)
{
    Suite *s = suite_create("metric");
    TCase *t = tcase_create("metric");
    tcase_add_test(t, scores_equal_those_of_the_reference_implementations);
    tcase_add_test(t, every_row_of_the_table_is_complete_and_names_are_unique);
    tcase_add_test(t, last_number_reads_answers_as_lm_eval_does);
    tcase_add_test(t, a_count_in_words_has_no_score);
    tcase_add_test(t, yap_is_the_excess_in_tokens_and_never_negative);
    tcase_add_test(t, without_answers_there_is_no_score);
    tcase_add_test(t, retrieval_takes_the_first_number_where_no_paragraph_is_named);
    tcase_add_test(t, bytes_that_are_no_utf8_become_replacement_characters);
    suite_add_tcase(s, t);
    return s;
}
