/* Attention of new rows over one layer's cache, in the three phases, and the statistics gathered on the way.
 * The rows' keys and values are in the tails already. */
#ifndef MODELS_ATTENTION_H
#define MODELS_ATTENTION_H

#include "models/transformer.h"

struct attention_job {
    const struct hparams *hp;
    enum model_dtype arithmetic; /* MODEL_BF16: both factors of both products are rounded (transformer.h) */
    int layer;
    const struct forward_row *row;
    int n_row;
    struct kvcache *const *cache;
    int n_cache;
    const float *q; /* [n_row][n_head head_dim] with leading dimension ldq, rotated */
    size_t ldq;
    float *out; /* [n_row][n_head head_dim] */
    const struct tap *tap;
    const float *hidden; /* [n_row][d_model] for STAT_HIDDEN, or NULL */
};

struct attention_scratch; /* buffers that are kept between layers and calls */
struct attention_scratch *attention_scratch_create(void);
void attention_scratch_destroy(struct attention_scratch *s);

int attention_prefill(struct attention_scratch *s, const struct attention_job *j, struct err *e);
int attention_cell(struct attention_scratch *s, const struct attention_job *j, struct err *e);
int attention_reference(struct attention_scratch *s, const struct attention_job *j, struct err *e);

#endif
