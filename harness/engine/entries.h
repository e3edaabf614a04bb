/* What a prompt that was read at once offers to its one cut (prune.h): the entries of every head of its sealed cache.
 */
#ifndef HARNESS_ENTRIES_H
#define HARNESS_ENTRIES_H

#include "harness/engine/prune.h"
#include "models/kvcache.h"

struct entries {
    int *available;          /* [n_layer] */
    struct prune_head *head; /* [n_layer][n_kv_head] positions lie in the cache */
};

void entries_of(const struct hparams *hp, const struct kvcache *sealed, struct entries *out);
void entries_fini(struct entries *v);

#endif
