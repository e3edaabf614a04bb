/* harness/base/json: the grammar to the letter, with the place and the reason of what is refused. */
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/str.h"
#include "tests/suites.h"

#define TEXT(s) s, sizeof s - 1

static const struct {
    const char *text;
    size_t n;
    const char *why;
} bad[] = {
    {TEXT("{\"a\": True}"), "x:1:7: 'True' is not JSON: JSON writes true"},
    {TEXT("[False]"), "x:1:2: 'False' is not JSON: JSON writes false"},
    {TEXT("[null, None]"), "x:1:8: 'None' is not JSON: JSON writes null"},
    {TEXT("[NaN]"), "x:1:2: 'NaN' is no number of JSON"},
    {TEXT("[-Infinity]"), "x:1:2: '-Infinity' is no number of JSON"},
    {TEXT("[nul]"), "x:1:2: expected a value, found 'nul'"},
    {TEXT("{'a': 1}"), "x:1:2: expected a key in double quotes, found ' (texts stand in double quotes)"},
    {TEXT("['a']"), "x:1:2: expected a value, found ' (texts stand in double quotes)"},
    {TEXT("{a: 1}"), "x:1:2: expected a key in double quotes, found 'a'"},
    {TEXT("{\"a\" 1}"), "x:1:6: expected ':', found '1'"},
    {TEXT("{\"a\": 1 \"b\": 2}"), "x:1:9: expected ',' or '}', found '\"'"},
    {TEXT("[1 2]"), "x:1:4: expected ',' or ']', found '2'"},
    {TEXT("[1,]"), "x:1:4: expected a value, found ']'"},
    {TEXT("{\"a\": 1,}"), "x:1:9: expected a key in double quotes, found '}'"},
    {TEXT("{\"a\": [1, 2}"), "x:1:12: expected ',' or ']', found '}'"},
    {TEXT("\n[01]"), "x:2:2: '01' is no number of JSON"},
    {TEXT("[1.]"), "x:1:2: '1.' is no number of JSON"},
    {TEXT("[1e]"), "x:1:2: '1e' is no number of JSON"},
    {TEXT("[-]"), "x:1:2: expected a value, found '-'"},
    {TEXT("[.5]"), "x:1:2: expected a value, found '.5'"},
    {TEXT("[+1]"), "x:1:2: expected a value, found '+1'"},
    {TEXT("[1e999]"), "x:1:2: the number '1e999' is too large"},
    {TEXT("[\"a]"), "x:1:2: a text that does not end"},
    {TEXT("[\"\\x\"]"), "x:1:3: unknown escape '\\x'"},
    {TEXT("[\"\\u12g4\"]"), "x:1:3: \\u wants four hexadecimal digits"},
    {TEXT("[\"a\\u0000b\"]"), "x:1:4: a text holds a NUL (\\u0000)"},
    {TEXT("{\"a\\u0000b\": 1}"), "x:1:4: a text holds a NUL (\\u0000)"},
    {TEXT("[\"a\0b\"]"), "x:1:4: a text holds a NUL"},
    {TEXT("[1\0]"), "x:1:3: expected ',' or ']', found byte 0x00"},
    {TEXT("[1]\0"), "x:1:4: text after the JSON value"},
    {TEXT("[\"\\ud83d\"]"), "x:1:3: \\uD83D is half of a character"},
    {TEXT("[\"\\udc00\\ud83d\"]"), "x:1:3: \\uDC00 is half of a character"},
    {TEXT("[\"a\tb\"]"), "x:1:4: a text holds a control character (byte 0x09), which JSON writes as an escape"},
    {TEXT("[\"\xC3\xA9\xE9\"]"), "x:1:4: byte 0xE9 is not UTF-8"},
    {TEXT("[\"\xED\xA0\x80\"]"), "x:1:3: byte 0xED is not UTF-8"},
    {TEXT("[\"\xC0\xAF\"]"), "x:1:3: byte 0xC0 is not UTF-8"},
    {TEXT("\xEF\xBB\xBF"), "x:1:2: expected a value, found the end"},
};

