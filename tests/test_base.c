/* harness/base: decimals, strings, JSON, files, parameters, random numbers. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/decimal.h"
#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/param.h"
#include "harness/base/param_check.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"
#include "tests/suites.h"

START_TEST(decimal_fractions_of_integers_are_exact)
{
    static const struct {
        const char *text;
        int64_t n, want;
    } c[] = {{"0.8", 1000, 800}, {"0.9", 1000, 900}, {"0.1", 1000, 100}, {"0.2", 900, 180}, {"1", 7, 7},
             {"0.29", 100, 29},  {"1e-3", 5000, 5},  {".5", 3, 1},       {"0.333", 3, 0},   {"1.0", 12, 12}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct decimal d;
        ck_assert_int_eq(decimal_parse(c[i].text, &d, NULL), 0);
        ck_assert_msg(decimal_floor_mul(d, c[i].n) == c[i].want, "case %zu: %s of %d", i, c[i].text, (int)c[i].n);
    }
}
END_TEST

START_TEST(decimal_refuses_what_is_no_number)
{
    static const char *const bad[] = {"", "x", "0.4x", "1e", "1e99", "0..1", "nan", "0x1", "1234567890123", "."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct decimal d;
        struct err e;
        memset(&e, 0xFF, sizeof e);
        ck_assert_msg(decimal_parse(bad[i], &d, &e) == -1, "case %zu '%s'", i, bad[i]);
        ck_assert_int_eq(e.code, ERR_CONFIG);
    }
}
END_TEST

START_TEST(nearest_name_finds_slips_and_nothing_else)
{
    static const char *const names[] = {"h2o", "snapkv", "streaming"};
    ck_assert_str_eq(str_nearest("h20", names, 3), "h2o");
    ck_assert_str_eq(str_nearest("snapvk", names, 3), "snapkv");
    ck_assert_ptr_null(str_nearest("pyramid", names, 3));
}
END_TEST

START_TEST(doubles_print_shortest_and_read_back)
{
    static const double x[] = {0.1, 1.0 / 3, 1e300, -0.25, 12345678.9, 5e-324};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        struct str s = {0};
        double y;
        str_add_double(&s, x[i]);
        ck_assert_int_eq(str_to_double(s.p, &y), 0);
        ck_assert(x[i] == y);
        str_free(&s);
    }
}
END_TEST

START_TEST(doubles_print_without_exponent_where_they_can)
{
    static const struct {
        double x;
        const char *want;
    } c[] = {{0, "0"},
             {100, "100"},
             {-20, "-20"},
             {1e7, "10000000"},
             {123456789012345, "123456789012345"},
             {1e15, "1e+15"},
             {0.5, "0.5"},
             {0.001, "0.001"},
             {1e-7, "1e-07"},
             {1.5e10, "15000000000"},
             {(double)INFINITY, "inf"},
             {-(double)INFINITY, "-inf"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        str_add_double(&s, c[i].x);
        ck_assert_str_eq(s.p, c[i].want);
        str_free(&s);
    }
    struct str s = {0};
    str_add_json_double(&s, (double)NAN);
    str_add_json_double(&s, (double)INFINITY);
    ck_assert_str_eq(s.p, "nullnull");
    str_free(&s);
}
END_TEST

START_TEST(sizes_in_bytes_have_units)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } c[] = {{"1", 1},           {"4096", 4096},      {"8MiB", 8388608},  {"8 MiB", 8388608},
             {"0.5KiB", 512},    {"1.5kB", 1500},     {"2G", 2147483648}, {"512M", 536870912},
             {"3k", 3072},       {"1GB", 1000000000}, {"7B", 7},          {"0", -1},
             {"", -1},           {"MiB", -1},         {"-1", -1},         {"8 apples", -1},
             {"8MiBs", -1},      {"1..2", -1},        {"8  MiB", -1},     {"1e3", -1},
             {"9999999GiB", -1}, {"0.5", -1}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        int64_t got = -1;
        ck_assert_msg(str_to_bytes(c[i].text, &got) == (c[i].want < 0 ? -1 : 0), "case %zu '%s'", i, c[i].text);
        ck_assert_msg(got == c[i].want, "case %zu '%s': %lld", i, c[i].text, (long long)got);
    }
}
END_TEST

START_TEST(numbers_are_read_whole_or_not_at_all)
{
    static const char *const no_integer[] = {"", " 1", "1 ", "1.0", "x", "0x10", "9223372036854775808", "--1", "\t1"};
    static const char *const no_number[] = {"", " 1", "1,5", "1e", "1e999", "x", "1 "};
    int64_t i;
    double x;
    for (size_t k = 0; k < sizeof no_integer / sizeof *no_integer; k++)
        ck_assert_msg(str_to_int64(no_integer[k], &i) == -1, "'%s'", no_integer[k]);
    for (size_t k = 0; k < sizeof no_number / sizeof *no_number; k++)
        ck_assert_msg(str_to_double(no_number[k], &x) == -1, "'%s'", no_number[k]);
    ck_assert(str_to_int64("-9223372036854775808", &i) == 0 && i == INT64_MIN);
    ck_assert(str_to_int64("+7", &i) == 0 && i == 7);
    ck_assert(str_to_double("1e-400", &x) == 0 && x == 0); /* too small is zero, too large is no number */
    ck_assert(str_to_double(".5", &x) == 0 && x == 0.5);
}
END_TEST

