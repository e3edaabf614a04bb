/* Which cells will be n/a, before anything runs: the layer allocator itself is asked, for a prompt as long as the
 * task's `length` makes it, or as the longest that was encoded, with all chunks of a chunked prefill. Allocators that
 * read scores or statistics of a prompt are not asked, nor anything where no length is known and the budget is no
 * fraction; a fraction is tried on a prompt that fills the model's context. A prompt whose length differs by a few
 * tokens may decide otherwise in the run. */
#ifndef HARNESS_FEASIBLE_H
#define HARNESS_FEASIBLE_H

#include "harness/experiment/experiment.h"

/* 0: nothing is known against it. -1 and the reason, as the run's rows have it: ERR_INFEASIBLE (n/a), or another code
 * where the cell will fail. */
int feasible_check(const struct experiment *x, int cell, struct err *why);

#endif
