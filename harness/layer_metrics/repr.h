/* Metrics of layers, from their hidden states, in two definitions that share names and little else:
 *
 *               DEPTHKV (arXiv:2604.24647, 4.2, App. G)            SKEAN (arXiv:2502.02013 and its repository)
 *   tokens      centred over the sequence (entropy); unit length   centred over the sequence, then unit length
 *               (curvature)
 *   entropy     -sum p ln p, p = s / sum s, s singular values      of order alpha, of p = s^2 / sum s^2
 *   erank       exp(entropy)                                       exp(entropy)
 *   curvature   1 - mean cosine of a token to its k nearest        mean angle in radians between successive
 *               others                                             differences of tokens (`paper`), or tokens (`code`)
 *   pooling     mean over the tokens                               mean over the tokens (normalised as above)
 *   dime        1 - cos(original, view)                            mean over permutations P of S(A o P B P^T), less
 *                                                                  S(A o B); A, B the Gram matrices of two views
 *   lidar       |original - view|                                  entropy of S_w^-1/2 S_b S_w^-1/2, the scatter
 *                                                                  between samples against that between a sample's
 *                                                                  views
 *   infonce     ln sum_j exp(o_i o_j / t) - o_i v_i / t, unit      -ln (pos / (pos + neg)), pos the sample's other
 *               length                                             view, neg both views of all other samples; not
 *                                                                  unit length
 *
 * DepthKV prints infonce's sum with j = i in it and without the positive pair: `printed`; `standard` puts the positive
 * pair in the place of j = i. All in nats where a logarithm is taken. x[n_token][width] is what a tap shows. */
#ifndef HARNESS_REPR_H
#define HARNESS_REPR_H

#include "harness/base/err.h"

enum repr_definition { REPR_DEPTHKV, REPR_SKEAN, REPR_N_DEFINITION };
enum repr_metric { REPR_ENTROPY, REPR_ERANK, REPR_CURVATURE, REPR_DIME, REPR_LIDAR, REPR_INFONCE, REPR_N_METRIC };
enum { REPR_N_TOKEN_METRIC = REPR_DIME }; /* those before are of one sequence, the others of pooled vectors */
extern const char *const repr_definition_names[], *const repr_metric_names[];

struct repr_rule {
    int definition;
    int knn;      /* DEPTHKV: neighbours of curvature */
    int standard; /* DEPTHKV: infonce's denominator; 0 printed */
    int turning;  /* SKEAN: curvature of the paper; 0: of the code */
    double alpha; /* SKEAN: order of the entropies */
    double temperature;
};

/* out[REPR_N_TOKEN_METRIC]; n_token >= 3. */
int repr_tokens(const float *x, int n_token, int width, const struct repr_rule *r, double *out, struct err *e);
/* The pooled vector of a sequence: out[width]. */
void repr_pool(const float *x, int n_token, int width, int definition, double *out);

/* DEPTHKV: one value a sample. a[n][width] the originals, b[n][width] their views; out[n] of each metric. */
int repr_depthkv(const double *a, const double *b, int n, int width, const struct repr_rule *r, double *dime,
                 double *lidar, double *infonce, struct err *e);

/* SKEAN, a[n][width] and b[n][width] two views. permutation[n_permutation][n] of the samples. */
int repr_skean_dime(const double *a, const double *b, int n, int width, double alpha, const int *permutation,
                    int n_permutation, double *out, struct err *e);
void repr_skean_infonce(const double *a, const double *b, int n, int width, double temperature, double *out); /* [n] */
/* x[n][n_view][width]; n and n_view >= 2. */
int repr_skean_lidar(const double *x, int n, int n_view, int width, double alpha, double *out, struct err *e);

#endif
