/* Scoring during a prefill, or one chunk of it. All cells that ask for the same (policy, parameters, seed) share one
 * scorer; what the scorers need is computed once per layer by the transformer and handed to them while it is still in
 * cache; only scores outlive the layer. Scores do not depend on budgets, so every budget of a sweep reads the same
 * ones. */
#ifndef HARNESS_OBSERVE_H
#define HARNESS_OBSERVE_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/engine/tally.h"
#include "harness/experiment/experiment.h"
#include "models/kvcache.h"
#include "models/transformer.h"

struct observer;

struct observe_pass {
    int n_seen;                /* tokens fed when the pass is over, evicted ones too */
    int n_row;                 /* rows of the pass: the last n_row of them */
    uint64_t sample;           /* hash of the sample */
    const unsigned char *skip; /* (optional) [n_cell] 1: this cell is not scored */
    int last_row;              /* 1 keeps the attention of the very last query (observe_last_row) */
    /* (optional) what the entries before this pass have gathered; cells with chunk.carry see it added */
    const struct tally *before;
    /* (optional) filled with `before` and this pass's statistics; required with `before` */
    struct tally *after;
    struct tally *fresh; /* (optional) filled with this pass's statistics alone */
};

/* Scorers for the cells. `cache` has no segments: its tails hold the entries before the pass, and room for its rows. */
struct observer *observe_create(const struct model *m, struct kvcache *cache, struct cell *const *cell, int n_cell,
                                const struct observe_pass *pass, struct err *e);
void observe_destroy(struct observer *o);

/* What to hand to transformer_forward; lives as long as the observer. NULL when nobody needs anything. */
const struct tap *observe_tap(struct observer *o);

/* Scorers that read the reference answer get it after the prefill, whose whole prompt lies in the cache: answer
 * [n_layer][n_kv_head][n_seen] as struct policy_view has it; NULL: there is none, and they fail. */
int observe_wants_answer(const struct observer *o);
void observe_answer(struct observer *o, const float *answer);
/* [n_layer][n_kv_head] -> [entries] scores for cell i (index into `cell`), or NULL and the reason when its scorer
 * failed. Those of a layer that the cell does not prune are no scores; in a layer with a window they are of the entries
 * that it holds when the pass is over. */
const float *const *const *observe_scores(const struct observer *o, int i, struct err *e);

/* What the layer allocator of cell i reads of the layers that are pruned, [n_layer] -> [n_stat], and the cosines of the
 * stream, [n_layer]; NULL for what it does not ask for. -1 and the reason when its `observe` failed. */
int observe_statistics(const struct observer *o, int i, const double *const **stat, const double **cosine,
                       struct err *e);

/* Sum over the query heads of each group of the last query's attention, normalised to 1 over the entries:
 * [n_layer][n_kv_head][n_seen]; NULL unless asked for (of a whole prompt only). 0 of layers that no cell prunes. */
const float *observe_last_row(const struct observer *o);

/* Seconds spent in policies' own code. */
double observe_seconds(const struct observer *o);

/* What every view of a cell's policy says of the model and the run; layer, entries and statistics are left zero. */
void observe_shape(const struct model *m, const struct cell *cell, int n_seen, uint64_t sample, struct policy_view *v);
/* What the policies of these cells ask for of every entry; `wanted` (may be NULL) picks cells. 1: something. */
int observe_memory(struct cell *const *cell, int n_cell, int (*wanted)(const struct cell *c), struct tally_of *out);

#endif
