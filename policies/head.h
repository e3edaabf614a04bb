/* Head rules: how the KV heads of one layer share what the layer keeps. The same shape as policies and layer
 * allocators: a const struct, one file (head_<name>.c) and one line in head.c.
 *
 * A rule comes after the policy, which has scored every entry of every head, and after the layer allocator, which has
 * said how many entries a head of this layer keeps. It never sees a cache. */
#ifndef POLICIES_HEAD_H
#define POLICIES_HEAD_H

#include <stdint.h>

#include "harness/base/err.h"

#define HEAD_ABI 1

/* One layer at the moment of pruning. */
struct head_input {
    const char *policy; /* whose scores these are, for messages */
    int layer, n_kv_head;
    const int *n;              /* [n_kv_head] entries that a head holds */
    const int32_t *const *pos; /* [n_kv_head] -> [n] positions, strictly increasing; NULL: 0 .. n-1 */
    const float *const *score; /* [n_kv_head] -> [n] the policy's; higher = keep, no NaN */
    float *room;               /* [the largest n] for a ranking that the rule makes itself */
};

struct head_ops {
    int abi;                            /* HEAD_ABI */
    const char *name, *summary, *paper; /* the file's stem without head_; one line for `list`; its source */
    /* (optional) Sets rank[h] to what the entries of head h are ranked by: [n[h]], higher = keep, lying in `score` or
     * in `room`. The best of them stay, beside what is protected. NULL: the policy's scores as they are. ERR_POLICY
     * when the heads hold what the rule can't rank. Called from several threads at once, for different layers. */
    int (*rank)(const struct head_input *in, const float **rank, struct err *e);
};

/* The registry: a static table in head.c, one line a rule. */
int head_count(void);
const struct head_ops *head_at(int i);
const struct head_ops *head_find(const char *name); /* NULL when unknown */
/* The names in the registry's order, NULL at the end. */
const char *const *head_names(void);
/* 0, or -1 and why this struct breaks the rules above. */
int head_validate(const struct head_ops *h, struct err *e);

#endif
