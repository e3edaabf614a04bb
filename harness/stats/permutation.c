/* The test of DepthKV, appendix F: the statistic is the variance over layers of the mean score of a layer; labels of
 * layers are permuted within each sample, which keeps what a sample is and breaks what a layer is; p as Phipson and
 * Smyth (2010) have it, never 0. The paper does not say how its effect size is standardised; here it is by the null's
 * mean and standard deviation. */
#include "harness/stats/permutation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/stats/rankstats.h"

/* Samples that have all layers, as [sample][layer], less the sample's own mean: it moves no difference between layers,
 * and sums of small numbers round less. Returns how many. */
static int complete(const double *x, int n_layer, int n_sample, double *out)
{
    int n = 0;
    for (int s = 0; s < n_sample; s++) {
        double *v = out + (size_t)n * (size_t)n_layer, sum = 0;
        int whole = 1;
        for (int l = 0; l < n_layer; l++) {
            v[l] = x[(size_t)l * (size_t)n_sample + (size_t)s];
            whole = whole && isfinite(v[l]);
            sum += v[l];
        }
        for (int l = 0; l < n_layer && whole; l++)
            v[l] -= sum / n_layer;
        n += whole;
    }
    return n;
}

static void add_means(const double *v, const int *sample, int n, int n_layer, double *mean)
{
    memset(mean, 0, (size_t)n_layer * sizeof *mean);
    for (int i = 0; i < n; i++)
        for (int l = 0; l < n_layer; l++)
            mean[l] += v[(size_t)sample[i] * (size_t)n_layer + (size_t)l] / n;
}

static double variance(const double *x, int n)
{
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    for (int i = 0; i < n; i++)
        square += (x[i] - sum / n) * (x[i] - sum / n);
    return square / (n - 1);
}

/* The largest variance that rounding alone could make of values of this size. */
static double noise(const double *v, int n_layer, int n)
{
    double most = 0;
    for (size_t i = 0; i < (size_t)n * (size_t)n_layer; i++)
        most = fmax(most, fabs(v[i]));
    return 1e-24 * most * most;
}

static int *first_numbers(int n)
{
    int *v = mem_new((size_t)n + 1, sizeof *v);
    for (int i = 0; i < n; i++)
        v[i] = i;
    return v;
}

struct permutation_test permutation_layers(const double *x, int n_layer, int n_sample)
{
    const double none = (double)NAN;
    struct permutation_test t = {n_layer, 0, none, none, none, none, none};
    double *v = mem_new((size_t)n_layer * (size_t)n_sample + (size_t)n_layer + 1, sizeof *v);
    double *mean = mem_new((size_t)n_layer + 1, sizeof *mean);
    t.n_sample = complete(x, n_layer, n_sample, v);
    int *all = first_numbers(t.n_sample), reached = 0;
    if (n_layer >= 2 && t.n_sample >= 2) {
        struct rng r;
        double sum = 0, square = 0, first = 0;
        rng_init(&r, 1, "layer permutation");
        add_means(v, all, t.n_sample, n_layer, mean);
        t.variance = variance(mean, n_layer);
        double bar = t.variance * (1 - 1e-12) - noise(v, n_layer, t.n_sample); /* equal up to rounding is reached */
        for (int b = 0; b < PERMUTATION_ROUNDS; b++) {
            for (int s = 0; s < t.n_sample; s++)
                rng_shuffle(&r, v + (size_t)s * (size_t)n_layer, n_layer, sizeof *v);
            add_means(v, all, t.n_sample, n_layer, mean);
            double drawn = variance(mean, n_layer);
            first = b ? first : drawn; /* sums of what is left of it: no cancellation */
            sum += drawn - first;
            square += (drawn - first) * (drawn - first);
            reached += drawn >= bar;
        }
        double shift = sum / PERMUTATION_ROUNDS, spread = square / PERMUTATION_ROUNDS - shift * shift;
        t.null_mean = first + shift;
        t.null_sd = sqrt(fmax(0, spread * PERMUTATION_ROUNDS / (PERMUTATION_ROUNDS - 1)));
        t.p = (reached + 1.0) / (PERMUTATION_ROUNDS + 1.0);
        if (t.null_sd > 1e-9 * t.null_mean && t.null_mean > noise(v, n_layer, t.n_sample))
            t.effect = (t.variance - t.null_mean) / t.null_sd;
    }
    mem_free(v);
    mem_free(mean);
    mem_free(all);
    return t;
}

static double pearson(const double *x, const double *y, int n, double floor)
{
    double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) {
        sx += x[i];
        sy += y[i];
    }
    for (int i = 0; i < n; i++) {
        double a = x[i] - sx / n, b = y[i] - sy / n;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xx > n * floor && yy > n * floor ? fmax(-1, fmin(1, xy / sqrt(xx * yy))) : 0;
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Ranks of n means; those that are equal up to rounding share theirs. */
static void rank(double *x, int n, double same)
{
    double *sorted = mem_new(2 * (size_t)n, sizeof *sorted), *first = sorted + n;
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    for (int i = 0; i < n; i++) /* chains of neighbours take their least one's value */
        first[i] = i && sorted[i] - sorted[i - 1] <= same ? first[i - 1] : sorted[i];
    for (int i = 0; i < n; i++) {
        const double *at = bsearch(&x[i], sorted, (size_t)n, sizeof *sorted, ascending);
        x[i] = first[at - sorted];
    }
    memcpy(sorted, x, (size_t)n * sizeof *x);
    rankstats_ranks(sorted, n, x);
    mem_free(sorted);
}

static double split_half(const double *x, int n_layer, int n_sample, int of_ranks)
{
    double *v = mem_new((size_t)n_layer * (size_t)n_sample + (size_t)n_layer + 1, sizeof *v), out = (double)NAN;
    double *a = mem_new((size_t)n_layer + 1, sizeof *a), *b = mem_new((size_t)n_layer + 1, sizeof *b);
    int n = complete(x, n_layer, n_sample, v), half = n / 2, *order = first_numbers(n);
    double floor = noise(v, n_layer, n);
    if (n_layer >= 3 && half >= PERMUTATION_MIN_HALF) {
        struct rng r;
        double sum = 0;
        rng_init(&r, 1, "split half");
        add_means(v, order, n, n_layer, a);
        int differ = variance(a, n_layer) > floor;
        for (int k = 0; k < PERMUTATION_HALVES && differ; k++) {
            rng_shuffle(&r, order, n, sizeof *order);
            add_means(v, order, half, n_layer, a);
            add_means(v, order + half, half, n_layer, b);
            if (of_ranks) {
                rank(a, n_layer, sqrt(floor));
                rank(b, n_layer, sqrt(floor));
            }
            sum += pearson(a, b, n_layer, of_ranks ? 0 : floor);
        }
        double mean = sum / PERMUTATION_HALVES;
        if (differ) /* below -1/3 the formula runs away; a mean that low is no more than "none" */
            out = mean > 0 ? 2 * mean / (1 + mean) : mean;
    }
    mem_free(v);
    mem_free(a);
    mem_free(b);
    mem_free(order);
    return out;
}

double permutation_split_half(const double *x, int n_layer, int n_sample)
{
    return split_half(x, n_layer, n_sample, 0);
}

double permutation_split_half_rank(const double *x, int n_layer, int n_sample)
{
    return split_half(x, n_layer, n_sample, 1);
}
