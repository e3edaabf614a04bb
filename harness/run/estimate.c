#include "harness/run/estimate.h"
#include "harness/experiment/layers.h"

#include <math.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/engine/observe.h"
#include "harness/engine/prune.h"
#include "harness/experiment/axes.h"
#include "models/kernels_many.h"
#include "models/kvcache.h"
#include "models/share.h"

const double estimate_flops = 30e9;

enum { ANSWER = 16 }; /* tokens of a reference answer; nobody has encoded it yet */

static double layer_weights(const struct hparams *hp)
{
    double d = hp->d_model, heads = 2.0 * hp->n_head + 2.0 * hp->n_kv_head;
    return d * heads * hp->head_dim + 3 * d * hp->d_ff;
}

/* One token that sees `entries` cached entries, in all layers together: products with all weights, scores and weighted
 * values. */
static double row_flop(const struct hparams *hp, double entries, int logits)
{
    double layers = 2 * layer_weights(hp) * hp->n_layer + 4 * entries * hp->n_head * hp->head_dim;
    return layers + (logits ? 2.0 * hp->n_vocab * hp->d_model : 0);
}

/* Of one position in one layer, as the cell's caches hold it. */
static double entry_bytes(const struct cell *c, const struct hparams *hp)
{
    return (double)hp->n_kv_head * (double)kvcache_entry_bytes(hp, c->cache_dtype);
}

/* Entries of all layers that the mean token sees while n are read. */
static double seen(const struct hparams *hp, double n)
{
    double sum = 0;
    for (int l = 0; l < hp->n_layer; l++) {
        double most = model_layer_holds(hp, l, n);
        sum += most - (n > 0 ? most * most / (2 * n) : 0);
    }
    return sum;
}

/* What the budget makes of one layer by itself. */
static double kept_by_budget(const struct cell *c, const struct hparams *hp, int layer, double n)
{
    double most = model_layer_holds(hp, layer, n), m = most;
    if (!layers_takes(hp, c->windows, layer))
        m = most;
    else if (c->budget.kind == BUDGET_KEEP)
        m = decimal_to_double(c->budget.keep) * most;
    else if (c->budget.kind == BUDGET_TOKENS)
        m = (double)c->budget.tokens;
    else if (c->budget.kind == BUDGET_BYTES)
        m = (double)c->budget.bytes / (layers_count(hp, c->windows) * entry_bytes(c, hp));
    return m < most ? m : most;
}

/* What an allocator that fixes layers by itself (vector, single) makes of a prompt of n tokens. -1: nothing that is
 * known before the run, or nothing at all, where a run could not cut so either. */
static int kept_by_allocator(const struct cell *c, const struct hparams *hp, double n, double *kept)
{
    const struct allocator_ops *a = c->allocator;
    int available[DIMS_MAX_LAYER], entries[DIMS_MAX_LAYER];
    struct prune_result result = {.entries = entries};
    struct prune_request r = prune_request_of(c, hp);
    r.n = (int)n;
    r.available = available;
    for (int l = 0; l < hp->n_layer; l++)
        available[l] = prune_holds(hp, l, r.n);
    if (c->policy->keeps_all || a->budget == ALLOCATOR_SPREADS || a->needs || a->observe || r.n < 1 ||
        prune_spread(&r, &result, NULL))
        return -1;
    for (int l = 0; l < hp->n_layer; l++)
        kept[l] = entries[l];
    return 0;
}

void estimate_kept(const struct cell *c, const struct hparams *hp, double n, double *kept)
{
    if (kept_by_allocator(c, hp, n, kept) == 0)
        return;
    for (int l = 0; l < hp->n_layer; l++)
        kept[l] = kept_by_budget(c, hp, l, n);
}

