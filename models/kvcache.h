/* The key/value cache of one sequence. Per (layer, KV head): an immutable, reference-counted *segment* (the
 * entries kept of the prompt, oldest first) and a private *tail* (what was fed since). Keys are stored rotated:
 * positions are data, not array indices.
 *
 *   c = kvcache_create(hp, capacity)        empty; a prefill appends to the tails
 *   kvcache_seal(c)                         the tails become segments, without a copy
 *   p = kvcache_derive(c, keepset, tail_capacity, pool)
 *                                           shares whole segments, gathers the others; equal keep sets of one
 *                                           pool share one segment
 *   kvcache_destroy(...)                    frees what nobody shares any more
 */
#ifndef MODELS_KVCACHE_H
#define MODELS_KVCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "models/keepset.h"
#include "models/model.h"

struct kv_segment {
    int refs;
    int n, head_dim;
    int32_t *pos; /* [n] strictly increasing */
    float *k, *v; /* [n][head_dim] */
};

struct kv_tail {
    int n;
    int32_t *pos; /* [capacity] */
    float *k, *v; /* [capacity][head_dim] */
};

struct kvcache;      /* one sequence */
struct kvcache_pool; /* segments that caches of one sub-batch share, found by keep set */

struct kvcache *kvcache_create(const struct hparams *hp, int tail_capacity, struct err *e);
void kvcache_destroy(struct kvcache *c);
/* Tails become segments; a cache is sealed once. tail_capacity: room for what follows (may be 0). */
int kvcache_seal(struct kvcache *c, int tail_capacity, struct err *e);

struct kvcache_pool *kvcache_pool_create(void);
void kvcache_pool_destroy(struct kvcache_pool *p); /* drops the pool's own references */
/* A cache whose segments hold the kept entries of the sealed `full` (whose tails are ignored). keep NULL: all. */
struct kvcache *kvcache_derive(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                               struct kvcache_pool *pool, struct err *e);

const struct kv_segment *kvcache_segment(const struct kvcache *c, int layer, int kv_head); /* NULL: none */
struct kv_tail *kvcache_tail(struct kvcache *c, int layer, int kv_head);
int kvcache_n_entry(const struct kvcache *c, int layer, int kv_head);  /* segment + tail */
int kvcache_tail_capacity(const struct kvcache *c);
int kvcache_n_seen(const struct kvcache *c);   /* tokens fed so far, pruned ones included = next position */
void kvcache_set_seen(struct kvcache *c, int n_seen);
/* Forgets what was fed after the tails held n_tail entries (teacher forcing, then back). */
void kvcache_rewind(struct kvcache *c, int n_tail);
int kvcache_n_tail(const struct kvcache *c);
/* The same after a forward pass that failed half-way: layers may hold different numbers of entries, and what was
 * fed has not been counted as seen. */
void kvcache_truncate(struct kvcache *c, int n_tail);

/* Bytes of keys and values that this sequence alone would hold: every segment counted whole, shared or not,
 * and the tails' entries in use. */
size_t kvcache_bytes(const struct kvcache *c);
/* Bytes allocated by all caches and segments of the process, each counted once. */
size_t kvcache_resident_bytes(void);

#endif