START_TEST(what_is_refused_has_a_place_and_a_reason)
{
    struct err e = {.msg = "garbage"};
    ck_assert_msg(json_parse("x", bad[_i].text, bad[_i].n, &e) == NULL, "accepted: %s", bad[_i].text);
    ck_assert_int_eq(e.code, ERR_FORMAT);
    ck_assert_str_eq(e.msg, bad[_i].why);
}
END_TEST

START_TEST(what_is_valid_is_read)
{
    static const char *const good[] = {"\xEF\xBB\xBF{\"a\":1}",
                                       " [ ] ",
                                       "{}",
                                       "-0",
                                       "1.5e+3",
                                       "1E-400",
                                       "\"\\ud83d\\ude42\\u00e9\\/\"",
                                       "[[{\"a\":[{}]}],\"\xF4\x8F\xBF\xBF\"]\r\n",
                                       "true"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {.msg = ""};
        struct json *v = json_parse("x", good[i], strlen(good[i]), &e);
        ck_assert_msg(v != NULL, "%s: %s", good[i], e.msg);
        json_free(v);
    }
}
END_TEST

START_TEST(nesting_ends_at_a_thousand)
{
    for (int depth = 1000; depth <= 1001; depth++) {
        struct str s = {0};
        struct err e = {.msg = ""};
        for (int i = 0; i < 2 * depth; i++)
            str_addc(&s, i < depth ? '[' : ']');
        struct json *v = json_parse("x", s.p, s.n, &e);
        ck_assert_msg((v != NULL) == (depth == 1000), "%d levels: %s", depth, e.msg);
        json_free(v);
        str_free(&s);
    }
}
END_TEST

START_TEST(a_record_keeps_its_numbers_as_written)
{
    static const char text[] = "{\"a-1\": [1.50, {\"b\\\"2\": -7e2}, \"3\"], \"c\": 12345678901234567890}\n";
    static const char *const want[] = {"1.50", "-7e2", "12345678901234567890"};
    struct err e;
    struct json *v = json_parse_record("x", 7, text, sizeof text - 1, &e);
    ck_assert_ptr_nonnull(v);
    const struct json *a = json_first(json_get(v, "a-1")), *b = json_first(json_next(a)), *c = json_get(v, "c");
    const struct json *n[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(json_number_text(n[i]), want[i]);
    ck_assert_ptr_null(json_string(a));
    ck_assert_ptr_null(json_number_text(json_next(json_next(a))));
    json_free(v);
    ck_assert_ptr_null(json_parse_record("x", 7, "[1,,2]", 6, &e));
    ck_assert_str_eq(e.msg, "x:7:4: expected a value, found ','");
}
END_TEST

START_TEST(a_duplicate_among_many_keys_is_found)
{
    for (int twice = 0; twice < 2; twice++) {
        struct str s = {0};
        const char *key = NULL;
        for (int i = 0; i < 20000; i++)
            str_addf(&s, "%s\"k%d\":0", i ? "," : "{", twice && i == 19999 ? 4321 : i);
        str_addc(&s, '}');
        struct json *v = json_parse("x", s.p, s.n, NULL);
        ck_assert_int_eq(json_has_duplicate(v, &key), twice);
        if (twice)
            ck_assert_str_eq(key, "k4321");
        json_free(v);
        str_free(&s);
    }
}
END_TEST

Suite *make_json_suite(void)
{
    Suite *s = suite_create("json");
    TCase *t = tcase_create("grammar");
    tcase_add_loop_test(t, what_is_refused_has_a_place_and_a_reason, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(t, what_is_valid_is_read);
    tcase_add_test(t, nesting_ends_at_a_thousand);
    tcase_add_test(t, a_record_keeps_its_numbers_as_written);
    tcase_add_test(t, a_duplicate_among_many_keys_is_found);
    suite_add_tcase(s, t);
    return s;
}
