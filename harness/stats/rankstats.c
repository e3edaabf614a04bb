#include "harness/stats/rankstats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct indexed {
    double value;
    int at;
};

static int by_value(const void *a, const void *b)
{
    const struct indexed *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value) - (x->value < y->value) : x->at - y->at;
}

void rankstats_ranks(const double *x, int n, double *rank)
{
    struct indexed *s = mem_new((size_t)n + 1, sizeof *s);
    for (int i = 0; i < n; i++)
        s[i] = (struct indexed){x[i], i};
    qsort(s, (size_t)n, sizeof *s, by_value);
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && s[to].value == s[from].value; to++)
            ;
        for (int i = from; i < to; i++)
            rank[s[i].at] = (from + 1 + to) / 2.0;
    }
    mem_free(s);
}

/* Mean 0 and length 1; 0 when that can't be: the values are equal, up to the rounding of a residual. */
static int standardise(double *x, int n)
{
    double mean = 0, square = 0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++) {
        x[i] -= mean;
        square += x[i] * x[i];
    }
    if (square <= 1e-18 * n * n * n) /* ranks have squares of the order of n^3 */
        return 0;
    for (int i = 0; i < n; i++)
        x[i] /= sqrt(square);
    return 1;
}

static double dot(const double *x, const double *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Sums over the same pairs in another order must count as equal. */
static int reaches(double r, double seen)
{
    return fabs(r) >= fabs(seen) - 1e-12;
}

/* x and y are standardised; the moved one is copied. */
static double permutation_p(const double *fixed, const double *moved, int n)
{
    double seen = dot(fixed, moved, n), *x = mem_new((size_t)n, sizeof *x);
    int b = 0;
    struct rng r;
    rng_init(&r, 1, "rank permutation");
    memcpy(x, moved, (size_t)n * sizeof *x);
    for (int k = 0; k < RANKSTATS_PERMUTATIONS; k++) {
        rng_shuffle(&r, x, n, sizeof *x);
        b += reaches(dot(fixed, x, n), seen);
    }
    mem_free(x);
    return (b + 1.0) / (RANKSTATS_PERMUTATIONS + 1.0);
}

static double shift_p(const double *x, const double *y, int n)
{
    double seen = dot(x, y, n);
    int b = 0;
    for (int s = 1; s < n; s++) {
        double r = dot(x, y + s, n - s) + dot(x + n - s, y, s);
        b += reaches(r, seen);
    }
    return (b + 1.0) / n;
}

/* What is left of x when z, both standardised, is taken out. */
static int residual(double *x, const double *z, int n)
{
    double slope = dot(x, z, n);
    if (1 - slope * slope < 1e-12)
        return 0; /* nothing but rounding */
    for (int i = 0; i < n; i++)
        x[i] -= slope * z[i];
    double square = dot(x, x, n);
    for (int i = 0; i < n; i++)
        x[i] /= sqrt(square);
    return 1;
}

struct rankstats rankstats_correlate(const double *x, const double *y, const double *z, int n)
{
    struct rankstats s = {0, NAN, NAN, NAN, NAN, NAN};
    double *v = mem_new((size_t)n + 1, 6 * sizeof *v), *a = v, *b = v + n, *c = v + 2 * n, *ra = v + 3 * n,
           *rb = v + 4 * n, *rc = v + 5 * n;
    int k = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i]) || (z && isnan(z[i])))
            continue;
        a[k] = x[i];
        b[k] = y[i];
        c[k++] = z ? z[i] : 0;
    }
    s.n = k;
    if (k < RANKSTATS_MIN)
        goto out;
    rankstats_ranks(a, k, ra);
    rankstats_ranks(b, k, rb);
    rankstats_ranks(c, k, rc);
    if (!standardise(ra, k) || !standardise(rb, k))
        goto out;
    s.rho = dot(ra, rb, k);
    s.p = permutation_p(ra, rb, k);
    s.p_shift = shift_p(ra, rb, k);
    if (z && standardise(rc, k) && residual(ra, rc, k) && residual(rb, rc, k)) {
        s.partial = dot(ra, rb, k);
        s.partial_p = permutation_p(rb, ra, k);
    }
out:
    mem_free(v);
    return s;
}

void rankstats_bh(const double *p, int n, double *q)
{
    struct indexed *s = mem_new((size_t)n + 1, sizeof *s);
    int k = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(p[i]))
            s[k++] = (struct indexed){p[i], i};
        else
            q[i] = NAN;
    qsort(s, (size_t)k, sizeof *s, by_value);
    double least = 1;
    for (int i = k - 1; i >= 0; i--) {
        least = fmin(least, s[i].value * k / (i + 1.0));
        q[s[i].at] = least;
    }
    mem_free(s);
}
