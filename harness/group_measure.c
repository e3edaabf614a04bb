/* What a group measures after decoding: teacher forcing on the full cache's answer (kl, top1) and on the reference
 * answer (nll), and where the full cache's attention goes. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/group_int.h"

struct sequence *group_sequence(const struct group_state *s, int cell, int question)
{
    return &s->sequence[(size_t)cell * (size_t)s->g->n_question + (size_t)question];
}

struct outcome *group_outcome(const struct group_state *s, int cell, int question)
{
    return &s->result[(size_t)cell * (size_t)s->g->n_question + (size_t)question];
}

struct taking {
    struct group_state *s;
    const int *cell, *question; /* of every forced pass */
};

/* Sums attention rows of the full cache's forced pass, normalised over the prompt entries. */
struct mass_tap {
    const struct group_state *s;
    double *mass; /* [n_layer][n_kv_head][n] */
};

static int add_mass(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    struct mass_tap *t = ctx;
    const struct hparams *hp = &t->s->g->model->hp;
    (void)row;
    (void)n_key;
    (void)e;
    int n = t->s->n;
    double total = 0;
    for (int j = 0; j < n; j++)
        total += (double)weight[j];
    double *mass = t->mass + ((size_t)layer * (size_t)hp->n_kv_head + (size_t)(head / hp->n_group)) * (size_t)n;
    for (int j = 0; j < n && total > 0; j++)
        mass[j] += (double)weight[j] / total;
    return 0;
}

static int take_reference(void *ctx, int i, const float *logits, struct err *e)
{
    struct taking *t = ctx;
    int q = t->question[i];
    return measure_reference(&t->s->reference[q], logits, t->s->y[q].n, t->s->g->model->hp.n_vocab, e);
}

static int take_divergence(void *ctx, int i, const float *logits, struct err *e)
{
    struct taking *t = ctx;
    (void)e;
    measure_divergence(&t->s->reference[t->question[i]], logits,
                       &group_outcome(t->s, t->cell[i], t->question[i])->divergence);
    return 0;
}

static int take_nll(void *ctx, int i, const float *logits, struct err *e)
{
    struct taking *t = ctx;
    const struct token_ids *a = &t->s->answer[t->question[i]];
    (void)e;
    group_outcome(t->s, t->cell[i], t->question[i])->nll = measure_nll(logits, a->id, a->n, t->s->g->model->hp.n_vocab);
    return 0;
}

/* The full cache along its own answer y: the reference logits, and the attention mass over the prompt. */
static int full_reference(struct group_state *s, int q, struct err *e)
{
    const struct hparams *hp = &s->g->model->hp;
    struct sequence *full = group_sequence(s, 0, q);
    size_t heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head, n = (size_t)s->n;
    int cell = 0, question = q;
    for (int i = 0; i < full->out.n; i++)
        token_ids_add(&s->y[q], full->out.id[i]);
    s->mass[q] = mem_try(heads * n, sizeof(double), "attention mass", e);
    if (!s->mass[q])
        return -1;
    struct mass_tap mass = {.s = s, .mass = s->mass[q]};
    struct tap tap = {.ctx = &mass, .weights = add_mass};
    struct taking t = {.s = s, .cell = &cell, .question = &question};
    struct forced f = {.s = full, .target = s->y[q].id, .n_target = s->y[q].n};
    if (decode_forced(s->g->model, s->g->work, &f, 1, &tap, take_reference, &t, e))
        return -1;
    const float *last = observe_last_row(s->observer); /* the query that predicts y_1 was part of the prefill */
    int predicting = s->y[q].n;
    for (size_t i = 0; last && i < heads * n; i++)
        s->mass[q][i] += (double)last[i];
    for (size_t i = 0; i < heads * n; i++)
        s->mass[q][i] /= (double)predicting * hp->n_head;
    return 0;
}

static int has_nll_metric(const struct exp_task *t)
{
    for (int i = 0; i < t->n_metric; i++)
        if (!t->metric[i]->score)
            return 1;
    return 0;
}

int group_measure(struct group_state *s, int begin, int end, struct err *e)
{
    const struct group *g = s->g;
    int rc = -1, n_kl = 0, n_nll = 0;
    int want_kl = (g->x->measure & MEASURE_KL) != 0;
    int want_nll = (g->x->measure & MEASURE_NLL) || has_nll_metric(&g->x->task[g->cell[0]->task]);
    size_t most = (size_t)(end - begin) * (size_t)g->n_question + 1;
    struct forced *kl = mem_new(most, sizeof *kl), *nll = mem_new(most, sizeof *nll);
    int *cells = mem_new(2 * most, sizeof *cells), *questions = mem_new(2 * most, sizeof *questions);
    timing_begin(TIMING_FORCED);
    for (int q = 0; begin == 0 && q < g->n_question; q++)
        if (full_reference(s, q, e))
            goto out;
    for (int c = begin; c < end; c++)
        for (int q = 0; q < g->n_question; q++) {
            struct sequence *t = group_sequence(s, c, q);
            struct outcome *o = group_outcome(s, c, q);
            *o = (struct outcome){.nll = (double)NAN};
            o->divergence = (struct divergence){(double)NAN, (double)NAN, (double)NAN, -1};
            if (!t->cache)
                continue;
            if (want_kl) {
                cells[n_kl] = c;
                questions[n_kl] = q;
                kl[n_kl++] = (struct forced){.s = t, .target = s->y[q].id, .n_target = s->y[q].n};
            }
            if (want_nll && s->answer[q].n) {
                cells[most + (size_t)n_nll] = c;
                questions[most + (size_t)n_nll] = q;
                nll[n_nll++] = (struct forced){.s = t, .target = s->answer[q].id, .n_target = s->answer[q].n};
            }
        }
    struct taking of_kl = {.s = s, .cell = cells, .question = questions};
    struct taking of_nll = {.s = s, .cell = cells + most, .question = questions + most};
    if (decode_forced(g->model, g->work, kl, n_kl, NULL, take_divergence, &of_kl, e) ||
        decode_forced(g->model, g->work, nll, n_nll, NULL, take_nll, &of_nll, e))
        goto out;
    rc = 0;
out:
    timing_end();
    mem_free(kl);
    mem_free(nll);
    mem_free(cells);
    mem_free(questions);
    return rc;
}

void group_state_fini(struct group_state *s)
{
    const struct group *g = s->g;
    for (int c = 0; c < g->n_cell; c++) {
        keepset_destroy(s->cut[c].keep);
        mem_free(s->cut[c].entries);
    }
    for (int q = 0; q < g->n_question; q++) {
        token_ids_free(&s->answer[q]);
        token_ids_free(&s->y[q]);
        measure_reference_fini(&s->reference[q]);
        mem_free(s->mass[q]);
    }
    observe_destroy(s->observer);
    kvcache_destroy(s->full);
    mem_free(s->first_logits);
    mem_free(s->cut);
    mem_free(s->sequence);
    mem_free(s->bytes);
    mem_free(s->bytes_end);
    mem_free(s->result);
    mem_free(s->answer);
    mem_free(s->reference);
    mem_free(s->y);
    mem_free(s->mass);
}
