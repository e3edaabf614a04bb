/* The delimiter between prompt and answer: lm-evaluation-harness's rule, case by case. */
#include "harness/engine/target.h"
#include "tests/suites.h"

static const struct {
    const char *before[3], *delimiter, *answer, *want;
} cases[] = {
    {{"a context", " what?", " It is:"}, " ", "54522", " 54522"},
    {{"a context", " what?", " It is: "}, " ", "54522", "54522"},
    {{"a context", " what?", " It is:\n"}, " ", "54522", "54522"},
    {{"a context", " what?", " It is:\t"}, " ", "54522", "54522"},
    {{"a context", " what?", " It is:"}, " ", " 54522", " 54522"},
    {{"a context", " what?", " It is:"}, " ", "\n54522", "\n54522"},
    /* whatever stands last: a question, a context, nothing at all */
    {{"a context", " what? ", ""}, " ", "x", "x"},
    {{"a context", " what?", ""}, " ", "x", " x"},
    {{"a context\n", "", ""}, " ", "x", "x"},
    {{"", "", ""}, " ", "x", " x"},
    /* white space as str.isspace() has it: no-break and ideographic spaces, next line, a unit separator; no zero-width
     * space, and no byte of another character */
    {{"", "", "is:\xC2\xA0"}, " ", "x", "x"},
    {{"", "", "is:\xE3\x80\x80"}, " ", "x", "x"},
    {{"", "", "is:\xC2\x85"}, " ", "x", "x"},
    {{"", "", "is:\x1F"}, " ", "x", "x"},
    {{"", "", "is:\xE2\x80\x8B"}, " ", "x", " x"},
    {{"", "", "voil\xC3\xA0"}, " ", "x", " x"},
    {{"", "", "\xF0\x9F\x98\x85"}, " ", "x", " x"},
    {{"", "", "\x85"}, " ", "x", " x"},
    {{"", "", "is:"}, " ", "\xC2\xA0x", "\xC2\xA0x"},
    {{"", "", "is:"}, " ", "\xE2\x80\x8Bx", " \xE2\x80\x8Bx"},
    /* another delimiter, and none */
    {{"", "", "is:"}, "\n", "x", "\nx"},
    {{"", "", "is:"}, "", "x", "x"},
    {{"", "", "is: "}, "\n", "x", "x"},
    {{"", "", "is:"}, " ", "", ""},
};

START_TEST(the_delimiter_stands_where_no_white_space_does)
{
    struct str s = {0};
    target_text(cases[_i].before, 3, cases[_i].delimiter, cases[_i].answer, &s);
    ck_assert_str_eq(str_c(&s), cases[_i].want);
    str_free(&s);
}
END_TEST

Suite *make_target_suite(void)
{
    Suite *s = suite_create("target");
    TCase *t = tcase_create("delimiter");
    tcase_add_loop_test(t, the_delimiter_stands_where_no_white_space_does, 0, (int)(sizeof cases / sizeof *cases));
    suite_add_tcase(s, t);
    return s;
}
