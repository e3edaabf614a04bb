/* harness/stats: known values, and independence of the order of the input. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/stats/stats.h"
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

static const struct stats_range fraction = {0, 1}, difference = {-1, 1};

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
    ck_assert_msg(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)), "case %d: %s is %.17g, not %.17g", i, what, got,
                  want);
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
        struct stats_summary s = stats_mean(x, n, NULL);
        struct stats_paired p = stats_paired(x, zero, n, NULL);
        ck_assert_int_eq(s.n, n);
        near(s.mean, field(c, "mean"), "mean", i);
        near(p.diff, s.mean, "diff", i);
        near(p.p, field(c, "p"), "p", i);
        if (field(c, "se") == 0) { /* all are equal, and say nothing of others */
            ck_assert(isnan(s.se) && isnan(s.lo) && isnan(s.hi) && isnan(p.se) && isnan(p.lo) && isnan(p.hi));
            continue;
        }
        near(s.se, field(c, "se"), "se", i);
        near(p.se, s.se, "paired se", i);
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
        struct stats_paired p = stats_paired_clustered(x, zero, group, n, NULL);
        ck_assert_int_eq(p.n, n);
        near(p.diff, field(c, "mean"), "diff", i);
        near(p.se, field(c, "se"), "se", i);
        near(p.p, field(c, "p"), "p", i);
        inside_enumerated(c, p.lo, p.hi, i);
    }
    ck_assert_int_eq(i, 3);
}
END_TEST

START_TEST(the_interval_of_hits_and_misses_is_wilsons)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "wilson")); c; c = json_next(c), i++) {
        double x[1000];
        int k = (int)field(c, "k"), n = (int)field(c, "n");
        for (int j = 0; j < n; j++)
            x[j] = j < k;
        struct stats_summary s = stats_mean(x, n, &fraction);
        if (n == 1) {
            ck_assert(isnan(s.lo) && isnan(s.hi)); /* one sample, as for every other measure */
            continue;
        }
        near(s.lo, field(c, "lo"), "lo", i);
        near(s.hi, field(c, "hi"), "hi", i);
    }
    ck_assert_int_eq(i, 7);
}
END_TEST

/* n pairs of hits and misses: `lost` by a, `won` by a. */
static struct stats_summary pairs(int n, int lost, int won)
{
    double x[200];
    ck_assert_int_le(n, 200);
    for (int i = 0; i < n; i++)
        x[i] = i < lost ? -1 : i < lost + won;
    return stats_mean(x, n, &difference); /* the interval of stats_paired, less its 10,000 permutations */
}

/* Tango's statistic for the difference d, from his closed form of the restricted estimate: q is the share that is lost.
 */
static double tango(int n, int lost, int won, double d)
{
    double b = -(won + lost) * (1 - d) + 2 * d * (n - won), c = lost * d * (1 - d);
    double q = (sqrt(b * b + 8.0 * n * c) - b) / (4.0 * n);
    return (won - lost - n * d) / sqrt(n * (2 * q + d - d * d));
}

START_TEST(the_interval_of_paired_hits_and_misses_is_tangos)
{
    static const int size[] = {2, 4, 5, 16, 50};
    const double z = 1.959963984540054;
    for (size_t k = 0; k < sizeof size / sizeof *size; k++)
        for (int lost = 0, n = size[k]; lost <= n; lost++)
            for (int won = 0; lost + won <= n; won++) {
                struct stats_summary p = pairs(n, lost, won), swapped = pairs(n, won, lost);
                ck_assert_msg(p.lo <= p.mean && p.mean <= p.hi && p.hi - p.lo > 1.9 / n && p.lo >= -1 && p.hi <= 1,
                              "%d %d %d: [%g, %g]", n, lost, won, p.lo, p.hi);
                ck_assert(swapped.lo == -p.hi && swapped.hi == -p.lo && swapped.mean == -p.mean);
                if (won < n)
                    ck_assert_msg(fabs(tango(n, lost, won, p.hi) + z) < 1e-6, "%d: %d lost, %d won: %.17g", n, lost,
                                  won, p.hi);
                else
                    ck_assert_double_eq(p.hi, 1);
            }
    double a[5] = {1, 0, 0, 1, 0}, b[5] = {0, 1, 1, 1, 0};
    struct stats_paired p = stats_paired(a, b, 5, &fraction);
    struct stats_summary same = pairs(5, 2, 1);
    ck_assert(p.diff == same.mean && p.lo == same.lo && p.hi == same.hi && p.se == same.se);
    /* n ties: z^2 / (n + z^2); n of n lost: -(n - z^2) / (n + z^2) */
    ck_assert_double_eq_tol(pairs(4, 0, 0).hi, 0.48990, 1e-5);
    ck_assert_double_eq_tol(pairs(16, 0, 0).lo, -0.19361, 1e-5);
    ck_assert_double_eq(pairs(16, 16, 0).lo, -1);
    ck_assert_double_eq_tol(pairs(16, 16, 0).hi, -0.61278, 1e-5);
    /* 1 and 7 of 21 discordant: Bentur and others 2009 in Fagerland, Lydersen and Laake's book, -0.517 to -0.026 */
    ck_assert_double_eq_tol(pairs(21, 7, 1).lo, -0.517, 5e-4);
    ck_assert_double_eq_tol(pairs(21, 7, 1).hi, -0.026, 5e-4);
}
END_TEST

