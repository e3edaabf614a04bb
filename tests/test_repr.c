/* harness/repr, harness/rankstats: against numpy and scipy (tests/vectors/make_repr.py), and what must hold of any
 * input. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/layer_metrics/repr.h"
#include "harness/stats/rankstats.h"
#include "models/kernels.h"
#include "tests/suites.h"

static char *text;
static struct json *root;

static void load(void)
{
    struct err e;
    size_t n;
    kernels_init();
    text = fs_read("tests/vectors/repr.json", &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    root = json_parse("repr.json", text, n, &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
}

static void unload(void)
{
    json_free(root);
    mem_free(text);
}

static double number(const struct json *c, const char *key)
{
    return json_number(json_get(c, key), NAN);
}

static double *numbers(const struct json *list, int *n)
{
    double *x = mem_new((size_t)json_size(list) + 1, sizeof *x);
    *n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v))
        x[(*n)++] = json_number(v, NAN);
    return x;
}

static void near(double got, double want, double tolerance, const char *what, int i)
{
    ck_assert_msg(fabs(got - want) <= tolerance * fmax(1, fabs(want)), "case %d: %s is %.17g, not %.17g", i, what, got,
                  want);
}

static void all_near(const double *got, const struct json *want, double tolerance, const char *what, int i)
{
    int n;
    double *w = numbers(want, &n);
    ck_assert_int_gt(n, 0);
    for (int k = 0; k < n; k++)
        near(got[k], w[k], tolerance, what, i * 1000 + k);
    mem_free(w);
}

START_TEST(metrics_of_tokens_equal_numpy)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "tokens")); c; c = json_next(c), i++) {
        struct err e = {0};
        int n, t = (int)number(c, "n"), d = (int)number(c, "width");
        double *x = numbers(json_get(c, "x"), &n), out[REPR_N_TOKEN_METRIC], *pool = mem_new((size_t)d, sizeof *pool);
        float *f = mem_new((size_t)n, sizeof *f);
        ck_assert_int_eq(n, t * d);
        for (int k = 0; k < n; k++)
            f[k] = (float)x[k];
        static const char *const names[] = {"depthkv", "skean", "skean_code"};
        for (int k = 0; k < 3; k++) {
            struct repr_rule r = {
                .definition = k > 0, .knn = (int)number(c, "knn"), .turning = k == 1, .alpha = number(c, "alpha")};
            ck_assert_msg(repr_tokens(f, t, d, &r, out, &e) == 0, "%s", e.msg);
            all_near(out, json_get(c, names[k]), 1e-6, names[k], i); /* cosines are single precision; near +-1 an arc
                                                                        cosine loses half the digits of double */
        }
        repr_pool(f, t, d, REPR_DEPTHKV, pool);
        all_near(pool, json_get(c, "pool_depthkv"), 1e-12, "pool", i);
        repr_pool(f, t, d, REPR_SKEAN, pool);
        all_near(pool, json_get(c, "pool_skean"), 1e-12, "normalised pool", i);
        mem_free(x);
        mem_free(f);
        mem_free(pool);
    }
    ck_assert_int_eq(i, 4);
}
END_TEST

START_TEST(metrics_of_pooled_vectors_equal_numpy)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "pooled")); c; c = json_next(c), i++) {
        struct err e = {0};
        int total, n_index, n = (int)number(c, "n"), views = (int)number(c, "views"), d = (int)number(c, "width"),
                            order[64];
        double *x = numbers(json_get(c, "x"), &total), *index = numbers(json_get(c, "permutation"), &n_index);
        double *a = mem_new((size_t)(n * d), sizeof *a), *b = mem_new((size_t)(n * d), sizeof *b), out[3][16], value;
        for (int k = 0; k < n; k++)
            for (int j = 0; j < d; j++) {
                a[k * d + j] = x[(k * views) * d + j];
                b[k * d + j] = x[(k * views + 1) * d + j];
            }
        for (int k = 0; k < n_index; k++)
            order[k] = (int)index[k];
        for (int s = 0; s < 2; s++) {
            const struct json *want = json_get(c, s ? "standard" : "printed");
            struct repr_rule r = {.standard = s, .temperature = number(c, "temperature")};
            ck_assert_int_eq(repr_depthkv(a, b, n, d, &r, out[0], out[1], out[2], &e), 0);
            all_near(out[0], json_get(want, "dime"), 1e-12, "dime", i);
            all_near(out[1], json_get(want, "lidar"), 1e-12, "lidar", i);
            all_near(out[2], json_get(want, "infonce"), 1e-12, "infonce", i);
        }
        ck_assert_int_eq(repr_skean_dime(a, b, n, d, number(c, "alpha"), order, n_index / n, &value, &e), 0);
        near(value, number(c, "dime"), 1e-9, "skean's dime", i);
        repr_skean_infonce(a, b, n, d, number(c, "temperature"), out[0]);
        all_near(out[0], json_get(c, "infonce"), 1e-12, "skean's infonce", i);
        ck_assert_int_eq(repr_skean_lidar(x, n, views, d, number(c, "alpha"), &value, &e), 0);
        near(value, number(c, "lidar"), 1e-9, "skean's lidar", i);
        mem_free(x);
        mem_free(index);
        mem_free(a);
        mem_free(b);
    }
    ck_assert_int_eq(i, 3);
}
END_TEST

