/* Do the layers of a study differ at all, and would another set of samples say the same of them?
 *
 * Both questions are asked of x[layer][sample]: what pruning this layer did to this sample. Samples that lack a layer
 * are left out whole, so that every layer is judged on the same ones. All randomness has a fixed seed. */
#ifndef HARNESS_PERMUTATION_H
#define HARNESS_PERMUTATION_H

enum { PERMUTATION_ROUNDS = 10000, PERMUTATION_HALVES = 1000, PERMUTATION_MIN_HALF = 2 };

struct permutation_test {
    int n_layer, n_sample;     /* that took part */
    double variance;           /* of the layers' means, over n_layer - 1: the statistic */
    double null_mean, null_sd; /* of the statistic, layer labels permuted within each sample */
    double effect; /* (variance - null_mean) / null_sd: the standardised effect size of DepthKV's table 7; NAN when
                      permuting changes nothing */
    double p;      /* (b + 1) / (PERMUTATION_ROUNDS + 1), b = permutations that reach the variance */
};
/* All but the counts NAN for fewer than two layers or samples: one sample's permutations all have its own variance. */
struct permutation_test permutation_layers(const double *x, int n_layer, int n_sample);

/* Split-half reliability of the layers' means: Pearson's r over the layers between the means of two random halves of
 * the samples, averaged over PERMUTATION_HALVES splits, raised to the full number by Spearman and Brown's 2 r / (1 +
 * r). With an odd number of samples, every split leaves one out. A half whose layers are all alike says nothing: its r
 * is 0. NAN for fewer than three layers, fewer than PERMUTATION_MIN_HALF samples a half, or when the layers' means are
 * equal. May be negative: then the layers' differences are noise. */
double permutation_split_half(const double *x, int n_layer, int n_sample);
/* The same of the means' ranks, by Spearman's r on the same splits: what a Spearman correlation over the layers is to
 * be compared with. Means that differ by no more than rounding share their ranks. */
double permutation_split_half_rank(const double *x, int n_layer, int n_sample);

#endif