/* No cliff where the first pair differs, and none where the last one does. */
START_TEST(the_width_changes_little_from_one_pair_to_the_next)
{
    for (int n = 4; n <= 64; n *= 2)
        for (int lost = 0; lost < n; lost++) {
            struct stats_summary p = pairs(n, lost, 0), next = pairs(n, lost + 1, 0);
            double ratio = (next.hi - next.lo) / (p.hi - p.lo);
            ck_assert_msg(ratio > 0.7 && ratio < 1.4, "%d of %d: %g", lost, n, ratio);
            ck_assert(next.lo <= p.lo && next.hi < p.hi);
        }
}
END_TEST

/* n equal values x in [0, 1]: the most likely distribution of mean d > x puts the rest at 1, its variance is (d - x) (1
 * - d), so that the end is x + (1 - x) z^2 / (n + z^2). */
START_TEST(equal_values_leave_room_to_either_end_of_the_range)
{
    const double z2 = 3.841458820694124;
    for (int n = 2; n < 40; n += 7) {
        double x[40];
        for (int i = 0; i < n; i++)
            x[i] = 0.25;
        struct stats_summary s = stats_mean(x, n, &fraction);
        near(s.mean, 0.25, "mean", n);
        near(s.hi, 0.25 + 0.75 * z2 / (n + z2), "hi", n);
        near(s.lo, 0.25 - 0.25 * z2 / (n + z2), "lo", n);
        ck_assert(isnan(s.se));
    }
}
END_TEST

/* Three rows a context that agree are worth one row. */
START_TEST(a_cluster_counts_once)
{
    double x[48], one[16];
    int64_t group[48];
    for (int i = 0; i < 48; i++) {
        one[i / 3] = x[i] = i / 3 < 3 ? 1 : i / 3 < 5 ? 0.5 : 0;
        group[i] = i / 3;
    }
    struct stats_summary wide = stats_mean_clustered(x, group, 48, &fraction), s = stats_mean(one, 16, &fraction);
    ck_assert_int_eq(wide.n, 48);
    ck_assert_int_eq(wide.n_unit, 16);
    near(wide.lo, s.lo, "lo", 0);
    near(wide.hi, s.hi, "hi", 0);
    ck_assert(wide.lo < s.mean - 0.05 && wide.hi > s.mean + 0.05);
}
END_TEST

