/* Distribution-level measures against the full cache: negative log-likelihood, KL divergence, agreement of the most
 * likely token. Natural logarithms, double precision, over the whole vocabulary (harness/README.md). Everything is
 * taken step by step, in the order of the steps, so that it does not matter which pass a step's logits came from. */
#ifndef HARNESS_MEASURE_H
#define HARNESS_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

/* -ln p(target) in nats. logits [n_vocab]. */
double measure_loss(const float *logits, int32_t target, int n_vocab);

/* The full cache's predictions along its own greedy answer; zeroed when empty. */
struct reference {
    int n_step, n_vocab;
    size_t cap;      /* steps that there is room for */
    float *logits;   /* [n_step][n_vocab] */
    double *log_sum; /* [n_step] ln sum exp */
    int32_t *top;    /* [n_step] most likely token */
};
int measure_reference_add(struct reference *r, const float *logits, int n_vocab, struct err *e); /* copies them */
void measure_reference_fini(struct reference *r);

struct divergence {
    /* mean (until measure_divergence_end the sum) and largest over the steps, of sum p_full ln(p_full / p_cell) */
    double kl, kl_max;
    double top1; /* share of steps with the same arg-max; until measure_divergence_end their number */
    int first;   /* first step with another arg-max, -1: none */
    int n;       /* steps so far */
};
void measure_divergence_begin(struct divergence *d);
/* Step d->n of a cell forced along the same tokens. logits [n_vocab]. */
void measure_divergence_add(struct divergence *d, const struct reference *r, const float *logits);
void measure_divergence_end(struct divergence *d); /* NAN where there was no step */

#endif
