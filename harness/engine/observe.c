#include "harness/engine/observe.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/prune.h"
#include "harness/engine/statistic.h"

struct scorer {
    const struct cell *cell;    /* the first that asked; owns the parameters */
    void *self;                 /* NULL unless the policy has `create` */
    float *score;               /* [n_layer][n_kv_head][stride] */
    const float **head;         /* [n_layer * n_kv_head] into score */
    const float *const **layer; /* [n_layer] into head */
    unsigned needs;
    int rows;
    struct err err; /* code ERR_OK while it is well */
};

/* What a layer allocator reads of every layer. Those with the same allocator and parameters share one. */
struct watcher {
    struct scorer as; /* whose view it gets; of it only cell, needs, rows and err are used */
    size_t n_stat;
    double *stat;         /* [n_layer][n_stat] */
    const double **layer; /* [n_layer] into stat */
};

struct observer {
    const struct model *m;
    struct kvcache *cache;
    struct observe_pass pass;
    int stride; /* entries of the longest list when the pass is over */
    int n_cell, n_scorer;
    struct scorer *scorer;
    int n_watcher;
    struct watcher *watcher;
    int *watcher_of_cell; /* [n_cell] -1: its allocator reads no layers */
    int *of_cell;         /* [n_cell] index of the scorer, -1: the cell keeps all */
    struct tap tap;
    unsigned char *layers; /* [n_layer] for the tap: those that some cell prunes */
    float *last_row;       /* [n_layer][n_kv_head][n_seen], or NULL */
    float *stream;  /* [n_row][d_model] before the attention block that runs now; NULL: nobody asks for cosines */
    double *cosine; /* [n_layer] */
    double seconds;
};

static int same_scorer(const struct observer *o, const struct cell *a, const struct cell *b)
{
    return a->policy == b->policy && strcmp(a->params, b->params) == 0 &&
           (!a->policy->uses_seed || a->policy_seed == b->policy_seed) && a->windows == b->windows &&
           (!o->pass.before || a->chunk.carry == b->chunk.carry);
}

static void *scorer_self(const struct scorer *s)
{
    return s->cell->policy->create ? s->self : s->cell->policy_config;
}

void observe_shape(const struct model *m, const struct cell *cell, int n_seen, uint64_t sample, struct policy_view *v)
{
    const struct hparams *hp = &m->hp;
    *v = (struct policy_view){
        .n_layer = hp->n_layer,
        .n_head = hp->n_head,
        .n_kv_head = hp->n_kv_head,
        .n_group = hp->n_group,
        .head_dim = hp->head_dim,
        .d_model = hp->d_model,
        .n_seen = n_seen,
        .policy_seed = cell->policy_seed,
        .sample = sample,
    };
}

int observe_memory(struct cell *const *cell, int n_cell, int (*wanted)(const struct cell *c), struct tally_of *out)
{
    *out = (struct tally_of){.layers = WINDOWS_KEEP};
    for (int i = 0; i < n_cell; i++) {
        const struct policy_ops *p = cell[i]->policy;
        unsigned needs = p->keeps_all || (wanted && !wanted(cell[i])) ? 0 : policy_needs_of(p, cell[i]->policy_config);
        int rows = needs & STATISTIC_ROWS ? p->rows(cell[i]->policy_config) : 0;
        out->columns |= (needs & STATISTIC_COLUMNS) != 0;
        out->window = rows > out->window ? rows : out->window;
        if (cell[i]->windows == WINDOWS_PRUNE && needs & (STATISTIC_COLUMNS | STATISTIC_ROWS))
            out->layers = WINDOWS_PRUNE;
    }
    return out->columns || out->window;
}

/* 1 when this scorer sees what the entries gathered in earlier passes too. */
static int carries(const struct observer *o, const struct scorer *s)
{
    return o->pass.before && s->cell->chunk.carry;
}

/* Rows of the last queries: the transformer keeps as many as the most demanding scorer asked for; each scorer sees
 * just its own, the newest ones. Where this pass has too few, rows of earlier passes are in the tally. */
