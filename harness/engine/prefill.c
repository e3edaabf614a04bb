#include "harness/engine/prefill.h"

#include "harness/base/mem.h"

int prefill_run(const struct prefill *p, struct err *e)
{
    struct kvcache *cache[1] = {p->cache};
    struct forward_row *row = mem_try((size_t)p->n, sizeof *row, "rows of a prompt", e);
    if (!row)
        return -1;
    for (int i = 0; i < p->n; i++)
        row[i] = (struct forward_row){
            .token = p->token[p->first + i], .pos = p->first + i, .want_logits = p->want_logits && i == p->n - 1};
    struct forward f = {
        .phase = p->phase,
        .row = row,
        .n_row = p->n,
        .cache = cache,
        .n_cache = 1,
        .tap = p->tap,
        .forgets = p->forgets,
        .logits = p->logits,
    };
    int rc = transformer_forward(p->model, p->work, &f, e);
    mem_free(row);
    return rc;
}

struct observer *prefill_observed(const struct prefill *p, struct cell *const *cell, int n_cell,
                                  const struct observe_pass *pass, struct err *e)
{
    struct observe_pass all = *pass;
    all.n_seen = p->first + p->n;
    all.n_row = p->n;
    struct observer *o = observe_create(p->model, p->cache, cell, n_cell, &all, e);
    if (!o)
        return NULL;
    struct prefill watched = *p;
    watched.tap = observe_tap(o);
    if (prefill_run(&watched, e)) {
        observe_destroy(o);
        return NULL;
    }
    return o;
}
