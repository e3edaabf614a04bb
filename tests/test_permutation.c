/* harness/permutation: cases worked by hand, and simulated ones in which the answer is known. */
#include <math.h>

#include "harness/base/rng.h"
#include "harness/stats/permutation.h"
#include "harness/stats/rankstats.h"
#include "tests/suites.h"

enum { L = 8, N = 12 };

/* Two layers, samples 1 0, 3 0, 2 0: means 2 and 0, variance 2. Of the 2^3 ways to swap, the sums of the signed
 * differences are +-6, +-4, +-2, +-0 (1 + 3 + 2 down to 1 - 3 + 2), each d giving the variance (d/3)^2 / 2: 2, 8/9,
 * 2/9, 0. */
START_TEST(a_case_of_two_layers_agrees_with_its_enumeration)
{
    static const double x[2][3] = {{1, 3, 2}, {0, 0, 0}};
    struct permutation_test t = permutation_layers(x[0], 2, 3);
    double mean = (2 + 8 / 9.0 + 2 / 9.0 + 0) / 4, square = (4 + 64 / 81.0 + 4 / 81.0) / 4,
           sd = sqrt(square - mean * mean);
    ck_assert_int_eq(t.n_layer, 2);
    ck_assert_int_eq(t.n_sample, 3);
    ck_assert_double_eq_tol(t.variance, 2, 1e-12);
    ck_assert_double_eq_tol(t.null_mean, mean, 5 * sd / 100); /* five standard errors of 10,000 draws */
    ck_assert_double_eq_tol(t.null_sd, sd, 0.03 * sd);
    ck_assert_double_eq_tol(t.p, 0.25, 5 * sqrt(0.25 * 0.75 / 10000)); /* 2 of 8 reach it */
    ck_assert_double_eq_tol(t.effect, (t.variance - t.null_mean) / t.null_sd, 1e-12);
}
END_TEST

/* The null's mean has a closed form: the sum over samples of their own variance over layers, over N^2. */
START_TEST(the_null_has_the_mean_that_theory_gives)
{
    double x[L][N], want = 0;
    struct rng r;
    rng_init(&r, 7, "x");
    for (int l = 0; l < L; l++)
        for (int s = 0; s < N; s++)
            x[l][s] = rng_double(&r) * (1 + s) + l;
    for (int s = 0; s < N; s++) {
        double sum = 0, square = 0;
        for (int l = 0; l < L; l++)
            sum += x[l][s];
        for (int l = 0; l < L; l++)
            square += (x[l][s] - sum / L) * (x[l][s] - sum / L);
        want += square / (L - 1) / (N * N);
    }
    struct permutation_test t = permutation_layers(x[0], L, N);
    ck_assert_double_eq_tol(t.null_mean, want, 5 * t.null_sd / 100);
    ck_assert_double_gt(t.effect, 5);
    ck_assert_double_eq_tol(t.p, 1 / 10001.0, 1e-15); /* layers rise from 0 to 7: no permutation reaches it */
}
END_TEST

/* What belongs to a sample alone must not count: shifting a sample changes nothing. */
START_TEST(hard_and_easy_samples_make_no_difference)
{
    double x[L][N], y[L][N];
    struct rng r;
    rng_init(&r, 8, "x");
    for (int s = 0; s < N; s++)
        for (int l = 0; l < L; l++) {
            x[l][s] = rng_double(&r);
            y[l][s] = x[l][s] + 64 * s;
        }
    struct permutation_test a = permutation_layers(x[0], L, N), b = permutation_layers(y[0], L, N);
    ck_assert_double_eq_tol(a.variance, b.variance, 1e-11);
    ck_assert_double_eq_tol(a.p, b.p, 1e-3);
    ck_assert_double_eq_tol(permutation_split_half(x[0], L, N), permutation_split_half(y[0], L, N), 1e-9);
}
END_TEST

/* Where layers are all alike, p is uniform: a share of about 0.05 lies below 0.05, half below one half. */
START_TEST(without_a_difference_p_is_uniform_and_the_halves_do_not_agree)
{
    enum { CASES = 60 };
    int low = 0, half = 0;
    double reliability = 0, effect = 0;
    for (int c = 0; c < CASES; c++) {
        double x[5][N];
        struct rng r;
        rng_init(&r, (uint64_t)c, "null");
        for (int l = 0; l < 5; l++)
            for (int s = 0; s < N; s++)
                x[l][s] = rng_double(&r);
        struct permutation_test t = permutation_layers(x[0], 5, N);
        low += t.p <= 0.05;
        half += t.p <= 0.5;
        effect += t.effect / CASES;
        reliability += permutation_split_half(x[0], 5, N) / CASES;
    }
    ck_assert_int_le(low, 9);                /* binomial(60, 0.05): 10 or more has probability 0.0006 */
    ck_assert(half >= 16 && half <= 44);     /* binomial(60, 0.5): outside 0.0002 */
    ck_assert_double_eq_tol(effect, 0, 0.6); /* sd 1 a case: more than four standard errors */
    ck_assert_double_lt(reliability, 0.3);
}
END_TEST

/* With noise of variance v and layers of variance w, a mean over n samples has reliability w / (w + v / n). */
START_TEST(split_halves_recover_a_known_reliability)
{
    enum { MANY = 40, WIDE = 48, CASES = 20 };
    double got = 0;
    for (int c = 0; c < CASES; c++) {
        static double x[WIDE][MANY];
        struct rng r;
        rng_init(&r, (uint64_t)c, "known");
        for (int l = 0; l < WIDE; l++)
            for (int s = 0; s < MANY; s++) /* layers evenly from 0 to 1; noise uniform of width 3: variance 3/4 */
                x[l][s] = l / (WIDE - 1.0) + 3 * rng_double(&r);
        got += permutation_split_half(x[0], WIDE, MANY) / CASES;
    }
    double w = (WIDE + 1.0) / (12 * (WIDE - 1)), want = w / (w + 0.75 / MANY);
    ck_assert_double_eq_tol(got, want, 0.04);
}
END_TEST

