/* Distribution-level measures against the full cache: negative log-likelihood, KL divergence, agreement of the most
 * likely token. Natural logarithms, double precision, over the whole vocabulary (DESIGN section 8). */
#ifndef HARNESS_MEASURE_H
#define HARNESS_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

/* Mean of -ln p(target[t]) over t, in nats per token. logits [n_target][n_vocab]. */
double measure_nll(const float *logits, const int32_t *target, int n_target, int n_vocab);

/* The full cache's predictions along its own greedy answer. */
struct reference {
    int n_step, n_vocab;
    float *logits;   /* [n_step][n_vocab] */
    double *log_sum; /* [n_step] ln sum exp */
    int32_t *top;    /* [n_step] most likely token */
};
int measure_reference(struct reference *r, const float *logits, int n_step, int n_vocab, struct err *e);
void measure_reference_fini(struct reference *r);

struct divergence {
    double kl, kl_max; /* mean and largest over steps of sum p_full ln(p_full / p_cell) */
    double top1;       /* share of steps with the same arg-max */
    int first;         /* first step with another arg-max, -1: none */
};
/* logits [r->n_step][n_vocab] of a cell forced along the same tokens. */
void measure_divergence(const struct reference *r, const float *logits, struct divergence *out);

#endif
