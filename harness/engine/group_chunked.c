/* `prefill: chunked`: the prompt is read in chunks, and cut after each, so that later chunks see a pruned cache.
 *
 * Cells share a chunk, and all their scorers watch the same forward pass, as long as they kept the same entries so far:
 * a *branch* is a cache, and the cells whose history it is. After a chunk every cell of a branch is cut; those with
 * equal keep sets go on as one branch, the others as branches of their own. Branches are followed to their end one
 * after another (the *path* below is where we are), so that what is in memory is a branch and the forks that led to it,
 * not all branches at once. What a branch ends in does not depend on which other cells there are. */
#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/leave.h"
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
    int ended;         /* 1: the whole prompt was read, and the cache is sealed */
};

static void branch_fini(struct branch *b)
{
    kvcache_destroy(b->cache);
    tally_destroy(b->carried);
    mem_free(b->cell);
    *b = (struct branch){0};
}

/* Which statistics a cell reads that were not gathered in the pass at whose end it is cut. With `carry` its scorer sees
 * all queries since the first chunk; without, those of the last chunk alone. A cell that is cut while it decodes goes
 * on gathering, from what either of the two has. */
static int carries(const struct cell *c)
{
    return c->chunk.carry;
}

static int carries_into_decoding(const struct cell *c)
{
    return c->chunk.carry && c->cut_every;
}

static int decodes_with_last_chunk(const struct cell *c)
{
    return !c->chunk.carry && c->cut_every;
}

/* What those cells of a branch need that `of` picks, beyond the n_row rows that the pass at whose end they are cut
 * brings by itself. */
static struct tally_of memory_for(const struct group_run *s, const struct branch *b, int (*of)(const struct cell *),
                                  int n_row)
{
    struct cell **cell = mem_new((size_t)b->n_cell + 1, sizeof(struct cell *));
    struct tally_of m;
    for (int i = 0; i < b->n_cell; i++)
        cell[i] = s->g->cell[b->cell[i]];
    observe_memory(cell, b->n_cell, of, &m);
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

/* A branch on the path from the first chunk to where we are. */
struct step {
    struct branch branch;        /* its cells: those that were not followed so far */
    struct pass pass;            /* of its next chunk, ... */
    int is_read;                 /* ... which was read and cut after; cells fork off */
    int *failed, n_failed, told; /* cells that could not be cut; how many of them, or of an ended branch, were told */
};

struct chunked {
    struct step *path;
    int n_path;
    size_t cap;
    unsigned char *begun; /* [n_cell] */
};

static int next_rows(const struct group_run *s, const struct branch *b)
{
    return s->n - b->fed < b->size ? s->n - b->fed : b->size;
}

/* Makes the tallies that this pass fills.
 *   after   what the entries have gathered in this and all earlier passes. Scorers read it now, when some were there
 *           before and `carry` them; and it is the next pass's `before`, or what decoding goes on with.
 *   fresh   what they have gathered in this pass alone: decoding goes on with it in cells without `carry`. */
static int make_tallies(struct group_run *s, const struct branch *b, struct pass *p, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    int left = s->n - b->fed - p->n_row, next = left < b->size ? left : b->size;
    struct tally_of now = memory_for(s, b, carries, p->n_row), fresh = memory_for(s, b, decodes_with_last_chunk, 0),
                    after = p->last ? memory_for(s, b, carries_into_decoding, 0) : memory_for(s, b, carries, next);
    if (b->carried) {
        after.columns |= now.columns;
        after.layers = now.layers == WINDOWS_PRUNE ? now.layers : after.layers;
        if (now.window && now.window + p->n_row > after.window) /* some scorer reads more rows than this pass has */
            after.window = now.window + p->n_row;
    }
    if (after.columns || after.window) {
        p->after = tally_create(hp, b->cache, p->n_row, &after, e);
        if (!p->after)
            return -1;
    }
    if (p->last && (fresh.columns || fresh.window)) {
        p->fresh = tally_create(hp, b->cache, p->n_row, &fresh, e);
        if (!p->fresh)
            return -1;
    }
    return 0;
}

/* One chunk through the branch's cache, with all scorers watching. */
static int feed(struct group_run *s, struct branch *b, struct pass *p, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    double start = clock_seconds();
    p->n_row = next_rows(s, b);
    p->last = b->fed + p->n_row == s->n;
    p->cell = mem_new((size_t)b->n_cell + 1, sizeof(struct cell *));
    for (int i = 0; i < b->n_cell; i++)
        p->cell[i] = g->cell[b->cell[i]];
    if (make_tallies(s, b, p, e))
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
    return leave_stopped(e);
}

/* Cuts every cell of the branch after a chunk. Cells that fail leave it: there is nothing more to read for them. */
static int cut_all(struct group_run *s, struct step *at, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    struct branch *b = &at->branch;
    int rc = -1, left = 0;
    int *available = mem_new((size_t)hp->n_layer, sizeof *available);
    struct prune_head *head = mem_new((size_t)hp->n_layer * (size_t)hp->n_kv_head, sizeof *head);
    at->failed = mem_new((size_t)b->n_cell + 1, sizeof *at->failed);
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            const struct kv_tail *t = kvcache_tail(b->cache, l, h);
            int n = kvcache_n_held(b->cache, l, h); /* the last ones: those before have left the layer's window */
            head[l * hp->n_kv_head + h] = (struct prune_head){n, t->pos + t->n - n};
            /* heads are cut to equal numbers, but other entries of each leave a window */
            available[l] = n > available[l] ? n : available[l];
        }
    for (int i = 0; i < b->n_cell; i++) {
        int c = b->cell[i];
        struct cut *k = &s->cut[c];
        struct cut_input in = {.n = g->cell[c]->chunk.budget == CHUNK_FINAL ? s->n : b->fed,
                               .n_seen = b->fed,
                               .available = available,
                               .head = head,
                               .score = observe_scores(at->pass.observer, i, &k->err)};
        size_t bytes = kvcache_bytes(b->cache);
        k->peak_bytes = bytes > k->peak_bytes ? bytes : k->peak_bytes;
        k->prefill_s = b->seconds;
        if (in.score && group_cut(s, c, &in, e))
            goto out;
        if (k->err.code == ERR_OK && at->pass.last && g->keep_scores)
            k->scores = group_scores_copy(s, c, b->cache, in.score);
        if (k->err.code == ERR_OK)
            b->cell[left++] = c;
        else
            at->failed[at->n_failed++] = c;
    }
    b->n_cell = left;
    rc = 0;
out:
    mem_free(available);
    mem_free(head);
    return rc;
}

