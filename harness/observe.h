/* Scoring during a prefill. All cells of a group that ask for the same (policy, parameters, seed) share one scorer;
 * what the scorers need is computed once per layer by the transformer and handed to them while it is still in cache;
 * only scores outlive the layer. Scores do not depend on budgets, so every budget of a sweep reads the same ones. */
#ifndef HARNESS_OBSERVE_H
#define HARNESS_OBSERVE_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/experiment.h"
#include "models/kvcache.h"
#include "models/transformer.h"

struct observer;

/* Scorers for the cells; `failed` (may be NULL) gets a message per cell whose scorer could not be made. `sample`:
 * hash of the sample. last_row: 1 keeps the attention of the very last query (observe_last_row). */
struct observer *observe_create(const struct model *m, struct kvcache *cache, int n, struct cell *const *cell,
                                int n_cell, uint64_t sample, int last_row, struct err *e);
void observe_destroy(struct observer *o);

/* What to hand to transformer_forward; lives as long as the observer. NULL when nobody needs anything. */
const struct tap *observe_tap(struct observer *o);

/* [n_layer][n_kv_head] -> [n] scores for cell i (index into `cell`), or NULL and the reason when its scorer failed. */
const float *const *const *observe_scores(const struct observer *o, int i, struct err *e);

/* Sum over the query heads of each group of the last query's attention, normalised to 1 over the n entries:
 * [n_layer][n_kv_head][n]; NULL unless asked for. */
const float *observe_last_row(const struct observer *o);

/* Seconds spent in policies' own code. */
double observe_seconds(const struct observer *o);

#endif
