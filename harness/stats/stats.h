/* The statistics that everything uses; nothing about caches. All resampling has a fixed seed and its numbers
 * depend on nothing but its input. */
#ifndef HARNESS_STATS_H
#define HARNESS_STATS_H

#include <stdint.h>

enum { STATS_RESAMPLES = 10000 };

/* What a measure can be, where that is known: then intervals are those of harness/stats/bounded.h. */
struct stats_range {
    double least, most;
};

/* Of every mean and difference: a unit is a value, or a cluster of values that share a group (rows of one context: its
 * questions, lengths, depths, policy seeds).
 *
 *   se       sd / sqrt(n), sd with n - 1; of clusters sqrt(G / (G - 1) sum_g (s_g - n_g mean)^2) / n
 *   lo, hi   95 %. With a range, the score interval over the units (Wilson's, Tango's), which has a width where all are
 *            equal. Without one, or where a value lies outside of it, the percentile bootstrap over units
 *   NAN      all three for fewer than two units; se where all units are equal, but for rounding: they tell nothing of
 *            how much others differ; lo and hi there too, without a range. So no interval of sampled values is without
 *            width. */
struct stats_summary {
    int n, n_unit;
    double mean, se, lo, hi;
};

/* x[n]; NAN values are left out; group may be NULL: every value is a unit; range may be NULL. */
struct stats_summary stats_mean(const double *x, int n, const struct stats_range *range);
struct stats_summary stats_mean_clustered(const double *x, const int64_t *group, int n,
                                          const struct stats_range *range);

struct stats_paired {
    int n, n_unit;           /* pairs, clusters of pairs */
    double diff, se, lo, hi; /* mean of a - b over pairs */
    double p; /* two-sided sign-flip permutation test over units: exact for up to 13, the observed pattern being one of
                 the 2^n, else (b + 1) / (N + 1); never 0; NAN for fewer than two */
};
/* a[i], b[i] belong together; pairs with a NAN are left out; range is that of a and of b. */
struct stats_paired stats_paired(const double *a, const double *b, int n, const struct stats_range *range);
struct stats_paired stats_paired_clustered(const double *a, const double *b, const int64_t *group, int n,
                                           const struct stats_range *range);

/* Words for whoever prints n/a in place of an interval; NULL where there is one. */
const char *stats_why_no_interval(double lo, double hi, int n_unit);

#endif
