/* Layer allocators: how many entries each layer keeps, given one total. The same shape as policies: a
 * const struct, a parameter table, one file and one line in allocator.c.
 *
 * Counts here are entries per KV head ("entries of a layer" = what each of its KV heads holds on average);
 * a total is the sum over layers. Layers are those that the cell prunes, counted from 0 (layer 0 is the first of them,
 * the middle ones lie in the middle of them); users and files call them by the model's own numbers. */
#ifndef POLICIES_ALLOCATOR_H
#define POLICIES_ALLOCATOR_H

#include <stdint.h>

#include "harness/base/decimal.h"
#include "harness/base/err.h"
#include "harness/base/param.h"
#include "policies/policy.h"

#define ALLOCATOR_ABI 3

enum allocator_budget {
    ALLOCATOR_SPREADS,  /* spreads the cell's total (keep, keep_tokens or keep_bytes) */
    ALLOCATOR_ABSOLUTE, /* its own parameters fix every layer; the cell has no keep (vector) */
    ALLOCATOR_PART      /* the cell's keep is that of the studied layers; the others are whole (single) */
};

struct allocator_input {
    int n_layer, n_kv_head;
    int n;                /* prompt entries per KV head at the moment of pruning */
    int m;                /* what keep, keep_tokens or keep_bytes makes of n, for one layer; 0 when ABSOLUTE */
    int64_t total;        /* m x layers: to be spread, exactly; 0 when ABSOLUTE */
    const int *available; /* [n_layer] entries that a layer still has; n when the prompt is pruned once */
    /* [n_layer] n and m of every layer by itself, where layers with a window are pruned too, which hold fewer: the sum
     * of own_m is the total then. NULL: all have n and m. */
    const int *own_n, *own_m;
    /* [n_layer] numbers of these layers in the model, of which some may not be pruned at all. NULL: 0 .. n_layer-1 */
    const int *number;
    const float *const *const *score; /* [n_layer][n_kv_head][available]; NULL unless SCORES */
    const double *const *stat;        /* [n_layer] -> what `observe` wrote; NULL without `observe` */
    const double *cosine; /* [n_layer] mean over the prompt's tokens of the cosine between the stream before the
                             attention block and after its residual; NULL unless COSINE */
    double *predicted;    /* (optional) gets the damage that the rule predicts of its own answer, if it does */
    double *level; /* (optional, PART) gets the share that the studied layers keep of what they have by themselves */
};

/* What is known of a model before anything runs. */
struct allocator_setup {
    int n_layer;                      /* that are allocated over */
    const int *number;                /* [n_layer] ascending, what the model calls them; NULL: 0 .. n_layer - 1 */
    int n_model_layer;                /* of the whole model; 0: n_layer */
    const char *windows;              /* the cell's: "keep", "prune"; NULL: keep */
    const char *model, *model_sha256; /* its name and its file's hash, as they stand in profiles; "": not known */
    const char *dir;                  /* of the experiment file: what paths are relative to */
};

struct allocator_ops {
    int abi; /* ALLOCATOR_ABI */
    const char *name, *summary, *paper;
    /* STATISTIC_* bits (statistic.h): those of a layer's view, which `observe` gets while the layer is read, and COSINE
     * and SCORES, which `allocate` gets when all layers are. */
    unsigned needs;
    enum allocator_budget budget;
    size_t config_size;
    const struct param *params;
    /* (optional) checks parameters against the model before anything runs; the message names the numbers. What is wrong
     * (a layer that is not there, a list of another length) is ERR_CONFIG, and the experiment is refused. What is sound
     * but leaves no budget to be met by a model of so few layers is ERR_INFEASIBLE: its cells are n/a, as where
     * `allocate` finds it for one total. */
    int (*check)(const void *config, const struct allocator_setup *setup, struct err *e);
    /* (optional) reads files, once per model before anything runs, and fails as `check` does; default: *self = (void
     * *)config and no destroy */
    int (*create)(void **self, const void *config, const struct allocator_setup *setup, struct err *e);
    void (*destroy)(void *self);
    /* (optional) Called with every layer while its attention is at hand; fills stat[n_stat], all that outlives the
     * layer. Only where the whole prompt is read at once: `prefill: chunked` is refused. */
    int (*observe)(const void *self, const struct policy_view *view, double *stat, struct err *e);
    int (*rows)(const void *config); /* (required with ROWS) how many last rows */
    size_t (*n_stat)(const void *config,
                     const struct policy_view *shape); /* (optional) default 1; n_seen entries a head */
    /* Fills entries[n_layer], 1 <= entries[l] <= available[l]; SPREADS: their sum is min(total, sum of available).
     * ERR_INFEASIBLE, with the numbers, when the rule can't spread this total: the cell is n/a and the run goes on. */
    int (*allocate)(const void *self, const struct allocator_input *in, int *entries, struct err *e);
};

/* n and m of a layer by itself; and whether m differs between layers. */
int allocator_n(const struct allocator_input *in, int layer);
int allocator_m(const struct allocator_input *in, int layer);
int allocator_m_differs(const struct allocator_input *in);
/* Which of the n layers with these numbers the model calls so; -1: none. */
int allocator_layer_of(const int *number, int n, int64_t model_layer);
/* Appends "a model of 18 layers", or "the 3 layers that are pruned of a model of 18". */
struct str;
void allocator_layers_text(const struct allocator_setup *s, struct str *out);

int allocator_count(void);
const struct allocator_ops *allocator_at(int i);
const struct allocator_ops *allocator_find(const char *name);
int allocator_validate(const struct allocator_ops *a, struct err *e);

/* ERR_INFEASIBLE, with the numbers, where so many whole layers leave none to prune. */
int allocator_check_whole(int64_t layers, const struct allocator_setup *s, struct err *e);

/* The exact spreading rule that all of them share (harness/README.md): shares in proportion to weight[i] >= 0,
 * clamped to [1, available[i]], the excess redistributed in proportion among the rest until nothing moves,
 * floored, then one added by descending fraction, ties to the lower index. Sum of out = min(max(total, n),
 * sum of available). All weights zero counts as all equal. NaN, infinite or negative weights: ERR_POLICY. */
int allocator_spread(const double *weight, const int *available, int n, int64_t total, int *out, struct err *e);

/* The same for the layers that are not whole[l]; those keep all they have, and the others pay. weight [n_layer], NULL:
 * as the budget has them, m of each. ERR_INFEASIBLE, with the numbers, when too little is left for one entry each. */
int allocator_spread_rest(const struct allocator_input *in, const unsigned char *whole, const double *weight,
                          int *entries, struct err *e);
/* The real-valued part of the rule between any bounds: share[i] in [low[i], high[i]], in proportion to the weights
 * where free, their sum `total`, which must lie between the sums of the bounds. */
void allocator_shares(const double *weight, const double *low, const double *high, int n, double total, double *share);

#endif
