/* From what a cell's run has come to, to its row. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/group_int.h"

void group_row_init(const struct group_run *s, const struct cell_run *r, struct row *row)
{
    const struct group *g = s->g;
    const struct cut *k = &s->cut[r->cell];
    row_begin(row, g->x, g->cell[r->cell], g->model->hp.n_layer, g->sample);
    row_ask(row, g->item, g->question[r->question], &g->prompt[r->question]);
    row->n = s->n;
    row->prefill_s = k->prefill_s;
    row->decode_s = s->decode_s;
    row->group_cells = g->n_cell;
    if (k->err.code == ERR_OK) {
        row->predicted = k->entries ? k->result.predicted : (double)NAN;
    } else {
        row->status = k->err.code == ERR_INFEASIBLE ? ROW_SKIPPED : ROW_FAILED;
        row->reason = k->err.msg;
    }
}

/* One layer: entries kept, mean over heads; what of the full cache's attention and of the answer's tokens is gone. */
struct layer_row {
    double kept, lost, found;
};

static struct layer_row look_at_layer(const struct group_run *s, const struct cell_run *r, int layer)
{
    const struct hparams *hp = &s->g->model->hp;
    const struct keepset *keep = s->cut[r->cell].keep;
    const struct prompt *p = &s->g->prompt[r->question];
    int holds = prune_holds(hp, layer, s->n), n_evidence = 0;
    double count = 0, on_kept = 0, on_all = 0, evidence = 0;
    for (int h = 0; h < hp->n_kv_head; h++) {
        const double *mass =
            s->answer[r->question].mass + ((size_t)layer * (size_t)hp->n_kv_head + (size_t)h) * (size_t)s->n;
        count += keepset_count(keep, layer, h);
        for (int j = s->n - holds; j < s->n; j++) {
            int has = keepset_has(keep, layer, h, j);
            on_kept += has ? mass[j] : 0;
            on_all += mass[j];
            if (p->n_evidence && j < p->context_end && p->evidence[j]) {
                n_evidence++;
                evidence += has;
            }
        }
    }
    struct layer_row out = {.kept = count / hp->n_kv_head, .lost = 1 - on_kept > 0 ? 1 - on_kept : 0};
    if (count == (double)holds * hp->n_kv_head)
        out.lost = 0; /* nothing was removed: not even a rounding error */
    out.found = n_evidence ? evidence / n_evidence : (double)NAN;
    if (!prune_takes(s->g->cell[r->cell], hp, layer))
        out.lost = out.found = (double)NAN; /* nothing could be removed here */
    else if (!model_layer_prunable(hp, layer) && on_all == 0)
        out.lost = (double)NAN; /* its window had moved on from the prompt */
    return out;
}

static void fill_layers(const struct group_run *s, const struct cell_run *r, struct row *row)
{
    size_t L = (size_t)s->g->model->hp.n_layer;
    double *kept = mem_new(L, sizeof *kept), *lost = mem_new(L, sizeof *lost);
    double *found = s->g->prompt[r->question].n_evidence ? mem_new(L, sizeof *found) : NULL;
    for (int l = 0; l < (int)L; l++) {
        struct layer_row of = look_at_layer(s, r, l);
        kept[l] = of.kept;
        lost[l] = of.lost;
        if (found)
            found[l] = of.found;
    }
    row->kept = kept;
    row->attention_lost = lost;
    row->evidence_kept = found;
}

/* keep in its three forms, of the layers that the cell prunes. */
static void fill_keep(const struct group_run *s, const struct cell_run *r, struct row *row)
{
    const struct hparams *hp = &s->g->model->hp;
    double entries = 0, all = 0;
    int layers = 0;
    for (int l = 0; l < hp->n_layer; l++) {
        if (!prune_takes(s->g->cell[r->cell], hp, l))
            continue;
        entries += row->kept[l];
        all += prune_holds(hp, l, s->n);
        layers++;
    }
    row->keep = layers ? entries / all : 1;
    row->keep_tokens = layers ? (int64_t)floor(entries / layers) : s->n;
    row->keep_bytes = (int64_t)(entries * hp->n_kv_head * (double)group_entry_bytes(s->g) + 0.5);
}

static void fill_scores(const struct group_run *s, const struct cell_run *r, struct row *row)
{
    const struct exp_task *task = &s->g->x->task[s->g->cell[r->cell]->task];
    const struct dataset_question *dq = &s->g->item->question[s->g->question[r->question]];
    const struct sequence *t = &r->sequence;
    struct metric_input in = {
        .output = str_c(&t->text),
        .answer = dq->answer,
        .n_answer = dq->n_answer,
        .classes = dq->classes,
        .n_class = dq->n_class,
        .output_tokens = t->out.n,
        .answer_tokens = s->g->prompt[r->question].target.n,
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

/* Entries kept of those that the full cache holds at this moment, in all layers; each has as many bytes. */
static double share_of_cache(const struct group_run *s, const struct row *row)
{
    const struct hparams *hp = &s->g->model->hp;
    double kept = 0, all = 0;
    for (int l = 0; l < hp->n_layer; l++) {
        kept += row->kept[l];
        all += prune_holds(hp, l, s->n);
    }
    return kept / all;
}

void group_row_fill(const struct group_run *s, const struct cell_run *r, struct row *row)
{
    const struct group *g = s->g;
    const struct cell *cell = g->cell[r->cell];
    const struct cut *k = &s->cut[r->cell];
    const struct sequence *t = &r->sequence;
    fill_layers(s, r, row);
    fill_keep(s, r, row);
    if (cell->allocator->budget == ALLOCATOR_PART && cell->budget.kind != BUDGET_NONE)
        row->level = cell->budget.kind == BUDGET_KEEP ? decimal_to_double(cell->budget.keep) : k->result.level;
    row->protection_cut = k->result.protection_cut;
    row->cache_bytes = (int64_t)r->bytes;
    row->cache_share = share_of_cache(s, row);
    row->cache_bytes_bf16 = cell->cache_dtype == MODEL_BF16 ? row->cache_bytes : row->cache_bytes / 2;
    row->cache_bytes_end = (int64_t)t->bytes_end;
    row->cache_bytes_peak = (int64_t)(t->bytes_peak > k->peak_bytes ? t->bytes_peak : k->peak_bytes);
    row->policy_bytes = (int64_t)r->policy_bytes;
    row->resident_bytes = (int64_t)s->resident;
    row->output = str_c(&t->text);
    row->output_tokens = t->out.n;
    row->finish_reason = t->finish_reason;
    row->nll = r->nll;
    row->kl = r->divergence.kl;
    row->kl_max = r->divergence.kl_max;
    row->top1 = r->divergence.top1;
    row->first_divergence = r->divergence.first;
    fill_scores(s, r, row);
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
