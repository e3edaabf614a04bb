#include "harness/run/feasible.h"
#include "harness/engine/prune.h"

#include "harness/base/mem.h"
#include "harness/engine/group.h"
#include "harness/run/estimate.h"

/* About as many entries as there will be at the moment of pruning; below 1: not known. The last token is held back, but
 * with prune_after: prompt; a question that is held back too counts as if it were not, for only the data tell its
 * length. */
static int nominal_entries(const struct experiment *x, const struct cell *c)
{
    int prompt = estimate_longest(x, c);
    if (!prompt && c->budget.kind != BUDGET_TOKENS && c->budget.kind != BUDGET_BYTES)
        prompt = x->model[c->model].hp.context_length - c->max_new_tokens;
    return c->prune_after == PRUNE_AFTER_PROMPT ? prompt : prompt - 1;
}

int feasible_check(const struct experiment *x, int cell, struct err *why)
{
    const struct cell *c = &x->cell[cell];
    const struct hparams *hp = &x->model[c->model].hp;
    int n = nominal_entries(x, c), fed = 0, rc = 0;
    if (c->infeasible) /* whatever the prompt */
        return err_set(why, ERR_INFEASIBLE, "layer_budget '%s': %s", c->allocator->name, c->infeasible);
    if (n < 1 || c->policy->keeps_all || c->allocator->needs || c->allocator->observe)
        return 0;
    int *available = mem_new((size_t)hp->n_layer, sizeof *available),
        *entries = mem_new((size_t)hp->n_layer, sizeof *entries);
    struct prune_result result = {.entries = entries};
    struct prune_request r = prune_request_of(c, hp);
    r.available = available;
    while (fed < n && rc == 0) {
        int size = c->chunk.size && c->chunk.size < n - fed ? (int)c->chunk.size : n - fed;
        fed += size;
        r.n = c->chunk.size && c->chunk.budget == CHUNK_FINAL ? n : fed;
        r.n_seen = fed;
        for (int l = 0; l < hp->n_layer; l++)
            available[l] = prune_holds(hp, l, entries[l] + size); /* what the cut before has left, and the new chunk */
        rc = prune_spread(&r, &result, why);
    }
    mem_free(available);
    mem_free(entries);
    return rc;
}
