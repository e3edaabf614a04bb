/* `prefill: chunked`: the prompt is read in chunks, and cut after each, so that later chunks see a pruned cache.
 *
 * Cells share a chunk, and all their scorers watch the same forward pass, as long as they kept the same entries so far:
 * a *branch* is a cache, and the cells whose history it is. After a chunk every cell of a branch is cut; those with
 * equal keep sets go on as one branch, the others as branches of their own. Branches are followed to their end one
 * after another, so that what is in memory is a branch and the forks that led to it, not all branches at once. What a
 * branch ends in does not depend on which other cells there are. */
#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/group_int.h"
#include "harness/engine/prefill.h"
#include "harness/engine/prune.h"

struct branch {
    struct kvcache *cache; /* all in tails: what is left of `fed` tokens, with room for the next chunk */
    struct tally *carried; /* statistics of those entries; NULL: nobody needs any, or nothing was fed */
    int fed;
    int size;          /* of its chunks */
    int *cell, n_cell; /* indices into group.cell */
    double seconds;    /* of the passes so far */
};

static void branch_fini(struct branch *b)
{
    kvcache_destroy(b->cache);
    tally_destroy(b->carried);
    mem_free(b->cell);
    *b = (struct branch){0};
}

static int carries(const struct cell *c)
{
    return c->chunk.carry;
}

static int carries_on(const struct cell *c) /* to decoding */
{
    return c->chunk.carry && c->cut_every;
}

static int begins_anew(const struct cell *c)
{
    return !c->chunk.carry && c->cut_every;
}

/* What certain cells of a branch need of what was read before a pass that brings n_row rows itself. */
struct memory {
    int columns, window;
};

static struct memory memory_for(const struct group_state *s, const struct branch *b, int (*of)(const struct cell *),
                                int n_row)
{
    struct cell **cell = mem_new((size_t)b->n_cell + 1, sizeof(struct cell *));
    struct memory m;
    for (int i = 0; i < b->n_cell; i++)
        cell[i] = s->g->cell[b->cell[i]];
    observe_memory(cell, b->n_cell, of, &m.columns, &m.window);
    m.window = m.window > n_row ? m.window - n_row : 0;
    mem_free(cell);
    return m;
}

struct pass {
    struct observer *observer;
    struct tally *after, *fresh; /* with what was carried, and without */
    struct cell **cell;
    float *logits; /* [n_vocab] of the prompt's last token; NULL: not wanted */
    int n_row, last;
};

static void pass_fini(struct pass *p)
{
    observe_destroy(p->observer);
    tally_destroy(p->after);
    tally_destroy(p->fresh);
    mem_free(p->cell);
    mem_free(p->logits);
}

static int next_rows(const struct group_state *s, const struct branch *b)
{
    return s->n - b->fed < b->size ? s->n - b->fed : b->size;
}

/* Room for the statistics that outlive this pass: those that scorers see at its end together with what was carried,
 * that the next pass or decoding asks for. */
static int remember(struct group_state *s, const struct branch *b, struct pass *p, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    int left = s->n - b->fed - p->n_row;
    struct memory now = memory_for(s, b, carries, p->n_row), anew = memory_for(s, b, begins_anew, 0),
                  later = p->last ? memory_for(s, b, carries_on, 0)
                                  : memory_for(s, b, carries, left < b->size ? left : b->size);
    int window =
        b->carried && now.window ? now.window + p->n_row : 0; /* this pass has fewer rows than some scorer asks for */
    later.columns |= b->carried && now.columns;
    later.window = window > later.window ? window : later.window;
    if (later.columns || later.window) {
        p->after = tally_create(hp, b->cache, p->n_row, later.columns, later.window, e);
        if (!p->after)
            return -1;
    }
    if (p->last && (anew.columns || anew.window)) {
        p->fresh = tally_create(hp, b->cache, p->n_row, anew.columns, anew.window, e);
        if (!p->fresh)
            return -1;
    }
    return 0;
}

/* One chunk through the branch's cache, with all scorers watching. */
static int feed(struct group_state *s, struct branch *b, struct pass *p, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    double start = clock_seconds();
    p->n_row = next_rows(s, b);
    p->last = b->fed + p->n_row == s->n;
    p->cell = mem_new((size_t)b->n_cell + 1, sizeof(struct cell *));
    for (int i = 0; i < b->n_cell; i++)
        p->cell[i] = g->cell[b->cell[i]];
    if (remember(s, b, p, e))
        return -1;
    if (p->last && g->prune_after == PRUNE_AFTER_PROMPT) {
        p->logits = mem_try((size_t)hp->n_vocab, sizeof *p->logits, "logits", e);
        if (!p->logits)
            return -1;
    }
    struct prefill read = {.model = g->model,
                           .work = g->work,
                           .token = g->prompt[0].ids.id,
                           .first = b->fed,
                           .n = p->n_row,
                           .cache = b->cache,
                           .want_logits = p->logits != NULL,
                           .logits = p->logits};
    struct observe_pass pass = {.sample = g->sample_hash, .before = b->carried, .after = p->after, .fresh = p->fresh};
    p->observer = prefill_observed(&read, p->cell, b->n_cell, &pass, e);
    if (!p->observer)
        return -1;
    b->fed += p->n_row;
    b->seconds += clock_seconds() - start;
    return group_interrupted(g, e);
}