static int rows_of(const struct observer *o, const struct scorer *s, const struct attention_stats *st, int *in_tally)
{
    int held = carries(o, s) && s->rows > st->n_row ? o->pass.after->head[st->layer * o->m->hp.n_head].n_row : 0;
    *in_tally = held > st->n_row;
    int n = *in_tally ? held : st->n_row;
    return s->rows < n ? s->rows : n;
}

/* A view of one layer with the room that it points to. */
struct sight {
    struct policy_view view;
    struct policy_head *head;
    struct policy_attention *attention;
    int *n;          /* [n_kv_head] entries that the layer holds */
    int32_t **order; /* [n_kv_head] -> their slots; NULL: all that lie in the cache */
    float *room;     /* NULL: nothing is copied */
};

static void sight_close(struct sight *w)
{
    for (int h = 0; w->order && h < w->view.n_kv_head; h++)
        mem_free(w->order[h]);
    mem_free(w->order);
    mem_free(w->n);
    mem_free(w->room);
    mem_free(w->head);
    mem_free(w->attention);
}

/* What the layer holds when the pass is over: entries that have left its window meanwhile are nobody's. */
static int sight_entries(const struct observer *o, const struct attention_stats *st, struct sight *w, struct err *e)
{
    int H = o->m->hp.n_kv_head;
    int windowed = model_layer_kind(&o->m->hp, st->layer) == MODEL_LAYER_WINDOW;
    int oldest = windowed ? o->pass.n_seen - o->m->hp.window : 0;
    w->n = mem_new((size_t)H, sizeof *w->n);
    if (oldest > 0)
        w->order = mem_new((size_t)H, sizeof *w->order);
    for (int h = 0; h < H; h++) {
        const struct kv_tail *t = kvcache_tail(o->cache, st->layer, h);
        int first = 0; /* they lie in the order of their positions */
        assert(t->n == st->n_key[h]);
        while (first < t->n && t->pos[first] < oldest)
            first++;
        w->n[h] = t->n - first;
        w->head[h] = (struct policy_head){.n_entry = w->n[h], .pos = t->pos + first};
        if (!w->order)
            continue;
        w->order[h] = mem_try((size_t)w->n[h], sizeof **w->order, "entries of a window", e);
        if (!w->order[h])
            return -1;
        for (int j = 0; j < w->n[h]; j++)
            w->order[h][j] = first + j;
    }
    return 0;
}

static int sight_open(struct observer *o, const struct scorer *s, const struct attention_stats *st, struct sight *w,
                      struct err *e)
{
    const struct hparams *hp = &o->m->hp;
    struct statistic_source from = {
        .hp = hp, .layer = st->layer, .cache = o->cache, .pass = st, .held = carries(o, s) ? o->pass.after : NULL};
    *w = (struct sight){.view.n_kv_head = hp->n_kv_head,
                        .head = mem_new((size_t)hp->n_kv_head, sizeof *w->head),
                        .attention = mem_new((size_t)hp->n_head, sizeof *w->attention)};
    if (sight_entries(o, st, w, e)) {
        sight_close(w);
        return -1;
    }
    from.n = w->n;
    from.order = (const int32_t *const *)w->order;
    from.n_row = rows_of(o, s, st, &from.rows_held);
    size_t room = statistic_room(s->needs, &from);
    if (room && !(w->room = mem_try_raw(room, sizeof *w->room, "attention rows", e))) {
        sight_close(w);
        return -1;
    }
    from.room = w->room;
    observe_shape(o->m, s->cell, o->pass.n_seen, o->pass.sample, &w->view);
    w->view.n_query = st->n_query;
    w->view.first_query = carries(o, s) ? 0 : o->pass.n_seen - st->n_query;
    statistic_show(s->needs, &from,
                   &(struct statistic_sight){.view = &w->view, .head = w->head, .attention = w->attention});
    return 0;
}

