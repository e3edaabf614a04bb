#include "harness/observe.h"

#include <assert.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"

struct scorer {
    const struct cell *cell; /* the first that asked; owns the parameters */
    void *self;              /* NULL unless the policy has `create` */
    float *score;            /* [n_layer][n_kv_head][stride] */
    const float **head;      /* [n_layer * n_kv_head] into score */
    const float *const **layer; /* [n_layer] into head */
    unsigned needs;
    int rows;
    struct err err;          /* code ERR_OK while it is well */
};

struct observer {
    const struct model *m;
    struct kvcache *cache;
    struct observe_pass pass;
    int stride;              /* entries of the longest list when the pass is over */
    int n_cell, n_scorer;
    struct scorer *scorer;
    int *of_cell;            /* [n_cell] index of the scorer, -1: the cell keeps all */
    struct tap tap;
    float *last_row;         /* [n_layer][n_kv_head][n_seen], or NULL */
    double seconds;
};

static int same_scorer(const struct observer *o, const struct cell *a, const struct cell *b)
{
    return a->policy == b->policy && strcmp(a->params, b->params) == 0 &&
           (!a->policy->uses_seed || a->policy_seed == b->policy_seed) &&
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

void observe_memory(struct cell *const *cell, int n_cell, int (*wanted)(const struct cell *c), int *columns, int *window)
{
    *columns = *window = 0;
    for (int i = 0; i < n_cell; i++) {
        const struct policy_ops *p = cell[i]->policy;
        unsigned needs = p->keeps_all || (wanted && !wanted(cell[i])) ? 0 : policy_needs_of(p, cell[i]->policy_config);
        int rows = needs & POLICY_NEEDS_ROWS ? p->rows(cell[i]->policy_config) : 0;
        *columns |= (needs & POLICY_NEEDS_COLUMNS) != 0;
        *window = rows > *window ? rows : *window;
    }
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

static void attention_view(const struct observer *o, const struct attention_stats *st, const struct scorer *s, int q,
                           float **rows, struct policy_attention *a)
{
    const struct hparams *hp = &o->m->hp;
    int in_tally, n_row = rows_of(o, s, st, &in_tally), n_key = st->n_key[q / hp->n_group];
    const struct tally_head *held = carries(o, s) ? &o->pass.after->head[st->layer * hp->n_head + q] : NULL;
    *a = (struct policy_attention){0};
    if (s->needs & POLICY_NEEDS_COLUMNS) {
        a->off_diagonal = held ? held->off : st->off_diagonal[q];
        a->diagonal = held ? held->diag : st->diagonal[q];
    }
    if (s->needs & POLICY_NEEDS_ROWS && !in_tally) {
        a->rows = st->rows[q] + (size_t)(st->n_row - n_row) * (size_t)n_key;
    } else if (s->needs & POLICY_NEEDS_ROWS) {
        for (int i = 0; i < n_row; i++)
            memcpy(*rows + (size_t)i * (size_t)n_key,
                   tally_row_at(o->pass.after, st->layer, q, held->n_row - n_row + i), (size_t)n_key * sizeof **rows);
        a->rows = *rows;
        *rows += (size_t)n_row * (size_t)n_key;
    }
    if (s->needs & POLICY_NEEDS_ENTROPY)
        a->entropy = st->entropy[q];
    if (s->needs & POLICY_NEEDS_QUERIES)
        a->queries = st->queries[q];
}

static void score_layer(struct observer *o, struct scorer *s, const struct attention_stats *st)
{
    const struct hparams *hp = &o->m->hp;
    struct policy_view v;
    struct policy_head *head = mem_new((size_t)hp->n_kv_head, sizeof *head);
    struct policy_attention *att = mem_new((size_t)hp->n_head, sizeof *att);
    float **out = mem_new((size_t)hp->n_kv_head, sizeof *out), *rows = NULL;
    int in_tally;
    observe_shape(o->m, s->cell, o->pass.n_seen, o->pass.sample, &v);
    v.layer = st->layer;
    v.n_query = st->n_query;
    v.first_query = carries(o, s) ? 0 : o->pass.n_seen - st->n_query;
    v.n_row = rows_of(o, s, st, &in_tally);
    v.hidden = s->needs & POLICY_NEEDS_HIDDEN ? st->hidden : NULL;
    if (in_tally) {
        rows = mem_try((size_t)hp->n_head * (size_t)v.n_row, (size_t)o->stride * sizeof *rows, "attention rows", &s->err);
        if (!rows)
            goto out;
    }
    for (int h = 0; h < hp->n_kv_head; h++) {
        const struct kv_tail *t = kvcache_tail(o->cache, st->layer, h);
        assert(t->n == st->n_key[h]);
        head[h] = (struct policy_head){
            .n_entry = t->n,
            .pos = t->pos,
            .keys = s->needs & POLICY_NEEDS_KEYS ? t->k : NULL,
            .values = s->needs & POLICY_NEEDS_VALUES ? t->v : NULL,
        };
        out[h] = s->score + ((size_t)st->layer * (size_t)hp->n_kv_head + (size_t)h) * (size_t)o->stride;
    }
    float *next = rows;
    for (int q = 0; q < hp->n_head; q++)
        attention_view(o, st, s, q, &next, &att[q]);
    v.head = head;
    v.attention = att;
    if (s->cell->policy->score(scorer_self(s), &v, out, &s->err)) {
        if (s->err.code == ERR_OK)
            err_set(&s->err, ERR_POLICY, "the policy gave no reason");
        err_wrap(&s->err, "policy '%s', layer %d", s->cell->policy->name, st->layer);
    }
out:
    mem_free(rows);
    mem_free(head);
    mem_free(att);
    mem_free(out);
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
        if (o->scorer[i].err.code == ERR_OK)
            score_layer(o, &o->scorer[i], st);
    if (o->last_row)
        keep_last_row(o, st);
    timing_end();
    o->seconds += clock_seconds() - start;
    return 0;
}

static int on_weights(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct observer *o = ctx;
    (void)e;
    for (int i = 0; i < o->n_scorer; i++) {
        struct scorer *s = &o->scorer[i];
        if (s->cell->policy->observe && s->err.code == ERR_OK &&
            s->cell->policy->observe(scorer_self(s), layer, head, row, weight, n_key, &s->err) &&
            s->err.code == ERR_OK)
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
    s->rows = s->needs & POLICY_NEEDS_ROWS && c->policy->rows ? c->policy->rows(c->policy_config) : 0;
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
    if (s->needs & POLICY_NEEDS_COLUMNS)
        t->stats |= TRANSFORMER_STAT_COLUMNS;
    if (s->needs & POLICY_NEEDS_ROWS)
        t->stats |= TRANSFORMER_STAT_ROWS;
    if (s->needs & POLICY_NEEDS_ENTROPY)
        t->stats |= TRANSFORMER_STAT_ENTROPY;
    if (s->needs & POLICY_NEEDS_QUERIES)
        t->stats |= TRANSFORMER_STAT_QUERIES;
    if (s->needs & POLICY_NEEDS_HIDDEN)
        t->stats |= TRANSFORMER_STAT_HIDDEN;
    if (s->rows > t->last_rows)
        t->last_rows = s->rows;
    if (s->cell->policy->observe)
        t->weights = on_weights;
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
    if (add_scorers(o, cell, e))
        goto fail;
    want_tally(o, pass->after);
    want_tally(o, pass->fresh);
    if (pass->last_row) {
        o->last_row = mem_try((size_t)m->hp.n_layer * (size_t)m->hp.n_kv_head * (size_t)pass->n_seen, sizeof *o->last_row,
                              "attention of the last query", e);
        if (!o->last_row)
            goto fail;
        o->tap.stats |= TRANSFORMER_STAT_ROWS;
        if (o->tap.last_rows < 1)
            o->tap.last_rows = 1;
    }
    o->tap.ctx = o;
    if (o->n_scorer || pass->last_row || pass->after || pass->fresh)
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
    mem_free(o->scorer);
    mem_free(o->of_cell);
    mem_free(o->last_row);
    mem_free(o);
}

const struct tap *observe_tap(struct observer *o)
{
    return o->tap.attention || o->tap.weights ? &o->tap : NULL;
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

const float *observe_last_row(const struct observer *o)
{
    return o->last_row;
}

double observe_seconds(const struct observer *o)
{
    return o->seconds;
}
