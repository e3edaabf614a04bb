/* Private to attention*.c. */
#ifndef MODELS_ATTENTION_INT_H
#define MODELS_ATTENTION_INT_H

#include "models/attention.h"
#include "models/attention_stats.h"

struct attention_scratch {
    struct attention_gather gather;
    float **thread;     /* [n_thread] score and query tiles */
    size_t *thread_cap; /* floats */
    int n_thread;
    struct attention_cells *cells; /* attention_cell.c's own; NULL until it is needed */
};

/* One buffer of `floats`, not cleared, per thread. */
int attention_reserve(struct attention_scratch *s, int n_thread, size_t floats, struct err *e);
/* first[c]: first row of cache c; first[n_cache]: one past the last row. */
void attention_row_ranges(const struct attention_job *j, int *first);
/* What queries are multiplied by, so that weights are powers of two of the scores. */
float attention_query_scale(const struct hparams *hp);
/* The cap on such scores, applied; nothing where the model has none. */
void attention_cap(const struct hparams *hp, float *score, size_t n);
/* The oldest position that a query at `pos` sees in this layer; INT32_MIN: all. */
int32_t attention_oldest(const struct hparams *hp, int layer, int pos);
/* 1 when somebody wants the statistics of this layer. */
int attention_is_watched(const struct attention_job *j);
void attention_cells_destroy(struct attention_cells *c);

#endif