static void score_view(const struct observer *o, struct scorer *s, const struct policy_view *v)
{
    int H = o->m->hp.n_kv_head;
    float **out = mem_new((size_t)H, sizeof *out);
    for (int h = 0; h < H; h++)
        out[h] = s->score + ((size_t)v->layer * (size_t)H + (size_t)h) * (size_t)o->stride;
    if (s->cell->policy->score(scorer_self(s), v, out, &s->err)) {
        if (s->err.code == ERR_OK)
            err_set(&s->err, ERR_POLICY, "the policy gave no reason");
        err_wrap(&s->err, "policy '%s', layer %d", s->cell->policy->name, v->layer);
    }
    mem_free(out);
}

static void score_layer(struct observer *o, struct scorer *s, const struct attention_stats *st)
{
    struct sight w;
    if (!prune_takes(s->cell, &o->m->hp, st->layer) || sight_open(o, s, st, &w, &s->err))
        return;
    score_view(o, s, &w.view);
    sight_close(&w);
}

static void watch_layer(struct observer *o, struct watcher *w, const struct attention_stats *st)
{
    const struct cell *c = w->as.cell;
    struct sight sight;
    if (!prune_takes(c, &o->m->hp, st->layer) || sight_open(o, &w->as, st, &sight, &w->as.err))
        return;
    if (c->allocator->observe(c->allocator_self, &sight.view, w->stat + (size_t)st->layer * w->n_stat, &w->as.err)) {
        if (w->as.err.code == ERR_OK)
            err_set(&w->as.err, ERR_POLICY, "the allocator gave no reason");
        err_wrap(&w->as.err, "layer_budget '%s', layer %d", c->allocator->name, st->layer);
    }
    sight_close(&sight);
}

static void keep_last_row(struct observer *o, const struct attention_stats *st)
{
    const struct hparams *hp = &o->m->hp;
    for (int q = 0; q < hp->n_head; q++) {
        size_t n = (size_t)o->pass.n_seen;
        const float *row = st->rows[q] + (size_t)(st->n_row - 1) * n;
        float *sum = o->last_row + ((size_t)st->layer * (size_t)hp->n_kv_head + (size_t)(q / hp->n_group)) * n;
        for (size_t j = 0; j < n; j++)
            sum[j] += row[j]; /* the last query sees just the n entries, so the row sums to 1 already */
    }
}

static int on_attention(void *ctx, const struct attention_stats *st, struct err *e)
{
    struct observer *o = ctx;
    double start = clock_seconds();
    timing_begin(TIMING_SCORING);
    (void)e; /* a policy that fails ends its own cells only */
    if (o->pass.after)
        tally_take(o->pass.after, o->pass.before, st);
    if (o->pass.fresh)
        tally_take(o->pass.fresh, NULL, st);
    for (int i = 0; i < o->n_scorer; i++)
        if (o->scorer[i].err.code == ERR_OK && !(o->scorer[i].needs & STATISTIC_ANSWER))
            score_layer(o, &o->scorer[i], st);
    for (int i = 0; i < o->n_watcher; i++)
        if (o->watcher[i].as.err.code == ERR_OK)
            watch_layer(o, &o->watcher[i], st);
    if (o->last_row)
        keep_last_row(o, st);
    timing_end();
    o->seconds += clock_seconds() - start;
    return 0;
}

/* The stream before the attention block is kept until the residual is added. Sums run in one order, in double
 * precision. */
static int on_stage(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    struct observer *o = ctx;
    size_t d = (size_t)o->m->hp.d_model;
    double sum = 0;
    (void)e;
    if (stage == TAP_PRE) {
        memcpy(o->stream, x, (size_t)n_row * d * sizeof *x);
        return 0;
    }
    for (size_t r = 0; r < (size_t)n_row; r++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < d; i++) {
            double a = (double)o->stream[r * d + i], b = (double)x[r * d + i];
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        sum += aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    }
    o->cosine[layer] = sum / n_row;
    return 0;
}

