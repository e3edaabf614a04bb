/* How the statistics of policies/statistic.h are gathered and shown: one file each, statistic_<name>.c, the same for a
 * prompt that was just read and for a cache that is cut while it decodes. */
#ifndef HARNESS_STATISTIC_H
#define HARNESS_STATISTIC_H

#include "harness/engine/tally.h"
#include "models/kvcache.h"
#include "models/transformer.h"
#include "policies/policy.h"

/* One layer at the moment of pruning: everything that a statistic may be taken from. */
struct statistic_source {
    const struct hparams *hp;
    int layer;
    struct kvcache *cache;       /* whose tails hold all entries; NULL: nobody asks for keys or values */
    const int *n;                /* [n_kv_head] entries */
    const int32_t *const *order; /* [n_kv_head] -> [n] slots, the oldest entry first; NULL: they lie so already */
    const struct attention_stats *pass; /* of the tokens that were just read; NULL while decoding */
    const struct tally *held; /* what entries gathered over several passes; NULL: this pass is all there was */
    int n_row;                /* rows that are shown, the newest ones */
    int rows_held;            /* 1: they lie in `held` */
    const float *answer;      /* [n_kv_head][n]; NULL: not known */
    float *room;              /* copies go there: statistic_room floats */
};

/* Where it is shown. */
struct statistic_sight {
    struct policy_view *view;
    struct policy_head *head;           /* [n_kv_head] n_entry and pos are set */
    struct policy_attention *attention; /* [n_head] zeroed */
    const float **answer;               /* [n_kv_head] */
};

struct statistic_ops {
    unsigned tap; /* TRANSFORMER_STAT_* that a forward pass must gather for it */
    /* (optional) floats that `show` copies; default: none */
    size_t (*room)(const struct statistic_source *s);
    /* (optional) Sets its part of the sight; takes its copies from s->room, which it moves on. */
    void (*show)(struct statistic_source *s, const struct statistic_sight *to);
};

/* What a forward pass must gather for these statistics: TRANSFORMER_STAT_*. */
unsigned statistic_tap(unsigned needs);
/* Floats that showing them copies. */
size_t statistic_room(unsigned needs, const struct statistic_source *s);
/* Fills the view but for what struct policy_view says of the run (observe_shape). Arrays of the sight are the caller's,
 * and live as long as the view. */
void statistic_show(unsigned needs, struct statistic_source *s, const struct statistic_sight *to);

/* For statistic_*.c: n floats of s->room. */
float *statistic_take(struct statistic_source *s, size_t n);
/* Vectors [n][width] of one KV head, in the order of its entries; where they lie when they lie so already. */
const float *statistic_in_order(struct statistic_source *s, int kv_head, const float *from, size_t width);
/* Floats that statistic_in_order copies for all KV heads together, times `width`. */
size_t statistic_copied(const struct statistic_source *s, size_t width);
/* The same of what a tail of the cache holds, [n][head_dim], as floats: copied too where it is held otherwise. */
const float *statistic_held(struct statistic_source *s, int kv_head, struct kv_rows from);
size_t statistic_held_room(const struct statistic_source *s);

#endif
