/* From a dataset's item to token ids. Three pieces are encoded apart and joined, in every form of prune_after:
 *   (BOS) template prefix + context | question | template suffix + answer prefix */
#ifndef HARNESS_ENCODE_H
#define HARNESS_ENCODE_H

#include "datasets/dataset.h"
#include "harness/experiment/experiment.h"
#include "models/model.h"

struct prompt {
    struct token_ids ids;
    int context_end;         /* tokens of the first piece */
    int question_end;        /* and of the second */
    unsigned char *evidence; /* [context_end] 1: the token holds part of the answer; NULL: not known */
    int n_evidence;
    struct token_ids target; /* the first reference answer behind its delimiter (target.h); empty: there is none */
};

/* Whose tokens, in which template, and what stands between a prompt and its answer. */
struct encode_context {
    const struct model *model;
    struct template_pieces pieces;
    const char *target_delimiter; /* of the task; NULL: nobody reads targets, and none are encoded */
};

/* `question` is an index into item->question. On success the caller calls encode_prompt_fini. */
int encode_prompt(const struct encode_context *c, const struct dataset_item *item, int question, struct prompt *out,
                  struct err *e);
void encode_prompt_fini(struct prompt *p);

/* How many prompt tokens are fed before pruning. At least one token is held back, but for PROMPT. */
int encode_n_before(const struct prompt *p, enum prune_after a);

/* The environment that lends this model's tokenizer to datasets. `env->ctx` points at `c`, which must live as
 * long as env is used. */
void encode_dataset_env(struct encode_context *c, const char *base_dir, struct dataset_env *env);

#endif
