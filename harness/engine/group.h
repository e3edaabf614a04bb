/* One group: the unit of work. A prompt is prefilled once; every cell of the group cuts its own cache from it; as many
 * cells (with all their questions) as fit into memory decode together. Whoever runs one asks for its rows, which come
 * as soon as they are known:
 *
 *   struct group_run *run = group_begin(&g);
 *   while ((more = group_next(run, &done, &e)) > 0)
 *       ... done.row, done.keep ...
 *   group_end(run);
 *
 * What happens on the way, in this order:
 *   group_run.c       the prompt is read (prefill.h) while scorers look on (observe.h); budgets and keep sets (prune.h)
 *   group_batch.c     cells that fit together: their caches, decoding (decode.h, evict.h)
 *   group_measure.c   what is measured while they decode and after it (measure.h)
 *   group_row.c       rows
 *   group_chunked.c   cells with `prefill: chunked` follow: they share chunks among themselves, and the full cache as
 *                     their reference */
#ifndef HARNESS_GROUP_H
#define HARNESS_GROUP_H

#include "harness/engine/encode.h"
#include "harness/engine/prune.h"
#include "harness/engine/row.h"
#include "harness/experiment/experiment.h"
#include "models/keepset.h"
#include "models/transformer.h"

enum { GROUP_REFERENCE = 0 }; /* index of the cell that keeps all, which the others are measured against */

struct group {
    const struct experiment *x;
    const struct model *model;
    struct workspace *work;
    struct cell *const *cell; /* [n_cell] that share a prefill (axes.h); cell[GROUP_REFERENCE] keeps all */
    int n_cell;
    const struct dataset_item *item;
    const int *question;         /* [n_question] indices into item->question */
    const struct prompt *prompt; /* [n_question]; what is fed before the cut is the same in all */
    int n_question;
    enum prune_after prune_after;
    int sample;
    uint64_t sample_hash;
    int fixed_length;   /* 1: every sequence decodes exactly its max_new_tokens (benchmarks) */
    int keep_scores;    /* 1: the scores of the last cuts are wanted too (trace) */
    size_t batch_bytes; /* segments that may be resident at once beside the full cache */
    /* (optional) wanted[cell * n_question + question]: 0 = the row is there already; its work may be left out */
    const unsigned char *wanted;
};

struct group_done { /* one (cell, question); lent until the next call */
    int cell, question;
    struct row *row;
    const struct keepset *keep; /* NULL: the cell failed */
    const int *entries;         /* [n_layer] kept per KV head; NULL with keep */
    /* with keep_scores, of the last cut: [n_layer][n_kv_head] -> [n] by position, NAN for what an earlier cut evicted;
     * NULL for a cell that keeps all */
    const float *const *const *score;
};

/* Tokens that a prompt's sequence may have: its own and the longest continuation, generated or forced. What shares a
 * prefill rotates alike, so questions are put into one group only where model_rope_long of this says the same. */
int group_longest(const struct prompt *p, int max_new_tokens);

struct group_run;
struct group_run *group_begin(const struct group *g); /* g and what it points to outlive the run */
/* 1: *out is the next row, question by question within a cell; chunked cells come last. 0: all rows were given. -1: the
 * group as a whole can't be done, or somebody asks to stop (ERR_INTERRUPTED). A cell that fails is a row like another.
 */
int group_next(struct group_run *run, struct group_done *out, struct err *e);
void group_end(struct group_run *run);

#endif
