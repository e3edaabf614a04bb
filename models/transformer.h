/* The forward pass: rows of {token, position, cache, want_logits} through an immutable model, with one
 * workspace of activations and any number of caches. One function serves prefill, chunks, withheld tokens,
 * questions, decoding and teacher forcing.
 *
 * Kernels are chosen by phase, never by row count:
 *   FORWARD_PREFILL  rows of one cache. Products with weights have the bits of cells; tiles of attention are fixed by
 *                    shape: the bits do not depend on the number of threads
 *   FORWARD_CELL     rows that belong to cells: a kernel whose sum over k has one fixed order for any number of
 *                    rows, so a row's bits do not depend on what runs beside it
 *   FORWARD_REFERENCE  plain loops with double accumulators: the reference kernels, for either use
 *
 * Products are in the model's arithmetic. Where that is bf16, what is multiplied with weights is rounded to bf16 right
 * before (models/kernels_bf16.h), and so are both factors of attention's products: the scaled query and the key, the
 * weight, relative to a whole power of two, and the value. The sum that a row of attention is divided by, and the
 * weights that taps see, are of numbers that are not rounded. All else stays in float: the residual stream, norms,
 * rotations, softmax, activations, logits. A cache that holds bf16 (models/kvrows.h) rounds keys and values as they are
 * appended, before attention of the same rows.
 */
#ifndef MODELS_TRANSFORMER_H
#define MODELS_TRANSFORMER_H

#include <stdint.h>

#include "harness/base/err.h"
#include "models/kvcache.h"
#include "models/model.h"

enum forward_phase { FORWARD_PREFILL, FORWARD_CELL, FORWARD_REFERENCE };

struct forward_row {
    int32_t token, pos;
    int32_t cache; /* index into forward.cache */
    int32_t want_logits;
};

/* Attention statistics of one layer over the rows of one prefill (one cache). Same meaning and layout as in
 * policies/policy.h; the engine hands the pointers on. n_key = entries of the KV head that the query head
 * reads, after the rows were appended. */
enum transformer_stats {
    TRANSFORMER_STAT_COLUMNS = 1 << 0, /* off_diagonal, diagonal */
    TRANSFORMER_STAT_ROWS = 1 << 1,
    TRANSFORMER_STAT_ENTROPY = 1 << 2,
    TRANSFORMER_STAT_QUERIES = 1 << 3,
    TRANSFORMER_STAT_HIDDEN = 1 << 4
};

struct attention_stats {
    int layer;
    int n_query;                      /* rows of this call */
    int n_row;                        /* min(tap.last_rows, n_query) */
    const int *n_key;                 /* [n_kv_head] */
    const float *const *off_diagonal; /* [n_head] -> [n_key] */
    const float *const *diagonal;     /* [n_head] -> [n_key] (zero for entries older than this call's rows) */
    const float *const *rows;         /* [n_head] -> [n_row][n_key] */
    const float *const *entropy;      /* [n_head] -> [n_query] nats */
    const float *const *queries;      /* [n_head] -> [n_query][head_dim] rotated */
    const float *hidden;              /* [n_query][d_model] input of the attention norm */
};

/* Stages of a block, as DepthKV measures them: what the attention block reads, what it adds, the stream with that
 * added, what the feed-forward block adds. */
enum tap_stage { TAP_PRE, TAP_ATT, TAP_RES, TAP_MLP, TAP_N_STAGE };

/* What an onlooker may see. With or without a tap the logits are the same bits. A callback that returns
 * non-zero (error filled) ends the forward pass. */
struct tap {
    void *ctx;
    unsigned stats;              /* TRANSFORMER_STAT_*, PREFILL and REFERENCE only */
    int last_rows;               /* for STAT_ROWS */
    const unsigned char *layers; /* (optional) [n_layer] 1: `attention` is called for this layer; NULL: for all */
    /* once per layer, when its attention is done for all rows */
    int (*attention)(void *ctx, const struct attention_stats *s, struct err *e);
    /* every attention row (softmax weights over segment and tail, slots in that order), any phase; serial, layer by
     * layer; rows of one query head come in order, heads of one group may be interleaved */
    int (*weights)(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e);
    /* CELL: the same for statistics of single caches, those with cells[cache] 1 ([n_cache]; required). Called from the
     * parallel loop; rows of one (cache, query head) come in order and from one thread, so what is summed per head has
     * the same bits on any number of threads. `row` counts within the rows of its cache. */
    void (*cell)(void *ctx, int layer, int cache, int head, int row, const float *weight, int n_key);
    const unsigned char *cells;
    unsigned stages; /* 1 << TAP_PRE, ... */
    int (*stage)(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row,
                 struct err *e); /* [n_row][d_model] */
};

struct forward {
    enum forward_phase phase;
    const struct forward_row *row; /* rows of one cache stand together, in the order of their positions */
    int n_row;
    struct kvcache *const *cache; /* PREFILL: exactly one */
    int n_cache;
    const struct tap *tap; /* NULL: none */
    int forgets;           /* PREFILL of a whole prompt: kvcache_create_forgetful */
    float *logits;         /* [rows that want them][n_vocab], in row order; NULL: workspace_logits has them */
};

/* Activations; grows as needed and is kept between calls. Not shared between threads. */
struct workspace;
struct workspace *workspace_create(void);
void workspace_destroy(struct workspace *w);

/* The logits of the last call whose `logits` was NULL, until the next call. They lie where the rows of a prefill lay:
 * many cells' take as much memory as a long prompt's activations, and are never needed together with them. */
const float *workspace_logits(const struct workspace *w);

/* Appends every row's key and value to the tails of its cache and computes the wanted logits. Errors: a tail too
 * short, a token outside the vocabulary, a position beyond the model's context, memory, a callback. On error
 * the caches are rewound to what they were. */
int transformer_forward(const struct model *m, struct workspace *w, const struct forward *f, struct err *e);

/* Threads for everything in the process that is parallel; the numbers do not depend on it. */
void transformer_set_threads(int n);
int transformer_threads(void);
void transformer_on_every_thread(void (*call)(void *arg), void *arg); /* of the caller's team */
int transformer_thread_index(void);                                   /* of the caller within a parallel loop */

#endif
