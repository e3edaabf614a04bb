/* harness/base: decimals, strings, parameters, random numbers. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/decimal.h"
#include "harness/base/mem.h"
#include "harness/base/param.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"
#include "tests/suites.h"

START_TEST(decimal_fractions_of_integers_are_exact)
{
    static const struct {
        const char *text;
        int64_t n, want;
    } c[] = {{"0.8", 1000, 800}, {"0.9", 1000, 900}, {"0.1", 1000, 100}, {"0.2", 900, 180},
             {"1", 7, 7},        {"0.29", 100, 29},  {"1e-3", 5000, 5},  {".5", 3, 1},
             {"0.333", 3, 0},    {"1.0", 12, 12}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct decimal d;
        ck_assert_int_eq(decimal_parse(c[i].text, &d, NULL), 0);
        ck_assert_msg(decimal_floor_mul(d, c[i].n) == c[i].want, "case %zu: %s of %d", i, c[i].text,
                      (int)c[i].n);
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
    tcase_add_test(t, parameters_round_trip_through_json);
    tcase_add_test(t, random_streams_are_apart_and_repeat);
    tcase_add_test(t, a_counted_fault_fails_one_request);
    suite_add_tcase(s, t);
    return s;
}
