/* YAML as a tree: files and lines, what is refused, merging, setting, printing. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/unicode.h"
#include "harness/experiment/conf.h"
#include "tests/suites.h"

static struct conf *parse(const char *text)
{
    struct err e;
    struct conf *c = conf_parse("x.yaml", text, strlen(text), &e);
    ck_assert_msg(c != NULL, "%s", e.msg);
    return c;
}

static void prints(const struct conf *c, const char *want)
{
    struct str s = {0};
    conf_print(c, &s);
    ck_assert_str_eq(str_c(&s), want);
    str_free(&s);
}

START_TEST(every_node_knows_its_file_and_line)
{
    struct conf *c = parse("# question\n\na: 1\nb:\n  - x\n  - {p: 2, q: [3,\n     4]}\n");
    ck_assert_int_eq(c->kind, CONF_MAP);
    ck_assert_int_eq(c->n, 2);
    ck_assert_int_eq(c->key_line[0], 3);
    ck_assert_int_eq(c->key_line[1], 4);
    ck_assert_int_eq(c->item[1]->line, 5);
    const struct conf *map = conf_get(c, "b")->item[1];
    ck_assert_int_eq(map->line, 6);
    ck_assert_int_eq(conf_get(map, "q")->item[1]->line, 7);
    ck_assert_str_eq(conf_get(map, "q")->item[1]->text, "4");
    ck_assert_str_eq(conf_get(map, "q")->file, "x.yaml");
    ck_assert_ptr_null(conf_get(map, "r"));
    ck_assert_ptr_null(conf_get(conf_get(c, "a"), "a")); /* no map */
    conf_free(c);
}
END_TEST

/* Many items and many keys are read in the time of as many lines: what is copied or compared for each of them again
 * would take minutes. */
START_TEST(long_lists_and_wide_maps_are_read)
{
    enum { ITEMS = 120000, KEYS = 40000 };
    struct str text = {0};
    struct err e;
    str_add(&text, "list: [");
    for (int i = 0; i < ITEMS; i++)
        str_addf(&text, "%d,", i % 10);
    str_add(&text, "]\nmap:\n");
    for (int i = 0; i < KEYS; i++)
        str_addf(&text, "  k%d: %d\n", i, i);
    struct conf *c = parse(text.p), *d = conf_copy(c);
    const struct conf *list = conf_get(d, "list"), *map = conf_get(d, "map");
    ck_assert(list->n == ITEMS && map->n == KEYS && map->key_line[KEYS - 1] == KEYS + 2);
    for (int i = 0; i < ITEMS; i++)
        ck_assert(list->item[i]->text[0] == '0' + i % 10);
    ck_assert_str_eq(map->key[KEYS - 1], "k39999");
    ck_assert_str_eq(map->item[KEYS - 1]->text, "39999");
    conf_free(c);
    conf_free(d);
    str_add(&text, "  k7: again\n");
    ck_assert_ptr_null(conf_parse("x.yaml", text.p, text.n, &e));
    ck_assert_str_eq(e.msg, "x.yaml:40003: key 'k7' stands twice (first in line 10)");
    str_free(&text);
}
END_TEST

