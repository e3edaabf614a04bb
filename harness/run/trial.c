#include "harness/run/trial.h"

#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/engine/observe.h"
#include "harness/engine/prefill.h"
#include "harness/experiment/axes.h"
#include "harness/run/estimate.h"
#include "models/transformer.h"

enum {
    ANSWER = 16,           /* tokens of a reference answer, as estimate.c has it */
    MOST_VOCAB = 8192,     /* rows of the output matrix that are timed */
    BEYOND_CACHE = 1 << 28 /* bytes of layers that no cache holds: the run reads its weights from memory */
};

/* What is timed: `part` layers and `rows` of the output matrix of the model. */
struct sketch {
    struct model *model;
    struct workspace *work;
    double layers, vocab; /* the model has so many times as many */
};

/* What a group asks for. Groups that ask the same take the same. */
struct shape {
    int n, n_cell, new_tokens, columns, window;
    int kl, nll;
    enum model_dtype dtype;
    double kept; /* entries that a cell has, on average */
};

static int sketch_begin(const struct hparams *whole, enum model_dtype dtype, struct sketch *s, struct err *e)
{
    struct hparams hp = *whole;
    hp.n_layer = 1;
    hp.n_vocab = 16;
    double one = (double)model_held_bytes(&hp, dtype);
    hp.n_layer = one * whole->n_layer < BEYOND_CACHE ? whole->n_layer : (int)(BEYOND_CACHE / one) + 1;
    hp.n_layer = hp.n_layer < whole->n_layer ? hp.n_layer : whole->n_layer;
    hp.n_vocab = whole->n_vocab < MOST_VOCAB ? whole->n_vocab : MOST_VOCAB;
    hp.tied = 1;
    for (int l = 0; l < hp.n_layer && hp.layer_kinds[0]; l++) /* kinds in about the shares that the model has */
        hp.layer_kinds[l] = whole->layer_kinds[(2 * l + 1) * whole->n_layer / (2 * hp.n_layer)];
    hp.layer_kinds[hp.layer_kinds[0] ? hp.n_layer : 0] = '\0';
    s->layers = (double)whole->n_layer / hp.n_layer;
    s->vocab = (double)whole->n_vocab / hp.n_vocab;
    s->work = workspace_create();
    s->model = model_sketch(&hp, dtype, e);
    return s->model ? 0 : -1;
}

static void sketch_end(struct sketch *s)
{
    model_close(s->model);
    workspace_destroy(s->work);
}

static int look(void *ctx, const struct attention_stats *s, struct err *e)
{
    (void)ctx;
    (void)s;
    (void)e;
    return 0;
}

/* Reads n tokens with the statistics that the group's policies ask for. The second time counts: by then the workspace
 * is there. The cache is the caller's. */
static struct kvcache *time_prefill(const struct sketch *s, const struct shape *g, double *seconds, struct err *e)
{
    struct kvcache *cache = NULL;
    int32_t *token = mem_new((size_t)g->n, sizeof *token);
    struct tap tap = {.stats = (g->columns ? TRANSFORMER_STAT_COLUMNS : 0) | (g->window ? TRANSFORMER_STAT_ROWS : 0),
                      .last_rows = g->window,
                      .attention = look};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        kvcache_destroy(cache);
        cache = kvcache_create(&s->model->hp, g->n, e);
        struct prefill p = {.model = s->model,
                            .work = s->work,
                            .token = token,
                            .n = g->n,
                            .cache = cache,
                            .tap = tap.stats ? &tap : NULL};
        double begin = clock_seconds();
        rc = cache ? prefill_run(&p, e) : -1;
        *seconds = clock_seconds() - begin;
    }
    mem_free(token);
    if (rc == 0 && kvcache_seal(cache, 0, e) == 0)
        return cache;
    kvcache_destroy(cache);
    return NULL;
}

/* One pass of `rows` tokens for each of n caches; best of a few, of which the first makes the workspace. */
static int time_pass(const struct sketch *s, struct kvcache *const *cache, int n, int rows, int logits, double *seconds,
                     struct err *e)
{
    enum { TRIES = 4 };
    struct forward_row *row = mem_new((size_t)n * (size_t)rows, sizeof *row);
    int rc = 0;
    for (int c = 0; c < n; c++)
        for (int r = 0; r < rows; r++)
            row[c * rows + r] =
                (struct forward_row){.pos = kvcache_n_seen(cache[c]) + r, .cache = c, .want_logits = logits};
    for (int i = 0; i < TRIES && rc == 0; i++) {
        struct forward f = {.phase = FORWARD_CELL, .row = row, .n_row = n * rows, .cache = cache, .n_cache = n};
        double begin = clock_seconds();
        rc = transformer_forward(s->model, s->work, &f, e);
        double took = clock_seconds() - begin;
        *seconds = i < 2 || took < *seconds ? took : *seconds;
        for (int c = 0; c < n; c++)
            kvcache_rewind(cache[c], 0);
    }
    mem_free(row);
    return rc;
}

