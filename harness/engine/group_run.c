#include "harness/engine/group.h"
#include "harness/engine/prune.h"

#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/decode.h"
#include "harness/engine/group_int.h"
#include "harness/engine/prefill.h"

/* What all cells of the group may generate; a record's own number goes before the cell's. */
static int new_tokens(const struct group *g, int q)
{
    int own = g->item->question[g->question[q]].max_new_tokens;
    return own ? own : g->cell[0]->max_new_tokens;
}

static int too_long(const struct group *g, struct err *e)
{
    int limit = g->model->hp.context_length;
    for (int q = 0; q < g->n_question; q++) {
        int total = g->prompt[q].ids.n + new_tokens(g, q);
        if (total > limit)
            return err_set(e, ERR_CONFIG, "prompt of %d tokens + %d to generate exceed the model's context of %d",
                           g->prompt[q].ids.n, new_tokens(g, q), limit);
    }
    return 0;
}

/* Tokens that the longest forced or generated continuation of a question needs. */
static int longest_continuation(const struct group_state *s, int q)
{
    int longest = new_tokens(s->g, q);
    int answer = s->g->prompt[q].target.n;
    return answer > longest ? answer : longest;
}

int group_wanted(const struct group *g, int c)
{
    if (!g->wanted || c == 0) /* cell 0 is the reference of all others */
        return 1;
    for (int q = 0; q < g->n_question; q++)
        if (g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q])
            return 1;
    return 0;
}

/* 1 for a cell that is cut from the full prefill, and has to be. */
static int is_whole(const struct group *g, int c)
{
    return !g->cell[c]->chunk.size && group_wanted(g, c);
}

static int cuts(const struct cell *c)
{
    return c->cut_every > 0;
}

/* Room for what cells need of the full prefill that are cut again while they decode. */
static int remember(struct group_state *s, const unsigned char *skip, struct err *e)
{
    const struct group *g = s->g;
    struct cell **cell = mem_new((size_t)g->n_cell, sizeof *cell);
    int n = 0, columns, window;
    for (int c = 0; c < g->n_cell; c++)
        if (!skip[c])
            cell[n++] = g->cell[c];
    observe_memory(cell, n, cuts, &columns, &window);
    mem_free(cell);
    if (columns || window)
        s->tally = tally_create(&g->model->hp, s->full, s->n, columns, window, e);
    return s->tally || !(columns || window) ? 0 : -1;
}

static int prefill(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    int rc = -1, whole = g->prune_after == PRUNE_AFTER_PROMPT;
    double start = clock_seconds();
    unsigned char *skip = mem_new((size_t)g->n_cell, 1);
    for (int c = 0; c < g->n_cell; c++)
        skip[c] = !is_whole(g, c);
    s->full = kvcache_create(hp, s->n, e);
    if (!s->full)
        goto out;
    if (remember(s, skip, e))
        goto out;
    if (whole) {
        s->first_logits = mem_try((size_t)hp->n_vocab, sizeof *s->first_logits, "logits", e);
        if (!s->first_logits)
            goto out;
    }
    struct prefill read = {.model = g->model,
                           .work = g->work,
                           .token = g->prompt[0].ids.id,
                           .n = s->n,
                           .cache = s->full,
                           .want_logits = whole,
                           .logits = s->first_logits};
    struct observe_pass pass = {.sample = g->sample_hash, .skip = skip, .last_row = whole, .after = s->tally};
    s->observer = prefill_observed(&read, g->cell, g->n_cell, &pass, e);
    if (!s->observer || kvcache_seal(s->full, 0, e))
        goto out;
    rc = group_interrupted(g, e);
out:
    mem_free(skip);
    s->prefill_s = clock_seconds() - start;
    return rc;
}

int group_interrupted(const struct group *g, struct err *e)
{
    return g->tick && g->tick() ? err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue") : 0;
}

size_t group_entry_bytes(const struct group_state *s)
{
    return 2 * (size_t)s->g->model->hp.head_dim * sizeof(float);
}

struct prune_request group_request(const struct cell *c, const struct hparams *hp)
{
    return (struct prune_request){
        .n_layer = hp->n_layer,
        .n_kv_head = hp->n_kv_head,
        .policy = c->policy,
        .policy_config = c->policy_config,
        .budget = c->budget,
        .bytes_per_entry = 2 * (size_t)hp->head_dim * sizeof(float),
        .allocator = c->allocator,
        .allocator_self = c->allocator_self,
        .heads = c->heads,
        .protect = c->protect,
    };
}

