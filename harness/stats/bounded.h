/* A 95 % interval for a mean of values whose range is known: the score interval.
 *
 * A mean d is inside when the observed mean is within z = 1.96 of its standard errors, and that error is not taken from
 * the sample as it is but from the distribution of mean d that makes the sample most likely (Owen, Biometrika 75, 1988,
 * 237-249), the end of the range being a possible value though nobody saw it:
 *
 *     (sum_g u_g)^2 <= z^2 G sum_g w_g u_g^2,   u_g = s_g - n_g d,
 *     w maximises prod w_g where sum w_g = 1 and sum w_g u_g = 0
 *
 * over G units (samples; contexts with n_g rows that sum to s_g). So it has a width where all values are equal, stays
 * inside the range, and its ends lie as far from the mean as the sample says, not symmetrically. Special cases are well
 * known:
 *
 *     hits and misses              Wilson, JASA 22, 1927, 209-212; 0 of n: [0, z^2 / (n + z^2)]
 *     paired hits and misses       Tango, Statistics in Medicine 17, 1998, 891-908 (differences of -1, 0 and 1);
 *                                  n ties: -+ z^2 / (n + z^2), 0.490 at n 4; n of n lost: [-1, -(n - z^2) / (n + z^2)]
 *
 * tests/intervals/coverage.c computes how often it holds the true mean; experiments/README.md has the figures. */
#ifndef HARNESS_BOUNDED_H
#define HARNESS_BOUNDED_H

/* A value, or a cluster's values. */
struct bounded_unit {
    double sum;
    int n;
};

/* u[n], n >= 2, values in [least, most]; the bits depend on no order. */
void bounded_interval(const struct bounded_unit *u, int n, double least, double most, double *lo, double *hi);

#endif