/* What a cell keeps of them after a prompt of n tokens. */
static double kept_entries(const struct cell *c, const struct hparams *hp, double n)
{
    double kept[DIMS_MAX_LAYER], sum = 0;
    estimate_kept(c, hp, n, kept);
    for (int l = 0; l < hp->n_layer; l++)
        sum += kept[l];
    return sum;
}

/* Entries that a cell holds for itself; it shares with the full cache the layers that it leaves whole. */
static double own_entries(const struct cell *c, const struct hparams *hp, double n)
{
    double kept[DIMS_MAX_LAYER], sum = 0;
    estimate_kept(c, hp, n, kept);
    for (int l = 0; l < hp->n_layer; l++)
        sum += kept[l] < model_layer_holds(hp, l, n) ? kept[l] : 0;
    return sum;
}

double estimate_read_flop(const struct hparams *hp, double n)
{
    return row_flop(hp, seen(hp, n), 0);
}

double estimate_step_flop(const struct hparams *hp, double entries)
{
    return row_flop(hp, entries, 1);
}

double estimate_seconds(const struct estimate_work *w, const struct estimate_rates *r)
{
    return (w->read + w->forced) / r->read + w->step / r->step;
}

int estimate_opens_group(const struct experiment *x, int cell)
{
    return axes_is_first(x->cell, cell, axes_same_group);
}

static double weights(const struct hparams *hp, enum model_dtype dtype)
{
    return (dtype == MODEL_BF16 ? 2 : 4) *
           (layer_weights(hp) * hp->n_layer + (double)hp->n_vocab * hp->d_model * (hp->tied ? 1 : 2));
}

const struct exp_sizes *estimate_sizes(const struct experiment *x, const struct cell *c)
{
    const struct exp_sizes *s = x->model[c->model].sizes ? &x->model[c->model].sizes[c->task] : NULL;
    return s && s->n ? s : NULL;
}

int estimate_longest(const struct experiment *x, const struct cell *c)
{
    int length = x->task[c->task].length;
    const struct exp_sizes *s = estimate_sizes(x, c);
    return length > c->max_new_tokens ? length - c->max_new_tokens : s ? s->longest : 0;
}

/* Tokens of a prompt of the group: the longest, and the mean, by which time goes. */
static double longest_of(const struct experiment *x, const struct cell *f)
{
    double n = estimate_longest(x, f);
    return n > 0 ? n : x->model[f->model].hp.context_length;
}

static double mean_of(const struct experiment *x, const struct cell *f)
{
    const struct exp_sizes *sizes = x->task[f->task].length ? NULL : estimate_sizes(x, f);
    return sizes ? sizes->sum / sizes->n : longest_of(x, f);
}

void estimate_group_work(const struct experiment *x, int first, struct estimate_work *out)
{
    const struct cell *f = &x->cell[first];
    const struct hparams *hp = &x->model[f->model].hp;
    double n = mean_of(x, f);
    int samples = x->task[f->task].n_sample;
    *out = (struct estimate_work){.read = samples * n * estimate_read_flop(hp, n)};
    for (int i = first; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        if (!axes_same_group(f, c))
            continue;
        /* every cell decodes; the full cache is forced along its own answer for the reference */
        double kept = kept_entries(c, hp, n), forced = x->measure & MEASURE_NLL ? ANSWER : 0;
        forced += c->policy->keeps_all || (x->measure & MEASURE_KL) ? c->max_new_tokens : 0;
        if (c->chunk.size) /* at most: cells that keep the same share their chunks */
            out->read += samples * n * row_flop(hp, kept / 2 + seen(hp, (double)c->chunk.size), 0);
        out->step += samples * (double)c->max_new_tokens * estimate_step_flop(hp, kept);
        out->forced += samples * forced * estimate_step_flop(hp, kept);
    }
}

