/* One group: the unit of work. A prompt is prefilled once; every cell of the group cuts its own cache from it; all
 * cells (and questions) decode as one batch. Reads like the method:
 *   prefill and observe -> budgets and keep sets -> sub-batches: derive caches, decode, force, score -> rows
 * Cells with `prefill: chunked` follow: they share chunks among themselves, and the full cache as their reference. */
#ifndef HARNESS_GROUP_H
#define HARNESS_GROUP_H

#include "harness/engine/encode.h"
#include "harness/engine/prune.h"
#include "harness/engine/row.h"
#include "harness/experiment/experiment.h"
#include "models/keepset.h"
#include "models/transformer.h"

struct group {
    const struct experiment *x;
    const struct model *model;
    struct workspace *work;
    struct cell *const *cell; /* [n_cell] one (model, task, prune_after, max_new_tokens); cell[0] keeps all */
    int n_cell;
    const struct dataset_item *item;
    const int *question;         /* [n_question] indices into item->question */
    const struct prompt *prompt; /* [n_question]; the first `n` tokens are the same in all */
    int n_question;
    enum prune_after prune_after;
    int sample;
    uint64_t sample_hash;
    int fixed_length;   /* 1: every sequence decodes exactly its max_new_tokens (benchmarks) */
    size_t batch_bytes; /* segments that may be resident at once beside the full cache */
    int (*tick)(void);  /* asked between steps: non-zero stops with ERR_INTERRUPTED; may be NULL */
    /* Called once per (cell, question), question by question; chunked cells come last. `keep` is NULL when the cell
     * failed before its last cut. */
    int (*emit)(void *ctx, int cell, int question, struct row *row, const struct keepset *keep, struct err *e);
    void *ctx;
    /* (optional) wanted[cell * n_question + question]: 0 = the row is there already; its work may be left out */
    const unsigned char *wanted;
    /* (optional) sees the scores of the last cut before they are dropped (trace, record); by position, NAN for what an
     * earlier cut evicted; NULL for a cell that keeps all */
    int (*inspect)(void *ctx, int cell, const float *const *const *score, const struct keepset *keep,
                   const int *entries, struct err *e);
};

/* What a cell asks of a cut; the prompt, its entries and scores are left zero. */
struct prune_request group_request(const struct cell *c, const struct hparams *hp);

/* 0 when every row was emitted (failed cells are rows too); -1 when the group as a whole could not be done. */
int group_run(const struct group *g, struct err *e);

#endif