/* Scores by position, for onlookers. */
static int inspect(struct group_state *s, struct branch *b, int c, const float *const *const *score, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, n = (size_t)s->n;
    float *value = mem_new(heads * n, sizeof *value);
    const float **head = mem_new(heads, sizeof *head), *const **layer = mem_new((size_t)hp->n_layer, sizeof *layer);
    for (size_t i = 0; i < heads * n; i++)
        value[i] = NAN;
    for (size_t i = 0; i < heads; i++) {
        int l = (int)i / hp->n_kv_head, h = (int)i % hp->n_kv_head;
        const struct kv_tail *t = kvcache_tail(b->cache, l, h);
        for (int j = 0; j < t->n; j++)
            value[i * n + (size_t)t->pos[j]] = score[l][h][j];
        head[i] = value + i * n;
        layer[l] = head + (size_t)l * (size_t)hp->n_kv_head;
    }
    int rc = g->inspect(g->ctx, c, layer, s->cut[c].keep, s->cut[c].entries, e);
    mem_free(value);
    mem_free(head);
    mem_free(layer);
    return rc;
}

/* Cuts every cell of the branch after a chunk. Cells that fail leave it. */
static int cut_all(struct group_state *s, struct branch *b, const struct pass *p, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    int rc = -1, left = 0;
    int *available = mem_new((size_t)hp->n_layer, sizeof *available);
    struct prune_head *head = mem_new((size_t)hp->n_layer * (size_t)hp->n_kv_head, sizeof *head);
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            const struct kv_tail *t = kvcache_tail(b->cache, l, h);
            head[l * hp->n_kv_head + h] = (struct prune_head){t->n, t->pos};
            available[l] = t->n; /* the same in all heads: they are cut to equal numbers */
        }
    for (int i = 0; i < b->n_cell; i++) {
        int c = b->cell[i];
        struct cut *k = &s->cut[c];
        const struct chunking *chunk = &g->cell[c]->chunk;
        struct cut_input in = {.n = chunk->budget == CHUNK_FINAL ? s->n : b->fed,
                               .n_seen = b->fed,
                               .available = available,
                               .head = head,
                               .score = observe_scores(p->observer, i, &k->err)};
        size_t bytes = kvcache_bytes(b->cache);
        k->peak_bytes = bytes > k->peak_bytes ? bytes : k->peak_bytes;
        k->prefill_s = b->seconds;
        if (in.score && group_cut(s, c, &in, e))
            goto out;
        if (k->err.code == ERR_OK && p->last && g->inspect && inspect(s, b, c, in.score, e))
            goto out;
        if (k->err.code == ERR_OK)
            b->cell[left++] = c;
        else if (group_enqueue(s, c, NULL, e)) /* its row tells why */
            goto out;
    }
    b->n_cell = left;
    rc = 0;
out:
    mem_free(available);
    mem_free(head);
    return rc;
}

/* 1 when the cell's kept keys are turned to their ranks: it is packed, and something was removed. */
static int is_turned(const struct group_state *s, int c, int fed)
{
    const struct keepset *k = s->cut[c].keep;
    for (int i = 0; s->g->cell[c]->packed && i < k->n_layer * k->n_kv_head; i++)
        if (k->count[i] < fed)
            return 1;
    return 0;
}

static int same_history(const struct group_state *s, int a, int b, int fed)
{
    const struct keepset *x = s->cut[a].keep, *y = s->cut[b].keep;
    size_t heads = (size_t)x->n_layer * (size_t)x->n_kv_head;
    return memcmp(x->bits, y->bits, heads * x->words * sizeof *x->bits) == 0 &&
           is_turned(s, a, fed) == is_turned(s, b, fed);
}

/* The cells of b that share the keep set of its first cell move to `out`; order is kept on both sides. */
static void split_off(const struct group_state *s, struct branch *b, struct branch *out)
{
    int left = 0, first = b->cell[0];
    *out = (struct branch){
        .fed = b->fed, .size = b->size, .seconds = b->seconds, .cell = mem_new((size_t)b->n_cell, sizeof *out->cell)};
    for (int i = 0; i < b->n_cell; i++)
        if (same_history(s, first, b->cell[i], b->fed))
            out->cell[out->n_cell++] = b->cell[i];
        else
            b->cell[left++] = b->cell[i];
    b->n_cell = left;
}