/* Bytes of what the cells of a group hold for themselves, before they decode. */
static double cut_bytes(const struct experiment *x, int first, double n)
{
    const struct cell *f = &x->cell[first];
    const struct hparams *hp = &x->model[f->model].hp;
    double sum = 0;
    for (int i = first; i < x->n_cell; i++)
        sum += axes_same_group(f, &x->cell[i]) ? own_entries(&x->cell[i], hp, n) * entry_bytes(f, hp) : 0;
    return sum;
}

void estimate_model(const struct experiment *x, int model, double memory, int threads, struct estimate *out)
{
    const struct hparams *hp = &x->model[model].hp;
    *out = (struct estimate){0};
    for (int first = 0; first < x->n_cell; first++) {
        const struct cell *f = &x->cell[first];
        if (f->model != model || !estimate_opens_group(x, first))
            continue;
        struct estimate_work work;
        double longest = longest_of(x, f), form = weights(hp, f->weight_dtype);
        double full = model_holds(hp, longest) * entry_bytes(f, hp), cut = fmin(cut_bytes(x, first, longest), memory);
        out->weights = fmax(out->weights, form); /* one form is loaded at a time */
        struct estimate_group g;
        estimate_group(x, first, (int)longest, threads, &g);
        if (estimate_peak(&g, memory) > out->peak) {
            out->most = g;
            out->peak = estimate_peak(&g, memory);
        }
        estimate_group_work(x, first, &work);
        out->groups += x->task[f->task].n_sample;
        out->work.read += work.read;
        out->work.step += work.step;
        out->work.forced += work.forced;
        out->full_cache = fmax(out->full_cache, full);
        out->cut_caches = fmax(out->cut_caches, cut);
    }
    out->flop = out->work.read + out->work.step + out->work.forced;
}

/* ---- memory of one group, by what group_*.c, observe.c and the forward pass allocate ------------- */

enum { HELD = 64 }; /* held-back tokens and answers, roughly */

static double activations(const struct cell *c, const struct hparams *hp, double n, int threads)
{
    double d = hp->d_model, heads = (double)hp->n_head * hp->head_dim, kv = 2.0 * hp->n_kv_head * hp->head_dim;
    double per_row = 2 * d + (double)kernels_many_apart((size_t)hp->d_model) + 2 * heads + kv + hp->head_dim;
    const struct share_rows s = share_rows((int)n, threads);
    double wide = (double)kernels_many_apart((s.blocks ? 1 : 2) * (size_t)hp->d_ff);
    double ffn = s.blocks ? (double)threads * s.block_rows * (wide + 192) : n * wide;
    double tile = 192 * n;               /* attention weights of a tile of queries */
    double forced = 128.0 * hp->n_vocab; /* logits, which lie where the prompt's rows lay */
    if (c->arithmetic == MODEL_BF16) /* rows that are rounded, and a layer's keys and values: half a float each */
        ffn += ((s.blocks ? (double)threads * s.block_rows : n) * fmax(fmax(hp->d_ff, heads), d) +
                n * (kv + 64.0 * hp->n_kv_head)) / 2;
    return 4 * (fmax(n * per_row, forced) + threads * tile + ffn);
}

/* Cells that score alike, by open addressing. 1 the first time that one of them comes. */
static int is_new_scorer(const struct cell **slot, size_t mask, const struct cell *c)
{
    uintptr_t what[] = {(uintptr_t)c->policy, (uintptr_t)c->policy_config, (uintptr_t)c->policy_seed,
                        (uintptr_t)c->windows};
    size_t i = hash_fnv1a(what, sizeof what) & mask;
    for (; slot[i]; i = (i + 1) & mask)
        if (slot[i]->policy == c->policy && slot[i]->policy_config == c->policy_config &&
            slot[i]->policy_seed == c->policy_seed && slot[i]->windows == c->windows)
            return 0;
    slot[i] = c;
    return 1;
}

/* Scores of every scorer, column sums by blocks of queries and rows of one layer, what cells need that are cut again.
 */
