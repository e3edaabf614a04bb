/* What a group measures after decoding: teacher forcing on the full cache's answer (kl, top1) and on the reference
 * answer behind its delimiter (nll; target.h), and where the full cache's attention goes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/group_int.h"

/* Sums attention rows of the full cache's forced pass, normalised over the prompt entries. */
struct mass_tap {
    const struct group_run *s;
    double *mass; /* [n_layer][n_kv_head][n] */
    int *seeing;  /* [n_layer] rows of any head that saw prompt entries; NULL: not asked */
    int from;     /* rows before this one predict nothing of interest */
};

static int add_mass(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct mass_tap *t = ctx;
    const struct hparams *hp = &t->s->g->model->hp;
    const struct kv_segment *all = kvcache_segment(t->s->full, layer, head / hp->n_group);
    (void)n_key;
    (void)e;
    if (row < t->from)
        return 0;
    double total = 0;
    for (int j = 0; j < all->n; j++)
        total += (double)weight[j];
    double *mass = t->mass + ((size_t)layer * (size_t)hp->n_kv_head + (size_t)(head / hp->n_group)) * (size_t)t->s->n;
    for (int j = 0; j < all->n && total > 0; j++)
        mass[all->pos[j]] += (double)weight[j] / total;
    if (t->seeing)
        t->seeing[layer] += total > 0;
    return 0;
}

/* The full cache's tokens so far are y so far. */
static void follow_full(struct group_run *s, int q)
{
    const struct token_ids *out = &group_run_of(s, GROUP_REFERENCE, q)->sequence.out;
    struct token_ids *y = &s->answer[q].y;
    for (int i = y->n; i < out->n; i++)
        token_ids_add(y, out->id[i]);
}

/* Where the full cache's attention goes from the queries that predict y. */
static int full_mass(struct group_run *s, int q, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    struct sequence *full = &group_run_of(s, GROUP_REFERENCE, q)->sequence;
    struct full_answer *a = &s->answer[q];
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, n = (size_t)s->n;
    a->mass = mem_try(heads * n, sizeof *a->mass, "attention mass", e);
    if (!a->mass)
        return -1;
    struct mass_tap mass = {.s = s, .mass = a->mass, .seeing = mem_new((size_t)hp->n_layer, sizeof *mass.seeing)};
    struct tap tap = {.ctx = &mass, .weights = add_mass};
    struct forced f = {.s = full, .target = a->y.id, .n_target = a->y.n, .from = full->n_held == 0};
    int rc = decode_forced(s->g->model, s->g->work, &f, 1, &tap, NULL, NULL, e);
    const float *last = observe_last_row(s->observer); /* the query that predicts y_1 was part of the prefill */
    for (size_t i = 0; last && rc == 0 && i < heads * n; i++)
        a->mass[i] += (double)last[i];
    for (size_t i = 0; i < heads * n && rc == 0; i++) {
        int l = (int)(i / n) / hp->n_kv_head, rows = a->y.n * hp->n_head;
        if (!model_layer_prunable(hp, l))
            rows = mass.seeing[l] + (last ? hp->n_head : 0);
        a->mass[i] /= rows ? rows : 1;
    }
    mem_free(mass.seeing);
    return rc;
}

/* One question's answer, teacher-forced on a copy of the full cache; returns how many queries predict it, -1 on error.
 */
static int answer_mass(struct group_run *s, int q, double *mass, struct err *e)
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

int group_read_answers(struct group_run *s, struct err *e)
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

static void add_loss(const struct group_run *s, struct cell_run *r, const float *logits)
{
    const struct token_ids *target = &s->g->prompt[r->question].target;
    r->loss += measure_loss(logits, target->id[r->n_loss++], s->g->model->hp.n_vocab);
}

/* Whether step t of a sequence, about to be chosen, stands on the first t tokens of the list, all steps before having.
 */
static int stands_on(const struct sequence *t, const struct token_ids *list, int measured)
{
    int step = t->out.n;
    return measured == step && (step == 0 || (step <= list->n && t->out.id[step - 1] == list->id[step - 1]));
}

void group_measure_begin(struct cell_run *r)
{
    r->nll = (double)NAN;
    measure_divergence_begin(&r->divergence);
}

/* One step of one sequence, from the logits of its next token. */
static void watch_one(const struct group_run *s, struct cell_run *r, const float *logits)
{
    const struct full_answer *a = &s->answer[r->question];
    const struct token_ids *target = &s->g->prompt[r->question].target;
    int step = r->sequence.out.n;
    if (group_wants_kl(s->g) && step < a->reference.n_step && stands_on(&r->sequence, &a->y, r->divergence.n))
        measure_divergence_add(&r->divergence, &a->reference, logits);
    if (group_wants_nll(s->g) && step < target->n && stands_on(&r->sequence, target, r->n_loss))
        add_loss(s, r, logits);
}

