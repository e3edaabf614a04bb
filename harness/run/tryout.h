/* The first sample of every task, made and encoded as a run will do it: what no sample of a task can do is known before
 * anything runs. */
#ifndef HARNESS_TRYOUT_H
#define HARNESS_TRYOUT_H

#include "harness/experiment/experiment.h"

/* Appends a line "file:line: task 't', sample 0: why" for every task whose first sample can't be made, or is too long
 * for its model: to `errors` where the task's parameters decide it, to `warnings` where the data do (other records may
 * be well). -1 and e for what has nothing to do with samples: a model without tokenizer. */
int tryout_samples(const struct experiment *x, struct str *errors, struct str *warnings, struct err *e);

#endif
