/* What a group measures after decoding: teacher forcing on the full cache's answer (kl, top1) and on the reference
 * answer behind its delimiter (nll; target.h), and where the full cache's attention goes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/group_int.h"

struct sequence *group_sequence(const struct group_state *s, int cell, int question)
{
    return &s->sequence[(size_t)cell * (size_t)s->g->n_question + (size_t)question];
}

struct outcome *group_outcome(const struct group_state *s, int cell, int question)
{
    return &s->result[(size_t)cell * (size_t)s->g->n_question + (size_t)question];
}

/* Sums attention rows of the full cache's forced pass, normalised over the prompt entries. */
struct mass_tap {
    const struct group_state *s;
    double *mass; /* [n_layer][n_kv_head][n] */
    int from;     /* rows before this one predict nothing of interest */
};

static int add_mass(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct mass_tap *t = ctx;
    const struct hparams *hp = &t->s->g->model->hp;
    (void)n_key;
    (void)e;
    int n = t->s->n;
    if (row < t->from)
        return 0;
    double total = 0;
    for (int j = 0; j < n; j++)
        total += (double)weight[j];
    double *mass = t->mass + ((size_t)layer * (size_t)hp->n_kv_head + (size_t)(head / hp->n_group)) * (size_t)n;
    for (int j = 0; j < n && total > 0; j++)
        mass[j] += (double)weight[j] / total;
    return 0;
}

/* The full cache's tokens so far are y so far. */
static void follow_full(struct group_state *s, int q)
{
    const struct sequence *full = group_sequence(s, 0, q);
    for (int i = s->y[q].n; i < full->out.n; i++)
        token_ids_add(&s->y[q], full->out.id[i]);
}

/* Where the full cache's attention goes from the queries that predict y. */
static int full_mass(struct group_state *s, int q, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    struct sequence *full = group_sequence(s, 0, q);
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, n = (size_t)s->n;
    s->mass[q] = mem_try(heads * n, sizeof(double), "attention mass", e);
    if (!s->mass[q])
        return -1;
    struct mass_tap mass = {.s = s, .mass = s->mass[q]};
    struct tap tap = {.ctx = &mass, .weights = add_mass};
    struct forced f = {.s = full, .target = s->y[q].id, .n_target = s->y[q].n, .from = full->n_held == 0};
    if (decode_forced(s->g->model, s->g->work, &f, 1, &tap, NULL, NULL, e))
        return -1;
    const float *last = observe_last_row(s->observer); /* the query that predicts y_1 was part of the prefill */
    int predicting = s->y[q].n;
    for (size_t i = 0; last && i < heads * n; i++)
        s->mass[q][i] += (double)last[i];
    for (size_t i = 0; i < heads * n; i++)
        s->mass[q][i] /= (double)predicting * hp->n_head;
    return 0;
}

/* One question's answer, teacher-forced on a copy of the full cache; returns how many queries predict it, -1 on error.
 */
static int answer_mass(struct group_state *s, int q, double *mass, struct err *e)
{
    const struct group *g = s->g;
    const struct prompt *p = &g->prompt[q];
    int held = p->ids.n - s->n, rc = -1;
    size_t all = (size_t)g->model->hp.n_layer * (size_t)g->model->hp.n_kv_head * (size_t)s->n;
    struct token_ids feed = {0}; /* what is held back, then the answer: all but the last is fed */
    struct mass_tap on = {.s = s, .mass = mass, .from = held ? held - 1 : 0};
    struct tap tap = {.ctx = &on, .weights = add_mass};
    for (int i = s->n; i < p->ids.n; i++)
        token_ids_add(&feed, p->ids.id[i]);
    for (int i = 0; i < s->g->prompt[q].target.n; i++)
        token_ids_add(&feed, s->g->prompt[q].target.id[i]);
    struct sequence t = {.n = s->n};
    struct forced f = {.s = &t, .target = feed.id, .n_target = feed.n, .from = 1};
    t.cache = kvcache_derive(s->full, NULL, decode_tail_capacity(0, feed.n), NULL, e);
    if (!t.cache || decode_forced(g->model, g->work, &f, 1, &tap, NULL, NULL, e))
        goto out;
    const float *last =
        observe_last_row(s->observer); /* with nothing held back, the prefill predicts the first token */
    for (size_t i = 0; last && i < all; i++)
        mass[i] += (double)last[i];
    rc = s->g->prompt[q].target.n;
out:
    kvcache_destroy(t.cache);
    token_ids_free(&feed);
    return rc;
}