static int on_weights(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct observer *o = ctx;
    (void)e;
    for (int i = 0; i < o->n_scorer; i++) {
        struct scorer *s = &o->scorer[i];
        if (s->cell->policy->observe && s->err.code == ERR_OK &&
            s->cell->policy->observe(scorer_self(s), layer, head, row, weight, n_key, &s->err) && s->err.code == ERR_OK)
            err_set(&s->err, ERR_POLICY, "policy '%s' gave no reason", s->cell->policy->name);
    }
    return 0;
}

static int scorer_init(struct observer *o, struct scorer *s, const struct cell *c, struct err *e)
{
    const struct hparams *hp = &o->m->hp;
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head;
    s->cell = c;
    s->needs = policy_needs_of(c->policy, c->policy_config);
    s->rows = s->needs & STATISTIC_ROWS && c->policy->rows ? c->policy->rows(c->policy_config) : 0;
    s->score = mem_try(heads * (size_t)o->stride, sizeof *s->score, "scores", e);
    if (!s->score)
        return -1;
    s->head = mem_new(heads, sizeof *s->head);
    s->layer = mem_new((size_t)hp->n_layer, sizeof *s->layer);
    for (size_t i = 0; i < heads; i++)
        s->head[i] = s->score + i * (size_t)o->stride;
    for (int l = 0; l < hp->n_layer; l++)
        s->layer[l] = s->head + (size_t)l * (size_t)hp->n_kv_head;
    if (c->policy->create) {
        struct policy_view v;
        observe_shape(o->m, c, o->pass.n_seen, o->pass.sample, &v);
        if (c->policy->create(&s->self, c->policy_config, &v, &s->err))
            err_wrap(&s->err, "policy '%s'", c->policy->name);
    }
    return 0;
}

static void want(struct observer *o, const struct scorer *s)
{
    struct tap *t = &o->tap;
    t->stats |= statistic_tap(s->needs);
    if (s->rows > t->last_rows)
        t->last_rows = s->rows;
}

static int same_allocator(const struct cell *a, const struct cell *b)
{
    return a->allocator == b->allocator && a->windows == b->windows && strcmp(a->layer_budget, b->layer_budget) == 0;
}

/* Allocators that read layers or the stream. */
static int add_watchers(struct observer *o, struct cell *const *cell, struct err *e)
{
    size_t L = (size_t)o->m->hp.n_layer;
    for (int i = 0; i < o->n_cell; i++) {
        const struct allocator_ops *a = cell[i]->allocator;
        o->watcher_of_cell[i] = -1;
        if (cell[i]->policy->keeps_all || (o->pass.skip && o->pass.skip[i]))
            continue;
        if (a->needs & STATISTIC_COSINE && !o->cosine) {
            o->cosine = mem_new(L, sizeof *o->cosine);
            o->stream =
                mem_try((size_t)o->pass.n_row * (size_t)o->m->hp.d_model, sizeof *o->stream, "the residual stream", e);
            if (!o->stream)
                return -1;
            o->tap.stages |= 1u << TAP_PRE | 1u << TAP_RES;
            o->tap.stage = on_stage;
        }
        for (int k = 0; a->observe && k < o->n_watcher && o->watcher_of_cell[i] < 0; k++)
            if (same_allocator(o->watcher[k].as.cell, cell[i]))
                o->watcher_of_cell[i] = k;
        if (!a->observe || o->watcher_of_cell[i] >= 0)
            continue;
        struct watcher *w = &o->watcher[o->watcher_of_cell[i] = o->n_watcher++];
        struct policy_view shape;
        observe_shape(o->m, cell[i], o->pass.n_seen, o->pass.sample, &shape);
        w->as = (struct scorer){.cell = cell[i],
                                .needs = a->needs & STATISTIC_OF_VIEW,
                                .rows = a->rows ? a->rows(cell[i]->allocator_config) : 0};
        w->n_stat = a->n_stat ? a->n_stat(cell[i]->allocator_config, &shape) : 1;
        w->stat = mem_try(L, w->n_stat * sizeof *w->stat, "statistics of a layer allocator", e);
        if (!w->stat)
            return -1;
        w->layer = mem_new(L, sizeof *w->layer);
        for (size_t l = 0; l < L; l++)
            w->layer[l] = w->stat + l * w->n_stat;
        want(o, &w->as);
    }
    return 0;
}

