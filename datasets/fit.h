/* Meeting a token budget exactly: the largest text that fits. */
#ifndef DATASETS_FIT_H
#define DATASETS_FIT_H

#include "datasets/dataset.h"
#include "harness/base/str.h"

/* A text that grows with `units`; writes the whole context and may leave evidence in ctx. */
typedef void (*fit_build)(void *ctx, long units, struct str *context);

/* Finds the largest number of units whose prompt has at most max_tokens tokens and leaves its context in `out`.
 * ERR_CONFIG with the numbers when not even `min_units` fit. */
int fit_context(const struct dataset_env *env, fit_build build, void *ctx, long min_units, const char *question,
                const char *answer_prefix, int max_tokens, long *units, struct str *out, struct err *e);

/* What `length` leaves for the prompt; ERR_CONFIG when max_new_tokens takes it all, or the model can't hold it. */
int fit_prompt_budget(const struct dataset_env *env, int64_t length, int max_new_tokens, int *out, struct err *e);

#endif
