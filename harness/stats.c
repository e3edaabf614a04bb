#include "harness/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { EXACT_UP_TO = 13 }; /* 2^13 sign patterns are fewer than the resamples of the random test */

/* The unit of resampling: a value, or the sum of a cluster's values. */
struct unit {
    double sum;
    int n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_unit(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    return x->sum != y->sum ? (x->sum > y->sum) - (x->sum < y->sum) : x->n - y->n;
}

/* Everything below sorts its input first, so that neither sums nor resamples depend on the order in which rows
 * happened to arrive. */
static double mean_of(const struct unit *u, int n)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++) {
        sum += u[i].sum;
        count += u[i].n;
    }
    return count ? sum / count : (double)NAN;
}

/* Standard error of the mean over all values, from the spread of the units' sums around what their sizes predict:
 * sqrt(G / (G - 1) sum_g (s_g - n_g mean)^2) / N. For units of one value it is sd / sqrt(n). */
static double se_of(const struct unit *u, int n, double mean)
{
    double square = 0;
    int count = 0;
    for (int i = 0; i < n; i++) {
        double d = u[i].sum - u[i].n * mean;
        square += d * d;
        count += u[i].n;
    }
    return n < 2 ? (double)NAN : sqrt(square * n / (n - 1)) / count;
}

/* Quantile of sorted values with linear interpolation between the neighbours (numpy's default). */
static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)floor(at);
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static void bootstrap(const struct unit *u, int n, double *lo, double *hi)
{
    *lo = *hi = NAN;
    if (n < 2)
        return;
    struct rng r;
    double *mean = mem_new(STATS_RESAMPLES, sizeof *mean);
    rng_init(&r, 1, "bootstrap");
    for (int b = 0; b < STATS_RESAMPLES; b++) {
        double sum = 0;
        int count = 0;
        for (int i = 0; i < n; i++) {
            const struct unit *pick = &u[rng_below(&r, (uint64_t)n)];
            sum += pick->sum;
            count += pick->n;
        }
        mean[b] = sum / count;
    }
    qsort(mean, STATS_RESAMPLES, sizeof *mean, by_value);
    *lo = quantile(mean, STATS_RESAMPLES, 0.025);
    *hi = quantile(mean, STATS_RESAMPLES, 0.975);
    mem_free(mean);
}

/* Share of sign patterns whose |sum| reaches the observed one. Sums that differ only by rounding count as equal:
 * a pattern's complement must never fall on the other side. */
static double sign_flip_p(const struct unit *u, int n)
{
    double seen = 0, scale = 0;
    for (int i = 0; i < n; i++) {
        seen += u[i].sum;
        scale += fabs(u[i].sum);
    }
    int exact = n <= EXACT_UP_TO, rounds = exact ? 1 << n : STATS_RESAMPLES, reached = 0;
    double bar = fabs(seen) - 1e-12 * scale;
    struct rng r;
    rng_init(&r, 1, "sign flip");
    for (int b = 0; b < rounds; b++) {
        uint64_t signs = (uint64_t)b;
        double sum = 0;
        for (int i = 0; i < n; i++) {
            if (!exact && i % 64 == 0)
                signs = rng_u64(&r);
            sum += signs >> (i % 64) & 1 ? u[i].sum : -u[i].sum;
        }
        reached += fabs(sum) >= bar;
    }
    return exact ? (double)reached / rounds : (reached + 1.0) / (rounds + 1.0);
}

struct stats_summary stats_mean(const double *x, int n)
{
    struct stats_summary s = {0};
    struct unit *u = mem_new((size_t)n + 1, sizeof *u);
    for (int i = 0; i < n; i++)
        if (!isnan(x[i]))
            u[s.n++] = (struct unit){x[i], 1};
    qsort(u, (size_t)s.n, sizeof *u, by_unit);
    s.mean = mean_of(u, s.n);
    s.se = se_of(u, s.n, s.mean);
    bootstrap(u, s.n, &s.lo, &s.hi);
    mem_free(u);
    return s;
}

void stats_wilson(int k, int n, double *lo, double *hi)
{
    static const double z = 1.959963984540054; /* 97.5 % point of the normal distribution */
    *lo = *hi = NAN;
    if (n < 1)
        return;
    double p = (double)k / n, shrink = 1 + z * z / n;
    double middle = (p + z * z / (2.0 * n)) / shrink;
    double half = z / shrink * sqrt(p * (1 - p) / n + z * z / (4.0 * n * n));
    *lo = k == 0 ? 0 : middle - half; /* the ends are exact; rounding would leave them just outside */
    *hi = k == n ? 1 : middle + half;
}

struct pair {
    int64_t group;
    double diff;
};

static int by_group(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return x->group != y->group ? (x->group > y->group) - (x->group < y->group) : by_value(&x->diff, &y->diff);
}

struct stats_paired stats_paired_clustered(const double *a, const double *b, const int64_t *group, int n)
{
    struct stats_paired s = {.p = NAN};
    struct pair *d = mem_new((size_t)n + 1, sizeof *d);
    struct unit *u = mem_new((size_t)n + 1, sizeof *u);
    int n_unit = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(a[i] - b[i]))
            d[s.n++] = (struct pair){group[i], a[i] - b[i]};
    qsort(d, (size_t)s.n, sizeof *d, by_group);
    for (int i = 0; i < s.n; i++) {
        if (i == 0 || d[i].group != d[i - 1].group)
            n_unit++;
        u[n_unit - 1].sum += d[i].diff;
        u[n_unit - 1].n++;
    }
    qsort(u, (size_t)n_unit, sizeof *u, by_unit);
    s.diff = mean_of(u, n_unit);
    s.se = se_of(u, n_unit, s.diff);
    bootstrap(u, n_unit, &s.lo, &s.hi);
    if (n_unit > 1)
        s.p = sign_flip_p(u, n_unit);
    mem_free(d);
    mem_free(u);
    return s;
}

struct stats_paired stats_paired(const double *a, const double *b, int n)
{
    int64_t *group = mem_new((size_t)n + 1, sizeof *group);
    for (int i = 0; i < n; i++)
        group[i] = i;
    struct stats_paired s = stats_paired_clustered(a, b, group, n);
    mem_free(group);
    return s;
}