/* Scores of thirds and fourths and of any size, in contexts of unlike sizes. */
START_TEST(intervals_of_fractions_have_width_stay_inside_and_shrink)
{
    struct rng r;
    rng_init(&r, 3, "fractions");
    for (int round = 0; round < 100; round++) {
        double a[40], b[40], x[240];
        int64_t group[240];
        int n = 2 + (int)rng_below(&r, 39), grain = (int)rng_below(&r, 5);
        double rare = rng_double(&r);
        for (int i = 0; i < n; i++) {
            a[i] = grain ? (double)rng_below(&r, (uint64_t)grain + 1) / grain : rng_double(&r);
            b[i] = rng_double(&r) < rare ? a[i]
                   : grain               ? (double)rng_below(&r, (uint64_t)grain + 1) / grain
                                         : rng_double(&r);
            group[i] = round % 2 ? i : (int64_t)rng_below(&r, (uint64_t)n);
        }
        group[0] = -1; /* two units at least */
        group[1] = -2;
        struct stats_paired p = stats_paired_clustered(a, b, group, n, &fraction),
                            q = stats_paired_clustered(b, a, group, n, &fraction);
        struct stats_summary s = stats_mean_clustered(a, group, n, &fraction);
        ck_assert_msg(p.lo <= p.diff && p.diff <= p.hi && p.hi - p.lo > 1e-3 && p.lo >= -1 && p.hi <= 1,
                      "round %d: %g [%g, %g]", round, p.diff, p.lo, p.hi);
        ck_assert_msg(s.lo <= s.mean && s.mean <= s.hi && s.hi - s.lo > 1e-3 && s.lo >= 0 && s.hi <= 1,
                      "round %d: %g [%g, %g]", round, s.mean, s.lo, s.hi);
        near(q.lo, -p.hi, "swapped lo", round);
        near(q.hi, -p.lo, "swapped hi", round);
        for (int i = 0; i < 6 * n; i++) { /* the same composition, of more contexts */
            x[i] = a[i % n] - b[i % n];
            group[i] = group[i % n] + 1000 * (i / n);
        }
        struct stats_summary six = stats_mean_clustered(x, group, 6 * n, &difference);
        ck_assert_msg(six.lo >= p.lo - 1e-9 && six.hi <= p.hi + 1e-9 && six.hi - six.lo < p.hi - p.lo,
                      "round %d: [%g, %g] of six times [%g, %g]", round, six.lo, six.hi, p.lo, p.hi);
    }
}
END_TEST

/* Every outcome of n pairs by its probability: how often the truth is inside. experiments/README.md has the whole
 * table. */
START_TEST(the_interval_of_pairs_holds_the_truth_as_often_as_documented)
{
    static const double share[] = {0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99};
    for (int n = 4; n <= 16; n *= 2) {
        double sum = 0, least = 1;
        int count = 0;
        for (int k = 1; k < 144; k++) {
            double p = share[k / 12], q = share[k % 12], covered = 0;
            if (p + q > 1)
                continue;
            for (int lost = 0; lost <= n; lost++)
                for (int won = 0; lost + won <= n; won++) {
                    struct stats_summary s = pairs(n, lost, won);
                    if (q - p >= s.lo && q - p <= s.hi)
                        covered += tgamma(n + 1) / tgamma(lost + 1) / tgamma(won + 1) / tgamma(n - lost - won + 1) *
                                   pow(p, lost) * pow(q, won) * pow(1 - p - q, n - lost - won);
                }
            sum += covered;
            least = fmin(least, covered);
            count++;
        }
        ck_assert_msg(sum / count > 0.95 && least > 0.85, "n %d: mean %g, least %g", n, sum / count, least);
    }
}
END_TEST

START_TEST(what_has_no_range_and_no_spread_has_no_interval)
{
    static const double x[] = {0.5, 0.5, 0.5}, zero[] = {0, 0, 0}, far[] = {0.5, 0.75, 7};
    double third[3] = {0.1 * 3, 0.3, 0.1 + 0.2};
    struct stats_summary s = stats_mean(x, 3, NULL), out = stats_mean(far, 3, &fraction),
                         same = stats_mean(far, 3, NULL);
    struct stats_paired p = stats_paired(x, zero, 3, NULL), tie = stats_paired(third, third, 3, NULL);
    ck_assert(s.mean == 0.5 && isnan(s.se) && isnan(s.lo) && isnan(s.hi));
    ck_assert(p.diff == 0.5 && isnan(p.se) && isnan(p.lo) && isnan(p.hi) && p.p == 0.25);
    ck_assert(tie.diff == 0 && isnan(tie.lo) && tie.p == 1);
    s = stats_mean(third, 3, NULL); /* equal but for rounding */
    ck_assert(isnan(s.se) && isnan(s.lo));
    ck_assert(out.lo == same.lo && out.hi == same.hi &&
              same.lo < same.hi); /* 7 is no fraction: whatever this is, it has no range */
    ck_assert_str_eq(stats_why_no_interval(p.lo, p.hi, p.n_unit),
                     "all samples are equal, and the measure has no range that would bound another");
    ck_assert_ptr_null(stats_why_no_interval(0, 1, 3));
}
END_TEST