START_TEST(samples_without_a_layer_are_left_out_and_layers_that_agree_exactly_have_reliability_one)
{
    double x[3][5], y[3][4];
    for (int l = 0; l < 3; l++)
        for (int s = 0; s < 5; s++)
            x[l][s] = l + s;
    x[1][2] = (double)NAN;
    for (int l = 0; l < 3; l++)
        for (int s = 0; s < 4; s++)
            y[l][s] = x[l][s < 2 ? s : s + 1];
    struct permutation_test a = permutation_layers(x[0], 3, 5), b = permutation_layers(y[0], 3, 4);
    ck_assert_int_eq(a.n_sample, 4);
    ck_assert(a.p == b.p && a.effect == b.effect && a.variance == b.variance);
    ck_assert_double_eq_tol(permutation_split_half(x[0], 3, 5), 1, 1e-12);
}
END_TEST

START_TEST(what_too_few_samples_cannot_say_is_nan)
{
    static const double flat[3][4] = {{0}}, two[3][2] = {{1, 1}, {2, 2}, {3, 3}};
    struct permutation_test t = permutation_layers(flat[0], 3, 4);
    ck_assert_double_eq(t.variance, 0);
    ck_assert_double_eq(t.p, 1);
    ck_assert(isnan(t.effect) && isnan(permutation_split_half(flat[0], 3, 4)));
    t = permutation_layers(two[0], 3, 1);
    ck_assert_int_eq(t.n_sample, 1);
    ck_assert(isnan(t.p) && isnan(t.variance) && isnan(t.effect));
    ck_assert(isnan(permutation_layers(two[0], 1, 2).p) && isnan(permutation_layers(two[0], 3, 0).p));
    ck_assert(isnan(permutation_split_half(two[0], 3, 2)));
    ck_assert_double_lt(permutation_layers(two[0], 3, 2).p, 0.25); /* 6 of 36 keep the order or turn it round */
}
END_TEST

/* Four samples have three splits; the layers' ranks by hand of rankstats, some of them tied. */
START_TEST(halves_of_ranks_agree_with_their_enumeration)
{
    enum { LAYERS = 7 };
    static const double x[LAYERS][4] = {{0.1, 0.2, 0.1, 0.2}, {0.2, 0.1, 0.2, 0.1}, {0, 3, 1, 1}, {1, 1, 0, 4},
                                        {5, 0, 0, 9},         {2, 2, 2, 2},         {2, 2, 2, 2}};
    double r = 0, square = 0;
    for (int split = 1; split < 4; split++) {
        double a[LAYERS], b[LAYERS];
        for (int l = 0; l < LAYERS; l++) {
            int other[2], n = 0;
            for (int s = 1; s < 4; s++)
                if (s != split)
                    other[n++] = s;
            a[l] = round((x[l][0] + x[l][split]) * 1e6);
            b[l] = round((x[l][other[0]] + x[l][other[1]]) * 1e6);
        }
        double rho = rankstats_correlate(a, b, NULL, LAYERS).rho;
        r += rho / 3;
        square += rho * rho / 3;
    }
    double got = permutation_split_half_rank(x[0], LAYERS, 4), sd = sqrt((square - r * r) / PERMUTATION_HALVES);
    ck_assert_double_gt(sd, 0);
    ck_assert_double_eq_tol(got / (2 - got), r, 5 * sd); /* the formula turned round */
}
END_TEST

/* One layer far above the rest makes Pearson's r, not the order of the others, and a monotone curve does not matter. */
START_TEST(ranks_do_not_follow_one_large_layer)
{
    double x[L][N], y[L][N];
    struct rng r;
    rng_init(&r, 9, "outlier");
    for (int s = 0; s < N; s++)
        for (int l = 0; l < L; l++) {
            x[l][s] = rng_double(&r) + (l == 3 ? 1000 : 0);
            y[l][s] = exp(4 * l);
        }
    ck_assert_double_gt(permutation_split_half(x[0], L, N), 0.999);
    ck_assert_double_lt(permutation_split_half_rank(x[0], L, N), 0.8);
    ck_assert_double_eq_tol(permutation_split_half_rank(y[0], L, N), 1, 1e-12);
    ck_assert(isnan(permutation_split_half_rank(x[0], 2, N)) && isnan(permutation_split_half_rank(x[0], L, 3)));
}
END_TEST

Suite *make_permutation_suite(void)
{
    Suite *s = suite_create("permutation");
    TCase *t = tcase_create("permutation");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_case_of_two_layers_agrees_with_its_enumeration);
    tcase_add_test(t, the_null_has_the_mean_that_theory_gives);
    tcase_add_test(t, hard_and_easy_samples_make_no_difference);
    tcase_add_test(t, without_a_difference_p_is_uniform_and_the_halves_do_not_agree);
    tcase_add_test(t, split_halves_recover_a_known_reliability);
    tcase_add_test(t, halves_of_ranks_agree_with_their_enumeration);
    tcase_add_test(t, ranks_do_not_follow_one_large_layer);
    tcase_add_test(t, samples_without_a_layer_are_left_out_and_layers_that_agree_exactly_have_reliability_one);
    tcase_add_test(t, what_too_few_samples_cannot_say_is_nan);
    suite_add_tcase(s, t);
    return s;
}