/* 1 when the cell's kept keys are turned to their ranks: it is packed, and something was removed, now or earlier. */
static int is_turned(const struct group_run *s, int c, const struct branch *b)
{
    const struct keepset *k = s->cut[c].keep;
    if (!s->g->cell[c]->packed)
        return 0;
    for (int i = 0; i < k->n_layer * k->n_kv_head; i++)
        if (k->count[i] < prune_holds(&s->g->model->hp, i / k->n_kv_head, b->fed))
            return 1;
    return kvcache_is_packed(b->cache);
}

static int same_history(const struct group_run *s, int a, int b, const struct branch *of)
{
    const struct keepset *x = s->cut[a].keep, *y = s->cut[b].keep;
    size_t heads = (size_t)x->n_layer * (size_t)x->n_kv_head;
    return memcmp(x->bits, y->bits, heads * x->words * sizeof *x->bits) == 0 &&
           is_turned(s, a, of) == is_turned(s, b, of);
}

/* The cells of b that share the keep set of its first cell move to `out`; order is kept on both sides. */
static void split_off(const struct group_run *s, struct branch *b, struct branch *out)
{
    int left = 0, first = b->cell[0];
    *out = (struct branch){
        .fed = b->fed, .size = b->size, .seconds = b->seconds, .cell = mem_new((size_t)b->n_cell, sizeof *out->cell)};
    for (int i = 0; i < b->n_cell; i++)
        if (same_history(s, first, b->cell[i], b))
            out->cell[out->n_cell++] = b->cell[i];
        else
            b->cell[left++] = b->cell[i];
    b->n_cell = left;
}

/* What the cells of `to` keep of `from`, with room for the next chunk. */
static int take_cache(struct group_run *s, const struct branch *from, const struct pass *p, struct branch *to,
                      struct err *e)
{
    const struct model *m = s->g->model;
    int first = to->cell[0], turned = is_turned(s, first, from), room = next_rows(s, to);
    const struct keepset *keep = s->cut[first].keep;
    if (turned && rope_set_reserve(&s->rope, m, kvcache_is_long(from->cache), s->n, e))
        return -1;
    to->cache = kvcache_gather(from->cache, keep, room, room, turned ? &s->rope : NULL, e);
    if (!to->cache)
        return -1;
    struct tally_of memory = memory_for(s, to, carries, room);
    if (!p->last && (memory.columns || memory.window)) {
        to->carried = tally_gather(p->after, &m->hp, from->cache, keep, 0, &memory, e);
        if (!to->carried)
            return -1;
    }
    for (int i = 0; p->last && i < to->n_cell; i++) { /* for cells that are cut while they decode */
        struct cell *cell = s->g->cell[to->cell[i]];
        struct cut *k = &s->cut[to->cell[i]];
        observe_memory(&cell, 1, NULL, &memory);
        if (!cell->cut_every || !(memory.columns || memory.window))
            continue;
        k->tally = tally_gather(cell->chunk.carry ? p->after : p->fresh, &m->hp, from->cache, keep, 0, &memory, e);
        if (!k->tally)
            return -1;
    }
    return 0;
}

/* The prompt ends here: the cells of a branch share one sealed cache, which predicts the first token of their answers
 * where nothing was held back. */