START_TEST(the_order_of_the_input_changes_no_bit)
{
    const struct stats_range *range = _i ? &fraction : NULL;
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
        s[k] = stats_mean(a, N, range);
        p[k] = stats_paired(a, b, N, range);
        q[k] = stats_paired_clustered(a, b, group, N, range);
        rng_shuffle(&r, row, N, sizeof *row);
    }
    ck_assert(s[0].mean == s[1].mean && s[0].se == s[1].se && s[0].lo == s[1].lo && s[0].hi == s[1].hi);
    ck_assert(p[0].diff == p[1].diff && p[0].se == p[1].se && p[0].lo == p[1].lo && p[0].hi == p[1].hi &&
              p[0].p == p[1].p);
    ck_assert(q[0].diff == q[1].diff && q[0].se == q[1].se && q[0].lo == q[1].lo && q[0].hi == q[1].hi &&
              q[0].p == q[1].p);
}
END_TEST

START_TEST(fewer_than_two_values_have_no_error_and_no_interval)
{
    static const double x[] = {NAN, 3, NAN}, zero[] = {0, 1, 0};
    static const int64_t same[] = {4, 4, 4};
    struct stats_summary s = stats_mean(x, 3, NULL), none = stats_mean(x, 1, NULL),
                         hit = stats_mean(zero + 1, 1, &fraction);
    ck_assert(s.n == 1 && s.mean == 3 && isnan(s.se) && isnan(s.lo) && isnan(s.hi));
    ck_assert(none.n == 0 && isnan(none.mean) && isnan(none.se) && isnan(none.lo));
    ck_assert(hit.n == 1 && hit.mean == 1 && isnan(hit.lo) && isnan(hit.hi));
    struct stats_paired p = stats_paired(x, zero, 3, NULL), empty = stats_paired(x, zero, 0, NULL);
    ck_assert(p.n == 1 && p.diff == 2 && isnan(p.se) && isnan(p.lo) && isnan(p.p));
    ck_assert(empty.n == 0 && isnan(empty.diff) && isnan(empty.p));
    struct stats_paired one = stats_paired_clustered(zero, zero + 1, same, 2, &fraction);
    ck_assert(one.n == 2 && one.n_unit == 1 && isnan(one.se) && isnan(one.lo) && isnan(one.p));
    ck_assert_str_eq(stats_why_no_interval(one.lo, one.hi, one.n_unit),
                     "one sample tells nothing of how much others differ");
}
END_TEST

START_TEST(no_difference_gives_p_one_and_the_largest_gives_no_p_of_zero)
{
    double x[40], y[40];
    for (int i = 0; i < 40; i++) {
        x[i] = 0.1;
        y[i] = 0.1 * 3;
    }
    struct stats_paired none = stats_paired(x, x, 40, NULL), all = stats_paired(x, y, 40, NULL);
    ck_assert(none.diff == 0 && none.p == 1);
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
    struct stats_paired p = stats_paired(x, zero, 400, NULL);
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
    tcase_add_test(t, the_interval_of_hits_and_misses_is_wilsons);
    tcase_add_test(t, the_interval_of_paired_hits_and_misses_is_tangos);
    tcase_add_test(t, the_width_changes_little_from_one_pair_to_the_next);
    tcase_add_test(t, equal_values_leave_room_to_either_end_of_the_range);
    tcase_add_test(t, a_cluster_counts_once);
    tcase_add_test(t, intervals_of_fractions_have_width_stay_inside_and_shrink);
    tcase_add_test(t, the_interval_of_pairs_holds_the_truth_as_often_as_documented);
    tcase_add_test(t, what_has_no_range_and_no_spread_has_no_interval);
    tcase_add_loop_test(t, the_order_of_the_input_changes_no_bit, 0, 2);
    tcase_add_test(t, fewer_than_two_values_have_no_error_and_no_interval);
    tcase_add_test(t, no_difference_gives_p_one_and_the_largest_gives_no_p_of_zero);
    tcase_add_test(t, random_flips_agree_with_the_normal_limit);
    suite_add_tcase(s, t);
    return s;
}
