/* harness/stats: known values, and independence of the order of the input. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/stats.h"
#include "tests/suites.h"

static char *text;
static struct json *root;

static void load(void)
{
    struct err e;
    size_t n;
    text = fs_read("tests/vectors/stats.json", &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    root = json_parse("stats.json", text, n, &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
}

static void unload(void)
{
    json_free(root);
    mem_free(text);
}

static int numbers(const struct json *list, double *out)
{
    int n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v))
        out[n++] = json_number(v, NAN);
    return n;
}

static double field(const struct json *c, const char *name)
{
    return json_number(json_get(c, name), NAN);
}

/* Relative to the size of the values, as the reference sums in rationals. */
static void near(double got, double want, const char *what, int i)
{
    ck_assert_msg(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)), "case %d: %s is %.17g, not %.17g", i, what, got, want);
}

static void inside_enumerated(const struct json *c, double lo, double hi, int i)
{
    double b[4];
    ck_assert_int_eq(numbers(json_get(c, "boot"), b), 4);
    double slack = 1e-12 * fmax(1, fabs(b[3]));
    ck_assert_msg(lo >= b[0] - slack && lo <= b[1] + slack, "case %d: lo is %.17g", i, lo);
    ck_assert_msg(hi >= b[2] - slack && hi <= b[3] + slack, "case %d: hi is %.17g", i, hi);
}

START_TEST(mean_error_interval_and_p_equal_full_enumeration)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "samples")); c; c = json_next(c), i++) {
        double x[16], zero[16] = {0};
        int n = numbers(json_get(c, "x"), x);
        struct stats_summary s = stats_mean(x, n);
        struct stats_paired p = stats_paired(x, zero, n);
        ck_assert_int_eq(s.n, n);
        near(s.mean, field(c, "mean"), "mean", i);
        near(s.se, field(c, "se"), "se", i);
        near(p.diff, s.mean, "diff", i);
        near(p.se, s.se, "paired se", i);
        near(p.p, field(c, "p"), "p", i);
        inside_enumerated(c, s.lo, s.hi, i);
        inside_enumerated(c, p.lo, p.hi, i);
    }
    ck_assert_int_eq(i, 8);
}
END_TEST

START_TEST(clusters_are_resampled_and_flipped_as_wholes)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "clusters")); c; c = json_next(c), i++) {
        double x[16], g[16], zero[16] = {0};
        int64_t group[16];
        int n = numbers(json_get(c, "x"), x);
        ck_assert_int_eq(numbers(json_get(c, "group"), g), n);
        for (int k = 0; k < n; k++)
            group[k] = (int64_t)g[k];
        struct stats_paired p = stats_paired_clustered(x, zero, group, n);
        ck_assert_int_eq(p.n, n);
        near(p.diff, field(c, "mean"), "diff", i);
        near(p.se, field(c, "se"), "se", i);
        near(p.p, field(c, "p"), "p", i);
        inside_enumerated(c, p.lo, p.hi, i);
    }
    ck_assert_int_eq(i, 3);
}
END_TEST

START_TEST(wilson_interval_follows_its_closed_form)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "wilson")); c; c = json_next(c), i++) {
        double lo, hi;
        stats_wilson((int)field(c, "k"), (int)field(c, "n"), &lo, &hi);
        near(lo, field(c, "lo"), "lo", i);
        near(hi, field(c, "hi"), "hi", i);
        ck_assert(lo >= 0 && hi <= 1);
    }
    double lo, hi;
    stats_wilson(0, 0, &lo, &hi);
    ck_assert(isnan(lo) && isnan(hi));
}
END_TEST

START_TEST(the_order_of_the_input_changes_no_bit)
{
    enum { N = 100 };
    struct pair {
        double a, b;
        int64_t group;
    } row[N];
    struct rng r;
    rng_init(&r, 5, "order");
    for (int i = 0; i < N; i++)
        row[i] = (struct pair){rng_double(&r), rng_double(&r) / 3, (int64_t)rng_below(&r, 30)};
    struct stats_summary s[2];
    struct stats_paired p[2], q[2];
    for (int k = 0; k < 2; k++) {
        double a[N], b[N];
        int64_t group[N];
        for (int i = 0; i < N; i++) {
            a[i] = row[i].a;
            b[i] = row[i].b;
            group[i] = k ? 1000 - row[i].group : row[i].group; /* names do not count either */
        }
        s[k] = stats_mean(a, N);
        p[k] = stats_paired(a, b, N);
        q[k] = stats_paired_clustered(a, b, group, N);
        rng_shuffle(&r, row, N, sizeof *row);
    }
    ck_assert(s[0].mean == s[1].mean && s[0].se == s[1].se && s[0].lo == s[1].lo && s[0].hi == s[1].hi);
    ck_assert(p[0].diff == p[1].diff && p[0].se == p[1].se && p[0].lo == p[1].lo && p[0].hi == p[1].hi && p[0].p == p[1].p);
    ck_assert(q[0].diff == q[1].diff && q[0].se == q[1].se && q[0].lo == q[1].lo && q[0].hi == q[1].hi && q[0].p == q[1].p);
}
END_TEST