int group_watch_step(void *ctx, const int *active, const float *const *logits, int n, struct err *e)
{
    const struct group_watch *w = ctx;
    struct group_run *s = w->s;
    int rc = 0;
    timing_begin(TIMING_FORCED);
    for (int i = 0; i < n && rc == 0; i++) { /* the reference first: the others are measured against this step of it */
        const struct cell_run *r = w->run[active[i]];
        if (r->cell != GROUP_REFERENCE)
            continue;
        follow_full(s, r->question);
        if (group_wants_kl(s->g))
            rc = measure_reference_add(&s->answer[r->question].reference, logits[i], s->g->model->hp.n_vocab, e);
    }
#pragma omp parallel for schedule(dynamic, 1) if (rc == 0)
    for (int i = 0; i < (rc ? 0 : n); i++)
        watch_one(s, w->run[active[i]], logits[i]);
    timing_end();
    return rc;
}

/* What decoding did not measure along y or the task's answer. */
struct rest {
    const struct group_run *s;
    struct forced *f;
    struct cell_run **run; /* [n] whose sequences are forced */
    int *of_answer, n;     /* [n] 1: along the task's answer; 0: along y */
};

static void take_rest(void *ctx, int i, const float *logits, int n)
{
    const struct rest *k = ctx;
    struct cell_run *r = k->run[i];
    for (int t = 0; t < n; t++, logits += k->s->g->model->hp.n_vocab)
        if (k->of_answer[i])
            add_loss(k->s, r, logits);
        else
            measure_divergence_add(&r->divergence, &k->s->answer[r->question].reference, logits);
}

static void add_rest(struct rest *k, struct cell_run *r, const struct token_ids *list, int measured, int of_answer)
{
    k->of_answer[k->n] = of_answer;
    k->run[k->n] = r;
    k->f[k->n++] = (struct forced){.s = &r->sequence, .target = list->id, .n_target = list->n, .from = measured};
}

/* What is left to measure of one sequence, into two passes of which the second goes on where the first has ended. The
 * one that shares more with what was decoded goes first: a pass leaves the cache with its own tokens. */
static void plan_rest(struct rest pass[2], struct cell_run *r)
{
    const struct group_run *s = pass->s;
    const struct token_ids *y = &s->answer[r->question].y, *target = &s->g->prompt[r->question].target;
    const struct sequence *t = &r->sequence;
    int runs = (t->cache || t->evict) && t->err.code == ERR_OK;
    int kl = runs && group_wants_kl(s->g) && r->divergence.n < y->n;
    int nll = runs && group_wants_nll(s->g) && r->n_loss < target->n;
    int nll_first = nll && (!kl || r->n_loss > r->divergence.n);
    if (kl)
        add_rest(&pass[nll_first], r, y, r->divergence.n, 0);
    if (nll)
        add_rest(&pass[!nll_first], r, target, r->n_loss, 1);
}

static int is_in_batch(const struct group_run *s, int cell)
{
    for (int i = 0; i < s->batch.n; i++)
        if (s->batch.cell[i] == cell)
            return 1;
    return 0;
}

int group_measure(struct group_run *s, struct err *e)
{
    const struct group *g = s->g;
    int rc = -1;
    size_t most = (size_t)s->batch.n * (size_t)g->n_question + 1;
    struct rest pass[2];
    for (int k = 0; k < 2; k++)
        pass[k] = (struct rest){.s = s,
                                .f = mem_new(most, sizeof *pass[k].f),
                                .run = mem_new(most, sizeof *pass[k].run),
                                .of_answer = mem_new(most, sizeof *pass[k].of_answer)};
    timing_begin(TIMING_FORCED);
    for (int q = 0; q < g->n_question && is_in_batch(s, GROUP_REFERENCE); q++) {
        follow_full(s, q);
        if (full_mass(s, q, e))
            goto out;
    }
    for (int i = 0; i < s->batch.n; i++)
        for (int q = 0; q < g->n_question; q++)
            plan_rest(pass, group_run_of(s, s->batch.cell[i], q));
    for (int k = 0; k < 2; k++)
        if (decode_forced(g->model, g->work, pass[k].f, pass[k].n, NULL, take_rest, &pass[k], e))
            goto out;
    for (int i = 0; i < s->batch.n; i++)
        for (int q = 0; q < g->n_question; q++) {
            struct cell_run *r = group_run_of(s, s->batch.cell[i], q);
            measure_divergence_end(&r->divergence);
            r->nll = r->n_loss ? r->loss / r->n_loss : (double)NAN;
        }
    rc = 0;
out:
    timing_end();
    for (int k = 0; k < 2; k++) {
        mem_free(pass[k].f);
        mem_free(pass[k].run);
        mem_free(pass[k].of_answer);
    }
    return rc;
}
