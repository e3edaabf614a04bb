/* Private to kvcache*.c. */
#ifndef MODELS_KVCACHE_INT_H
#define MODELS_KVCACHE_INT_H

#include "models/kvcache.h"

struct kvcache {
    int n_layer, n_kv_head, head_dim;
    int n_seen;
    int packed;                  /* positions: packed */
    struct kv_segment **segment; /* [n_layer][n_kv_head] or NULL each */
    struct kv_tail *tail;        /* [n_layer][n_kv_head] */
};

struct kvcache *kvcache_create_empty(int n_layer, int n_kv_head, int head_dim);
size_t kvcache_index(const struct kvcache *c, int layer, int kv_head);
/* Room for cap entries in an empty tail; cap 0 allocates nothing. */
int kvcache_alloc_tail(struct kvcache *c, size_t index, int cap, struct err *e);

#endif