START_TEST(json_text_is_escaped_and_always_utf8)
{
    static const struct {
        const char *text;
        size_t n;
        const char *want;
    } c[] = {{"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
             {"\n\t\r\x01\x7f", 5, "\"\\n\\t\\r\\u0001\\u007f\""},
             {"x\0y", 3, "\"x\\u0000y\""},
             {"\xc3\xa9\xf0\x9f\x99\x82", 6, "\"\xc3\xa9\xf0\x9f\x99\x82\""},
             {"\xc3(", 2, "\"\xef\xbf\xbd(\""},                               /* cut */
             {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* too long for '/' */
             {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* half of a surrogate pair */
             {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* above U+10FFFF */
             {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        str_add_json(&s, c[i].text, c[i].n);
        ck_assert_msg(strcmp(s.p, c[i].want) == 0, "case %zu: %s", i, s.p);
        struct json *v = json_parse("x", s.p, s.n, NULL);
        ck_assert_msg((v != NULL) == (strlen(c[i].text) == c[i].n), "case %zu: read %d", i,
                      v != NULL); /* a NUL is refused */
        json_free(v);
        str_free(&s);
    }
}
END_TEST

START_TEST(json_is_read_exactly_and_errors_have_a_place)
{
    static const struct {
        const char *text, *message;
    } c[] = {{"{\"a\": 1,\n \"b\": }", "x.json:2:7: expected a value, found '}'"},
             {"{} x", "x.json:1:4: text after the JSON value"},
             {"", "x.json:1:1: expected a value, found the end"},
             {"[1, 2", "x.json:1:6: expected ',' or ']', found the end"},
             {"{\"a\": 1}\n\n{}", "x.json:3:1: text after the JSON value"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {.msg = "garbage"};
        ck_assert_ptr_null(json_parse("x.json", c[i].text, strlen(c[i].text), &e));
        ck_assert_int_eq(e.code, ERR_FORMAT);
        ck_assert_msg(strncmp(e.msg, c[i].message, strlen(c[i].message)) == 0, "case %zu: %s", i, e.msg);
    }
    static const char text[] =
        "{\"a\": [1, \"x\", null, true, 0.30000000000000004, 9007199254740993], \"A\": {}, \"a\": 2}  \n";
    struct json *v = json_parse("x.json", text, strlen(text), NULL);
    const struct json *a = json_first(json_get(v, "a"));
    const char *key;
    int64_t n;
    ck_assert(json_has_duplicate(v, &key) && strcmp(key, "a") == 0);
    ck_assert(json_is_object(json_get(v, "A")) && !json_has_duplicate(json_get(v, "A"), &key));
    ck_assert_int_eq(json_size(json_get(v, "a")), 6);
    ck_assert(json_int64(a, &n) == 0 && n == 1);
    a = json_next(a);
    ck_assert(json_int64(a, &n) == -1 && strcmp(json_string(a), "x") == 0 && json_number(a, 7) == 7);
    a = json_next(a);
    ck_assert(json_is_null(a) && !json_string(a));
    a = json_next(a);
    ck_assert(json_bool(a, 0) == 1 && json_is_bool(a));
    a = json_next(a);
    ck_assert(json_int64(a, &n) == -1 && json_number(a, 0) == 0.1 + 0.2);
    a = json_next(a);
    ck_assert(json_int64(a, &n) == -1); /* above 2^53 nobody knows which one was meant */
    ck_assert_ptr_null(json_next(a));
    ck_assert(!json_get(NULL, "a") && !json_first(NULL) && !json_key(NULL) && json_size(NULL) == 0 &&
              json_bool(NULL, 3) == 3);
    char *printed = json_print(json_get(v, "a"));
    ck_assert_str_eq(printed, "[1,\"x\",null,true,0.30000000000000004,9007199254740992]");
    mem_free(printed);
    json_free(v);
}
END_TEST

START_TEST(paths_are_joined_and_taken_apart)
{
    static const struct {
        const char *dir, *name, *want;
    } c[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"},
             {"a", "/b", "/b"}, {"/", "b", "/b"},   {".", "b", "./b"}};
    static const char *const parts[][3] = {
        {"a/b", "a", "b"}, {"/b", "/", "b"}, {"b", ".", "b"}, {"a/b/c", "a/b", "c"}, {"a/", "a", ""}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *got = fs_join(c[i].dir, c[i].name);
        ck_assert_str_eq(got, c[i].want);
        mem_free(got);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *dir = fs_dirname(parts[i][0]);
        ck_assert_str_eq(dir, parts[i][1]);
        ck_assert_str_eq(fs_basename(parts[i][0]), parts[i][2]);
        mem_free(dir);
    }
}
END_TEST

START_TEST(a_folder_is_named_as_seen_from_another)
{
    static const char *const c[][3] = {
        {"", "", "."},           {"a", "", ".."},          {"", "a/b", "a/b"},      {"a/b", "a", ".."},
        {"a/b", "c", "../../c"}, {"a/b", "a/bc", "../bc"}, {"a/bc", "a/b", "../b"}, {"a/b/../b/", "c", "../../c"}};
    char root[] = "/tmp/depthkv-rel-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (int i = 0; i < 4; i++) {
        char *dir = fs_join(root, (const char *[]){"a/b", "a/bc", "c", ""}[i]);
        ck_assert_int_eq(fs_mkdirs(dir, NULL), 0);
        mem_free(dir);
    }
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *from = fs_join(root, c[i][0]), *to = fs_join(root, c[i][1]), *got = fs_relative(from, to);
        ck_assert_str_eq(got, c[i][2]);
        mem_free(from);
        mem_free(to);
        mem_free(got);
    }
    char *top = fs_relative("/", root), *missing = fs_relative(root, "no/such");
    ck_assert_str_eq(top, root + 1);
    ck_assert_str_eq(missing, "no/such");
    mem_free(top);
    mem_free(missing);
    for (int i = 0; i < 5; i++) {
        char *dir = fs_join(root, (const char *[]){"a/b", "a/bc", "a", "c", ""}[i]);
        ck_assert_int_eq(rmdir(dir), 0);
        mem_free(dir);
    }
}
END_TEST

START_TEST(temporary_files_lie_where_TMPDIR_says)
{
    struct err e = {0};
    struct str path = {0};
    const char *was = getenv("TMPDIR");
    char *old = was ? mem_strdup(was) : NULL, dir[] = "/tmp/depthkv-tmp-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("TMPDIR", dir, 1);
    int fd = fs_temporary("what", &path, &e);
    ck_assert_msg(fd >= 0, "%s", e.msg);
    ck_assert_msg(strncmp(path.p, dir, strlen(dir)) == 0 && strstr(path.p, "/what-"), "%s", path.p);
    ck_assert(fs_exists(path.p));
    close(fd);
    unlink(path.p);
    str_free(&path);
    setenv("TMPDIR", "no/such/folder", 1);
    ck_assert_int_eq(fs_temporary("what", &path, &e), -1);
    ck_assert_msg(strncmp(e.msg, "no/such/folder/what-", 20) == 0, "%s", e.msg);
    ck_assert_uint_eq(path.n, 0);
    if (old)
        setenv("TMPDIR", old, 1);
    else
        unsetenv("TMPDIR");
    mem_free(old);
    rmdir(dir);
}
END_TEST

START_TEST(files_are_written_whole_or_not_at_all)
{
    char dir[] = "/tmp/depthkv-fs-XXXXXX", *path, *deep, *below;
    struct err e = {.msg = "garbage"};
    size_t n;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    path = fs_join(dir, "file");
    deep = fs_join(dir, "a/b/c");
    below = fs_join(path, "x");
    ck_assert_int_eq(fs_write_atomic(path, "x\0y", 3, NULL), 0);
    char *back = fs_read(path, &n, NULL);
    ck_assert(n == 3 && memcmp(back, "x\0y", 4) == 0); /* and a NUL behind */
    mem_free(back);
    ck_assert(fs_size(path) == 3 && fs_exists(path) && !fs_is_dir(path));
    ck_assert_int_eq(fs_mkdirs(deep, NULL), 0);
    ck_assert_int_eq(fs_mkdirs(deep, NULL), 0); /* again is fine */
    ck_assert(fs_is_dir(deep) && fs_size(deep) >= 0);
    /* a folder can't be replaced by a file; the temporary file is gone */
    ck_assert_int_eq(fs_write_atomic(deep, "z", 1, &e), -1);
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.msg, "/a/b/c: Is a directory"));
    ck_assert_int_eq(rmdir(deep), 0);
    char *parent = fs_dirname(deep), *grandparent = fs_dirname(parent);
    ck_assert_int_eq(rmdir(parent), 0); /* nothing was left behind there */
    ck_assert_int_eq(rmdir(grandparent), 0);
    ck_assert_int_eq(fs_mkdirs(below, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "/file: Not a directory"));
    ck_assert_int_eq(fs_write_atomic(below, "z", 1, &e), -1);
    ck_assert_ptr_null(fs_read(dir, &n, &e));
    ck_assert_ptr_nonnull(strstr(e.msg, ": not a regular file"));
    ck_assert_ptr_null(fs_read(deep, &n, &e));
    ck_assert_ptr_nonnull(strstr(e.msg, "/a/b/c: No such file or directory"));
    ck_assert(fs_size(deep) == -1 && !fs_exists(deep));
    mem_fail_at(1);
    ck_assert_ptr_null(fs_read(path, &n, &e));
    ck_assert_int_eq(e.code, ERR_NOMEM);
    unlink(path);
    rmdir(dir);
    mem_free(path);
    mem_free(deep);
    mem_free(below);
    mem_free(parent);
    mem_free(grandparent);
}
END_TEST

START_TEST(errors_are_wrapped_and_never_overflow)
{
    struct err e;
    char large[3000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    ck_assert_int_eq(err_set(&e, ERR_IO, "%s", "b"), -1);
    ck_assert_int_eq(err_wrap(&e, "a %d", 1), -1);
    ck_assert_str_eq(e.msg, "a 1: b");
    err_wrap(&e, "%s", large);
    ck_assert_uint_eq(strlen(e.msg), ERR_MSG_SIZE - 1);
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert(err_set(NULL, ERR_IO, "x") == -1 && err_wrap(NULL, "x") == -1);
}
END_TEST

START_TEST(decimals_compare_and_scale_exactly)
{
    static const struct {
        const char *a, *b;
        int want;
    } c[] = {{"0.5", ".50", 0}, {"0.1", "1e-1", 0},          {"0.3", "0.29999999999", 1},
             {"-1", "0", -1},   {"1e12", "999999999999", 1}, {"2.5e1", "25", 0},
             {"+3", "3", 0},    {"0.000000000001", "0", 1}};
    struct decimal a, b;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        ck_assert_int_eq(decimal_parse(c[i].a, &a, NULL), 0);
        ck_assert_int_eq(decimal_parse(c[i].b, &b, NULL), 0);
        ck_assert_msg(decimal_compare(a, b) == c[i].want, "case %zu", i);
        ck_assert_msg(decimal_compare(b, a) == -c[i].want, "case %zu", i);
    }
    ck_assert_int_eq(decimal_parse("0.999999999999", &a, NULL), 0);
    ck_assert_int_eq(decimal_floor_mul(a, 1000000000000000000),
                     999999999999000000); /* no product overflows on the way */
    ck_assert_double_eq(decimal_to_double(a), 0.999999999999);
}
END_TEST

struct demo {
    int64_t recent;
    int pooling;
    struct param_floats w;
    char *name;
};
static const char *const half[] = {"half", NULL};
static const char *const pool[] = {"avg", "max", NULL};
static const struct param demo_params[] = {
    {"recent", PARAM_INT, offsetof(struct demo, recent), "half", 0, 1e9, half, ""},
    {"pooling", PARAM_ENUM, offsetof(struct demo, pooling), "avg", 0, 0, pool, ""},
    {"w", PARAM_FLOATS, offsetof(struct demo, w), "1,2", 0, 9, NULL, ""},
    {"name", PARAM_STRING, offsetof(struct demo, name), NULL, 0, 0, NULL, ""},
    {0},
};

START_TEST(parameters_round_trip_through_json)
{
    struct demo d = {0};
    struct str s = {0};
    param_defaults(demo_params, &d);
    param_json(demo_params, &d, &s);
    ck_assert_str_eq(s.p, "{\"recent\":\"half\",\"pooling\":\"avg\",\"w\":[1,2],\"name\":null}");
    const char *const three[] = {"3", "4", "5"};
    ck_assert_int_eq(param_set(&demo_params[2], &d, three, 3, NULL), 0);
    ck_assert_int_eq(param_set(&demo_params[0], &d, three, 1, NULL), 0);
    ck_assert_int_eq(d.recent, 3);
    ck_assert_int_eq(d.w.n, 3);
    struct err e;
    const char *bad = "avgg";
    ck_assert_int_eq(param_set(&demo_params[1], &d, &bad, 1, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "did you mean 'avg'"));
    bad = "10";
    ck_assert_int_eq(param_set(&demo_params[2], &d, &bad, 1, &e), -1);
    ck_assert_int_eq(d.w.n, 3); /* unchanged */
    param_fini(demo_params, &d);
    param_fini(demo_params, &d);
    str_free(&s);
}
END_TEST

enum { N_KIND = 11 };
struct all_kinds {
    int b, word;
    int64_t i;
    double f;
    struct decimal d;
    char *s, *p;
    struct param_ints is;
    struct param_floats fs;
    struct param_decimals ds;
    struct param_strings ss;
};
static const char *const words[] = {"auto", NULL};
#define AT(field) offsetof(struct all_kinds, field)
static const struct param kinds[] = {
    {"b", PARAM_BOOL, AT(b), "true", 0, 0, NULL, "a"},     {"w", PARAM_ENUM, AT(word), "max", 0, 0, pool, "b"},
    {"i", PARAM_INT, AT(i), "3", 1, 9, NULL, "c"},         {"f", PARAM_FLOAT, AT(f), "auto", 0, 1, words, "d"},
    {"d", PARAM_DECIMAL, AT(d), "0.25", 0, 1, NULL, "e"},  {"s", PARAM_STRING, AT(s), "x y", 0, 0, NULL, "f"},
    {"p", PARAM_PATH, AT(p), "a/b", 0, 0, NULL, "g"},      {"is", PARAM_INTS, AT(is), "1,2", 0, 1e9, NULL, "h"},
    {"fs", PARAM_FLOATS, AT(fs), "0.5", 0, 0, NULL, "i"},  {"ds", PARAM_DECIMALS, AT(ds), "0.1,1", 0, 1, NULL, "j"},
    {"ss", PARAM_STRINGS, AT(ss), "u,v", 0, 0, NULL, "k"}, {0},
};

START_TEST(every_kind_of_parameter_reads_prints_and_describes_itself)
{
    static const char *const domain[N_KIND] = {"true or false",
                                               "one of avg, max",
                                               "integer in [1, 9]",
                                               "number in [0, 1] or auto",
                                               "decimal number in [0, 1]",
                                               "text",
                                               "path",
                                               "list of integers >= 0",
                                               "list of numbers",
                                               "list of decimal numbers in [0, 1]",
                                               "list of texts"};
    static const struct {
        const char *name, *text, *message; /* NULL: accepted */
    } c[] = {{"b", "yes", "parameter 'b': expected true or false, found 'yes'"},
             {"w", "mean", "parameter 'w': expected one of avg, max, found 'mean'; did you mean 'max'?"},
             {"i", "0", "parameter 'i': expected integer in [1, 9], found '0'"},
             {"i", "1.5", "parameter 'i': expected integer in [1, 9], found '1.5'"},
             {"f", "atuo", "parameter 'f': expected number in [0, 1] or auto, found 'atuo'; did you mean 'auto'?"},
             {"f", "nan", "parameter 'f': expected number in [0, 1] or auto, found 'nan'"},
             {"d", "1.01", "parameter 'd': expected decimal number in [0, 1], found '1.01'"},
             {"is", "-1", "parameter 'is': expected list of integers >= 0, found '-1'"},
             {"ds", "x", "parameter 'ds': expected list of decimal numbers in [0, 1], found 'x'"},
             {"f", "0.75", NULL},
             {"s", "", NULL},
             {"b", "false", NULL}};
    struct all_kinds k = {0};
    struct str s = {0};
    ck_assert_int_eq(param_check(kinds, sizeof k, NULL), 0);
    param_defaults(kinds, &k);
    param_json(kinds, &k, &s);
    static const char json[] = "{\"b\":true,\"w\":\"max\",\"i\":3,\"f\":\"auto\",\"d\":0.25,\"s\":\"x "
                               "y\",\"p\":\"a/b\",\"is\":[1,2],\"fs\":[0.5],"
                               "\"ds\":[0.1,1],\"ss\":[\"u\",\"v\"]}";
    ck_assert_str_eq(s.p, json);
    for (int i = 0; i < N_KIND; i++) {
        str_clear(&s);
        param_domain(&kinds[i], &s);
        ck_assert_str_eq(s.p, domain[i]);
    }
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {.msg = "garbage"};
        int rc = param_set(param_find(kinds, c[i].name), &k, &c[i].text, 1, &e);
        ck_assert_msg(rc == (c[i].message ? -1 : 0), "case %zu", i);
        if (!c[i].message)
            continue;
        ck_assert_str_eq(e.msg, c[i].message);
        str_clear(&s);
        param_json(kinds, &k, &s);
        ck_assert_str_eq(s.p, json); /* what is refused changes nothing */
    }
    ck_assert(k.f == 0.75 && k.b == 0 && strcmp(k.s, "") == 0);
    struct err e;
    const char *const two[] = {"1", "2"};
    ck_assert_int_eq(param_set(param_find(kinds, "i"), &k, two, 2, &e), -1);
    ck_assert_str_eq(e.msg, "parameter 'i': expected integer in [1, 9], found a list of 2");
    ck_assert_int_eq(param_set(param_find(kinds, "ss"), &k, NULL, 0, &e), 0);
    ck_assert_int_eq(k.ss.n, 0);
    ck_assert_ptr_null(param_find(kinds, "nobody"));
    param_fini(kinds, &k);
    str_free(&s);
}
END_TEST

START_TEST(a_parameter_table_that_is_wrong_is_refused)
{
    static const char *const nothing[] = {NULL};
    static const struct {
        struct param p;
        const char *message;
    } c[] = {
        {{"Big", PARAM_INT, 0, "1", 0, 9, NULL, "h"}, "parameter name 'Big'"},
        {{"n", PARAM_INT, 4, "1", 0, 9, NULL, "h"},
         "parameter 'n': 8 bytes at offset 4 do not fit a config of 16 bytes"},
        {{"n", PARAM_INTS, 8, "1", 0, 9, NULL, "h"}, "parameter 'n': 16 bytes at offset 8"},
        {{"n", PARAM_INT, 0, "1", 9, 0, NULL, "h"}, "parameter 'n': bounds 9 to 0"},
        {{"n", PARAM_ENUM, 0, "1", 0, 0, nothing, "h"}, "parameter 'n' has no words to choose from"},
        {{"n", PARAM_INT, 0, "1", -1, 9, pool, "h"}, "parameter 'n': words need bounds from 0, found -1"},
        {{"n", PARAM_INT, 0, "1", 0, 9, NULL, NULL}, "parameter 'n' has no help"},
        {{"n", PARAM_INT, 0, "10", 0, 9, NULL, "h"}, "default: parameter 'n': expected integer in [0, 9], found '10'"},
        {{"n", PARAM_INTS, 0, "1,x", 0, 9, NULL, "h"}, "default: parameter 'n': expected integer"},
        {{"n", (enum param_type)99, 0, "1", 0, 9, NULL, "h"}, "parameter 'n': type 99 is unknown"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct param table[2] = {c[i].p, {0}};
        struct err e = {.msg = "garbage"};
        ck_assert_msg(param_check(table, 16, &e) == -1, "case %zu", i);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_msg(strncmp(e.msg, c[i].message, strlen(c[i].message)) == 0, "case %zu: %s", i, e.msg);
    }
    struct param twice[3] = {{"n", PARAM_INT, 0, "1", 0, 9, NULL, "h"}, {"n", PARAM_INT, 8, "1", 0, 9, NULL, "h"}, {0}};
    struct err e;
    ck_assert_int_eq(param_check(twice, 16, &e), -1);
    ck_assert_str_eq(e.msg, "parameter 'n' stands twice");
    ck_assert_int_eq(param_check(NULL, 0, &e), 0);
}
END_TEST

START_TEST(random_streams_are_apart_and_repeat)
{
    struct rng a, b, c;
    rng_init(&a, 1, "x");
    rng_init(&b, 1, "x");
    rng_init(&c, 1, "y");
    uint64_t first = rng_u64(&a);
    ck_assert_uint_eq(first, rng_u64(&b));
    ck_assert_uint_ne(first, rng_u64(&c));
    int count[5] = {0};
    for (int i = 0; i < 50000; i++)
        count[rng_below(&a, 5)]++;
    for (int i = 0; i < 5; i++)
        ck_assert_int_lt(abs(count[i] - 10000), 500); /* 5.6 standard deviations */
}
END_TEST

START_TEST(a_counted_fault_fails_one_request)
{
    struct err e;
    mem_fail_at(2);
    void *p = mem_try(1, 8, "first", &e), *q = mem_try(1, 8, "second", &e);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(q);
    ck_assert_int_eq(e.code, ERR_NOMEM);
    ck_assert_ptr_null(mem_try((size_t)-1, 8, "overflow", &e));
    mem_free(p);
}
END_TEST

Suite *make_base_suite(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("core");
    tcase_add_test(t, decimal_fractions_of_integers_are_exact);
    tcase_add_test(t, decimal_refuses_what_is_no_number);
    tcase_add_test(t, nearest_name_finds_slips_and_nothing_else);
    tcase_add_test(t, doubles_print_shortest_and_read_back);
    tcase_add_test(t, doubles_print_without_exponent_where_they_can);
    tcase_add_test(t, sizes_in_bytes_have_units);
    tcase_add_test(t, numbers_are_read_whole_or_not_at_all);
    tcase_add_test(t, json_text_is_escaped_and_always_utf8);
    tcase_add_test(t, json_is_read_exactly_and_errors_have_a_place);
    tcase_add_test(t, paths_are_joined_and_taken_apart);
    tcase_add_test(t, a_folder_is_named_as_seen_from_another);
    tcase_add_test(t, temporary_files_lie_where_TMPDIR_says);
    tcase_add_test(t, files_are_written_whole_or_not_at_all);
    tcase_add_test(t, errors_are_wrapped_and_never_overflow);
    tcase_add_test(t, decimals_compare_and_scale_exactly);
    tcase_add_test(t, parameters_round_trip_through_json);
    tcase_add_test(t, every_kind_of_parameter_reads_prints_and_describes_itself);
    tcase_add_test(t, a_parameter_table_that_is_wrong_is_refused);
    tcase_add_test(t, random_streams_are_apart_and_repeat);
    tcase_add_test(t, a_counted_fault_fails_one_request);
    suite_add_tcase(s, t);
    return s;
}