START_TEST(rank_statistics_equal_scipy)
{
    int i = 0;
    for (const struct json *c = json_first(json_get(root, "ranks")); c; c = json_next(c), i++) {
        int n, m;
        double *x = numbers(json_get(c, "x"), &n), *y = numbers(json_get(c, "y"), &m), rank[64], depth[64];
        for (int k = 0; k < n; k++)
            depth[k] = k;
        struct rankstats s = rankstats_correlate(x, y, depth, n);
        rankstats_ranks(x, n, rank);
        all_near(rank, json_get(c, "rank"), 0, "rank", i);
        ck_assert_int_eq(s.n, n);
        near(s.rho, number(c, "rho"), 1e-12, "rho", i);
        near(s.partial, number(c, "partial"), 1e-9, "partial", i);
        near(s.p_shift, number(c, "p_shift"), 1e-12, "p of shifts", i);
        /* 10,000 permutations: five standard errors of a share of a half are 0.025 */
        near(s.p, number(c, "p"), 0.025, "p", i);
        near(s.partial_p, number(c, "partial_p"), 0.025, "partial p", i);
        mem_free(x);
        mem_free(y);
    }
    ck_assert_int_eq(i, 4);
}
END_TEST

START_TEST(benjamini_hochberg_equals_scipy_and_leaves_out_what_is_unknown)
{
    int i = 0;
    double q[32];
    for (const struct json *c = json_first(json_get(root, "bh")); c; c = json_next(c), i++) {
        int n;
        double *p = numbers(json_get(c, "p"), &n);
        rankstats_bh(p, n, q);
        all_near(q, json_get(c, "q"), 1e-12, "q", i);
        mem_free(p);
    }
    ck_assert_int_eq(i, 4);
    double gap[] = {0.01, NAN, 0.04};
    rankstats_bh(gap, 3, gap);
    ck_assert(isnan(gap[1]));
    near(gap[0], 0.02, 1e-15, "q", 0);
    near(gap[2], 0.04, 1e-15, "q", 2);
}
END_TEST

START_TEST(a_curve_with_its_own_depth_has_no_partial_and_a_constant_has_no_rank)
{
    double x[8], y[8], same[8], depth[8];
    for (int i = 0; i < 8; i++) {
        depth[i] = i;
        x[i] = exp(i);
        y[i] = (i * 5) % 8;
        same[i] = 0.1;
    }
    struct rankstats s = rankstats_correlate(x, y, depth, 8), c = rankstats_correlate(same, y, depth, 8),
                     few = rankstats_correlate(x, y, depth, 3);
    ck_assert(s.n == 8 && isfinite(s.rho) && isnan(s.partial) && isnan(s.partial_p));
    ck_assert(isnan(c.rho) && isnan(c.p) && isnan(c.p_shift) && isnan(c.partial));
    ck_assert(few.n == 3 && isnan(few.rho));
    y[2] = NAN;
    ck_assert_int_eq(rankstats_correlate(x, y, depth, 8).n, 7);
}
END_TEST

START_TEST(the_shift_null_is_wary_of_smooth_curves)
{
    /* two independent slow waves: hardly any permutation is as smooth, but many shifts are as alike */
    double x[32], y[32];
    for (int i = 0; i < 32; i++) {
        x[i] = sin(6.283185307179586 * i / 32);
        y[i] = sin(6.283185307179586 * (i + 3) / 32);
    }
    struct rankstats s = rankstats_correlate(x, y, NULL, 32);
    ck_assert_msg(s.p < 0.001 && s.p_shift > 0.3, "p %g, of shifts %g", s.p, s.p_shift);
}
END_TEST

START_TEST(bad_states_are_refused_with_numbers)
{
    float x[12] = {0};
    double out[REPR_N_TOKEN_METRIC];
    struct err e;
    struct repr_rule r = {.definition = REPR_SKEAN, .alpha = 1};
    memset(&e, 'x', sizeof e);
    ck_assert_int_eq(repr_tokens(x, 2, 4, &r, out, &e), -1);
    ck_assert_msg(strstr(e.msg, "2 tokens") && strstr(e.msg, "at least 3"), "%s", e.msg);
    x[7] = NAN;
    r.definition = REPR_DEPTHKV;
    ck_assert_int_eq(repr_tokens(x, 3, 4, &r, out, &e), -1);
    ck_assert_msg(e.code == ERR_FORMAT && strstr(e.msg, "nan"), "%s", e.msg);
    x[7] = 0; /* nothing varies: no spectrum, and no direction */
    r = (struct repr_rule){.definition = REPR_SKEAN, .alpha = 1, .turning = 1};
    ck_assert_int_eq(repr_tokens(x, 3, 4, &r, out, &e), 0);
    ck_assert(out[REPR_ENTROPY] == 0 && out[REPR_ERANK] == 1 && isfinite(out[REPR_CURVATURE]));
}
END_TEST

Suite *make_repr_suite(void)
{
    Suite *s = suite_create("repr");
    TCase *t = tcase_create("repr");
    tcase_add_checked_fixture(t, load, unload);
    tcase_add_test(t, metrics_of_tokens_equal_numpy);
    tcase_add_test(t, metrics_of_pooled_vectors_equal_numpy);
    tcase_add_test(t, rank_statistics_equal_scipy);
    tcase_add_test(t, benjamini_hochberg_equals_scipy_and_leaves_out_what_is_unknown);
    tcase_add_test(t, a_curve_with_its_own_depth_has_no_partial_and_a_constant_has_no_rank);
    tcase_add_test(t, the_shift_null_is_wary_of_smooth_curves);
    tcase_add_test(t, bad_states_are_refused_with_numbers);
    suite_add_tcase(s, t);
    return s;
}
