/* The prompts of an experiment, in the order of a run: every sample of a task, once for every number of tokens that its
 * cells may generate. A task's `length` counts those, so cells that may generate different numbers of them have
 * prompts, full caches and groups of their own: a cell's rows do not depend on which other numbers a sweep tries. */
#ifndef HARNESS_PROMPTS_H
#define HARNESS_PROMPTS_H

#include "harness/engine/encode.h"

struct prompts_visitor {
    void *ctx;
    int calibrated;                         /* 1: only the prompts of cells that read a profile */
    void (*begin)(void *ctx, int n_sample); /* (optional) the task has so many, at most the experiment's `samples` */
    /* prompt[item->n_question]; lent */
    int (*item)(void *ctx, const struct dataset_item *item, const struct prompt *prompt, int sample, int new_tokens,
                struct err *e);
    int (*end)(void *ctx, int sample, struct err *e); /* (optional) after a sample's last item */
    /* (optional) a sample that can't be made (item is NULL), or not encoded; without it, such a sample ends the visit.
     * Errors of the system end it all the same. */
    int (*failed)(void *ctx, const struct dataset_item *item, int sample, int new_tokens, const struct err *why,
                  struct err *e);
    int most; /* samples to visit; 0: all */
};

/* Of one task, by the tokenizer of c->model, which is model number `model` of the experiment. Errors of the task's data
 * name file, line, task and sample; those of a visitor end it as they are. */
int prompts_visit(const struct experiment *x, int model, int task, const struct encode_context *c,
                  const struct prompts_visitor *v, struct err *e);

/* What prompts are made with where no weights are needed: the tokenizer of a model, into m, and the pieces of the
 * experiment's template, into c. tokenizer_destroy(m->tokenizer) afterwards, also on an error, which names file and
 * line. */
int prompts_open(const struct experiment *x, int model, struct model *m, struct encode_context *c, struct err *e);

#endif
