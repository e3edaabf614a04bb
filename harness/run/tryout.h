/* The first samples of every task, made and encoded as a run will do it: what no sample of a task can do, and how long
 * prompts are that only the data tell, is known before anything runs. */
#ifndef HARNESS_TRYOUT_H
#define HARNESS_TRYOUT_H

#include "harness/experiment/experiment.h"

enum { TRYOUT_SAMPLES = 32 };

/* The first sample of tasks that have a `length`, the first TRYOUT_SAMPLES of others. Sets model[].sizes. Appends a
 * line "file:line: task 't', sample 0: why" for every task for its first sample that can't be made, or is too long for
 * its model: to `errors` where the task's parameters decide it, to `warnings` where the data do (other records may be
 * well). -1 and e for what has nothing to do with samples: a model without tokenizer. */
int tryout_samples(struct experiment *x, struct str *errors, struct str *warnings, struct err *e);

#endif
