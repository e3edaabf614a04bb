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
    ANSWER = 16,            /* tokens of a reference answer, as estimate.c has it */
    MOST_VOCAB = 8192,      /* rows of the output matrix that are timed */
    BEYOND_CACHE = 1 << 28, /* bytes of layers that no cache holds: the run reads its weights from memory */
    /* What a calibration holds: layers of 128 MiB for a step, a few for a prompt, so that all kinds are among them. */
    QUICK_BYTES = 1 << 27,
    QUICK_LAYERS = 6,
    QUICK_TOKENS = 2048,
    QUICK_CELLS = 16,
    QUICK_TRIES = 5
};
static const double quick_flop = 1e10; /* that reading its prompt takes */

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
    int windows_looked_at; /* 1: statistics are of layers with a window too, because some cell prunes them */
    enum model_dtype dtype, arithmetic, cache_dtype;
    double share[2]; /* of its entries that a cell keeps, on average, of a layer without and with a window */
};

/* As many layers as take `bytes`, `most` of them at most. */
static int sketch_begin(const struct hparams *whole, const struct shape *g, double bytes, int most, struct sketch *s,
                        struct err *e)
{
    struct hparams hp = *whole;
    hp.n_layer = 1;
    hp.n_vocab = 16;
    double one = (double)model_held_bytes(&hp, g->dtype);
    most = most < whole->n_layer ? most : whole->n_layer;
    hp.n_layer = one * most < bytes ? most : (int)(bytes / one) + 1;
    hp.n_layer = hp.n_layer < most ? hp.n_layer : most;
    hp.n_vocab = whole->n_vocab < MOST_VOCAB ? whole->n_vocab : MOST_VOCAB;
    hp.tied = 1;
    for (int l = 0; l < hp.n_layer && hp.layer_kinds[0]; l++) /* kinds in about the shares that the model has */
        hp.layer_kinds[l] = whole->layer_kinds[(2 * l + 1) * whole->n_layer / (2 * hp.n_layer)];
    hp.layer_kinds[hp.layer_kinds[0] ? hp.n_layer : 0] = '\0';
    s->layers = (double)whole->n_layer / hp.n_layer;
    s->vocab = (double)whole->n_vocab / hp.n_vocab;
    s->work = workspace_create();
    s->model = model_sketch(&hp, g->dtype, e);
    if (s->model)
        s->model->arithmetic = g->arithmetic;
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

/* Reads n tokens as a run does: layers with a window forget what has left it, and statistics are gathered of layers
 * that some cell prunes, those that the group's policies ask for. The best of `tries` counts, without the first, which
 * makes the workspace. The cache is the caller's. */
static struct kvcache *time_prefill(const struct sketch *s, const struct shape *g, int tries, double *seconds,
                                    struct err *e)
{
    const struct hparams *hp = &s->model->hp;
    struct kvcache *cache = NULL;
    int32_t *token = mem_new((size_t)g->n, sizeof *token);
    unsigned char *looked_at = mem_new((size_t)hp->n_layer, 1);
    struct tap tap = {.stats = (g->columns ? TRANSFORMER_STAT_COLUMNS : 0) | (g->window ? TRANSFORMER_STAT_ROWS : 0),
                      .last_rows = g->window,
                      .layers = looked_at,
                      .attention = look};
    int rc = 0;
    for (int l = 0; l < hp->n_layer; l++)
        looked_at[l] = (unsigned char)(g->windows_looked_at || model_layer_prunable(hp, l));
    for (int i = 0; i < tries && rc == 0; i++) {
        kvcache_destroy(cache);
        cache = kvcache_create_forgetful(hp, g->cache_dtype, g->n, e);
        if (cache) /* how it rotates takes no longer or shorter */
            kvcache_set_longest(cache, hp, hp->context_length);
        struct prefill p = {.model = s->model,
                            .work = s->work,
                            .token = token,
                            .n = g->n,
                            .cache = cache,
                            .forgets = 1,
                            .tap = tap.stats ? &tap : NULL};
        double begin = clock_seconds();
        rc = cache ? prefill_run(&p, e) : -1;
        double took = clock_seconds() - begin;
        *seconds = i < 2 || took < *seconds ? took : *seconds;
    }
    mem_free(token);
    mem_free(looked_at);
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

/* A cell's cache: of every layer the newest of its entries, as many as cells keep; whole: all of them. */
static struct kvcache *cut(const struct sketch *s, const struct kvcache *full, const struct shape *g, int whole,
                           int room, struct err *e)
{
    const struct hparams *hp = &s->model->hp;
    struct keepset *k = whole ? NULL : keepset_create(hp->n_layer, hp->n_kv_head, g->n, e);
    if (!whole && !k)
        return NULL;
    for (int l = 0; k && l < hp->n_layer; l++) {
        int holds = (int)model_layer_holds(hp, l, g->n), m = (int)(g->share[!model_layer_prunable(hp, l)] * holds);
        for (int h = 0; h < hp->n_kv_head; h++)
            for (int j = g->n - (m < 1 ? 1 : m); j < g->n; j++)
                keepset_add(k, l, h, j);
    }
    struct kvcache *c = kvcache_derive(full, k, room, NULL, e);
    keepset_destroy(k);
    return c;
}

/* The caches of a group's cells: the first is whole. -1: the array is still to be freed by free_cells. */
static int cut_cells(const struct sketch *s, const struct kvcache *full, const struct shape *g, int room,
                     struct kvcache **cache, struct err *e)
{
    int none = g->share[0] >= 1 && g->share[1] >= 1;
    for (int c = 0; c < g->n_cell; c++)
        if (!(cache[c] = cut(s, full, g, c == 0 || none, room, e)))
            return -1;
    return 0;
}

static void free_cells(struct kvcache **cache, int n)
{
    for (int c = 0; c < n; c++)
        kvcache_destroy(cache[c]);
    mem_free(cache);
}

static int time_group(const struct hparams *hp, const struct shape *g, struct trial *out, struct err *e)
{
    struct sketch s = {0};
    int rc = -1, rows = g->new_tokens > ANSWER ? g->new_tokens : ANSWER;
    double prefill = 0, step = 0, forced = 0;
    struct kvcache **cache = mem_new((size_t)g->n_cell, sizeof *cache), *full = NULL;
    if (sketch_begin(hp, g, BEYOND_CACHE, hp->n_layer, &s, e) || !(full = time_prefill(&s, g, 2, &prefill, e)) ||
        cut_cells(&s, full, g, rows, cache, e))
        goto out;
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
    free_cells(cache, g->n_cell);
    kvcache_destroy(full);
    sketch_end(&s);
    return rc;
}

/* What the cell keeps of its layers of either kind, as shares: their means, which attention goes by. */
static void add_shares(const struct cell *c, const struct hparams *hp, struct shape *g)
{
    double kept[DIMS_MAX_LAYER], sum[2] = {0}, held[2] = {0};
    estimate_kept(c, hp, g->n, kept);
    for (int l = 0; l < hp->n_layer; l++) {
        int kind = !model_layer_prunable(hp, l);
        sum[kind] += kept[l];
        held[kind] += model_layer_holds(hp, l, g->n);
    }
    for (int i = 0; i < 2; i++)
        g->share[i] += held[i] > 0 ? sum[i] / held[i] : 1;
}

/* What the group asks for that cell `first` opens. */
static void shape_of(const struct experiment *x, int first, struct shape *g)
{
    const struct cell *f = &x->cell[first];
    const struct exp_sizes *sizes = x->task[f->task].length ? NULL : estimate_sizes(x, f);
    struct cell **cell = mem_new((size_t)x->n_cell, sizeof *cell);
    int longest = estimate_longest(x, f), count = 0;
    struct tally_of of;
    const struct hparams *hp = &x->model[f->model].hp;
    memset(g, 0, sizeof *g); /* compared as bytes */
    g->n = sizes ? (int)(sizes->sum / sizes->n) : longest ? longest : x->model[f->model].hp.context_length;
    g->new_tokens = f->max_new_tokens;
    g->kl = (x->measure & MEASURE_KL) != 0;
    g->nll = (x->measure & MEASURE_NLL) != 0;
    g->dtype = f->weight_dtype;
    g->arithmetic = f->arithmetic;
    g->cache_dtype = f->cache_dtype;
    for (int i = first; i < x->n_cell; i++) {
        struct cell *c = &x->cell[i];
        if (!axes_same_group(f, c))
            continue;
        g->n_cell++;
        if (c->policy->keeps_all)
            continue;
        add_shares(c, hp, g);
        g->windows_looked_at |= c->windows == WINDOWS_PRUNE;
        cell[count++] = c;
    }
    for (int i = 0; i < 2; i++)
        g->share[i] = count ? g->share[i] / count : 1;
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

/* ---- rates, in a fraction of a second ---------------------------------------------------------- */

/* A prompt, or the beginning of it, through a few layers. */
static int calibrate_reading(const struct hparams *hp, struct shape g, double *rate, struct err *e)
{
    struct sketch s = {0};
    double seconds = 0;
    struct kvcache *cache = NULL;
    int rc = sketch_begin(hp, &g, QUICK_BYTES, model_layers_alike(hp) ? 1 : QUICK_LAYERS, &s, e);
    while (rc == 0 && g.n > 64 && g.n * estimate_read_flop(&s.model->hp, g.n) > quick_flop)
        g.n /= 2;
    if (rc == 0 && !(cache = time_prefill(&s, &g, QUICK_TRIES, &seconds, e)))
        rc = -1;
    if (rc == 0)
        *rate = g.n * estimate_read_flop(&s.model->hp, g.n) / seconds;
    kvcache_destroy(cache);
    sketch_end(&s);
    return rc;
}

/* A cache of n entries of each layer, of which nothing matters but that they lie in memory. */
static struct kvcache *made_up(const struct hparams *hp, enum model_dtype held_as, int n, struct err *e)
{
    struct kvcache *c = kvcache_create_held(hp, held_as, n, e);
    size_t d = (size_t)hp->head_dim;
    float *entry = mem_new(d, sizeof *entry);
    for (size_t j = 0; j < d; j++)
        entry[j] = 0.01f;
    if (c)
        kvcache_set_longest(c, hp, hp->context_length);
    for (int i = 0; c && i < hp->n_layer * hp->n_kv_head; i++) {
        struct kv_tail *t = kvcache_tail(c, i / hp->n_kv_head, i % hp->n_kv_head);
        t->n = n;
        for (int j = 0; j < n; j++)
            t->pos[j] = j;
        for (size_t j = 0; j < (size_t)n * d; j += d) {
            kvrows_put(kvrows_at(t->k, j), entry, d);
            kvrows_put(kvrows_at(t->v, j), entry, d);
        }
    }
    mem_free(entry);
    if (!c)
        return NULL;
    kvcache_set_seen(c, n);
    if (kvcache_seal(c, 0, e) == 0)
        return c;
    kvcache_destroy(c);
    return NULL;
}

/* One step of all cells, which reads weights and entries from memory. */
static int calibrate_step(const struct hparams *hp, struct shape g, double *rate, struct err *e)
{
    struct sketch s = {0};
    double seconds = 0, flop = 0;
    g.n = g.n < QUICK_TOKENS ? g.n : QUICK_TOKENS;
    g.n_cell = g.n_cell < QUICK_CELLS ? g.n_cell : QUICK_CELLS;
    struct kvcache **cache = mem_new((size_t)g.n_cell, sizeof *cache), *full = NULL;
    int rc = sketch_begin(hp, &g, QUICK_BYTES, hp->n_layer, &s, e);
    if (rc == 0 && (!(full = made_up(&s.model->hp, g.cache_dtype, g.n, e)) || cut_cells(&s, full, &g, 1, cache, e) ||
                    time_whole_pass(&s, cache, g.n_cell, 1, &seconds, e)))
        rc = -1;
    for (int c = 0; c < g.n_cell; c++) {
        double entries = 0;
        for (int l = 0; l < hp->n_layer; l++)
            entries += (c ? g.share[!model_layer_prunable(hp, l)] : 1) * model_layer_holds(hp, l, g.n);
        flop += estimate_step_flop(hp, entries);
    }
    if (rc == 0)
        *rate = flop / seconds;
    free_cells(cache, g.n_cell);
    kvcache_destroy(full);
    sketch_end(&s);
    return rc;
}

int trial_rates(const struct experiment *x, int model, struct estimate_rates *out, struct err *e)
{
    double most = -1;
    int opener = -1;
    struct shape g;
    for (int first = 0; first < x->n_cell; first++) {
        struct estimate_work w;
        if (x->cell[first].model != model || !estimate_opens_group(x, first))
            continue;
        estimate_group_work(x, first, &w);
        if (w.read + w.step + w.forced > most) {
            most = w.read + w.step + w.forced;
            opener = first;
        }
    }
    if (opener < 0)
        return err_set(e, ERR_CONFIG, "no cell of model '%s' to calibrate for", x->model[model].name);
    shape_of(x, opener, &g);
    const struct hparams *hp = &x->model[model].hp;
    return calibrate_reading(hp, g, &out->read, e) || calibrate_step(hp, g, &out->step, e) ? -1 : 0;
}
