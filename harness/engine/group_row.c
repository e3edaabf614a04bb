/* From a group's state to result rows. */
#include <math.h>
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/engine/group_int.h"

void group_row_init(const struct group_state *s, int c, int q, struct row *row)
{
    const struct group *g = s->g;
    const struct cut *k = &s->cut[c];
    const struct prompt *p = &g->prompt[q];
    *row = (struct row){
        .x = g->x,
        .cell = g->cell[c],
        .status = k->err.code == ERR_OK           ? ROW_OK
                  : k->err.code == ERR_INFEASIBLE ? ROW_SKIPPED
                                                  : ROW_FAILED,
        .reason = k->err.code == ERR_OK ? "" : k->err.msg,
        .sample = g->sample,
        .question_id = g->item->question[g->question[q]].id,
        .context_id = g->item->context_id,
        .prompt_tokens = p->ids.n,
        .max_new_tokens = g->item->question[g->question[q]].max_new_tokens,
        .n = s->n,
        .keep = (double)NAN,
        .level = (double)NAN,
        .predicted = k->err.code == ERR_OK && k->entries ? k->result.predicted : (double)NAN,
        .n_layer = g->model->hp.n_layer,
        .output = "",
        .finish_reason = "",
        .nll = (double)NAN,
        .kl = (double)NAN,
        .top1 = (double)NAN,
        .kl_max = (double)NAN,
        .first_divergence = -1,
        .prefill_s = k->prefill_s,
        .decode_s = s->decode_s,
        .group_cells = g->n_cell,
    };
    for (int i = 0; i < ROW_MAX_METRIC; i++)
        row->metric[i] = (double)NAN;
    hash_sha256(p->ids.id, (size_t)p->ids.n * sizeof *p->ids.id, row->prompt_sha256);
}

static void fill_layers(const struct group_state *s, int c, int q, struct row *row)
{
    const struct hparams *hp = &s->g->model->hp;
    const struct keepset *keep = s->cut[c].keep;
    const struct prompt *p = &s->g->prompt[q];
    double *kept = mem_new((size_t)hp->n_layer, sizeof *kept), *lost = mem_new((size_t)hp->n_layer, sizeof *lost);
    double *found = p->n_evidence ? mem_new((size_t)hp->n_layer, sizeof *found) : NULL;
    for (int l = 0; l < hp->n_layer; l++) {
        double count = 0, on_kept = 0, evidence = 0;
        int n_evidence = 0;
        for (int h = 0; h < hp->n_kv_head; h++) {
            const double *mass = s->mass[q] + ((size_t)l * (size_t)hp->n_kv_head + (size_t)h) * (size_t)s->n;
            count += keepset_count(keep, l, h);
            for (int j = 0; j < s->n; j++) {
                int has = keepset_has(keep, l, h, j);
                on_kept += has ? mass[j] : 0;
                if (found && j < p->context_end && p->evidence[j]) {
                    n_evidence++;
                    evidence += has;
                }
            }
        }
        kept[l] = count / hp->n_kv_head;
        lost[l] = 1 - on_kept > 0 ? 1 - on_kept : 0;
        if (count == (double)s->n * hp->n_kv_head)
            lost[l] = 0; /* nothing was removed: not even a rounding error */
        if (found)
            found[l] = n_evidence ? evidence / n_evidence : (double)NAN;
    }
    row->kept = kept;
    row->attention_lost = lost;
    row->evidence_kept = found;
}

static void fill_scores(const struct group_state *s, int c, int q, struct row *row)
{
    const struct exp_task *task = &s->g->x->task[s->g->cell[c]->task];
    const struct dataset_question *dq = &s->g->item->question[s->g->question[q]];
    const struct sequence *t = group_sequence(s, c, q);
    struct metric_input in = {
        .output = str_c(&t->text),
        .answer = dq->answer,
        .n_answer = dq->n_answer,
        .classes = dq->classes,
        .n_class = dq->n_class,
        .output_tokens = t->out.n,
        .answer_tokens = s->g->prompt[q].target.n,
    };
    for (int i = 0; i < task->n_metric; i++) {
        const struct metric_ops *m = task->metric[i];
        double value[ROW_MAX_METRIC] = {0};
        if (!m->score) {
            row->metric[i] = row->nll;
            continue;
        }
        if (m->needs_answer && !dq->n_answer)
            continue;
        m->score(&in, value);
        row->metric[i] = value[0];
        for (int k = 0; m->extra && m->extra[k] && row->n_extra < ROW_MAX_METRIC; k++) {
            row->extra[row->n_extra].name = m->extra[k];
            row->extra[row->n_extra++].value = value[1 + k];
        }
    }
}

void group_row_fill(const struct group_state *s, int c, int q, struct row *row)
{
    const struct group *g = s->g;
    const struct hparams *hp = &g->model->hp;
    const struct cut *k = &s->cut[c];
    const struct sequence *t = group_sequence(s, c, q);
    const struct outcome *o = group_outcome(s, c, q);
    size_t run = (size_t)c * (size_t)g->n_question + (size_t)q;
    size_t entry_bytes = group_entry_bytes(s);
    double entries = 0;
    fill_layers(s, c, q, row);
    for (int l = 0; l < hp->n_layer; l++)
        entries += row->kept[l];
    row->keep = entries / ((double)s->n * hp->n_layer);
    row->keep_tokens = (int64_t)floor(entries / hp->n_layer);
    row->keep_bytes = (int64_t)(entries * hp->n_kv_head * (double)entry_bytes + 0.5);
    if (g->cell[c]->allocator->budget == ALLOCATOR_PART && g->cell[c]->budget.kind != BUDGET_NONE)
        row->level = g->cell[c]->budget.kind == BUDGET_KEEP ? decimal_to_double(g->cell[c]->budget.keep)
                                                            : (double)k->result.m / s->n;
    row->protection_cut = k->result.protection_cut;
    row->cache_bytes = (int64_t)s->bytes[run];
    row->cache_bytes_bf16 = (int64_t)s->bytes[run] / 2;
    row->cache_bytes_end = (int64_t)t->bytes_end;
    row->cache_bytes_peak = (int64_t)(t->bytes_peak > k->peak_bytes ? t->bytes_peak : k->peak_bytes);
    row->policy_bytes = (int64_t)s->policy_bytes[run];
    row->resident_bytes = (int64_t)s->resident;
    row->output = str_c(&t->text);
    row->output_tokens = t->out.n;
    row->finish_reason = t->finish_reason;
    row->nll = o->nll;
    row->kl = o->divergence.kl;
    row->kl_max = o->divergence.kl_max;
    row->top1 = o->divergence.top1;
    row->first_divergence = o->divergence.first;
    fill_scores(s, c, q, row);
}

void group_row_fini(struct row *row)
{
    const double *owned[3] = {row->kept, row->attention_lost, row->evidence_kept};
    for (int i = 0; i < 3; i++) {
        void *p;
        memcpy(&p, &owned[i], sizeof p); /* owned here, const for everybody else */
        mem_free(p);
    }
    row->kept = row->attention_lost = row->evidence_kept = NULL;
}
