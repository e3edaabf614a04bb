/* Opening tasks under several tokenizers, and solvers that answer their samples from the prompt's text alone. */
#ifndef TESTS_TASKS_H
#define TESTS_TASKS_H

#include "datasets/dataset.h"
#include "harness/base/str.h"

/* How tokens are counted: a word is cut into fours; every byte is one; byte-level BPE of 700 tokens (tests/vectors). */
enum tasks_tokens { TASKS_FOURS, TASKS_BYTES, TASKS_BPE, TASKS_N_TOKENS };
const struct dataset_env *tasks_env(enum tasks_tokens kind); /* context 8192; lives on */
int tasks_prompt_tokens(enum tasks_tokens kind, const struct dataset_item *item, int question);

struct tasks_opened {
    const struct dataset_ops *ops;
    void *config, *self;
};

/* params: "name=value,name=value" or "". Fails the test when they are refused. */
void tasks_open(struct tasks_opened *o, const char *name, const char *params, enum tasks_tokens kind);
/* The same, but -1 and *e when open refuses. */
int tasks_try_open(struct tasks_opened *o, const char *name, const char *params, enum tasks_tokens kind, struct err *e);
void tasks_close(struct tasks_opened *o);

/* What the i-th question is read as: context, question, answer prefix. */
void tasks_prompt(const struct dataset_item *item, int question, struct str *out);

/* The answers to the prompt of a synthetic task, each followed by a line break, in the order in which the compact
 * wording asks for them; reads nothing but the prompt. -1 when it finds none or more than one solution. */
int tasks_solve(const char *task, int compact, const char *prompt, struct str *answers);

#endif