int group_cut(struct group_state *s, int c, const struct cut_input *in, struct err *e)
{
    const struct group *g = s->g;
    const struct cell *cell = g->cell[c];
    const struct hparams *hp = &g->model->hp;
    struct cut *k = &s->cut[c];
    int cut_before = k->result.protection_cut;
    struct keepset *keep = keepset_create(hp->n_layer, hp->n_kv_head, s->n, e);
    if (!keep)
        return -1;
    if (!k->entries)
        k->entries = mem_new((size_t)hp->n_layer, sizeof *k->entries);
    keepset_destroy(k->keep);
    k->keep = keep;
    k->result.entries = k->entries;
    struct prune_request r = group_request(cell, hp);
    r.n = in->n;
    r.n_seen = in->n_seen;
    r.available = in->available;
    r.head = in->head;
    r.question_begin = g->prompt[0].context_end;
    r.question_end = g->prompt[0].question_end;
    r.score = in->score;
    r.stat = in->stat;
    r.cosine = in->cosine;
    if (prune_cut(&r, k->keep, &k->result, &k->err) && k->err.code == ERR_OK)
        err_set(&k->err, ERR_POLICY, "the cut gave no reason");
    k->result.protection_cut |= cut_before;
    return 0;
}

/* The one cut of a cell whose whole prompt was read. */
static int cut_whole(struct group_state *s, int c, struct err *e)
{
    const struct group *g = s->g;
    struct cut *k = &s->cut[c];
    struct cut_input in = {.n = s->n, .n_seen = s->n};
    k->prefill_s = s->prefill_s;
    k->peak_bytes = kvcache_bytes(s->full);
    if (!g->cell[c]->policy->keeps_all) {
        in.score = observe_scores(s->observer, c, &k->err);
        if (!in.score || observe_statistics(s->observer, c, &in.stat, &in.cosine, &k->err))
            return 0;
    }
    int *available = mem_new((size_t)g->model->hp.n_layer, sizeof *available);
    for (int l = 0; l < g->model->hp.n_layer; l++)
        available[l] = s->n;
    in.available = available;
    int rc = group_cut(s, c, &in, e);
    mem_free(available);
    if (rc == 0 && k->err.code == ERR_OK && g->inspect)
        rc = g->inspect(g->ctx, c, in.score, k->keep, k->entries, e);
    return rc;
}

/* Hands one finished (cell, question) on. */
static int emit(struct group_state *s, int c, int q, struct err *e)
{
    const struct group *g = s->g;
    struct row row;
    group_row_init(s, c, q, &row);
    if (s->cut[c].err.code == ERR_OK)
        group_row_fill(s, c, q, &row);
    timing_begin(TIMING_IO);
    int rc = g->emit(g->ctx, c, q, &row, s->cut[c].err.code == ERR_OK ? s->cut[c].keep : NULL, e);
    timing_end();
    group_row_fini(&row);
    return rc;
}

/* Bytes that a cell's decoding holds and nobody else: segments that are not whole, and tails; or, where it is cut while
 * it decodes, two caches of its own (one for forced passes to begin with, one that decodes), packed ones with a second
 * copy of the keys, and the policy's statistics. */
static size_t own_bytes(const struct group_state *s, int c, const struct kvcache *leaf)
{
    const struct hparams *hp = &s->g->model->hp;
    const struct cell *cell = s->g->cell[c];
    size_t kept = 0, shared = 0, fed = 0, heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, d = (size_t)hp->head_dim;
    if (s->cut[c].err.code != ERR_OK)
        return 0;
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            kept += (size_t)keepset_count(s->cut[c].keep, l, h);
            shared += !leaf && keepset_count(s->cut[c].keep, l, h) == s->n ? (size_t)s->n : 0;
        }
    for (int q = 0; q < s->g->n_question; q++)
        fed += heads * (size_t)decode_tail_capacity(s->g->prompt[q].ids.n - s->n, longest_continuation(s, q));
    if (!cell->cut_every)
        return (kept - shared + fed) * group_entry_bytes(s);
    int columns, window;
    observe_memory(&s->g->cell[c], 1, NULL, &columns, &window);
    size_t entry = group_entry_bytes(s) + (cell->packed ? d * sizeof(float) : 0);
    entry += (size_t)hp->n_group * (size_t)(2 * columns + window) * sizeof(float);
    size_t room = heads * (size_t)cell->cut_every;
    return 2 * ((size_t)s->g->n_question * kept + (room < fed ? room : fed)) * entry + kept * group_entry_bytes(s);
}