/* What the cells of `to` keep of `from`, with room for the next chunk. */
static int take_cache(struct group_state *s, const struct branch *from, const struct pass *p, struct branch *to,
                      struct err *e)
{
    const struct model *m = s->g->model;
    int first = to->cell[0], turned = is_turned(s, first, to->fed), room = next_rows(s, to);
    const struct keepset *keep = s->cut[first].keep;
    if (turned && rope_reserve(&s->rope, m->rope_freq, m->hp.head_dim / 2, s->n, e))
        return -1;
    to->cache = kvcache_gather(from->cache, keep, room, turned ? &s->rope : NULL, e);
    if (!to->cache)
        return -1;
    struct memory memory = memory_for(s, to, carries, room);
    if (!p->last && (memory.columns || memory.window)) {
        to->carried = tally_gather(p->after, &m->hp, from->cache, keep, 0, memory.columns, memory.window, e);
        if (!to->carried)
            return -1;
    }
    for (int i = 0; p->last && i < to->n_cell; i++) { /* for cells that are cut while they decode */
        struct cell *cell = s->g->cell[to->cell[i]];
        struct cut *k = &s->cut[to->cell[i]];
        observe_memory(&cell, 1, NULL, &memory.columns, &memory.window);
        if (!cell->cut_every || !(memory.columns || memory.window))
            continue;
        k->tally = tally_gather(cell->chunk.carry ? p->after : p->fresh, &m->hp, from->cache, keep, 0, memory.columns,
                                memory.window, e);
        if (!k->tally)
            return -1;
    }
    return 0;
}

/* A branch has ended: its cells share one sealed cache. */
static int finish(struct group_state *s, const struct branch *b, const struct pass *p, struct err *e)
{
    size_t vocab = (size_t)s->g->model->hp.n_vocab;
    if (kvcache_seal(b->cache, 0, e))
        return -1;
    for (int i = 0; i < b->n_cell; i++) {
        struct cut *k = &s->cut[b->cell[i]];
        if (p->logits) {
            k->first_logits = mem_try(vocab, sizeof *k->first_logits, "logits", e);
            if (!k->first_logits)
                return -1;
            memcpy(k->first_logits, p->logits, vocab * sizeof *p->logits);
        }
        if (group_enqueue(s, b->cell[i], b->cache, e))
            return -1;
    }
    return 0;
}

/* Follows a branch to its end; what it holds is released. */
static int follow(struct group_state *s, struct branch *b, struct err *e)
{
    int rc = -1;
    while (b->n_cell) {
        struct pass p = {0};
        struct branch part = {0};
        int bad = feed(s, b, &p, e);
        timing_begin(TIMING_CUTTING);
        bad = bad || cut_all(s, b, &p, e);
        timing_end();
        while (!bad && b->n_cell) {
            split_off(s, b, &part);
            timing_begin(TIMING_CUTTING);
            bad = take_cache(s, b, &p, &part, e);
            timing_end();
            if (bad || b->n_cell == 0)
                break; /* the last part goes on in this loop, when its origin has been released */
            bad = p.last ? finish(s, &part, &p, e) : follow(s, &part, e);
            branch_fini(&part);
        }
        branch_fini(b);
        *b = part;
        if (!bad && b->n_cell && p.last) {
            bad = finish(s, b, &p, e);
            b->n_cell = 0;
        }
        pass_fini(&p);
        if (bad)
            goto out;
    }
    rc = 0;
out:
    branch_fini(b);
    return rc;
}

int group_chunked(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    unsigned char *done = mem_new((size_t)g->n_cell, 1);
    int rc = -1;
    for (int c = 0; c < g->n_cell; c++) {
        int size = g->cell[c]->chunk.size < s->n ? (int)g->cell[c]->chunk.size : s->n;
        if (!g->cell[c]->chunk.size || done[c] || !group_wanted(g, c))
            continue;
        struct branch b = {.size = size, .cell = mem_new((size_t)g->n_cell, sizeof *b.cell)};
        for (int i = c; i < g->n_cell; i++)
            if (g->cell[i]->chunk.size && group_wanted(g, i) &&
                (g->cell[i]->chunk.size < s->n ? (int)g->cell[i]->chunk.size : s->n) == size) {
                b.cell[b.n_cell++] = i;
                done[i] = 1;
            }
        b.cache = kvcache_create(&g->model->hp, size, e);
        if (!b.cache) {
            branch_fini(&b);
            goto out;
        }
        if (follow(s, &b, e))
            goto out;
    }
    rc = group_flush(s, e);
out:
    mem_free(done);
    return rc;
}