START_TEST(what_is_no_single_plain_document_is_refused_with_its_line)
{
    static const struct {
        const char *text, *message;
    } c[] = {
        {"", "x.yaml:1: the file is empty"},
        {"# only a comment\n", "x.yaml:1: the file is empty"},
        {"a: 1\nb: 2\na:\n  c: 3\n", "x.yaml:3: key 'a' stands twice (first in line 1)"},
        {"s:\n  - a: 1\ns:\n  - a: 2\n", "x.yaml:3: key 's' stands twice (first in line 1)"},
        {"a: &x {p: 1}\nb:\n  <<: *x\n", "x.yaml:3: '<<' is not supported; use include"},
        {"a: 1\n--- \nb: 2\n", "x.yaml:2: a second document"},
        {"[x, y]: 1\n", "x.yaml:1: a key must be a plain text"},
        {"a: [1, 2\nb: 3\n", "x.yaml:2: did not find expected ',' or ']'"},
        {"a: 1\n\tb: 2\n", "x.yaml:2: a tab: indent with spaces"},
        {"a: \"x\\0y\"\n", "x.yaml:1: a text holds a NUL byte"},
        {"a: 1\n\"x\\0y\": 2\n", "x.yaml:2: a key must be a plain text"},
        {"a: &x [*x]\n", "x.yaml:1: 'x' contains itself"},
        {"a: &x 1\nb: &x 2\n", "x.yaml:2: anchor 'x' stands twice"},
        {"a: *nobody\n", "x.yaml:1: found undefined alias"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {.msg = "garbage"};
        struct conf *got = conf_parse("x.yaml", c[i].text, strlen(c[i].text), &e);
        ck_assert_msg(got == NULL, "case %zu was accepted", i);
        ck_assert_int_eq(e.code, ERR_CONFIG);
        ck_assert_msg(strstr(e.msg, c[i].message) != NULL, "case %zu: %s", i, e.msg);
    }
}
END_TEST

static struct str repeated(const char *before, const char *text, int n)
{
    struct str s = {0};
    str_add(&s, before);
    for (int i = 0; i < n; i++)
        str_add(&s, text);
    return s;
}

START_TEST(depth_and_size_are_bounded_whether_written_out_or_by_aliases)
{
    struct err e = {0};
    struct str s = repeated("\na: ", "[", 100000);
    ck_assert_ptr_null(conf_parse("x.yaml", s.p, s.n, &e));
    ck_assert_str_eq(e.msg, "x.yaml:2: nested deeper than 64");
    str_free(&s);
    s = repeated("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n", "", 0);
    for (int i = 1; i < 9; i++)
        str_addf(&s, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    ck_assert_ptr_null(conf_parse("x.yaml", s.p, s.n, &e));
    ck_assert_str_eq(e.msg, "x.yaml:6: more than 200000 values");
    str_free(&s);
    s = repeated("a: [", "1,", 150000);
    str_addc(&s, ']');
    struct conf *c = conf_parse("x.yaml", s.p, s.n, &e);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(conf_get(c, "a")->n, 150000);
    conf_free(c);
    str_free(&s);
}
END_TEST

START_TEST(an_alias_is_what_its_anchor_was_as_a_value_and_as_a_key)
{
    struct err e = {0};
    const char *text = "&k key: &v [1, {b: 2}]\nother: *v\nm: {*k : *k}\n";
    struct conf *c = conf_parse("x.yaml", text, strlen(text), &e);
    ck_assert_msg(c != NULL, "%s", e.msg);
    ck_assert_str_eq(conf_get(conf_get(c, "other")->item[1], "b")->text, "2");
    ck_assert_str_eq(conf_get(conf_get(c, "m"), "key")->text, "key");
    conf_free(c);
}
END_TEST

START_TEST(a_file_that_is_not_there_is_a_configuration_error)
{
    struct err e;
    memset(&e, 0xFF, sizeof e);
    ck_assert_ptr_null(conf_read("/nonexistent/x.yaml", &e));
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_str_eq(e.msg, "/nonexistent/x.yaml: No such file or directory");
}
END_TEST

START_TEST(aliases_repeat_what_they_name)
{
    struct conf *c = parse("a: &x {p: [1, 2]}\nb: *x\n");
    prints(c, "{a: {p: [1, 2]}, b: {p: [1, 2]}}");
    conf_free(c);
}
END_TEST

START_TEST(maps_merge_and_everything_else_is_replaced)
{
    static const char text[] = "a: 1\nm: {p: 1, q: {r: 1, s: 2}}\nl: [1, 2, 3]\nk: x\n";
    struct conf *base = conf_parse("base.yaml", text, strlen(text), NULL);
    struct conf *over = parse("\n\nm: {q: {s: 9}, t: 4}\nl: [7]\nk: {now: map}\nnew: y\n");
    struct conf *c = conf_merge(base, over);
    prints(base, "{a: 1, m: {p: 1, q: {r: 1, s: 2}}, l: [1, 2, 3], k: x}"); /* as it was */
    conf_free(base);
    conf_free(over); /* the result stands by itself */
    prints(c, "{a: 1, m: {p: 1, q: {r: 1, s: 9}, t: 4}, l: [7], k: {now: map}, new: y}");
    /* what is missing in the whole is missing in the file that the user named; every item knows its own */
    ck_assert_str_eq(c->file, "x.yaml");
    ck_assert_str_eq(conf_get(c, "a")->file, "base.yaml");
    ck_assert_str_eq(conf_get(c, "new")->file, "x.yaml");
    ck_assert_str_eq(conf_get(conf_get(conf_get(c, "m"), "q"), "s")->file, "x.yaml");
    ck_assert_str_eq(conf_get(conf_get(conf_get(c, "m"), "q"), "r")->file, "base.yaml");
    ck_assert_int_eq(conf_get(c, "l")->line, 4);
    conf_free(c);
}
END_TEST

START_TEST(a_dotted_path_sets_a_value)
{
    static const struct {
        const char *path, *value, *want;
    } c[] = {
        {"a", "[5, 6]", "{a: [5, 6], s: [{k: 1}, {k: 2, m: {n: 3}}]}"},
        {"s.1.m.n", "x", "{a: 1, s: [{k: 1}, {k: 2, m: {n: x}}]}"},
        {"s.0.new", "{y: z}", "{a: 1, s: [{k: 1, new: {y: z}}, {k: 2, m: {n: 3}}]}"},
        {"s.0", "whole", "{a: 1, s: [whole, {k: 2, m: {n: 3}}]}"},
        {"b", "2", "{a: 1, s: [{k: 1}, {k: 2, m: {n: 3}}], b: 2}"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct conf *root = parse("a: 1\ns: [{k: 1}, {k: 2, m: {n: 3}}]\n"), *v = parse(c[i].value);
        struct err e;
        ck_assert_msg(conf_set(root, c[i].path, v, &e) == 0, "case %zu: %s", i, e.msg);
        conf_free(v);
        prints(root, c[i].want);
        conf_free(root);
    }
}
END_TEST

START_TEST(a_path_that_leads_nowhere_says_where_it_ends)
{
    static const struct {
        const char *path, *message;
    } c[] = {{"s.2.k", "--set s.2.k: nothing stands at 's.2'"}, {"s.2", "--set s.2: nothing stands at 's.2'"},
             {"s.x", "--set s.x: nothing stands at 's.x'"},     {"s.-1", "--set s.-1: nothing stands at 's.-1'"},
             {"t.k", "--set t.k: nothing stands at 't'"},       {"a.b", "--set a.b: nothing stands at 'a.b'"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct conf *root = parse("a: 1\ns: [{k: 1}, {k: 2}]\n"), *v = parse("0");
        struct err e = {.msg = "garbage"};
        ck_assert_int_eq(conf_set(root, c[i].path, v, &e), -1);
        ck_assert_str_eq(e.msg, c[i].message);
        prints(root, "{a: 1, s: [{k: 1}, {k: 2}]}");
        conf_free(v);
        conf_free(root);
    }
}
END_TEST

START_TEST(what_is_printed_reads_back_as_the_same)
{
    struct conf *c = parse("a: 'true'\nb: \"x: y\\n\"\nc: ''\nd: -3\ne: .5\nf: 'it''s'\ng: {h: [], i: {}}\nj: "
                           "\"\\\"q\\\"\"\nk: ~\nl: é\nm: '- x'\n");
    struct str one = {0}, two = {0};
    conf_print(c, &one);
    struct conf *again = parse(one.p);
    conf_print(again, &two);
    ck_assert_str_eq(one.p, two.p);
    static const char *const key[] = {"a", "b", "c", "d", "e", "f", "j", "k", "l", "m"};
    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(conf_get(c, key[i])->text, conf_get(again, key[i])->text);
    ck_assert(conf_get(again, "a")->quoted); /* a text, not the word */
    conf_free(c);
    conf_free(again);
    str_free(&one);
    str_free(&two);
}
END_TEST

/* Texts of characters that YAML, JSON or a shell treat in some way of their own, and of any others. */
static void random_text(struct rng *r, struct str *s)
{
    static const int32_t odd[] = {'\t',     '\n',     '\r',   1,      0x1B,   0x7F, 0x85, 0x9F, 0xA0, 0x2028,
                                  0x2029,   0xFEFF,   0xFFFD, 0xFFFE, 0xFFFF, '"',  '\'', '\\', '#',  ':',
                                  '-',      '{',      '}',    '[',    ']',    ',',  '&',  '*',  '!',  '|',
                                  '>',      '%',      '@',    '`',    ' ',    '?',  '~',  '=',  '<',  0x1F600,
                                  0x10FFFE, 0x10FFFF, 0xE9,   'a',    'n',    '0',  '.',  '/'};
    int n = (int)rng_below(r, 12);
    str_clear(s);
    str_add(s, "");
    while (n--) {
        int32_t c = rng_below(r, 4) ? odd[rng_below(r, sizeof odd / sizeof *odd)] : (int32_t)rng_below(r, 0x10FFFF) + 1;
        unicode_append(s, c >= 0xD800 && c <= 0xDFFF ? 'x' : c);
    }
}

START_TEST(any_text_is_printed_so_that_it_reads_back_as_value_and_as_key)
{
    struct rng r;
    struct str text = {0}, yaml = {0};
    rng_init(&r, 1, "conf");
    for (int i = 0; i < 20000; i++) {
        struct err e = {0};
        random_text(&r, &text);
        str_clear(&yaml);
        str_add(&yaml, "a: ");
        conf_add_text(&yaml, text.p);
        struct conf *c = conf_parse("x.yaml", yaml.p, yaml.n, &e), *again;
        ck_assert_msg(c != NULL, "%s in %s", e.msg, yaml.p);
        ck_assert_str_eq(conf_get(c, "a")->text, text.p);
        if (strcmp(text.p, "<<") != 0) { /* the printer's own choice of quotes */
            c->item[0]->quoted = 0;
            mem_free(c->key[0]);
            c->key[0] = mem_strdup(text.p);
            str_clear(&yaml);
            conf_print(c, &yaml);
            again = conf_parse("x.yaml", yaml.p, yaml.n, &e);
            ck_assert_msg(again != NULL, "%s in %s", e.msg, yaml.p);
            ck_assert_str_eq(conf_get(again, text.p)->text, text.p);
            conf_free(again);
        }
        conf_free(c);
    }
    str_free(&text);
    str_free(&yaml);
}
END_TEST

Suite *make_conf_suite(void)
{
    Suite *s = suite_create("conf");
    TCase *t = tcase_create("conf");
    tcase_add_test(t, every_node_knows_its_file_and_line);
    tcase_add_test(t, long_lists_and_wide_maps_are_read);
    tcase_add_test(t, what_is_no_single_plain_document_is_refused_with_its_line);
    tcase_add_test(t, a_file_that_is_not_there_is_a_configuration_error);
    tcase_add_test(t, depth_and_size_are_bounded_whether_written_out_or_by_aliases);
    tcase_add_test(t, an_alias_is_what_its_anchor_was_as_a_value_and_as_a_key);
    tcase_add_test(t, any_text_is_printed_so_that_it_reads_back_as_value_and_as_key);
    tcase_add_test(t, aliases_repeat_what_they_name);
    tcase_add_test(t, maps_merge_and_everything_else_is_replaced);
    tcase_add_test(t, a_dotted_path_sets_a_value);
    tcase_add_test(t, a_path_that_leads_nowhere_says_where_it_ends);
    tcase_add_test(t, what_is_printed_reads_back_as_the_same);
    suite_add_tcase(s, t);
    return s;
}