static int make_cache(struct group_state *s, int c, int q, const struct kvcache *leaf, struct kvcache_pool *pool,
                      struct err *e)
{
    struct sequence *t = group_sequence(s, c, q);
    int capacity = decode_tail_capacity(s->g->prompt[q].ids.n - s->n, longest_continuation(s, q));
    const struct keepset *keep = c == 0 ? NULL : s->cut[c].keep;
    const struct model *m = s->g->model;
    int turned = !leaf && s->g->cell[c]->packed;
    if (turned && rope_reserve(&s->rope, m->rope_freq, m->hp.head_dim / 2, s->n, e))
        return -1;
    timing_begin(TIMING_CUTTING);
    if (leaf)
        t->cache = kvcache_derive(leaf, NULL, capacity, NULL, e);
    else if (turned)
        t->cache = kvcache_derive_packed(s->full, keep, capacity, pool, &s->rope, e);
    else
        t->cache = kvcache_derive(s->full, keep, capacity, pool, e);
    timing_end();
    return t->cache ? 0 : -1;
}

int group_enqueue(struct group_state *s, int c, const struct kvcache *leaf, struct err *e)
{
    size_t more = own_bytes(s, c, leaf);
    if (s->n_batch && s->batch_used + more > s->g->batch_bytes && group_flush(s, e))
        return -1;
    s->batch[s->n_batch++] = c;
    s->batch_used += more;
    for (int q = 0; leaf && q < s->g->n_question; q++)
        if (make_cache(s, c, q, leaf, NULL, e))
            return -1;
    return 0;
}

/* Gives a sequence that is cut while it decodes a cache of its own, in place of the shared one. */
static int make_private(struct group_state *s, int c, int q, struct err *e)
{
    const struct model *m = s->g->model;
    struct sequence *t = group_sequence(s, c, q);
    struct cut *k = &s->cut[c];
    struct evict_setup setup = {
        .model = m,
        .cell = s->g->cell[c],
        .cache = t->cache,
        .rope = &s->rope,
        .question_begin = s->g->prompt[q].context_end,
        .question_end = s->g->prompt[q].question_end,
        .n_feed = decode_tail_capacity(t->n_held, longest_continuation(s, q)),
        .sample = s->g->sample_hash,
    };
    if (s->g->cell[c]->packed && rope_reserve(&s->rope, m->rope_freq, m->hp.head_dim / 2, s->n + setup.n_feed + 1, e))
        return -1;
    timing_begin(TIMING_CUTTING);
    if (!k->tally && s->tally) {
        int columns, window;
        observe_memory(&s->g->cell[c], 1, NULL, &columns, &window);
        if (columns || window)
            k->tally = tally_gather(s->tally, &m->hp, s->full, c == 0 ? NULL : k->keep, 0, columns, window, e);
        if ((columns || window) && !k->tally) {
            timing_end();
            return -1;
        }
    }
    setup.tally = k->tally;
    t->evict = evict_create(&setup, e);
    timing_end();
    if (!t->evict)
        return -1;
    s->policy_bytes[t - s->sequence] = evict_policy_bytes(t->evict);
    kvcache_destroy(t->cache);
    t->cache = NULL;
    return 0;
}

/* The sequences of one cell, ready to decode. */
static int start(struct group_state *s, int c, int forced, struct kvcache_pool *pool, struct sequence **run, int *n_run,
                 struct err *e)
{
    const struct group *g = s->g;
    if (s->cut[c].err.code != ERR_OK)
        return 0;
    for (int q = 0; q < g->n_question; q++) {
        struct sequence *t = group_sequence(s, c, q);
        const struct prompt *p = &g->prompt[q];
        const struct dataset_question *dq = &g->item->question[g->question[q]];
        t->n = s->n;
        t->held = p->ids.id + s->n;
        t->n_held = p->ids.n - s->n;
        t->first_logits = s->cut[c].first_logits ? s->cut[c].first_logits : s->first_logits;
        t->stop = dq->stop;
        t->n_stop = dq->n_stop;
        t->max_new_tokens = new_tokens(g, q);
        t->fixed_length = g->fixed_length;
        if (!t->cache && make_cache(s, c, q, NULL, pool, e))
            return -1;
        s->bytes[t - s->sequence] = kvcache_bytes(t->cache);
        t->forced = forced;
        if (g->cell[c]->cut_every && make_private(s, c, q, e))
            return -1;
        run[(*n_run)++] = t;
    }
    tally_destroy(s->cut[c].tally);
    s->cut[c].tally = NULL;
    return 0;
}