static double scores(const struct experiment *x, const struct cell *f, double n)
{
    const struct hparams *hp = &x->model[f->model].hp;
    struct cell **cell = mem_new((size_t)x->n_cell, sizeof *cell);
    size_t mask = 63;
    while (mask < 2 * (size_t)x->n_cell)
        mask = 2 * mask + 1;
    const struct cell **known = mem_new(mask + 1, sizeof *known);
    int count = 0, scorers = 0, cuts = 0;
    struct tally_of of;
    for (int i = 0; i < x->n_cell; i++) {
        struct cell *c = &x->cell[i];
        if (!axes_same_group(f, c) || c->policy->keeps_all)
            continue;
        scorers += is_new_scorer(known, mask, c);
        cuts |= c->cut_every > 0 || c->chunk.size > 0;
        cell[count++] = c;
    }
    observe_memory(cell, count, NULL, &of);
    mem_free(cell);
    mem_free(known);
    double layer = hp->n_head * (of.columns * (n / 64 + 4) * n + of.window * n), all = 2.0 * of.columns + of.window;
    double predictions = x->measure & MEASURE_KL ? (double)f->max_new_tokens * hp->n_vocab : 0;
    int layers = layers_count(hp, of.layers);
    return 4 * (scorers * n * hp->n_layer * hp->n_kv_head + layer + cuts * all * n * layers * hp->n_head + predictions);
}

static double statistics(const struct experiment *x, const struct cell *c) /* bytes of a position in one layer */
{
    const struct hparams *hp = &x->model[c->model].hp;
    struct cell *one = &x->cell[c - x->cell];
    struct tally_of of;
    observe_memory(&one, 1, NULL, &of);
    return 4.0 * (2 * of.columns + of.window) * hp->n_head;
}

/* What a chunked cell holds while it reads the prompt: its branch, and the fork that it came from. */
static double branch_bytes(const struct experiment *x, const struct cell *c, double n)
{
    const struct hparams *hp = &x->model[c->model].hp;
    double entry = entry_bytes(c, hp), kept = kept_entries(c, hp, n);
    double size = (double)c->chunk.size < n ? (double)c->chunk.size : n;
    return (size < n ? 2 : 1) * (kept + size * hp->n_layer) * entry + kept * statistics(x, c);
}

/* What decoding one cell holds beside the full cache. */
static double cell_bytes(const struct experiment *x, const struct cell *c, double n)
{
    const struct hparams *hp = &x->model[c->model].hp;
    double entry = entry_bytes(c, hp), kept = kept_entries(c, hp, n);
    double fed = c->max_new_tokens + HELD, room = (double)c->cut_every < fed ? (double)c->cut_every : fed;
    double turned = c->packed ? 4.0 * hp->n_kv_head * hp->head_dim : 0; /* keys as they came, in float */
    if (c->cut_every)
        return kept * entry + 2 * (kept + room * hp->n_layer) * (entry + turned + statistics(x, c));
    if (c->chunk.size)
        return (fed * hp->n_layer + kept) * entry;
    return (fed * hp->n_layer + own_entries(c, hp, n)) * entry;
}

void estimate_group(const struct experiment *x, int first, int prompt, int threads, struct estimate_group *out)
{
    const struct cell *f = &x->cell[first];
    const struct hparams *hp = &x->model[f->model].hp;
    *out = (struct estimate_group){.largest_cell = first, .weights = weights(hp, f->weight_dtype)};
    out->prompt = prompt ? prompt : estimate_longest(x, f);
    for (int i = first; i < x->n_cell; i++)
        out->n_cell += axes_same_group(f, &x->cell[i]);
    if (!out->prompt)
        return;
    double n = out->prompt;
    out->activations = activations(f, hp, n, threads);
    double read = model_n_prunable(hp) < hp->n_layer ? n : 0; /* a layer with a window is whole while it is read */
    out->full_cache = (model_holds(hp, n) + read) * entry_bytes(f, hp);
    out->scores = scores(x, f, n);
    for (int i = first; i < x->n_cell; i++) {
        if (!axes_same_group(f, &x->cell[i]))
            continue;
        double own = cell_bytes(x, &x->cell[i], n);
        double branch = x->cell[i].chunk.size ? branch_bytes(x, &x->cell[i], n) : 0;
        out->full_cache = branch > out->full_cache ? branch : out->full_cache;
        out->cells += own;
        if (own > out->largest) {
            out->largest = own;
            out->largest_cell = i;
        }
    }
}

