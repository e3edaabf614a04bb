/* The statistics that everything uses; nothing about caches. All resampling has a fixed seed and its numbers
 * depend on nothing but its input. */
#ifndef HARNESS_STATS_H
#define HARNESS_STATS_H

#include <stdint.h>

enum { STATS_RESAMPLES = 10000 };

struct stats_summary {
    int n;
    double mean, se;  /* se = sd / sqrt(n), sd with n - 1; NAN for n < 2 */
    double lo, hi;    /* 95 % percentile bootstrap of the mean; NAN for n < 2 */
};

/* x[n]; NAN values are left out. */
struct stats_summary stats_mean(const double *x, int n);
/* Wilson score interval of k successes in n at 95 %. */
void stats_wilson(int k, int n, double *lo, double *hi);

struct stats_paired {
    int n;
    double diff, se, lo, hi; /* mean of a - b over pairs, its SE, percentile bootstrap over pairs */
    double p;                /* two-sided sign-flip permutation test, (b + 1) / (N + 1); exact for n <= 13; NAN for n < 2 */
};
/* a[i], b[i] belong together; pairs with a NAN are left out. */
struct stats_paired stats_paired(const double *a, const double *b, int n);

/* Clustered: group[i] names the cluster (sample) of pair i; whole clusters are resampled and flipped. n and diff
 * count pairs; se, the interval and p stand on clusters and are NAN for fewer than two. */
struct stats_paired stats_paired_clustered(const double *a, const double *b, const int64_t *group, int n);

#endif
