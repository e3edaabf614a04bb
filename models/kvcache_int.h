/* Private to kvcache*.c. */
#ifndef MODELS_KVCACHE_INT_H
#define MODELS_KVCACHE_INT_H

#include "models/kvcache.h"

struct kvcache {
    int n_layer, n_kv_head, head_dim;
    enum model_dtype held_as;    /* keys and values */
    int n_seen;
    int packed;                  /* positions: packed */
    int is_long;                 /* model_rope_long */
    int window;                  /* of layers with a window */
    enum model_layer_kind *kind; /* [n_layer] */
    int32_t *origin;             /* [n_layer][n_kv_head] where slot 0 of a packed cache stands */
    struct kv_segment **segment; /* [n_layer][n_kv_head] or NULL each */
    struct kv_tail *tail;        /* [n_layer][n_kv_head] */
};

/* Without entries. */
struct kvcache *kvcache_create_like(const struct kvcache *other);
size_t kvcache_index(const struct kvcache *c, int layer, int kv_head);
/* Entries in memory that have left the layer's window. */
int kvcache_n_left(const struct kvcache *c, size_t index);
/* Room for cap entries in an empty tail; cap 0 allocates nothing. */
int kvcache_alloc_tail(struct kvcache *c, size_t index, int cap, struct err *e);

#endif
