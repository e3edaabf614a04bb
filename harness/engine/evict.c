#include "harness/engine/evict.h"

#include <assert.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/observe.h"
#include "harness/engine/prune.h"
#include "harness/engine/statistic.h"

/* One KV head of one layer. */
struct list {
    int m;           /* its budget */
    int cap, n;      /* slots; entries that `order` knows */
    int32_t *order;  /* [cap] slots, the oldest entry first */
    float *base;     /* packed: [cap][head_dim] keys as they came, to turn to new places without adding up rounding */
    int32_t *stands; /* packed: [cap] where `base` stands */
};

struct evict {
    struct evict_setup s;
    struct kvcache *cache;
    struct tally *tally;
    struct list *list;    /* [n_layer][n_kv_head] */
    int room, whole_room; /* tokens that fit between two cuts; in lists that are never cut, all that will be fed */
    int since;            /* tokens fed since the last cut */
    size_t peak;          /* bytes */
    int protection_cut;
    unsigned needs;
    int rows;
    void *self;  /* of a policy with `create` */
    int borrows; /* self is another's */
};

static int n_list(const struct evict *v)
{
    return v->s.model->hp.n_layer * v->s.model->hp.n_kv_head;
}

static int is_cut(const struct evict *v, int layer)
{
    return prune_takes(v->s.cell, &v->s.model->hp, layer);
}

/* A cache of all that lies in `from`, with room for what is fed until the next cut, and lists beside it. */
static int alloc_lists(struct evict *v, const struct kvcache *from, struct err *e)
{
    const struct hparams *hp = &v->s.model->hp;
    int windows_cut = v->s.cell->windows == WINDOWS_PRUNE;
    v->cache = kvcache_gather(from, NULL, v->room, windows_cut ? v->room : v->whole_room, NULL, e);
    if (!v->cache)
        return -1;
    v->list = mem_new((size_t)n_list(v), sizeof *v->list);
    for (int i = 0; i < n_list(v); i++) {
        struct list *t = &v->list[i];
        t->cap = kvcache_tail(v->cache, i / hp->n_kv_head, i % hp->n_kv_head)->cap;
        if (!is_cut(v, i / hp->n_kv_head))
            continue;
        t->order = mem_try((size_t)t->cap, sizeof *t->order, "order of cached entries", e);
        if (!t->order)
            return -1;
        if (!kvcache_is_packed(v->cache))
            continue;
        t->base = mem_try_raw((size_t)t->cap, (size_t)hp->head_dim * sizeof *t->base, "cached keys", e);
        t->stands = mem_try((size_t)t->cap, sizeof *t->stands, "cached keys", e);
        if (!t->base || !t->stands)
            return -1;
    }
    return 0;
}

/* Entries that came since the last call: the newest, in the slots behind the others. */
static void enter_new(struct evict *v)
{
    const struct hparams *hp = &v->s.model->hp;
    size_t d = (size_t)hp->head_dim;
    for (int i = 0; i < n_list(v); i++) {
        struct list *t = &v->list[i];
        const struct kv_tail *tail = kvcache_tail(v->cache, i / hp->n_kv_head, i % hp->n_kv_head);
        int origin = kvcache_next_place(v->cache, i / hp->n_kv_head, i % hp->n_kv_head) - tail->n;
        for (; t->order && t->n < tail->n; t->n++) {
            t->order[t->n] = t->n;
            if (t->base) {
                kvrows_get(t->base + (size_t)t->n * d, kvrows_at(tail->k, (size_t)t->n * d), d);
                t->stands[t->n] = origin + t->n;
            }
        }
    }
}