int group_read_answers(struct group_state *s, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    size_t all = (size_t)hp->n_layer * (size_t)hp->n_kv_head * (size_t)s->n;
    int rc = -1, n = 0, lacks = 0;
    if (!observe_wants_answer(s->observer))
        return 0;
    double *mass = mem_try(all, sizeof *mass, "attention of the answer", e);
    float *share = mem_try(all, sizeof *share, "attention of the answer", e);
    if (!mass || !share)
        goto out;
    timing_begin(TIMING_FORCED);
    for (int q = 0; q < s->g->n_question && !lacks && n >= 0; q++) {
        int more = s->g->prompt[q].target.n ? answer_mass(s, q, mass, e) : 0;
        lacks = more == 0;
        n = more < 0 ? -1 : n + more;
    }
    timing_end();
    if (n < 0)
        goto out;
    for (size_t i = 0; i < all && !lacks; i++)
        share[i] = (float)(mass[i] / ((double)n * hp->n_head));
    observe_answer(s->observer, lacks ? NULL : share);
    rc = 0;
out:
    mem_free(mass);
    mem_free(share);
    return rc;
}

static int has_nll_metric(const struct exp_task *t)
{
    for (int i = 0; i < t->n_metric; i++)
        if (!t->metric[i]->score)
            return 1;
    return 0;
}

static void add_loss(struct group_state *s, struct outcome *o, int q, const float *logits)
{
    o->loss += measure_loss(logits, s->g->prompt[q].target.id[o->n_loss++], s->g->model->hp.n_vocab);
}

/* Whether step t of a sequence, about to be chosen, stands on the first t tokens of the list, all steps before having.
 */
static int stands_on(const struct sequence *t, const struct token_ids *list, int measured)
{
    int step = t->out.n;
    return measured == step && (step == 0 || (step <= list->n && t->out.id[step - 1] == list->id[step - 1]));
}

int group_watch_step(void *ctx, const int *active, const float *const *logits, int n, struct err *e)
{
    struct group_watch *w = ctx;
    struct group_state *s = w->s;
    int n_question = s->g->n_question;
    timing_begin(TIMING_FORCED);
    for (int i = 0; i < n; i++) {
        ptrdiff_t at = w->run[active[i]] - s->sequence;
        if (at >= n_question)
            continue; /* not the full cache */
        follow_full(s, (int)at);
        if (w->want_kl && measure_reference_add(&s->reference[at], logits[i], s->g->model->hp.n_vocab, e)) {
            timing_end();
            return -1;
        }
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < n; i++) {
        const struct sequence *t = w->run[active[i]];
        ptrdiff_t at = t - s->sequence;
        int q = (int)(at % n_question);
        struct outcome *o = &s->result[at];
        if (w->want_kl && t->out.n < s->reference[q].n_step && stands_on(t, &s->y[q], o->divergence.n))
            measure_divergence_add(&o->divergence, &s->reference[q], logits[i]);
        if (w->want_nll && t->out.n < s->g->prompt[q].target.n && stands_on(t, &s->g->prompt[q].target, o->n_loss))
            add_loss(s, o, q, logits[i]);
    }
    timing_end();
    return 0;
}

void group_watch_begin(struct group_watch *w, struct group_state *s, struct sequence *const *run, int n_run)
{
    const struct group *g = s->g;
    *w = (struct group_watch){
        .s = s,
        .run = run,
        .want_kl = (g->x->measure & MEASURE_KL) != 0,
        .want_nll = (g->x->measure & MEASURE_NLL) || has_nll_metric(&g->x->task[g->cell[0]->task]),
    };
    for (int i = 0; i < n_run; i++) {
        struct outcome *o = &s->result[run[i] - s->sequence];
        *o = (struct outcome){.nll = (double)NAN};
        measure_divergence_begin(&o->divergence);
    }
}

/* What decoding did not measure along y or the answer. */
struct rest {
    struct group_state *s;
    struct forced *f;
    int *of_answer, n; /* [n] 1: the item is along the answer */
};

