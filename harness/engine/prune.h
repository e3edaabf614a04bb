/* From scores to a keep set: budgets, protection, head rule, ties. Pure: no model, no cache.
 * harness/README.md defines what it must compute. */
#ifndef HARNESS_PRUNE_H
#define HARNESS_PRUNE_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/experiment/experiment.h"
#include "models/keepset.h"
#include "policies/allocator.h"
#include "policies/head.h"
#include "policies/policy.h"

/* What one KV head holds before a cut. */
struct prune_head {
    int n;
    const int32_t *pos; /* [n] strictly increasing; NULL: 0 .. n-1 */
};

struct prune_request {
    int n_layer, n_kv_head;
    const struct hparams *hp;      /* says which layers have a window; NULL: none has */
    enum windows windows;          /* WINDOWS_KEEP: those keep all they hold, and budgets are of the other layers */
    int n;                         /* tokens that the budget is of: the prompt, or with chunks what was fed so far */
    int n_seen;                    /* tokens fed so far, evicted ones too: recents count back from here; 0: n */
    const int *available;          /* [n_layer] entries of the head that holds most */
    const struct prune_head *head; /* [n_layer][n_kv_head]; NULL: every head holds positions 0 .. n-1 */
    const struct policy_ops *policy;
    const void *policy_config;
    struct budget budget;
    size_t bytes_per_entry;
    const struct allocator_ops *allocator;
    const void *allocator_self;   /* what its `create` made, or its config */
    const char *infeasible;       /* why it can meet no budget of this model; NULL: it can some */
    const struct head_ops *heads; /* NULL: uniform */
    struct protect protect;
    int question_begin, question_end; /* prompt positions [begin, end) of the question; equal: none is cached */
    const float *const *const *score; /* [n_layer][n_kv_head] -> [entries of the head] */
    const double *const *stat;        /* what the allocator observed, and the cosines that it asks for: allocator.h */
    const double *cosine;
};

/* What a cell asks of a cut; the prompt, its entries and scores are left zero. */
struct prune_request prune_request_of(const struct cell *c, const struct hparams *hp);
/* 1 when the cell prunes this layer (layers.h). */
int prune_takes(const struct cell *c, const struct hparams *hp, int layer);
/* Entries of a layer that holds all it can after n tokens: n, or the last ones that its window holds. */
int prune_holds(const struct hparams *hp, int layer, int n);

struct prune_result {
    int *entries;       /* [n_layer] entries kept per KV head; caller's array */
    int m;              /* of a layer without a window before allocation (n when the policy keeps all) */
    double level;       /* share that the layers of a study keep of what they have; NAN: no study of layers */
    double predicted;   /* damage that the allocator expects of these entries; NAN when it says nothing */
    int protection_cut; /* 1: the protection did not fit some layer's budget */
};

/* Marks the protected entries of a head that keeps m, at most m of them: sinks, then the question, then the newest
 * recents. All three are ranges of positions: what of them was evicted earlier, or held back, protects nothing. mark:
 * [head->n]; *cut becomes 1 when they did not all fit. Returns how many. */
int prune_protect(const struct prune_request *r, const struct prune_head *head, int m, unsigned char *mark, int *cut);

/* What prune_cut does first: out's entries, m, level and predicted. Reads neither positions nor the policy's scores but
 * what the allocator asks for. Allocators see only the layers that are pruned, numbered anew. */
int prune_spread(const struct prune_request *r, struct prune_result *out, struct err *e);

/* Adds to an empty keep set of (n_layer, n_kv_head, all positions) what stays; every head of layer l then holds exactly
 * entries[l]. Question positions that were held back protect nothing. With an allocator that fixes layers by itself
 * (vector, single) first_layers are whole too, but nobody pays for them. ERR_POLICY for a NaN score in a layer that is
 * pruned, naming layer, head and position; ERR_CONFIG for what can't be paid, with the numbers. */
int prune_cut(const struct prune_request *r, struct keepset *keep, struct prune_result *out, struct err *e);

/* One layer alone, its budgets being known: head h keeps m[h] of head[h].n entries. score[h][0 .. n); stay[h][0 .. n)
 * gets 1 for what stays, 0 for the rest. Of r only policy, protection, head rule, question and n_seen are read. Sets
 * *protection_cut where the protection does not fit, and leaves it alone otherwise. Thread-safe. */
int prune_layer(const struct prune_request *r, int layer, const struct prune_head *head, const float *const *score,
                const int *m, unsigned char *const *stay, int *protection_cut, struct err *e);

#endif