struct evict *evict_create(const struct evict_setup *s, struct err *e)
{
    struct evict *v = mem_new(1, sizeof *v);
    const struct policy_ops *p = s->cell->policy;
    int feed = s->n_feed < 1 ? 1 : s->n_feed;
    *v = (struct evict){.s = *s, .needs = policy_needs_of(p, s->cell->policy_config)};
    v->room = s->cell->cut_every < feed ? (int)s->cell->cut_every : feed;
    v->whole_room = feed;
    v->s.cache = NULL; /* only read here */
    v->s.tally = NULL;
    v->rows = v->needs & STATISTIC_ROWS ? p->rows(s->cell->policy_config) : 0;
    if (alloc_lists(v, s->cache, e))
        goto fail;
    if (s->tally) {
        struct cell *cell[1];
        struct tally_of of;
        memcpy(cell, &v->s.cell, sizeof cell); /* only read there */
        observe_memory(cell, 1, NULL, &of);
        v->tally = tally_gather(s->tally, &s->model->hp, s->cache, NULL, v->room, &of, e);
        if (!v->tally)
            goto fail;
    }
    if (p->create) {
        struct policy_view shape;
        observe_shape(s->model, s->cell, kvcache_n_seen(v->cache), s->sample, &shape);
        if (p->create(&v->self, s->cell->policy_config, &shape, e)) {
            err_wrap(e, "policy '%s'", p->name);
            goto fail;
        }
    }
    enter_new(v);
    for (int i = 0; i < n_list(v); i++)
        v->list[i].m = v->list[i].n;
    v->peak = kvcache_bytes(v->cache);
    return v;
fail:
    evict_destroy(v);
    return NULL;
}

struct evict *evict_clone(const struct evict *v, struct err *e)
{
    const struct hparams *hp = &v->s.model->hp;
    struct evict *copy = mem_new(1, sizeof *copy);
    size_t d = (size_t)hp->head_dim;
    *copy = *v;
    copy->borrows = 1;
    copy->cache = NULL;
    copy->tally = NULL;
    copy->list = NULL;
    if (alloc_lists(copy, v->cache, e))
        goto fail;
    if (v->tally) {
        copy->tally = tally_clone(v->tally, e);
        if (!copy->tally)
            goto fail;
    }
    for (int i = 0; i < n_list(v); i++) {
        const struct list *from = &v->list[i];
        struct list *to = &copy->list[i];
        to->n = from->n;
        to->m = from->m;
        if (from->order)
            memcpy(to->order, from->order, (size_t)from->n * sizeof *to->order);
        if (from->base) {
            memcpy(to->base, from->base, (size_t)from->n * d * sizeof *to->base);
            memcpy(to->stands, from->stands, (size_t)from->n * sizeof *to->stands);
        }
    }
    return copy;
fail:
    evict_destroy(copy);
    return NULL;
}

void evict_destroy(struct evict *v)
{
    if (!v)
        return;
    for (int i = 0; v->list && i < n_list(v); i++) {
        mem_free(v->list[i].order);
        mem_free(v->list[i].base);
        mem_free(v->list[i].stands);
    }
    if (v->self && !v->borrows && v->s.cell->policy->destroy)
        v->s.cell->policy->destroy(v->self);
    mem_free(v->list);
    tally_destroy(v->tally);
    kvcache_destroy(v->cache);
    mem_free(v);
}

struct kvcache *evict_cache(struct evict *v)
{
    return v->cache;
}

int evict_room(const struct evict *v)
{
    return v->room - v->since;
}

size_t evict_peak_bytes(const struct evict *v)
{
    return v->peak;
}

size_t evict_policy_bytes(const struct evict *v)
{
    return tally_bytes(v->tally);
}

int evict_protection_cut(const struct evict *v)
{
    return v->protection_cut;
}

void evict_row(struct evict *v, int layer, int head, const float *weight, int n_key)
{
    if (v->tally)
        tally_row(v->tally, layer, head, weight, n_key);
}

/* ---- one layer's cut: entries by position, scores, what goes, where the rest lies ------------- */

/* A layer's view and the room that it points into: arrays by head, whose entries lead into scores and statistics of all
 * heads (arena), their positions (pos) and what stays of them (mark), one array each. */
struct layer_view {
    struct policy_view v;
    struct policy_head *head;     /* [n_kv_head] */
    struct policy_attention *att; /* [n_head] */
    struct prune_head *prune;     /* [n_kv_head] */
    float **score;                /* [n_kv_head] -> [entries] */
    unsigned char **stay;         /* [n_kv_head] -> [entries] */
    int *m, *n;                   /* [n_kv_head] budget, entries */
    int *left;                    /* [n_kv_head] entries of the list that have left the layer's window: the oldest */
    const int32_t **order;        /* [n_kv_head] -> [entries] */
    float *arena;
    int32_t *pos;
    unsigned char *mark;
};

static void layer_view_fini(struct layer_view *w)
{
    mem_free(w->head);
    mem_free(w->att);
    mem_free(w->prune);
    mem_free(w->score);
    mem_free(w->stay);
    mem_free(w->m);
    mem_free(w->n);
    mem_free(w->left);
    mem_free(w->order);
    mem_free(w->arena);
    mem_free(w->pos);
    mem_free(w->mark);
}

