#include "harness/group.h"

#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/decode.h"
#include "harness/group_int.h"
#include "harness/observe.h"

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
    return s->answer[q].n > longest ? s->answer[q].n : longest;
}

static int prefill(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    int rc = -1, whole = g->prune_after == PRUNE_AFTER_PROMPT;
    double start = clock_seconds();
    struct forward_row *row = mem_new((size_t)s->n, sizeof *row);
    s->full = kvcache_create(hp, s->n, e);
    if (!s->full)
        goto out;
    s->observer = observe_create(g->model, s->full, s->n, g->cell, g->n_cell, g->sample_hash, whole, e);
    if (!s->observer)
        goto out;
    if (whole) {
        s->first_logits = mem_try((size_t)hp->n_vocab, sizeof *s->first_logits, "logits", e);
        if (!s->first_logits)
            goto out;
    }
    for (int i = 0; i < s->n; i++)
        row[i] = (struct forward_row){.token = g->prompt[0].ids.id[i], .pos = i, .want_logits = whole && i == s->n - 1};
    struct kvcache *cache[1] = {s->full};
    struct forward f = {
        .phase = FORWARD_PREFILL,
        .row = row,
        .n_row = s->n,
        .cache = cache,
        .n_cache = 1,
        .tap = observe_tap(s->observer),
        .logits = s->first_logits,
    };
    if (transformer_forward(g->model, g->work, &f, e) || kvcache_seal(s->full, 0, e))
        goto out;
    if (g->tick && g->tick()) {
        err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue");
        goto out;
    }
    rc = 0;
out:
    mem_free(row);
    s->prefill_s = clock_seconds() - start;
    return rc;
}

/* Budgets, scores, protection -> the keep set of one cell. A cell that fails is marked; the group goes on. */
static int cut(struct group_state *s, int c, struct err *e)
{
    const struct group *g = s->g;
    const struct cell *cell = g->cell[c];
    const struct hparams *hp = &g->model->hp;
    struct cut *k = &s->cut[c];
    const float *const *const *score = NULL;
    k->entries = mem_new((size_t)hp->n_layer, sizeof *k->entries);
    k->keep = keepset_create(hp->n_layer, hp->n_kv_head, s->n, e);
    if (!k->keep)
        return -1;
    if (!cell->policy->keeps_all) {
        score = observe_scores(s->observer, c, &k->err);
        if (!score)
            return 0;
    }
    int *available = mem_new((size_t)hp->n_layer, sizeof *available);
    for (int l = 0; l < hp->n_layer; l++)
        available[l] = s->n;
    int question_end = g->prompt[0].question_end < s->n ? g->prompt[0].question_end : s->n;
    struct prune_request r = {
        .n_layer = hp->n_layer,
        .n_kv_head = hp->n_kv_head,
        .n = s->n,
        .available = available,
        .policy = cell->policy,
        .policy_config = cell->policy_config,
        .budget = cell->budget,
        .bytes_per_entry = 2 * (size_t)hp->head_dim * sizeof(float),
        .allocator = cell->allocator,
        .allocator_config = cell->allocator_config,
        .heads = cell->heads,
        .protect = cell->protect,
        .question_begin = g->prompt[0].context_end < question_end ? g->prompt[0].context_end : question_end,
        .question_end = question_end,
        .score = score,
    };
    k->result.entries = k->entries;
    if (prune_cut(&r, k->keep, &k->result, &k->err) && k->err.code == ERR_OK)
        err_set(&k->err, ERR_POLICY, "the cut gave no reason");
    mem_free(available);
    if (k->err.code == ERR_OK && g->inspect && g->inspect(g->ctx, c, score, k->keep, k->entries, e))
        return -1;
    return 0;
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

static int cell_wanted(const struct group *g, int c)
{
    if (!g->wanted || c == 0) /* cell 0 is the reference of all others */
        return 1;
    for (int q = 0; q < g->n_question; q++)
        if (g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q])
            return 1;
    return 0;
}

static size_t segment_bytes(const struct group_state *s, int c)
{
    const struct hparams *hp = &s->g->model->hp;
    size_t entries = 0;
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++)
            if (keepset_count(s->cut[c].keep, l, h) < s->n) /* whole segments are shared */
                entries += (size_t)keepset_count(s->cut[c].keep, l, h);
    return entries * 2 * (size_t)hp->head_dim * sizeof(float);
}

