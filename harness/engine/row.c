#include "harness/engine/row.h"

#include <math.h>

void row_begin(struct row *r, const struct experiment *x, const struct cell *cell, int n_layer, int sample)
{
    *r = (struct row){
        .x = x,
        .cell = cell,
        .status = ROW_OK,
        .reason = "",
        .sample = sample,
        .n_layer = n_layer,
        .output = "",
        .finish_reason = "",
        .first_divergence = -1,
        .group_cells = 1,
    };
    r->keep = r->cache_share = r->level = r->predicted = r->nll = r->kl = r->top1 = r->kl_max = (double)NAN;
    r->prefill_s = r->decode_s = (double)NAN;
    for (int i = 0; i < ROW_MAX_METRIC; i++)
        r->metric[i] = (double)NAN;
}

void row_ask(struct row *r, const struct dataset_item *item, int question, const struct prompt *prompt)
{
    const struct dataset_question *q = &item->question[question];
    r->question_id = q->id;
    r->context_id = item->context_id;
    r->max_new_tokens = q->max_new_tokens;
    if (!prompt)
        return;
    r->prompt_tokens = prompt->ids.n;
    hash_sha256(prompt->ids.id, (size_t)prompt->ids.n * sizeof *prompt->ids.id, r->prompt_sha256);
}