static void take_rest(void *ctx, int i, const float *logits, int n)
{
    const struct rest *r = ctx;
    ptrdiff_t at = r->f[i].s - r->s->sequence;
    int q = (int)(at % r->s->g->n_question);
    struct outcome *o = &r->s->result[at];
    for (int t = 0; t < n; t++, logits += r->s->g->model->hp.n_vocab)
        if (r->of_answer[i])
            add_loss(r->s, o, q, logits);
        else
            measure_divergence_add(&o->divergence, &r->s->reference[q], logits);
}

static void add_rest(struct rest *r, struct sequence *t, const struct token_ids *list, int measured, int of_answer)
{
    r->of_answer[r->n] = of_answer;
    r->f[r->n++] = (struct forced){.s = t, .target = list->id, .n_target = list->n, .from = measured};
}

int group_measure(struct group_state *s, struct err *e)
{
    const struct group *g = s->g;
    int rc = -1;
    struct group_watch want;
    size_t most = (size_t)s->n_batch * (size_t)g->n_question + 1;
    struct rest rest[2] = {0};
    group_watch_begin(&want, s, NULL, 0);
    for (int k = 0; k < 2; k++)
        rest[k] = (struct rest){s, mem_new(most, sizeof *rest[k].f), mem_new(most, sizeof *rest[k].of_answer), 0};
    timing_begin(TIMING_FORCED);
    for (int q = 0; s->n_batch && s->batch[0] == 0 && q < g->n_question; q++) {
        follow_full(s, q);
        if (full_mass(s, q, e))
            goto out;
    }
    for (int i = 0; i < s->n_batch; i++)
        for (int q = 0; q < g->n_question; q++) {
            int c = s->batch[i];
            struct sequence *t = group_sequence(s, c, q);
            const struct outcome *o = group_outcome(s, c, q);
            int runs = (t->cache || t->evict) && t->err.code == ERR_OK;
            int kl = runs && want.want_kl && o->divergence.n < s->y[q].n;
            int nll = runs && want.want_nll && o->n_loss < s->g->prompt[q].target.n;
            /* the one that shares more with what was decoded goes first: a pass leaves the cache with its own tokens */
            int nll_first = nll && (!kl || o->n_loss > o->divergence.n);
            if (kl)
                add_rest(&rest[nll_first], t, &s->y[q], o->divergence.n, 0);
            if (nll)
                add_rest(&rest[!nll_first], t, &s->g->prompt[q].target, o->n_loss, 1);
        }
    for (int k = 0; k < 2; k++)
        if (decode_forced(g->model, g->work, rest[k].f, rest[k].n, NULL, take_rest, &rest[k], e))
            goto out;
    for (int i = 0; i < s->n_batch; i++)
        for (int q = 0; q < g->n_question; q++) {
            struct outcome *o = group_outcome(s, s->batch[i], q);
            measure_divergence_end(&o->divergence);
            o->nll = o->n_loss ? o->loss / o->n_loss : (double)NAN;
        }
    rc = 0;
out:
    timing_end();
    for (int k = 0; k < 2; k++) {
        mem_free(rest[k].f);
        mem_free(rest[k].of_answer);
    }
    return rc;
}

void group_state_fini(struct group_state *s)
{
    const struct group *g = s->g;
    for (int c = 0; c < g->n_cell; c++) {
        keepset_destroy(s->cut[c].keep);
        mem_free(s->cut[c].entries);
        mem_free(s->cut[c].first_logits);
        tally_destroy(s->cut[c].tally);
        for (int q = 0; q < g->n_question; q++) /* of cells that never came to decoding */
            decode_sequence_fini(group_sequence(s, c, q));
    }
    for (int q = 0; q < g->n_question; q++) {
        token_ids_free(&s->y[q]);
        measure_reference_fini(&s->reference[q]);
        mem_free(s->mass[q]);
    }
    observe_destroy(s->observer);
    tally_destroy(s->tally);
    kvcache_destroy(s->full);
    rope_fini(&s->rope);
    mem_free(s->first_logits);
    mem_free(s->cut);
    mem_free(s->sequence);
    mem_free(s->batch);
    mem_free(s->bytes);
    mem_free(s->policy_bytes);
    mem_free(s->result);
    mem_free(s->reference);
    mem_free(s->y);
    mem_free(s->mass);
}
