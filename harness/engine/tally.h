/* Attention statistics per cached entry that outlive one forward pass: what scorers with a memory (H2O's column sums,
 * the rows of SnapKV's and TOVA's last queries) need when a cache is cut more than once. They lie beside the entries of
 * one cache, slot by slot, and are moved along when entries go; what an evicted entry had is lost with it. */
#ifndef HARNESS_TALLY_H
#define HARNESS_TALLY_H

#include "harness/base/err.h"
#include "harness/experiment/experiment.h"
#include "models/kvcache.h"
#include "models/transformer.h"

/* One query head. */
struct tally_head {
    float *off, *diag; /* [cap] column sums without the diagonal; the diagonal. NULL unless columns are kept */
    float *row;        /* [window][cap] attention rows of the last queries, as a ring; NULL when window is 0 */
    int n_row, next;   /* rows held; where the next one goes */
};

struct tally {
    int n_layer, n_head, n_kv_head, n_group;
    int columns, window;
    int *cap;                /* [n_layer][n_kv_head] entries; 0 where nothing is kept of a layer */
    struct tally_head *head; /* [n_layer][n_head] */
    float *arena;
    size_t floats;
};

/* What is kept of every entry. */
struct tally_of {
    int columns;         /* 1: column sums */
    int window;          /* rows of the last queries */
    enum windows layers; /* WINDOWS_KEEP: nothing of layers with a window, which nobody prunes */
};
/* Zeroed statistics beside the entries of `c` and `room` more per head. */
struct tally *tally_create(const struct hparams *hp, const struct kvcache *c, int room, const struct tally_of *of,
                           struct err *e);
void tally_destroy(struct tally *t); /* accepts NULL */
struct tally *tally_clone(const struct tally *t, struct err *e);
size_t tally_bytes(const struct tally *t); /* 0 for NULL */

/* One layer after a prefill pass: t := before + st. `before` (may be NULL) lies beside the entries that were there
 * before the pass, t beside those and the pass's own. */
void tally_take(struct tally *t, const struct tally *before, const struct attention_stats *st);
/* One row of one query head while decoding; its own entry is the last of n_key. */
void tally_row(struct tally *t, int layer, int head, const float *weight, int n_key);
/* The statistics of the entries of `c` that are in `keep`, as kvcache_gather orders them, with room for more; of them
 * only what `of` says. */
struct tally *tally_gather(const struct tally *t, const struct hparams *hp, const struct kvcache *c,
                           const struct keepset *keep, int room, const struct tally_of *of, struct err *e);
/* After kvcache_seal of the cache that t lies beside, and had just the room for, which drops what has left a window. */
void tally_sealed(struct tally *t, const struct kvcache *c);
/* After kvcache_evict of one KV head that had n entries: to[slot] is where each went, -1 for evicted ones. */
void tally_move(struct tally *t, int layer, int kv_head, const int32_t *to, int n);

/* Row i of those held, oldest first. */
const float *tally_row_at(const struct tally *t, int layer, int head, int i);

#endif
