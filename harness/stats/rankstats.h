/* Rank correlation over the layers of a model, with the nulls that a curve over depth needs. All randomness has a fixed
 * seed; equal values share the mean of their ranks; a pair with a NAN is left out. */
#ifndef HARNESS_RANKSTATS_H
#define HARNESS_RANKSTATS_H

enum { RANKSTATS_PERMUTATIONS = 10000, RANKSTATS_MIN = 4 /* fewer pairs say nothing: all results are NAN */ };

struct rankstats {
    int n;          /* pairs */
    double rho;     /* Spearman; NAN when either side is constant */
    double p;       /* two-sided, y's labels permuted: (b + 1) / (N + 1) */
    double p_shift; /* two-sided, y shifted around against x by 1 .. n - 1: (b + 1) / n, so never below 1 / n. Keeps the
                       smoothness over depth that makes neighbours alike and `p` too small */
    double partial; /* Spearman of x and y given z: correlation of the residuals of their ranks on z's rank */
    double partial_p; /* two-sided, x's residuals permuted */
};

/* x[n], y[n] in the order of depth; z[n] (depth) may be NULL: partial is NAN. */
struct rankstats rankstats_correlate(const double *x, const double *y, const double *z, int n);

void rankstats_ranks(const double *x, int n, double *rank); /* from 1; no NAN */
/* Benjamini and Hochberg's adjusted p-values; NAN stays NAN and does not count. q may be p. */
void rankstats_bh(const double *p, int n, double *q);

#endif
