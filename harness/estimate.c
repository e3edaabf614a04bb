#include "harness/estimate.h"

const double estimate_flops = 30e9;

enum { ANSWER = 16 }; /* tokens of a reference answer; nobody has encoded it yet */

static double layer_weights(const struct hparams *hp)
{
    double d = hp->d_model, heads = 2.0 * hp->n_head + 2.0 * hp->n_kv_head;
    return d * heads * hp->head_dim + 3 * d * hp->d_ff;
}

/* One token that sees `entries` cached entries per layer: products with all weights, scores and weighted values. */
static double row_flop(const struct hparams *hp, double entries, int logits)
{
    double layer = 2 * layer_weights(hp) + 4 * entries * hp->n_head * hp->head_dim;
    return hp->n_layer * layer + (logits ? 2.0 * hp->n_vocab * hp->d_model : 0);
}

/* Share of the prompt's entries that a cell keeps. */
static double share(const struct cell *c, const struct hparams *hp, double n)
{
    double bytes = n * hp->n_layer * hp->n_kv_head * hp->head_dim * 8, keep = 1;
    if (c->budget.kind == BUDGET_KEEP)
        keep = decimal_to_double(c->budget.keep);
    else if (c->budget.kind == BUDGET_TOKENS)
        keep = (double)c->budget.tokens / n;
    else if (c->budget.kind == BUDGET_BYTES)
        keep = (double)c->budget.bytes / bytes;
    return keep < 1 ? keep : 1;
}

static int same_group(const struct cell *a, const struct cell *b)
{
    return a->model == b->model && a->task == b->task && a->prune_after == b->prune_after && a->max_new_tokens == b->max_new_tokens;
}

static int opens_group(const struct experiment *x, int cell)
{
    for (int i = 0; i < cell; i++)
        if (same_group(&x->cell[i], &x->cell[cell]))
            return 0;
    return 1;
}

void estimate_model(const struct experiment *x, int model, double memory, int threads, struct estimate *out)
{
    const struct hparams *hp = &x->model[model].hp;
    double entry = 8.0 * hp->n_layer * hp->n_kv_head * hp->head_dim; /* bytes of a position in all layers */
    *out = (struct estimate){0};
    out->weights = 4 * (layer_weights(hp) * hp->n_layer + (double)hp->n_vocab * hp->d_model * (hp->tied ? 1 : 2));
    for (int first = 0; first < x->n_cell; first++) {
        const struct cell *f = &x->cell[first];
        if (f->model != model || !opens_group(x, first))
            continue;
        double n = x->task[f->task].length, cut = 0;
        n = n > 0 ? n - f->max_new_tokens : hp->context_length;
        out->groups += x->samples;
        out->full_cache = n * entry > out->full_cache ? n * entry : out->full_cache;
        out->flop += x->samples * n * row_flop(hp, n / 2, 0);
        for (int i = first; i < x->n_cell; i++) {
            const struct cell *c = &x->cell[i];
            if (!same_group(f, c))
                continue;
            /* every cell decodes; the full cache is forced along its own answer for the reference */
            double rows = c->max_new_tokens, kept = share(c, hp, n);
            rows += c->policy->keeps_all || (x->measure & MEASURE_KL) ? c->max_new_tokens : 0;
            rows += x->measure & MEASURE_NLL ? ANSWER : 0;
            out->flop += x->samples * rows * row_flop(hp, kept * n, 1);
            cut += kept < 1 ? kept * n * entry : 0; /* whole caches are shared */
        }
        cut = cut < memory ? cut : memory;
        out->cut_caches = cut > out->cut_caches ? cut : out->cut_caches;
    }
    out->seconds = out->flop / (estimate_flops * threads);
}
