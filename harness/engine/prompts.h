/* The prompts of an experiment, in the order of a run: every sample of a task, once for every number of tokens that its
 * cells may generate. A task's `length` counts those, so cells that may generate different numbers of them have
 * prompts, full caches and groups of their own: a cell's rows do not depend on which other numbers a sweep tries.
 *
 *   struct prompts *p = prompts_begin(x, model, task, &encode, NULL, e);
 *   while (p && (more = prompts_next(p, &at, e)) > 0)
 *       ... at.item and at.prompt, or at.why there are none ...
 *   prompts_end(p);
 */
#ifndef HARNESS_PROMPTS_H
#define HARNESS_PROMPTS_H

#include "harness/engine/encode.h"

struct prompts;

/* Which of them; all zero: all. */
struct prompts_some {
    int calibrated;          /* 1: only those of cells that read a profile */
    const struct cell *cell; /* only those of this cell; NULL: of all cells of the task */
    int most;                /* samples at most; 0: what the experiment says */
    int from;                /* with is_from: the first sample, in place of the experiment's first_sample */
    int is_from;
};

/* One item of the data, encoded; lent until the next call. */
struct prompts_at {
    int sample;
    const struct cell *cell;         /* the first one of those that have this prompt (axes_same_prompts) */
    const struct dataset_item *item; /* NULL: it can't be made */
    const struct prompt *prompt;     /* [item->n_question]; NULL: it can't be made, or not encoded */
    const struct err *why;           /* why there is no prompt; NULL: there is one */
    int is_last;                     /* of its sample */
};

/* Opens one task, by the tokenizer of c->model, which is model number `model` of the experiment; c->target_delimiter is
 * the task's own, whatever c says. some NULL: all. Errors of the task's data name file, line and task. */
struct prompts *prompts_begin(const struct experiment *x, int model, int task, const struct encode_context *c,
                              const struct prompts_some *some, struct err *e);
int prompts_count(const struct prompts *p); /* samples that there are to visit */
/* 1: the next one; 0: there are no more; -1: an interrupt or an error of the system, which is not the sample's. */
int prompts_next(struct prompts *p, struct prompts_at *at, struct err *e);
/* How many prompts_next gives, and which one it gives next: for those who share them out. */
int prompts_total(const struct prompts *p);
void prompts_seek(struct prompts *p, int next);
/* For those who can't go on without a prompt: at->why, with file, line, task and sample; -1. */
int prompts_fail(const struct prompts *p, const struct prompts_at *at, struct err *e);
void prompts_end(struct prompts *p); /* NULL is fine */

/* What prompts are made with where no weights are needed: the tokenizer of a model, into m, and the pieces of the
 * experiment's template, into c. tokenizer_destroy(m->tokenizer) afterwards, also on an error, which names file and
 * line. */
int prompts_open(const struct experiment *x, int model, struct model *m, struct encode_context *c, struct err *e);

#endif
