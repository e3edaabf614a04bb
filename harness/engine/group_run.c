/* A group's way from its prompt to rows: read, cut, batch after batch decoded. */
#include "harness/engine/group.h"

#include <math.h>

#include "harness/base/clock.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/entries.h"
#include "harness/engine/group_int.h"
#include "harness/engine/prefill.h"

/* ---- what follows from the group alone ------------------------------------------------------- */

int group_new_tokens(const struct group *g, int q)
{
    int own = g->item->question[g->question[q]].max_new_tokens; /* a record's own number goes before the cell's */
    return own ? own : g->cell[GROUP_REFERENCE]->max_new_tokens;
}

int group_longest(const struct prompt *p, int max_new_tokens)
{
    return p->ids.n + (p->target.n > max_new_tokens ? p->target.n : max_new_tokens);
}

int group_wanted_row(const struct group *g, int c, int q)
{
    return !g->wanted || g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q];
}

int group_wanted(const struct group *g, int c)
{
    int any = c == GROUP_REFERENCE;
    for (int q = 0; q < g->n_question && !any; q++)
        any = group_wanted_row(g, c, q);
    return any;
}

int group_wants_kl(const struct group *g)
{
    return (g->x->measure & MEASURE_KL) != 0;
}

int group_wants_nll(const struct group *g)
{
    const struct exp_task *t = &g->x->task[g->cell[GROUP_REFERENCE]->task];
    int wants = (g->x->measure & MEASURE_NLL) != 0;
    for (int i = 0; i < t->n_metric; i++)
        wants |= !t->metric[i]->score; /* a metric that is a likelihood */
    return wants;
}

size_t group_entry_bytes(const struct group *g)
{
    return kvcache_entry_bytes(&g->model->hp, g->cell[0]->cache_dtype);
}

/* 1 for a cell that is cut from the full cache, and has to be. */
static int is_whole(const struct group *g, int c)
{
    return !g->cell[c]->chunk.size && group_wanted(g, c);
}

static int is_too_long(const struct group *g, struct err *e)
{
    int limit = g->model->hp.context_length;
    for (int q = 0; q < g->n_question; q++)
        if (g->prompt[q].ids.n + group_new_tokens(g, q) > limit)
            return err_set(e, ERR_CONFIG, "prompt of %d tokens + %d to generate exceed the model's context of %d",
                           g->prompt[q].ids.n, group_new_tokens(g, q), limit);
    return 0;
}

/* ---- the prompt is read ---------------------------------------------------------------------- */

static int cuts_while_decoding(const struct cell *c)
{
    return c->cut_every > 0;
}

/* Room for what cells need of the full prefill that are cut again while they decode. */
static int remember(struct group_run *s, const unsigned char *skip, struct err *e)
{
    const struct group *g = s->g;
    struct cell **cell = mem_new((size_t)g->n_cell, sizeof *cell);
    int n = 0;
    struct tally_of of;
    for (int c = 0; c < g->n_cell; c++)
        if (!skip[c])
            cell[n++] = g->cell[c];
    int any = observe_memory(cell, n, cuts_while_decoding, &of);
    mem_free(cell);
    if (any)
        s->tally = tally_create(&g->model->hp, s->full, s->n, &of, e);
    return s->tally || !any ? 0 : -1;
}

/* Into s->full, with the scorers of all cells looking on that are cut from it. */
static int read_prompt(struct group_run *s, struct err *e)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    int rc = -1, whole = g->prune_after == PRUNE_AFTER_PROMPT;
    double start = clock_seconds();
    unsigned char *skip = mem_new((size_t)g->n_cell, 1);
    for (int c = 0; c < g->n_cell; c++)
        skip[c] = !is_whole(g, c);
    s->full = kvcache_create_forgetful(hp, s->g->cell[0]->cache_dtype, s->n, e);
    if (!s->full)
        goto out;
    kvcache_set_longest(s->full, hp, s->longest);
    if (remember(s, skip, e))
        goto out;
    if (whole) { /* nothing is held back: the first token of every answer is predicted here */
        s->first_logits = mem_try((size_t)hp->n_vocab, sizeof *s->first_logits, "logits", e);
        if (!s->first_logits)
            goto out;
    }
    struct prefill read = {.model = g->model,
                           .work = g->work,
                           .token = g->prompt[0].ids.id,
                           .n = s->n,
                           .cache = s->full,
                           .forgets = 1,
                           .want_logits = whole,
                           .logits = s->first_logits};
    struct observe_pass pass = {.sample = g->sample_hash, .skip = skip, .last_row = whole, .after = s->tally};
    s->observer = prefill_observed(&read, g->cell, g->n_cell, &pass, e);
    if (!s->observer || kvcache_seal(s->full, 0, e))
        goto out;
    if (s->tally)
        tally_sealed(s->tally, s->full);
    rc = leave_stopped(e);
