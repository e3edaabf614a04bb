/* Which cells can't be run as they stand, before anything runs. Some layer allocators have no answer for some budgets
 * (a layer's share would be above what it has, protected entries do not fit, ...): a run then writes rows with the
 * status n/a. To know it beforehand the allocator itself is asked for its entries, for a prompt as long as the task's
 * `length` makes it, or as the longest that was encoded (tryout.h), and with `prefill: chunked` once for every chunk.
 *
 * Nothing is said of a cell
 *   - whose allocator reads scores or statistics of a prompt, which only a run has;
 *   - for whose prompts no length is known, when its budget is a number of tokens or bytes. (A fraction is tried on a
 *     prompt that fills the model's context.)
 *
 * Prompts may be a few tokens shorter or longer, and the run may then decide otherwise. */
#ifndef HARNESS_FEASIBLE_H
#define HARNESS_FEASIBLE_H

#include "harness/experiment/experiment.h"

/* 0: as far as is known the cell can be run. -1 and the reason in the words of the run's rows: ERR_INFEASIBLE where
 * they will be n/a, another code where they will fail. */
int feasible_check(const struct experiment *x, int cell, struct err *why);

#endif