/* The same for the whole model: layers and logits grow by different factors. */
static int time_whole_pass(const struct sketch *s, struct kvcache *const *cache, int n, int rows, double *seconds,
                           struct err *e)
{
    double without = 0, with = 0;
    if (time_pass(s, cache, n, rows, 0, &without, e) || time_pass(s, cache, n, rows, 1, &with, e))
        return -1;
    *seconds += without * s->layers + (with > without ? with - without : 0) * s->vocab;
    return 0;
}

/* The newest `kept` entries of every head; all where that is all. */
static struct kvcache *cut(const struct sketch *s, const struct kvcache *full, int n, int kept, int room, struct err *e)
{
    const struct hparams *hp = &s->model->hp;
    struct keepset *k = kept < n ? keepset_create(hp->n_layer, hp->n_kv_head, n, e) : NULL;
    if (kept < n && !k)
        return NULL;
    for (int l = 0; k && l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++)
            for (int j = n - kept; j < n; j++)
                keepset_add(k, l, h, j);
    struct kvcache *c = kvcache_derive(full, k, room, NULL, e);
    keepset_destroy(k);
    return c;
}

static int time_group(const struct hparams *hp, const struct shape *g, struct trial *out, struct err *e)
{
    struct sketch s = {0};
    int rc = -1, rows = g->new_tokens > ANSWER ? g->new_tokens : ANSWER;
    double prefill = 0, step = 0, forced = 0;
    struct kvcache **cache = mem_new((size_t)g->n_cell, sizeof *cache), *full = NULL;
    if (sketch_begin(hp, g->dtype, &s, e) || !(full = time_prefill(&s, g, &prefill, e)))
        goto out;
    for (int c = 0; c < g->n_cell; c++) {
        int kept = c && g->kept >= 1 && g->kept < g->n ? (int)g->kept : g->n;
        if (!(cache[c] = cut(&s, full, g->n, kept, rows, e)))
            goto out;
    }
    if (time_whole_pass(&s, cache, g->n_cell, 1, &step, e))
        goto out;
    /* where the full cache's attention goes, and what decoding did not measure of the others along its answer */
    if (g->kl && (time_whole_pass(&s, cache, 1, g->new_tokens, &forced, e) ||
                  (g->n_cell > 1 && time_whole_pass(&s, cache + 1, g->n_cell - 1, g->new_tokens, &forced, e))))
        goto out;
    if (g->nll && time_whole_pass(&s, cache, g->n_cell, ANSWER, &forced, e))
        goto out;
    out->prefill = prefill * s.layers;
    out->decode = g->new_tokens * step + forced;
    rc = 0;
out:
    for (int c = 0; c < g->n_cell; c++)
        kvcache_destroy(cache[c]);
    kvcache_destroy(full);
    mem_free(cache);
    sketch_end(&s);
    return rc;
}

/* What the group asks for that cell `first` opens. */
static void shape_of(const struct experiment *x, int first, struct shape *g)
{
    const struct cell *f = &x->cell[first];
    const struct exp_sizes *sizes = x->task[f->task].length ? NULL : estimate_sizes(x, f);
    struct cell **cell = mem_new((size_t)x->n_cell, sizeof *cell);
    int longest = estimate_longest(x, f), count = 0;
    struct tally_of of;
    double kept = 0;
    memset(g, 0, sizeof *g); /* compared as bytes */
    g->n = sizes ? (int)(sizes->sum / sizes->n) : longest ? longest : x->model[f->model].hp.context_length;
    g->new_tokens = f->max_new_tokens;
    g->kl = (x->measure & MEASURE_KL) != 0;
    g->nll = (x->measure & MEASURE_NLL) != 0;
    g->dtype = f->weight_dtype;
    for (int i = first; i < x->n_cell; i++) {
        struct cell *c = &x->cell[i];
        if (!axes_same_group(f, c))
            continue;
        g->n_cell++;
        if (c->policy->keeps_all)
            continue;
        kept += estimate_share(x, c, g->n) * g->n;
        cell[count++] = c;
    }
    g->kept = count ? kept / count : g->n;
    observe_memory(cell, count, NULL, &of);
    g->columns = of.columns;
    g->window = of.window;
    mem_free(cell);
}

int trial_time(const struct experiment *x, int model, struct trial *out, struct err *e)
{
    struct shape *known = mem_new((size_t)x->n_cell + 1, sizeof *known), now;
    struct trial *took = mem_new((size_t)x->n_cell + 1, sizeof *took);
    int n = 0, rc = 0;
    *out = (struct trial){0};
    for (int first = 0; first < x->n_cell && rc == 0; first++) {
        int k = 0;
        if (x->cell[first].model != model || !estimate_opens_group(x, first))
            continue;
        shape_of(x, first, &now);
        while (k < n && memcmp(&known[k], &now, sizeof now) != 0)
            k++;
        if (k == n) {
            known[n] = now;
            rc = time_group(&x->model[model].hp, &now, &took[n++], e);
        }
        out->prefill += took[k].prefill * x->task[x->cell[first].task].n_sample;
        out->decode += took[k].decode * x->task[x->cell[first].task].n_sample;
    }
    mem_free(known);
    mem_free(took);
    return rc;
}