static int seal(struct group_run *s, struct branch *b, const struct pass *p, struct err *e)
{
    size_t vocab = (size_t)s->g->model->hp.n_vocab;
    b->ended = 1;
    if (kvcache_seal(b->cache, 0, e))
        return -1;
    for (int i = 0; p->logits && i < b->n_cell; i++) {
        struct cut *k = &s->cut[b->cell[i]];
        k->first_logits = mem_try(vocab, sizeof *k->first_logits, "logits", e);
        if (!k->first_logits)
            return -1;
        memcpy(k->first_logits, p->logits, vocab * sizeof *p->logits);
    }
    return 0;
}

/* ---- the way through the branches ------------------------------------------------------------- */

static void step_fini(struct step *at)
{
    branch_fini(&at->branch);
    pass_fini(&at->pass);
    mem_free(at->failed);
    *at = (struct step){0};
}

static struct step *push(struct chunked *k, const struct branch *b)
{
    mem_grow(&k->path, &k->cap, (size_t)k->n_path + 1, sizeof *k->path);
    k->path[k->n_path] = (struct step){.branch = *b};
    return &k->path[k->n_path++];
}

static int chunk_size(const struct group_run *s,
                      int c) /* 0: the cell's prefill is not chunked, or its rows are there */
{
    int64_t size = group_wanted(s->g, c) ? s->g->cell[c]->chunk.size : 0;
    return size < s->n ? (int)size : s->n;
}

/* All cells with the chunks of the first one that was not begun: 1; 0: all were. */
static int begin_branch(struct group_run *s, struct chunked *k, struct err *e)
{
    const struct group *g = s->g;
    int first = 0;
    while (first < g->n_cell && (k->begun[first] || !chunk_size(s, first)))
        first++;
    if (first == g->n_cell)
        return 0;
    struct branch b = {.size = chunk_size(s, first), .cell = mem_new((size_t)g->n_cell, sizeof *b.cell)};
    for (int c = first; c < g->n_cell; c++)
        if (chunk_size(s, c) == b.size) {
            b.cell[b.n_cell++] = c;
            k->begun[c] = 1;
        }
    b.cache = kvcache_create_held(&g->model->hp, g->cell[0]->cache_dtype, b.size, e);
    if (!b.cache) {
        branch_fini(&b);
        return -1;
    }
    kvcache_set_longest(b.cache, &g->model->hp, s->longest);
    push(k, &b);
    return 1;
}

/* Reads the next chunk of the branch where we are, and cuts its cells. */
static int read_chunk(struct group_run *s, struct step *at, struct err *e)
{
    if (feed(s, &at->branch, &at->pass, e))
        return -1;
    timing_begin(TIMING_CUTTING);
    int rc = cut_all(s, at, e);
    timing_end();
    at->is_read = 1;
    return rc;
}

/* Takes the cells off the branch where we are that go on with the same entries, and follows them: as a step of their
 * own, or, when they are the last, in place of the branch that they come from, which is released. */
static int fork_off(struct group_run *s, struct chunked *k, struct err *e)
{
    struct step *at = &k->path[k->n_path - 1];
    struct branch part;
    split_off(s, &at->branch, &part);
    timing_begin(TIMING_CUTTING);
    int rc = take_cache(s, &at->branch, &at->pass, &part, e);
    timing_end();
    if (rc) {
        branch_fini(&part);
        return -1;
    }
    if (at->branch.n_cell) {
        struct pass last = at->pass; /* `at` may move */
        at = push(k, &part);
        return last.last ? seal(s, &at->branch, &last, e) : 0;
    }
    branch_fini(&at->branch);
    at->branch = part;
    rc = at->pass.last ? seal(s, &at->branch, &at->pass, e) : 0;
    pass_fini(&at->pass);
    mem_free(at->failed);
    *at = (struct step){.branch = at->branch};
    return rc;
}

struct chunked *group_chunked_begin(const struct group_run *s)
{
    struct chunked *k = mem_new(1, sizeof *k);
    k->begun = mem_new((size_t)s->g->n_cell, 1);
    return k;
}

int group_chunked_next(struct group_run *s, struct ready *out, struct err *e)
{
    struct chunked *k = s->chunked;
    for (;;) {
        struct step *at = k->n_path ? &k->path[k->n_path - 1] : NULL;
        int rc = 0;
        if (!at) {
            rc = begin_branch(s, k, e);
            if (rc == 0)
                return 0;
        } else if (at->told < at->n_failed) { /* its row tells why */
            *out = (struct ready){.cell = at->failed[at->told++]};
            return 1;
        } else if (at->branch.ended && at->told < at->branch.n_cell) {
            *out = (struct ready){.cell = at->branch.cell[at->told++], .leaf = at->branch.cache};
            return 1;
        } else if (at->branch.ended || at->branch.n_cell == 0) {
            step_fini(at);
            k->n_path--;
        } else if (!at->is_read) {
            rc = read_chunk(s, at, e);
        } else {
            rc = fork_off(s, k, e);
        }
        if (rc < 0)
            return -1;
    }
}

void group_chunked_end(struct chunked *k)
{
    if (!k)
        return;
    while (k->n_path)
        step_fini(&k->path[--k->n_path]);
    mem_free(k->path);
    mem_free(k->begun);
    mem_free(k);
}