START_TEST(fewer_than_two_values_have_no_error_and_no_interval)
{
    static const double x[] = {NAN, 3, NAN}, zero[] = {0, 1, 0};
    static const int64_t same[] = {4, 4, 4};
    struct stats_summary s = stats_mean(x, 3), none = stats_mean(x, 1);
    ck_assert(s.n == 1 && s.mean == 3 && isnan(s.se) && isnan(s.lo) && isnan(s.hi));
    ck_assert(none.n == 0 && isnan(none.mean) && isnan(none.se) && isnan(none.lo));
    struct stats_paired p = stats_paired(x, zero, 3), empty = stats_paired(x, zero, 0);
    ck_assert(p.n == 1 && p.diff == 2 && isnan(p.se) && isnan(p.lo) && isnan(p.p));
    ck_assert(empty.n == 0 && isnan(empty.diff) && isnan(empty.p));
    struct stats_paired one = stats_paired_clustered(zero, zero + 1, same, 2);
    ck_assert(one.n == 2 && isnan(one.se) && isnan(one.lo) && isnan(one.p));
}
END_TEST

START_TEST(equal_values_give_a_point_and_no_difference_gives_p_one)
{
    double x[40], y[40];
    for (int i = 0; i < 40; i++) {
        x[i] = 0.1;
        y[i] = 0.1 * 3;
    }
    struct stats_summary s = stats_mean(x, 40);
    ck_assert(fabs(s.mean - 0.1) < 1e-15 && s.se < 1e-15 && fabs(s.lo - 0.1) < 1e-15 && fabs(s.hi - 0.1) < 1e-15);
    struct stats_paired none = stats_paired(x, x, 40), all = stats_paired(x, y, 40);
    ck_assert(none.diff == 0 && none.se == 0 && none.lo == 0 && none.hi == 0 && none.p == 1);
    /* 40 equal differences: only the pattern of 2^40 that flips none, or all, reaches the sum */
    ck_assert(all.p == 1.0 / (STATS_RESAMPLES + 1));
}
END_TEST

START_TEST(random_flips_agree_with_the_normal_limit)
{
    double x[400], zero[400] = {0};
    struct rng r;
    rng_init(&r, 9, "limit");
    double sum = 0, square = 0;
    for (int i = 0; i < 400; i++) {
        x[i] = rng_double(&r) - 0.47;
        sum += x[i];
        square += x[i] * x[i];
    }
    struct stats_paired p = stats_paired(x, zero, 400);
    double limit = erfc(fabs(sum) / sqrt(2 * square)), z = 1.959963984540054;
    ck_assert_msg(limit > 0.001 && limit < 0.9, "the case says nothing: p %g", limit);
    ck_assert_msg(fabs(p.p - limit) < 0.02, "p %g, limit %g", p.p, limit);
    /* 10,000 resamples know a 2.5 % point to about 0.03 standard errors */
    ck_assert(fabs(p.lo - (p.diff - z * p.se)) < 0.12 * p.se && fabs(p.hi - (p.diff + z * p.se)) < 0.12 * p.se);
}
END_TEST

Suite *make_stats_suite(void)
{
    Suite *s = suite_create("stats");
    TCase *t = tcase_create("stats");
    tcase_add_checked_fixture(t, load, unload);
    tcase_add_test(t, mean_error_interval_and_p_equal_full_enumeration);
    tcase_add_test(t, clusters_are_resampled_and_flipped_as_wholes);
    tcase_add_test(t, wilson_interval_follows_its_closed_form);
    tcase_add_test(t, the_order_of_the_input_changes_no_bit);
    tcase_add_test(t, fewer_than_two_values_have_no_error_and_no_interval);
    tcase_add_test(t, equal_values_give_a_point_and_no_difference_gives_p_one);
    tcase_add_test(t, random_flips_agree_with_the_normal_limit);
    suite_add_tcase(s, t);
    return s;
}
