#include "harness/stats/bounded.h"

#include <math.h>
#include <stdlib.h>

#include "harness/base/mem.h"

/* Equal units are one point: hits and misses are two, whatever their number. */
struct point {
    double sum, size, count;
};

struct problem {
    struct point *p;
    int n;
    double units, size; /* G, and the mean number of values of a unit: that of one at the end of the range */
    double end;
};

static int by_point(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return x->sum != y->sum ? (x->sum > y->sum) - (x->sum < y->sum) : (x->size > y->size) - (x->size < y->size);
}

/* sum u / (G + lambda u), and its slope. */
static double tilt(const struct problem *q, double d, double lambda, double *slope)
{
    double sum = 0;
    *slope = 0;
    for (int i = 0; i < q->n; i++) {
        double u = q->p[i].sum - q->p[i].size * d, v = u / (q->units + lambda * u);
        sum += q->p[i].count * v;
        *slope -= q->p[i].count * v * v;
    }
    return sum;
}

/* The lambda in (from, 0) at which the weights 1 / (G + lambda u) have mean 0: Newton, kept between what is known. */
static double solve(const struct problem *q, double d, double from)
{
    double low = from, high = 0, at = from / 2, slope;
    for (int k = 0; k < 100; k++) {
        double f = tilt(q, d, at, &slope), next = at - f / slope;
        if (f > 0)
            low = at;
        else
            high = at;
        if (!(next >= low && next <= high) || next == from || next == 0)
            next = (low + high) / 2;
        if (f == 0 || fabs(next - at) <= 1e-14 * fabs(at))
            return at;
        at = next;
    }
    return at;
}

/* Variance of the most likely distribution with mean d above the sample's. The weights are 1 / (G + lambda u); lambda
 * can't be below -G / (u at the end of the range), and where that one is not enough to bring the mean to d, the end
 * gets the rest. */
static double variance(const struct problem *q, double d)
{
    double end = q->size * (q->end - d), largest = -INFINITY, weight = 0, square = 0;
    for (int i = 0; i < q->n; i++)
        largest = fmax(largest, q->p[i].sum - q->p[i].size * d);
    if (largest < end) {
        for (int i = 0; i < q->n; i++) {
            double u = q->p[i].sum - q->p[i].size * d, w = q->p[i].count * end / (q->units * (end - u));
            weight += w;
            square += w * u * u;
        }
        if (weight <= 1)
            return square + (1 - weight) * end * end;
    }
    double lambda = solve(q, d, -q->units / fmax(largest, end));
    square = 0;
    for (int i = 0; i < q->n; i++) {
        double u = q->p[i].sum - q->p[i].size * d;
        square += q->p[i].count * u * u / (q->units + lambda * u);
    }
    return square;
}

static double upper(const struct problem *q)
{
    static const double z = 1.959963984540054; /* 97.5 % point of the normal distribution */
    double sum = 0, size = 0;
    for (int i = 0; i < q->n; i++) {
        sum += q->p[i].count * q->p[i].sum;
        size += q->p[i].count * q->p[i].size;
    }
    double inside = sum / size, outside = q->end;
    if (!(inside < outside))
        return q->end;
    for (int k = 0; k < 100; k++) {
        double d = (inside + outside) / 2, away = sum - size * d;
        if (d <= inside || d >= outside)
            break;
        if (away * away <= z * z * q->units * variance(q, d))
            inside = d;
        else
            outside = d;
    }
    return inside;
}

/* The upper end for the units times `sign`; the lower end is the upper one of what is turned around, so that swapping
 * the sides of a pair swaps the ends and changes no bit. */
static double upper_of(const struct bounded_unit *u, int n, double sign, double end)
{
    struct problem q = {.p = mem_new((size_t)n, sizeof *q.p), .units = n, .end = end};
    double size = 0;
    for (int i = 0; i < n; i++) {
        q.p[i] = (struct point){sign * u[i].sum, u[i].n, 1};
        size += u[i].n;
    }
    q.size = size / n;
    qsort(q.p, (size_t)n, sizeof *q.p, by_point);
    for (int i = 0; i < n; i++)
        if (q.n && by_point(&q.p[q.n - 1], &q.p[i]) == 0)
            q.p[q.n - 1].count++;
        else
            q.p[q.n++] = q.p[i];
    double out = upper(&q);
    mem_free(q.p);
    return out;
}

void bounded_interval(const struct bounded_unit *u, int n, double least, double most, double *lo, double *hi)
{
    *lo = -upper_of(u, n, -1, -least) + 0.0; /* no -0 */
    *hi = upper_of(u, n, 1, most) + 0.0;
}