static void want_tally(struct observer *o, const struct tally *t)
{
    if (t && t->columns)
        o->tap.stats |= TRANSFORMER_STAT_COLUMNS;
    if (t && t->window)
        o->tap.stats |= TRANSFORMER_STAT_ROWS;
    if (t && t->window > o->tap.last_rows)
        o->tap.last_rows = t->window;
}

/* What becomes of layers with a window is of interest only where some cell prunes them. */
static void want_layers(struct observer *o, struct cell *const *cell)
{
    const struct hparams *hp = &o->m->hp;
    o->layers = mem_new((size_t)hp->n_layer, 1);
    for (int l = 0; l < hp->n_layer; l++) {
        int wanted = model_layer_prunable(hp, l);
        for (int i = 0; i < o->n_cell; i++)
            wanted |= prune_takes(cell[i], hp, l);
        o->layers[l] = (unsigned char)wanted;
    }
    o->tap.layers = o->layers;
}

static int add_scorers(struct observer *o, struct cell *const *cell, struct err *e)
{
    for (int i = 0; i < o->n_cell; i++) {
        o->of_cell[i] = -1;
        if (cell[i]->policy->keeps_all || (o->pass.skip && o->pass.skip[i]))
            continue;
        for (int s = 0; s < o->n_scorer && o->of_cell[i] < 0; s++)
            if (same_scorer(o, o->scorer[s].cell, cell[i]))
                o->of_cell[i] = s;
        if (o->of_cell[i] >= 0)
            continue;
        o->of_cell[i] = o->n_scorer++;
        if (scorer_init(o, &o->scorer[o->of_cell[i]], cell[i], e))
            return -1;
        want(o, &o->scorer[o->of_cell[i]]);
        if (cell[i]->policy->observe)
            o->tap.weights = on_weights;
    }
    return 0;
}

struct observer *observe_create(const struct model *m, struct kvcache *cache, struct cell *const *cell, int n_cell,
                                const struct observe_pass *pass, struct err *e)
{
    struct observer *o = mem_new(1, sizeof *o);
    *o = (struct observer){.m = m, .cache = cache, .pass = *pass, .n_cell = n_cell};
    assert(!pass->before || pass->after);
    for (int i = 0; i < m->hp.n_layer * m->hp.n_kv_head; i++) {
        int n = kvcache_n_entry(cache, i / m->hp.n_kv_head, i % m->hp.n_kv_head) + pass->n_row;
        o->stride = n > o->stride ? n : o->stride;
    }
    o->of_cell = mem_new((size_t)n_cell + 1, sizeof *o->of_cell);
    o->scorer = mem_new((size_t)n_cell + 1, sizeof *o->scorer);
    o->watcher_of_cell = mem_new((size_t)n_cell + 1, sizeof *o->watcher_of_cell);
    o->watcher = mem_new((size_t)n_cell + 1, sizeof *o->watcher);
    if (add_scorers(o, cell, e) || add_watchers(o, cell, e))
        goto fail;
    want_layers(o, cell);
    want_tally(o, pass->after);
    want_tally(o, pass->fresh);
    if (pass->last_row) {
        o->last_row = mem_try((size_t)m->hp.n_layer * (size_t)m->hp.n_kv_head * (size_t)pass->n_seen,
                              sizeof *o->last_row, "attention of the last query", e);
        if (!o->last_row)
            goto fail;
        o->tap.stats |= TRANSFORMER_STAT_ROWS;
        if (o->tap.last_rows < 1)
            o->tap.last_rows = 1;
    }
    o->tap.ctx = o;
    if (o->n_scorer || o->n_watcher || pass->last_row || pass->after || pass->fresh)
        o->tap.attention = on_attention;
    return o;
fail:
    observe_destroy(o);
    return NULL;
}

