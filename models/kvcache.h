/* The key/value cache of one sequence. Per (layer, KV head): an immutable, reference-counted *segment* (the
 * entries kept of the prompt, oldest first) and a private *tail* (what was fed since). Keys are stored rotated:
 * positions are data, not array indices. Keys and values are held as floats or as bf16 (kvrows.h), the same in a cache
 * and in all that is derived or gathered from it.
 *
 * A layer with a window W holds entries of the last W tokens that were fed and no others: those of positions n_seen - W
 * on. Only these are its entries (kvcache_bytes, kvcache_n_held). Older ones may still lie in memory, where attention
 * does not see them: the tails keep them, so that a sequence can be rewound to what it was; sealing a prompt drops
 * them, and so does gathering with a keep set.
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

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "models/keepset.h"
#include "models/kvrows.h"
#include "models/model.h"
#include "models/rope.h"

struct kv_block; /* memory of segments, or of tails, that were made together */

struct kv_segment {
    int refs;
    int n, head_dim;
    int32_t *pos;           /* [n] strictly increasing */
    struct kv_rows k, v;    /* [n][head_dim] */
    struct kv_block *block; /* that k and v lie in; NULL: arrays of their own */
};

struct kv_tail {
    int n, cap;
    int mark;               /* n before the forward pass that is under way */
    int32_t *pos;           /* [cap] distinct; increasing unless entries were evicted (kvcache_evict) */
    struct kv_rows k, v;    /* [cap][head_dim] */
    struct kv_block *block; /* that k and v lie in; NULL: arrays of their own */
};

struct kvcache;      /* one sequence */
struct kvcache_pool; /* segments that caches of one sub-batch share, found by keep set */

/* Keys and values as float, or, by the second, as float or bf16. */
struct kvcache *kvcache_create(const struct hparams *hp, int tail_capacity, struct err *e);
struct kvcache *kvcache_create_held(const struct hparams *hp, enum model_dtype held_as, int tail_capacity,
                                    struct err *e);
enum model_dtype kvcache_held_as(const struct kvcache *c);
size_t kvcache_entry_bytes(const struct hparams *hp, enum model_dtype held_as); /* of one layer and KV head */
void kvcache_destroy(struct kvcache *c);
/* How long the sequence becomes at most, all tokens to come included, which may decide how it rotates
 * (model_rope_long): told before anything is fed, and the same for whatever is derived or gathered from the cache, so
 * that no cache holds keys of two rotations. Until then it is the capacity that the cache was created with. */
void kvcache_set_longest(struct kvcache *c, const struct hparams *hp, int longest);
int kvcache_is_long(const struct kvcache *c);
/* Tails become segments, without what has left a layer's window; a cache is sealed once. tail_capacity: room for what
 * follows (may be 0). */
int kvcache_seal(struct kvcache *c, int tail_capacity, struct err *e);

struct kvcache_pool *kvcache_pool_create(void);
void kvcache_pool_destroy(struct kvcache_pool *p); /* drops the pool's own references */
/* A cache whose segments hold the entries of the sealed `full` (whose tails are ignored) whose positions are in `keep`
 * (NULL: all). */
struct kvcache *kvcache_derive(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                               struct kvcache_pool *pool, struct err *e);

/* The same with kept entries numbered anew (positions: packed): an entry's key is turned to its rank in its list, and
 * every token fed later stands, in each layer and KV head, at the length of that list. `pos` stays the token's own. In
 * a layer with a window ranks count from the oldest position that it held when it was packed, and entries that leave
 * the window move nobody: distances are those between ranks, and a list that was kept whole keeps its numbers. rope:
 * positions 0 .. n_seen of full. */
struct kvcache *kvcache_derive_packed(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                                      struct kvcache_pool *pool, const struct rope_set *rope, struct err *e);
int kvcache_is_packed(const struct kvcache *c);
/* Of a packed cache: where the next token stands in one head. */
int kvcache_next_place(const struct kvcache *c, int layer, int kv_head);

/* A cache of its own, all in tails: the entries of `from` whose positions are in `keep` (NULL: all that lie in memory;
 * a keep set names none that have left their window), segment then tail, with room for `room` more per head, or
 * `window_room` in layers with a window. rope: packs (see above; an already packed cache is packed further, and needs
 * it); NULL: keys stay as they are. */
struct kvcache *kvcache_gather(const struct kvcache *from, const struct keepset *keep, int room, int window_room,
                               const struct rope_set *rope, struct err *e);
/* The slots of one head, segment then tail, whose positions are in `keep` (NULL: all), ascending; slot has room for all
 * entries. Returns how many. */
int kvcache_kept_slots(const struct kvcache *c, const struct keepset *keep, int layer, int kv_head, int32_t *slot);
/* One head of a cache without segments: slots with stay[slot] 0 go, and entries from the end take their slots. to[slot]
 * (caller's array, [n]) says where each slot went, -1 for evicted ones. Returns the entries left. In a packed cache
 * ranks count on from behind what has left the window. */
int kvcache_evict(struct kvcache *c, int layer, int kv_head, const unsigned char *stay, int32_t *to);

/* For a prompt of n tokens that one pass reads whole (forward.forgets): a layer with a window gets its room when the
 * pass reaches it (kvcache_reach), and gives it back when its attention is done (kvcache_forget: what will have left
 * the window after n_fed tokens goes), so that a long prompt never holds more than one such layer whole. */
struct kvcache *kvcache_create_forgetful(const struct hparams *hp, enum model_dtype held_as, int n, struct err *e);
int kvcache_reach(struct kvcache *c, int layer, struct err *e);
int kvcache_forget(struct kvcache *c, int layer, int n_fed, struct err *e);

const struct kv_segment *kvcache_segment(const struct kvcache *c, int layer, int kv_head); /* NULL: none */
struct kv_tail *kvcache_tail(struct kvcache *c, int layer, int kv_head);
int kvcache_n_entry(const struct kvcache *c, int layer, int kv_head); /* that lie in memory: segment + tail */
int kvcache_n_held(const struct kvcache *c, int layer, int kv_head);  /* the same without what has left the window */
int kvcache_oldest(const struct kvcache *c, int layer); /* position of the oldest token whose entry a layer may hold */
int kvcache_tail_room(const struct kvcache *c);         /* tokens that can still be fed */
int kvcache_n_seen(const struct kvcache *c);            /* tokens fed so far, pruned ones included = next position */
void kvcache_set_seen(struct kvcache *c, int n_seen);
/* Forgets what was fed after the tails held n_tail entries (teacher forcing, then back). */
void kvcache_rewind(struct kvcache *c, int n_tail);
int kvcache_n_tail(const struct kvcache *c);
/* Around a forward pass: remember every tail's length; go back to it when the pass failed half-way. */
void kvcache_mark(struct kvcache *c);
void kvcache_undo(struct kvcache *c);

/* Bytes of keys and values that this sequence alone would hold: the entries of segments, shared or not, and of tails;
 * what has left a window does not count. */
size_t kvcache_bytes(const struct kvcache *c);
/* Bytes allocated by all caches and segments of the process, each counted once. */
size_t kvcache_resident_bytes(void);
/* From now on caches that this thread makes and frees are counted there; NULL: with those of the process. For jobs that
 * run side by side: every thread of a team says so. */
void kvcache_count_in(atomic_size_t *bytes);

#endif
