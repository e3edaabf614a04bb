/* Cells whose cuts are known decode together, as many as fit into memory: their caches, the decoding, their rows. */
#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/group_int.h"

/* Tokens that are fed to one question's sequence at most: what was held back, and the longest forced or generated
 * continuation. */
static int tail_capacity(const struct group_run *s, int q)
{
    const struct prompt *p = &s->g->prompt[q];
    return decode_tail_capacity(p->ids.n - s->n, group_longest(p, group_new_tokens(s->g, q)) - p->ids.n);
}

/* Bytes that a cell's decoding holds and nobody else: segments that are not whole, and tails; or, where it is cut while
 * it decodes, two caches of its own (one for forced passes to begin with, one that decodes), packed ones with a second
 * copy of the keys, and the policy's statistics. */
static size_t own_bytes(const struct group_run *s, const struct ready *r)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    const struct cell *cell = g->cell[r->cell];
    const struct cut *k = &s->cut[r->cell];
    size_t kept = 0, shared = 0, fed = 0, heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head;
    if (k->err.code != ERR_OK)
        return 0;
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            kept += (size_t)keepset_count(k->keep, l, h);
            if (!r->leaf && keepset_count(k->keep, l, h) == kvcache_n_entry(s->full, l, h))
                shared += (size_t)keepset_count(k->keep, l, h);
        }
    for (int q = 0; q < g->n_question; q++)
        fed += heads * (size_t)tail_capacity(s, q);
    if (!cell->cut_every)
        return (kept - shared + fed) * group_entry_bytes(g);
    struct tally_of of;
    observe_memory(&g->cell[r->cell], 1, NULL, &of);
    size_t entry = group_entry_bytes(g) + (cell->packed ? (size_t)hp->head_dim * sizeof(float) : 0);
    entry += (size_t)hp->n_group * (size_t)(2 * of.columns + of.window) * sizeof(float);
    size_t whole = 0; /* of fed: layers that are never cut, where all tokens stay until the end */
    for (int l = 0; l < hp->n_layer; l++)
        whole += prune_takes(cell, hp, l) ? 0 : fed / (size_t)hp->n_layer;
    size_t room = heads * (size_t)cell->cut_every + whole;
    return 2 * ((size_t)g->n_question * kept + (room < fed ? room : fed)) * entry + kept * group_entry_bytes(g);
}

/* The cache of one question: of the cell's own leaf, or cut from the full one. */
static int make_cache(struct group_run *s, struct cell_run *r, const struct kvcache *leaf, struct err *e)
{
    const struct model *m = s->g->model;
    const struct keepset *keep = r->cell == GROUP_REFERENCE ? NULL : s->cut[r->cell].keep;
    int capacity = tail_capacity(s, r->question), turned = !leaf && s->g->cell[r->cell]->packed;
    if (turned && rope_set_reserve(&s->rope, m, kvcache_is_long(s->full), s->n, e))
        return -1;
    timing_begin(TIMING_CUTTING);
    if (leaf)
        r->sequence.cache = kvcache_derive(leaf, NULL, capacity, NULL, e);
    else if (turned)
        r->sequence.cache = kvcache_derive_packed(s->full, keep, capacity, s->batch.pool, &s->rope, e);
    else
        r->sequence.cache = kvcache_derive(s->full, keep, capacity, s->batch.pool, e);
    timing_end();
    return r->sequence.cache ? 0 : -1;
}

int group_batch_fits(const struct group_run *s, const struct ready *r)
{
    return s->batch.n == 0 || s->batch.bytes + own_bytes(s, r) <= s->g->batch_bytes;
}

int group_batch_add(struct group_run *s, const struct ready *r, struct err *e)
{
    struct batch *b = &s->batch;
    b->bytes += own_bytes(s, r);
    b->cell[b->n++] = r->cell;
    for (int q = 0; r->leaf && q < s->g->n_question; q++) /* the leaf goes when its branch does */
        if (make_cache(s, group_run_of(s, r->cell, q), r->leaf, e))
            return -1;
    return 0;
}

/* The statistics that a cell reads which is cut while it decodes, of the entries that it keeps; s->cut[c].tally stays
 * NULL where it reads none. */
static int take_tally(struct group_run *s, int c, struct err *e)
{
    struct cut *k = &s->cut[c];
    struct tally_of of;
    int any = observe_memory(&s->g->cell[c], 1, NULL, &of);
    if (k->tally || !s->tally || !any)
        return 0;
    k->tally = tally_gather(s->tally, &s->g->model->hp, s->full, c == GROUP_REFERENCE ? NULL : k->keep, 0, &of, e);
    return k->tally ? 0 : -1;
}