out:
    mem_free(skip);
    s->prefill_s = clock_seconds() - start;
    return rc;
}

/* ---- and cut --------------------------------------------------------------------------------- */

int group_cut(struct group_run *s, int c, const struct cut_input *in, struct err *e)
{
    const struct group *g = s->g;
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
    struct prune_request r = prune_request_of(g->cell[c], hp);
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
static int cut_whole(struct group_run *s, int c, struct err *e)
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
    struct entries all;
    entries_of(&g->model->hp, s->full, &all);
    in.available = all.available;
    in.head = all.head;
    int rc = group_cut(s, c, &in, e);
    entries_fini(&all);
    if (g->keep_scores && in.score)
        k->scores = group_scores_copy(s, c, s->full, in.score);
    return rc;
}

static int cut_all_whole(struct group_run *s, struct err *e)
{
    int rc = 0;
    timing_begin(TIMING_CUTTING);
    for (int c = 0; c < s->g->n_cell && rc == 0; c++)
        rc = is_whole(s->g, c) ? cut_whole(s, c, e) : 0;
    timing_end();
    const struct err *why = &s->cut[GROUP_REFERENCE].err;
    if (rc == 0 && why->code != ERR_OK) /* without it nobody can be measured */
        rc = err_set(e, why->code, "%s", why->msg);
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct group_run *group_begin(const struct group *g)
{
    size_t runs = (size_t)g->n_cell * (size_t)g->n_question;
    struct group_run *s = mem_new(1, sizeof *s);
    *s = (struct group_run){.g = g, .n = encode_n_before(&g->prompt[0], g->prune_after)};
    for (int q = 0; q < g->n_question; q++) {
        int longest = group_longest(&g->prompt[q], group_new_tokens(g, q));
        s->longest = longest > s->longest ? longest : s->longest;
    }
    s->cut = mem_new((size_t)g->n_cell, sizeof *s->cut);
    s->run = mem_new(runs, sizeof *s->run);
    s->answer = mem_new((size_t)g->n_question, sizeof *s->answer);
    s->batch.cell = mem_new((size_t)g->n_cell, sizeof *s->batch.cell);
    for (int c = 0; c < g->n_cell; c++)
        for (int q = 0; q < g->n_question; q++)
            *group_run_of(s, c, q) = (struct cell_run){.cell = c, .question = q};
    return s;
}

/* All that happens before the first batch. */
static int read_and_cut(struct group_run *s, struct err *e)
{
    if (s->n < 1)
        return err_set(e, ERR_CONFIG, "no prompt token stands before the cut (prune_after: %s)",
                       experiment_prune_after_names[s->g->prune_after]);
    if (is_too_long(s->g, e) || read_prompt(s, e) || group_read_answers(s, e) || cut_all_whole(s, e))
        return -1;
    s->is_read = 1;
    return 0;
}

/* The full cache has served: chunked cells read the prompt anew. */
static void forget_prompt(struct group_run *s)
{
    kvcache_destroy(s->full);
    observe_destroy(s->observer);
    tally_destroy(s->tally);
    s->full = NULL;
    s->observer = NULL;
    s->tally = NULL;
}

/* The next cell whose cut is known: 1; 0: there is none that could decode with those of the batch, or none at all. */
static int next_ready(struct group_run *s, struct ready *out, struct err *e)
{
    while (s->next_cell < s->g->n_cell) {
        int c = s->next_cell++;
        if (!is_whole(s->g, c))
            continue;
        *out = (struct ready){.cell = c};
        return 1;
    }
    if (!s->chunked) {
        if (s->batch.n) /* decodes before the full cache goes */
            return 0;
        forget_prompt(s);
        s->chunked = group_chunked_begin(s);
    }
    return group_chunked_next(s, out, e);
}

/* Puts cells into the empty batch, as many as fit together: 1, or 0 when no cell is left. */
static int fill_batch(struct group_run *s, struct err *e)
{
    for (;;) {
        int more = s->has_waiting ? 1 : next_ready(s, &s->waits, e);
        if (more < 0)
            return -1;
        s->has_waiting = more && !group_batch_fits(s, &s->waits);
        if (!more || s->has_waiting)
            return s->batch.n > 0;
        if (group_batch_add(s, &s->waits, e))
            return -1;
    }
}

int group_next(struct group_run *s, struct group_done *out, struct err *e)
{
    if (!s->is_read && read_and_cut(s, e))
        return -1;
    while (!group_batch_next(s, out)) {
        group_batch_end(s);
        int more = fill_batch(s, e);
        if (more <= 0)
            return more;
        if (group_batch_decode(s, e))
            return -1;
    }
    return 1;
}

void group_end(struct group_run *s)
{
    const struct group *g = s->g;
    group_batch_end(s);
    group_chunked_end(s->chunked);
    for (int c = 0; c < g->n_cell; c++) {
        struct cut *k = &s->cut[c];
        keepset_destroy(k->keep);
        mem_free(k->entries);
        mem_free(k->first_logits);
        tally_destroy(k->tally);
        group_scores_free(k->scores);
    }
    for (size_t i = 0; i < (size_t)g->n_cell * (size_t)g->n_question; i++)
        decode_sequence_fini(&s->run[i].sequence); /* of cells that never came to decoding */
    for (int q = 0; q < g->n_question; q++) {
        token_ids_free(&s->answer[q].y);
        measure_reference_fini(&s->answer[q].reference);
        mem_free(s->answer[q].mass);
    }
    forget_prompt(s);
    rope_set_fini(&s->rope);
    mem_free(s->first_logits);
    mem_free(s->cut);
    mem_free(s->run);
    mem_free(s->answer);
    mem_free(s->batch.cell);
    mem_free(s);
}

/* ---- scores for onlookers ---------------------------------------------------------------------- */

/* Where one head's entries lie, and their positions; what has left the layer's window is none of them. */
static const int32_t *held(struct kvcache *cache, int layer, int kv_head, int *n)
{
    const struct kv_segment *all = kvcache_segment(cache, layer, kv_head);
    const struct kv_tail *tail = kvcache_tail(cache, layer, kv_head);
    int in_memory = all ? all->n : tail->n;
    *n = in_memory - (kvcache_n_entry(cache, layer, kv_head) - kvcache_n_held(cache, layer, kv_head));
    return (all ? all->pos : tail->pos) + in_memory - *n;
}

struct group_scores *group_scores_copy(const struct group_run *s, int c, struct kvcache *cache,
                                       const float *const *const *score)
{
    const struct hparams *hp = &s->g->model->hp;
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, n = (size_t)s->n;
    struct group_scores *k = mem_new(1, sizeof *k);
    k->value = mem_new(heads * n, sizeof *k->value);
    k->head = mem_new(heads, sizeof *k->head);
    k->layer = mem_new((size_t)hp->n_layer, sizeof *k->layer);
    for (size_t i = 0; i < heads; i++) {
        int l = (int)i / hp->n_kv_head, h = (int)i % hp->n_kv_head, n_held = 0;
        const int32_t *pos = held(cache, l, h, &n_held);
        float *to = k->value + i * n;
        for (size_t j = 0; j < n; j++)
            to[j] = NAN;
        for (int j = 0; j < n_held && prune_takes(s->g->cell[c], hp, l); j++)
            to[pos[j]] = score[l][h][j];
        k->head[i] = to;
        k->layer[l] = k->head + (size_t)l * (size_t)hp->n_kv_head;
    }
    return k;
}

void group_scores_free(struct group_scores *k)
{
    if (!k)
        return;
    mem_free(k->value);
    mem_free(k->head);
    mem_free(k->layer);
    mem_free(k);
}
