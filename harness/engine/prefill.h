/* The pass that reads a prompt, or one chunk of it, into a cache, while whoever asks looks on: the scorers of cells
 * (observe.h), or a tap of the caller's own. Everything that reads a prompt reads it here. */
#ifndef HARNESS_PREFILL_H
#define HARNESS_PREFILL_H

#include "harness/engine/observe.h"
#include "models/transformer.h"

struct prefill {
    const struct model *model;
    struct workspace *work;
    const int32_t *token;     /* of the whole prompt */
    int first, n;             /* tokens [first, first + n) are read; those before have been */
    struct kvcache *cache;    /* its tails have room for n */
    const struct tap *tap;    /* looks on; NULL: nobody does */
    int forgets;              /* 1: layers with a window keep only what it holds afterwards; the whole prompt at once */
    int want_logits;          /* 1: what the last token predicts is computed, ... */
    float *logits;            /* [n_vocab] ... and goes here; NULL: workspace_logits has it */
    enum forward_phase phase; /* FORWARD_PREFILL, or FORWARD_REFERENCE */
};
int prefill_run(const struct prefill *p, struct err *e);

/* The same with the scorers of these cells looking on, in place of p->tap; `pass` says what else is known of the sample
 * and what is to be remembered (its n_seen and n_row are p's). Returns what has their scores, for observe_destroy. */
struct observer *prefill_observed(const struct prefill *p, struct cell *const *cell, int n_cell,
                                  const struct observe_pass *pass, struct err *e);

#endif