/* Gives a sequence that is cut while it decodes a cache of its own, in place of the shared one. */
static int make_private(struct group_run *s, struct cell_run *r, struct err *e)
{
    const struct model *m = s->g->model;
    const struct prompt *p = &s->g->prompt[r->question];
    struct sequence *t = &r->sequence;
    struct evict_setup setup = {
        .model = m,
        .cell = s->g->cell[r->cell],
        .cache = t->cache,
        .rope = &s->rope,
        .question_begin = p->context_end,
        .question_end = p->question_end,
        .n_feed = tail_capacity(s, r->question),
        .sample = s->g->sample_hash,
    };
    if (setup.cell->packed && rope_set_reserve(&s->rope, m, kvcache_is_long(t->cache), s->n + setup.n_feed + 1, e))
        return -1;
    timing_begin(TIMING_CUTTING);
    if (take_tally(s, r->cell, e) == 0) {
        setup.tally = s->cut[r->cell].tally;
        t->evict = evict_create(&setup, e);
    }
    timing_end();
    if (!t->evict)
        return -1;
    r->policy_bytes = evict_policy_bytes(t->evict);
    kvcache_destroy(t->cache);
    t->cache = NULL;
    return 0;
}

/* The sequence of one cell and question, ready to decode. */
static int make_sequence(struct group_run *s, struct cell_run *r, struct err *e)
{
    const struct group *g = s->g;
    const struct prompt *p = &g->prompt[r->question];
    const struct dataset_question *asked = &g->item->question[g->question[r->question]];
    const float *first = s->cut[r->cell].first_logits;
    struct sequence *t = &r->sequence;
    t->n = s->n;
    t->held = p->ids.id + s->n;
    t->n_held = p->ids.n - s->n;
    t->first_logits = first ? first : s->first_logits;
    t->stop = asked->stop;
    t->n_stop = asked->n_stop;
    t->max_new_tokens = group_new_tokens(g, r->question);
    t->fixed_length = g->fixed_length;
    t->forced = group_wants_kl(g) || group_wants_nll(g);
    if (!t->cache && make_cache(s, r, NULL, e))
        return -1;
    r->bytes = kvcache_bytes(t->cache);
    return g->cell[r->cell]->cut_every ? make_private(s, r, e) : 0;
}

/* Sequences of all cells of the batch that are well, into run; how many, or -1. */
static int make_sequences(struct group_run *s, struct cell_run **run, struct err *e)
{
    int n = 0;
    for (int i = 0; i < s->batch.n; i++) {
        int c = s->batch.cell[i];
        for (int q = 0; s->cut[c].err.code == ERR_OK && q < s->g->n_question; q++) {
            run[n] = group_run_of(s, c, q);
            if (make_sequence(s, run[n++], e))
                return -1;
        }
        tally_destroy(s->cut[c].tally);
        s->cut[c].tally = NULL;
    }
    return n;
}

int group_batch_decode(struct group_run *s, struct err *e)
{
    const struct group *g = s->g;
    size_t most = (size_t)s->batch.n * (size_t)g->n_question + 1;
    struct cell_run **run = mem_new(most, sizeof *run);
    struct sequence **sequence = mem_new(most, sizeof *sequence);
    struct group_watch on = {.s = s, .run = run};
    struct decode_watch watch = {.ctx = &on, .step = group_watch_step};
    double start = clock_seconds();
    int rc = -1;
    s->batch.pool = kvcache_pool_create();
    int n = make_sequences(s, run, e);
    for (int i = 0; i < n; i++) {
        sequence[i] = &run[i]->sequence;
        group_measure_begin(run[i]);
    }
    if (n < 0 || decode_greedy(g->model, g->work, sequence, n, &watch, e))
        goto out;
    s->resident = kvcache_resident_bytes();
    if (group_measure(s, e))
        goto out;
    for (int i = 0; i < n; i++) {
        struct cut *k = &s->cut[run[i]->cell];
        k->result.protection_cut |= run[i]->sequence.protection_cut;
        if (run[i]->sequence.err.code != ERR_OK && k->err.code == ERR_OK)
            k->err = run[i]->sequence.err;
    }
    s->decode_s = clock_seconds() - start;
    rc = 0;
out:
    mem_free(run);
    mem_free(sequence);
    return rc;
}

int group_batch_next(struct group_run *s, struct group_done *out)
{
    struct batch *b = &s->batch;
    int n_question = s->g->n_question;
    group_row_fini(&b->row);
    while (b->next < b->n * n_question) {
        int c = b->cell[b->next / n_question], q = b->next % n_question;
        const struct cut *k = &s->cut[c];
        const struct cell_run *r = group_run_of(s, c, q);
        int is_well = k->err.code == ERR_OK;
        b->next++;
        if (!group_wanted_row(s->g, c, q))
            continue;
        group_row_init(s, r, &b->row);
        if (is_well)
            group_row_fill(s, r, &b->row);
        *out = (struct group_done){.cell = c, .question = q, .row = &b->row};
        if (is_well) {
            out->keep = k->keep;
            out->entries = k->entries;
            out->score = k->scores ? k->scores->layer : NULL;
        }
        return 1;
    }
    return 0;
}

void group_batch_end(struct group_run *s)
{
    struct batch *b = &s->batch;
    group_row_fini(&b->row);
    for (int i = 0; i < b->n; i++)
        for (int q = 0; q < s->g->n_question; q++)
            decode_sequence_fini(&group_run_of(s, b->cell[i], q)->sequence);
    kvcache_pool_destroy(b->pool);
    b->pool = NULL;
    b->n = b->next = 0;
    b->bytes = 0;
}