void observe_destroy(struct observer *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->n_scorer; i++) {
        struct scorer *s = &o->scorer[i];
        if (s->self && s->cell->policy->destroy)
            s->cell->policy->destroy(s->self);
        mem_free(s->score);
        mem_free(s->head);
        mem_free(s->layer);
    }
    for (int i = 0; i < o->n_watcher; i++) {
        mem_free(o->watcher[i].stat);
        mem_free(o->watcher[i].layer);
    }
    mem_free(o->watcher);
    mem_free(o->watcher_of_cell);
    mem_free(o->stream);
    mem_free(o->cosine);
    mem_free(o->scorer);
    mem_free(o->of_cell);
    mem_free(o->layers);
    mem_free(o->last_row);
    mem_free(o);
}

const struct tap *observe_tap(struct observer *o)
{
    return o->tap.attention || o->tap.weights || o->tap.stage ? &o->tap : NULL;
}

int observe_wants_answer(const struct observer *o)
{
    for (int i = 0; i < o->n_scorer; i++)
        if (o->scorer[i].needs & STATISTIC_ANSWER)
            return 1;
    return 0;
}

void observe_answer(struct observer *o, const float *answer)
{
    const struct hparams *hp = &o->m->hp;
    int n = o->pass.n_seen, H = hp->n_kv_head;
    int32_t *pos = mem_new((size_t)n, sizeof *pos);
    struct policy_head *head = mem_new((size_t)H, sizeof *head);
    const float **of_head = mem_new((size_t)H, sizeof *of_head);
    int *entries = mem_new((size_t)H, sizeof *entries);
    float *held = mem_new((size_t)H * (size_t)n, sizeof *held);
    for (int j = 0; j < n; j++)
        pos[j] = j;
    for (int i = 0; i < o->n_scorer; i++) {
        struct scorer *s = &o->scorer[i];
        struct policy_view v;
        if (!(s->needs & STATISTIC_ANSWER) || s->err.code != ERR_OK)
            continue;
        if (!answer)
            err_set(&s->err, ERR_CONFIG, "policy '%s' reads the reference answer, which this sample lacks",
                    s->cell->policy->name);
        observe_shape(o->m, s->cell, n, o->pass.sample, &v);
        v.n_query = n;
        for (int l = 0; l < hp->n_layer && s->err.code == ERR_OK; l++) {
            int holds = prune_holds(hp, l, n);
            struct statistic_source from = {.hp = hp, .layer = l, .n = entries, .answer = held};
            if (!prune_takes(s->cell, hp, l))
                continue;
            for (int h = 0; h < H; h++) { /* the last ones */
                const float *last = answer + ((size_t)l * (size_t)H + (size_t)h + 1) * (size_t)n - holds;
                head[h] = (struct policy_head){.n_entry = entries[h] = holds, .pos = pos + n - holds};
                memcpy(held + (size_t)h * (size_t)holds, last, (size_t)holds * sizeof *held);
            }
            statistic_show(s->needs, &from, &(struct statistic_sight){.view = &v, .head = head, .answer = of_head});
            score_view(o, s, &v);
        }
    }
    mem_free(pos);
    mem_free(head);
    mem_free(of_head);
    mem_free(entries);
    mem_free(held);
}

const float *const *const *observe_scores(const struct observer *o, int i, struct err *e)
{
    const struct scorer *s = &o->scorer[o->of_cell[i]];
    if (s->err.code != ERR_OK) {
        err_set(e, s->err.code, "%s", s->err.msg);
        return NULL;
    }
    return s->layer;
}

int observe_statistics(const struct observer *o, int i, const double *const **stat, const double **cosine,
                       struct err *e)
{
    const struct watcher *w = o->watcher_of_cell[i] >= 0 ? &o->watcher[o->watcher_of_cell[i]] : NULL;
    if (w && w->as.err.code != ERR_OK)
        return err_set(e, w->as.err.code, "%s", w->as.err.msg);
    *stat = w ? w->layer : NULL;
    *cosine = o->cosine;
    return 0;
}

const float *observe_last_row(const struct observer *o)
{
    return o->last_row;
}

double observe_seconds(const struct observer *o)
{
    return o->seconds;
}