double estimate_base(const struct estimate_group *g)
{
    return g->weights + g->activations + g->full_cache + g->scores;
}

double estimate_peak(const struct estimate_group *g, double memory)
{
    double cells = g->cells < memory ? g->cells : g->largest > memory ? g->largest : memory;
    return estimate_base(g) + cells;
}

/* What the group of cell `first` would need with weights held as `dtype` and prompts of n tokens. */
static double need_of(const struct experiment *x, int first, enum model_dtype dtype, int n, int threads)
{
    struct estimate_group g;
    const struct hparams *hp = &x->model[x->cell[first].model].hp;
    estimate_group(x, first, n, threads, &g);
    g.weights = weights(hp, dtype);
    return estimate_base(&g) + g.largest;
}

/* The most tokens that fit; 0: not even one. */
static int longest_that_fits(const struct experiment *x, int first, enum model_dtype dtype, int n, double free,
                             int threads)
{
    int fits = 0, not = n;
    while (not -fits > 1) {
        int middle = fits + (not -fits) / 2;
        if (need_of(x, first, dtype, middle, threads) <= free)
            fits = middle;
        else
            not = middle;
    }
    return fits;
}

/* What could be done about a group that does not fit. */
static void advise(const struct experiment *x, int first, int n, double free, int threads, struct str *out)
{
    const struct cell *f = &x->cell[first];
    const double MIB = 1048576;
    const char *narrow = f->weight_dtype == MODEL_F32 ? "weight_dtype: bf16" : "";
    double need = need_of(x, first, MODEL_BF16, n, threads);
    int fits = longest_that_fits(x, first, MODEL_BF16, n, free, threads);
    if (need <= free)
        str_addf(out, "; with %s it would be %.0f MiB", narrow, need / MIB);
    else if (fits)
        str_addf(out, "; with %s%sprompts of at most %d tokens it would fit", narrow, *narrow ? " and " : "", fits);
    else
        str_addf(out,
                 "; no prompt is short enough, as the weights as bf16 alone take %.0f MiB: it takes more free "
                 "memory, or a smaller model",
                 weights(&x->model[f->model].hp, MODEL_BF16) / MIB);
}

int estimate_check(const struct experiment *x, double free, int threads, struct err *e)
{
    const double MIB = 1048576;
    for (int first = 0; free > 0 && first < x->n_cell; first++) {
        struct estimate_group g;
        if (!estimate_opens_group(x, first))
            continue;
        estimate_group(x, first, 0, threads, &g);
        double need = estimate_base(&g) + g.largest;
        const struct cell *c = &x->cell[g.largest_cell];
        struct str advice = {0};
        if (need <= free)
            continue;
        advise(x, first, g.prompt, free, threads, &advice);
        err_set(e, ERR_CONFIG,
                "%s:%d: cell %s (%s%s%s, task '%s') needs about %.0f MiB, and %.0f MiB are free: weights "
                "%.0f, full cache %.1f, "
                "activations %.1f, scores %.1f, its own caches %.1f%s",
                x->path, c->line, c->id, c->policy->name, *c->budget_text ? " " : "", c->budget_text,
                x->task[c->task].label, need / MIB, free / MIB, g.weights / MIB, g.full_cache / MIB,
                g.activations / MIB, g.scores / MIB, g.largest / MIB, str_c(&advice));
        str_free(&advice);
        return -1;
    }
    return 0;
}