static int layer_view_init(struct layer_view *w, struct evict *v, int layer, struct err *e)
{
    const struct hparams *hp = &v->s.model->hp;
    int H = hp->n_kv_head, n_row = v->rows ? v->tally->head[layer * hp->n_head].n_row : 0;
    const struct list *list = &v->list[layer * H];
    size_t entries = 0, first = 0;
    *w = (struct layer_view){.head = mem_new((size_t)H, sizeof *w->head),
                             .att = mem_new((size_t)hp->n_head, sizeof *w->att),
                             .prune = mem_new((size_t)H, sizeof *w->prune),
                             .score = mem_new((size_t)H, sizeof(float *)),
                             .stay = mem_new((size_t)H, sizeof(unsigned char *)),
                             .m = mem_new((size_t)H, sizeof *w->m),
                             .n = mem_new((size_t)H, sizeof *w->n),
                             .left = mem_new((size_t)H, sizeof *w->left),
                             .order = mem_new((size_t)H, sizeof *w->order)};
    for (int h = 0; h < H; h++) {
        w->n[h] = kvcache_n_held(v->cache, layer, h);
        w->left[h] = list[h].n - w->n[h];
        w->order[h] = list[h].order + w->left[h];
        entries += (size_t)w->n[h];
    }
    struct statistic_source from = {.hp = hp,
                                    .layer = layer,
                                    .cache = v->cache,
                                    .n = w->n,
                                    .order = w->order,
                                    .held = v->tally,
                                    .n_row = n_row < v->rows ? n_row : v->rows,
                                    .rows_held = 1};
    w->arena = mem_try_raw(entries + statistic_room(v->needs, &from), sizeof *w->arena, "scores of cached entries", e);
    w->pos = mem_try_raw(entries, sizeof *w->pos, "scores of cached entries", e);
    w->mark = mem_try_raw(entries, 1, "scores of cached entries", e);
    if (!w->arena || !w->pos || !w->mark)
        return -1;
    from.room = w->arena + entries;
    for (int h = 0; h < H; h++) {
        const struct kv_tail *tail = kvcache_tail(v->cache, layer, h);
        int32_t *pos = w->pos + first;
        for (int j = 0; j < w->n[h]; j++)
            pos[j] = tail->pos[w->order[h][j]];
        w->stay[h] = w->mark + first;
        w->score[h] = w->arena + first;
        first += (size_t)w->n[h];
        w->m[h] = list[h].m;
        w->prune[h] = (struct prune_head){w->n[h], pos};
        w->head[h] = (struct policy_head){.n_entry = w->n[h], .pos = pos};
    }
    observe_shape(v->s.model, v->s.cell, kvcache_n_seen(v->cache), v->s.sample, &w->v);
    w->v.n_query = v->since;
    statistic_show(v->needs, &from, &(struct statistic_sight){.view = &w->v, .head = w->head, .attention = w->att});
    return 0;
}

/* Turns the keys of one list, from rank `from` on, to where their entries stand now. */
static void turn(struct evict *v, int layer, int h, const struct list *t, int from)
{
    size_t d = (size_t)v->s.model->hp.head_dim;
    struct kv_tail *tail = kvcache_tail(v->cache, layer, h);
    const struct rope_table *rope =
        rope_set_of(v->s.rope, model_layer_kind(&v->s.model->hp, layer), kvcache_is_long(v->cache));
    int origin = kvcache_next_place(v->cache, layer, h) - t->n;
    for (int r = from; r < t->n; r++) {
        size_t slot = (size_t)t->order[r];
        kvrows_put_turned(kvrows_at(tail->k, slot * d), t->base + slot * d, d, rope, t->stands[slot] - (origin + r));
    }
}

/* Drops the oldest `gone` entries of one list, and of the others what does not stay (stay: by position), with their
 * statistics and from the cache. */