/* Cells [begin, end): caches, decoding, measures, rows. */
static int sub_batch(struct group_state *s, int begin, int end, struct err *e)
{
    const struct group *g = s->g;
    int rc = -1, n_run = 0;
    struct kvcache_pool *pool = kvcache_pool_create();
    struct sequence **run = mem_new((size_t)(end - begin) * (size_t)g->n_question, sizeof *run);
    double start = clock_seconds();
    for (int c = begin; c < end; c++) {
        if (s->cut[c].err.code != ERR_OK || !cell_wanted(g, c))
            continue;
        for (int q = 0; q < g->n_question; q++) {
            struct sequence *t = group_sequence(s, c, q);
            const struct prompt *p = &g->prompt[q];
            const struct dataset_question *dq = &g->item->question[g->question[q]];
            int held = p->ids.n - s->n;
            t->n = s->n;
            t->held = p->ids.id + s->n;
            t->n_held = held;
            t->first_logits = s->first_logits;
            t->stop = dq->stop;
            t->n_stop = dq->n_stop;
            t->max_new_tokens = new_tokens(g, q);
            t->fixed_length = g->fixed_length;
            timing_begin(TIMING_CUTTING);
            t->cache = kvcache_derive(s->full, c == 0 ? NULL : s->cut[c].keep,
                                      decode_tail_capacity(held, longest_continuation(s, q)), pool, e);
            timing_end();
            if (!t->cache)
                goto out;
            s->bytes[(size_t)c * (size_t)g->n_question + (size_t)q] = kvcache_bytes(t->cache);
            run[n_run++] = t;
        }
    }
    struct group_watch on = {0};
    struct decode_watch watch = {.ctx = &on, .step = group_watch_step};
    group_watch_begin(&on, s, run, n_run);
    if (decode_greedy(g->model, g->work, run, n_run, &watch, g->tick, e))
        goto out;
    for (int i = 0; i < n_run; i++)
        s->bytes_end[run[i] - s->sequence] = kvcache_bytes(run[i]->cache);
    s->resident = kvcache_resident_bytes();
    if (group_measure(s, begin, end, e))
        goto out;
    s->decode_s = clock_seconds() - start;
    for (int c = begin; c < end; c++)
        for (int q = 0; q < g->n_question; q++)
            if ((!g->wanted || g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q]) && emit(s, c, q, e))
                goto out;
    rc = 0;
out:
    for (int i = 0; i < n_run; i++)
        decode_sequence_fini(run[i]);
    mem_free(run);
    kvcache_pool_destroy(pool);
    return rc;
}

static int encode_answers(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    for (int q = 0; q < g->n_question; q++) {
        const struct dataset_question *dq = &g->item->question[g->question[q]];
        if (dq->n_answer && tokenizer_encode(g->model->tokenizer, dq->answer[0], strlen(dq->answer[0]), &s->answer[q], e))
            return -1;
    }
    return 0;
}

int group_run(const struct group *g, struct err *e)
{
    int rc = -1;
    size_t runs = (size_t)g->n_cell * (size_t)g->n_question;
    struct group_state s = {.g = g, .n = encode_n_before(&g->prompt[0], g->prune_after)};
    s.cut = mem_new((size_t)g->n_cell, sizeof *s.cut);
    s.sequence = mem_new(runs, sizeof *s.sequence);
    s.bytes = mem_new(runs, sizeof *s.bytes);
    s.bytes_end = mem_new(runs, sizeof *s.bytes_end);
    s.result = mem_new(runs, sizeof *s.result);
    s.answer = mem_new((size_t)g->n_question, sizeof *s.answer);
    s.reference = mem_new((size_t)g->n_question, sizeof *s.reference);
    s.y = mem_new((size_t)g->n_question, sizeof *s.y);
    s.mass = mem_new((size_t)g->n_question, sizeof *s.mass);
    if (s.n < 1) {
        err_set(e, ERR_CONFIG, "no prompt token stands before the cut (prune_after: %s)",
                experiment_prune_after_names[g->prune_after]);
        goto out;
    }
    if (too_long(g, e) || encode_answers(&s, e) || prefill(&s, e))
        goto out;
    timing_begin(TIMING_CUTTING);
    int bad = 0;
    for (int c = 0; c < g->n_cell && !bad; c++)
        bad = cut(&s, c, e);
    timing_end();
    if (bad)
        goto out;
    for (int begin = 0, end; begin < g->n_cell; begin = end) {
        size_t bytes = 0;
        for (end = begin; end < g->n_cell; end++) {
            size_t more = s.cut[end].err.code == ERR_OK && cell_wanted(g, end) ? segment_bytes(&s, end) : 0;
            if (end > begin && bytes + more > g->batch_bytes)
                break;
            bytes += more;
        }
        if (sub_batch(&s, begin, end, e))
            goto out;
    }
    rc = 0;
out:
    group_state_fini(&s);
    return rc;
}
