/* Private to attention*.c. */
#ifndef MODELS_ATTENTION_INT_H
#define MODELS_ATTENTION_INT_H

#include "models/attention.h"
#include "models/attention_stats.h"

/* Keys and values of all entries of one layer, as factors of bf16 products, in blocks of ATTENTION_KEYS of a segment,
 * then of a tail. */
struct attention_packed {
    uint16_t *words;
    size_t cap;
    size_t *head; /* [n_kv_head + 1] where a KV head's begin */
};

struct attention_scratch {
    struct attention_gather gather;
    struct attention_packed packed;
    float **thread;     /* [n_thread] score and query tiles */
    size_t *thread_cap; /* floats */
    int n_thread;
    struct attention_cells *cells; /* attention_cell.c's own; NULL until it is needed */
};

enum { ATTENTION_KEYS = 512 }; /* of a block in a prefill */

/* Packs the layer of a prefill, once for all its tiles of queries. */
int attention_pack(struct attention_packed *p, const struct attention_job *j, struct err *e);
void attention_packed_fini(struct attention_packed *p);
/* The keys and the values of one block, and how many outputs a row of each has room for (kernels_bf16_rows.h). */
struct attention_factors {
    uint16_t *keys, *values;
    size_t key_ld, value_ld;
};
/* Of KV head h the block that holds entries [from, from + ATTENTION_KEYS) of its segment, or of its tail. */
struct attention_factors attention_factors(const struct attention_packed *p, const struct attention_job *j, int h,
                                           int tail, int from);
/* The least whole number from a score on: what weights of bf16 arithmetic are relative to. */
float attention_whole(float top);

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