int group_flush(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    int rc = -1, n_run = 0;
    struct kvcache_pool *pool = kvcache_pool_create();
    struct sequence **run = mem_new((size_t)s->n_batch * (size_t)g->n_question + 1, sizeof *run);
    double begin = clock_seconds();
    struct group_watch on;
    group_watch_begin(&on, s, NULL, 0);
    for (int i = 0; i < s->n_batch; i++)
        if (start(s, s->batch[i], on.want_kl || on.want_nll, pool, run, &n_run, e))
            goto out;
    struct decode_watch watch = {.ctx = &on, .step = group_watch_step};
    group_watch_begin(&on, s, run, n_run);
    if (decode_greedy(g->model, g->work, run, n_run, &watch, g->tick, e))
        goto out;
    s->resident = kvcache_resident_bytes();
    if (group_measure(s, e))
        goto out;
    for (int i = 0; i < n_run; i++) {
        struct cut *k = &s->cut[(run[i] - s->sequence) / g->n_question];
        k->result.protection_cut |= run[i]->protection_cut;
        if (run[i]->err.code != ERR_OK && k->err.code == ERR_OK)
            k->err = run[i]->err;
    }
    s->decode_s = clock_seconds() - begin;
    for (int i = 0; i < s->n_batch; i++)
        for (int q = 0; q < g->n_question; q++) {
            int c = s->batch[i];
            if ((!g->wanted || g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q]) && emit(s, c, q, e))
                goto out;
        }
    rc = 0;
out:
    for (int i = 0; i < n_run; i++)
        decode_sequence_fini(run[i]);
    mem_free(run);
    kvcache_pool_destroy(pool);
    s->n_batch = 0;
    s->batch_used = 0;
    return rc;
}

int group_run(const struct group *g, struct err *e)
{
    int rc = -1;
    size_t runs = (size_t)g->n_cell * (size_t)g->n_question;
    struct group_state s = {.g = g, .n = encode_n_before(&g->prompt[0], g->prune_after)};
    s.cut = mem_new((size_t)g->n_cell, sizeof *s.cut);
    s.sequence = mem_new(runs, sizeof *s.sequence);
    s.batch = mem_new((size_t)g->n_cell, sizeof *s.batch);
    s.bytes = mem_new(runs, sizeof *s.bytes);
    s.policy_bytes = mem_new(runs, sizeof *s.policy_bytes);
    s.result = mem_new(runs, sizeof *s.result);
    s.reference = mem_new((size_t)g->n_question, sizeof *s.reference);
    s.y = mem_new((size_t)g->n_question, sizeof *s.y);
    s.mass = mem_new((size_t)g->n_question, sizeof *s.mass);
    if (s.n < 1) {
        err_set(e, ERR_CONFIG, "no prompt token stands before the cut (prune_after: %s)",
                experiment_prune_after_names[g->prune_after]);
        goto out;
    }
    if (too_long(g, e) || prefill(&s, e) || group_read_answers(&s, e))
        goto out;
    timing_begin(TIMING_CUTTING);
    int bad = 0;
    for (int c = 0; c < g->n_cell && !bad; c++)
        bad = is_whole(g, c) && cut_whole(&s, c, e);
    timing_end();
    if (bad)
        goto out;
    if (s.cut[0].err.code != ERR_OK) { /* the reference of all others */
        err_set(e, s.cut[0].err.code, "%s", s.cut[0].err.msg);
        goto out;
    }
    for (int c = 0; c < g->n_cell; c++)
        if (is_whole(g, c) && group_enqueue(&s, c, NULL, e))
            goto out;
    if (group_flush(&s, e))
        goto out;
    kvcache_destroy(s.full); /* chunked cells read the prompt anew */
    s.full = NULL;
    observe_destroy(s.observer);
    s.observer = NULL;
    tally_destroy(s.tally);
    s.tally = NULL;
    if (group_chunked(&s, e))
        goto out;
    rc = 0;
out:
    group_state_fini(&s);
    return rc;
}