static int drop(struct evict *v, int layer, int h, int gone, const unsigned char *stay, struct err *e)
{
    struct list *t = &v->list[layer * v->s.model->hp.n_kv_head + h];
    size_t d = (size_t)v->s.model->hp.head_dim;
    int n = t->n, first = n, left = 0;
    unsigned char *by_slot = mem_try((size_t)n, 1, "evicted entries", e);
    int32_t *to = mem_try((size_t)n, sizeof *to, "evicted entries", e);
    if (by_slot && to) {
        for (int j = 0; j < n; j++) {
            by_slot[t->order[j]] = j >= gone && stay[j - gone];
            first = !by_slot[t->order[j]] && j < first ? j : first;
        }
        t->n = kvcache_evict(v->cache, layer, h, by_slot, to);
        if (v->tally)
            tally_move(v->tally, layer, h, to, n);
        for (int slot = 0; t->base && slot < n; slot++)
            if (to[slot] >= 0 && to[slot] != slot) {
                memcpy(t->base + (size_t)to[slot] * d, t->base + (size_t)slot * d, d * sizeof *t->base);
                t->stands[to[slot]] = t->stands[slot];
            }
        for (int j = 0; j < n; j++)
            if (j >= gone && stay[j - gone])
                t->order[left++] = to[t->order[j]];
        assert(left == t->n && left <= t->m);
        if (t->base)
            turn(v, layer, h, t, first);
    }
    int rc = by_slot && to ? 0 : -1;
    mem_free(by_slot);
    mem_free(to);
    return rc;
}

static int cut_layer(struct evict *v, int layer, int *protection_cut, struct err *e)
{
    const struct hparams *hp = &v->s.model->hp;
    const struct cell *c = v->s.cell;
    struct layer_view w;
    int rc = -1;
    if (layer_view_init(&w, v, layer, e))
        goto out;
    if (c->policy->score(c->policy->create ? v->self : c->policy_config, &w.v, w.score, e)) {
        if (e->code == ERR_OK)
            err_set(e, ERR_POLICY, "the policy gave no reason");
        err_wrap(e, "policy '%s', layer %d", c->policy->name, layer);
        goto out;
    }
    struct prune_request r = prune_request_of(c, hp);
    r.n = r.n_seen = kvcache_n_seen(v->cache);
    r.question_begin = v->s.question_begin;
    r.question_end = v->s.question_end;
    if (prune_layer(&r, layer, w.prune, (const float *const *)w.score, w.m, w.stay, protection_cut, e))
        goto out;
    for (int h = 0; h < hp->n_kv_head; h++)
        if (drop(v, layer, h, w.left[h], w.stay[h], e))
            goto out;
    rc = 0;
out:
    layer_view_fini(&w);
    return rc;
}

/* One layer of one cache that is due. */
struct task {
    struct evict *v;
    int owner, layer, protection_cut;
    struct err err;
};

static void run_tasks(struct task *task, int n, int alone)
{
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
    for (int i = 0; i < n; i++) /* a policy with a memory of its own is asked by one thread */
        if (alone == (task[i].v->s.cell->policy->create != NULL))
            cut_layer(task[i].v, task[i].layer, &task[i].protection_cut, &task[i].err);
}

void evict_fed(struct evict *const *v, const int *n_fed, int n, struct err *failed)
{
    int n_task = 0;
    size_t cap = 0;
    struct task *task = NULL;
    for (int i = 0; i < n; i++) {
        failed[i] = (struct err){0};
        if (!v[i] || !n_fed[i])
            continue;
        size_t bytes = kvcache_bytes(v[i]->cache);
        v[i]->peak = bytes > v[i]->peak ? bytes : v[i]->peak;
        v[i]->since += n_fed[i];
        enter_new(v[i]);
        assert(v[i]->since <= v[i]->s.cell->cut_every);
        if (v[i]->since < v[i]->s.cell->cut_every)
            continue;
        for (int l = 0; l < v[i]->s.model->hp.n_layer; l++) {
            if (!is_cut(v[i], l))
                continue;
            mem_grow(&task, &cap, (size_t)n_task + 1, sizeof *task);
            task[n_task++] = (struct task){.v = v[i], .owner = i, .layer = l};
        }
    }
    run_tasks(task, n_task, 0);
    run_tasks(task, n_task, 1);
    for (int i = 0; i < n_task; i++) {
        struct evict *cut = task[i].v;
        cut->protection_cut |= task[i].protection_cut;
        cut->since = 0;
        if (task[i].err.code != ERR_OK && failed[task[i].owner].code == ERR_OK)
            failed[task[i].owner] = task[i].err; /* of the lowest layer */
    }
    mem_free(task);
}
