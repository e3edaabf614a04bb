#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/stats/bounded.h"

enum { EXACT_UP_TO = 13 }; /* 2^13 sign patterns are fewer than the resamples of the random test */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_unit(const void *a, const void *b)
{
    const struct bounded_unit *x = a, *y = b;
    return x->sum != y->sum ? (x->sum > y->sum) - (x->sum < y->sum) : x->n - y->n;
}

/* Everything below sorts its input first, so that neither sums nor resamples depend on the order in which rows
 * happened to arrive. */
static double mean_of(const struct bounded_unit *u, int n)
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
static double se_of(const struct bounded_unit *u, int n, double mean)
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

static void bootstrap(const struct bounded_unit *u, int n, double *lo, double *hi)
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
            const struct bounded_unit *pick = &u[rng_below(&r, (uint64_t)n)];
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
static double sign_flip_p(const struct bounded_unit *u, int n)
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

/* One value, or the difference of a pair. */
struct value {
    int64_t group;
    double x;
};

static int by_group(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    return x->group != y->group ? (x->group > y->group) - (x->group < y->group) : by_value(&x->x, &y->x);
}

/* All units have the same mean, but for the rounding of values of this size: they tell nothing of how much means vary.
 */
static int all_equal(const struct bounded_unit *u, int n, double size)
{
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < n; i++) {
        least = fmin(least, u[i].sum / u[i].n);
        most = fmax(most, u[i].sum / u[i].n);
    }
    return most - least <= 1e-12 * size;
}

/* A value outside of its range is none of which the range would say anything. */
static int is_inside(const struct value *v, int n, const struct stats_range *r)
{
    int inside = 1;
    for (int i = 0; i < n; i++)
        inside = inside && v[i].x >= r->least - 1e-9 && v[i].x <= r->most + 1e-9;
    return inside;
}

/* Of n values; `size` is that of the numbers that they were computed from. Sorts them. */
static struct stats_paired describe(struct value *v, int n, double size, const struct stats_range *range, int with_p)
{
    struct stats_paired s = {.n = n, .se = NAN, .lo = NAN, .hi = NAN, .p = NAN};
    struct bounded_unit *u = mem_new((size_t)n + 1, sizeof *u);
    if (n)
        qsort(v, (size_t)n, sizeof *v, by_group);
    for (int i = 0; i < n; i++) {
        if (i == 0 || v[i].group != v[i - 1].group)
            s.n_unit++;
        u[s.n_unit - 1].sum += v[i].x;
        u[s.n_unit - 1].n++;
    }
    if (n)
        qsort(u, (size_t)s.n_unit, sizeof *u, by_unit);
    s.diff = mean_of(u, s.n_unit);
    if (s.n_unit > 1) {
        int equal = all_equal(u, s.n_unit, size);
        if (!equal)
            s.se = se_of(u, s.n_unit, s.diff);
        if (range && is_inside(v, n, range)) {
            bounded_interval(u, s.n_unit, range->least, range->most, &s.lo, &s.hi);
            s.lo = fmin(s.lo, s.diff); /* the mean has its own rounding */
            s.hi = fmax(s.hi, s.diff);
        } else if (!equal) {
            bootstrap(u, s.n_unit, &s.lo, &s.hi);
        }
        if (with_p)
            s.p = sign_flip_p(u, s.n_unit);
    }
    mem_free(u);
    return s;
}

struct stats_summary stats_mean_clustered(const double *x, const int64_t *group, int n, const struct stats_range *range)
{
    struct value *v = mem_new((size_t)n + 1, sizeof *v);
    double size = 0;
    int k = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(x[i])) {
            v[k++] = (struct value){group ? group[i] : i, x[i]};
            size = fmax(size, fabs(x[i]));
        }
    struct stats_paired s = describe(v, k, size, range, 0);
    mem_free(v);
    return (struct stats_summary){s.n, s.n_unit, s.diff, s.se, s.lo, s.hi};
}

struct stats_summary stats_mean(const double *x, int n, const struct stats_range *range)
{
    return stats_mean_clustered(x, NULL, n, range);
}

struct stats_paired stats_paired_clustered(const double *a, const double *b, const int64_t *group, int n,
                                           const struct stats_range *range)
{
    struct value *v = mem_new((size_t)n + 1, sizeof *v);
    double size = 0, wide = range ? range->most - range->least : 0;
    const struct stats_range differences = {-wide, wide};
    int k = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(a[i] - b[i])) {
            v[k++] = (struct value){group ? group[i] : i, a[i] - b[i]};
            size = fmax(size, fmax(fabs(a[i]), fabs(b[i])));
        }
    struct stats_paired s = describe(v, k, size, range ? &differences : NULL, 1);
    mem_free(v);
    return s;
}

struct stats_paired stats_paired(const double *a, const double *b, int n, const struct stats_range *range)
{
    return stats_paired_clustered(a, b, NULL, n, range);
}

const char *stats_why_no_interval(double lo, double hi, int n_unit)
{
    if (isfinite(lo) && isfinite(hi))
        return NULL;
    return n_unit == 0   ? "nothing was measured"
           : n_unit == 1 ? "one sample tells nothing of how much others differ"
                         : "all samples are equal, and the measure has no range that would bound another";
}
