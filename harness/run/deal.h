/* Who computes which sample, where several processes share an experiment: one after the other goes to whoever has
 * least so far, by the estimated cost of its cells. All of them deal alike: it depends on nothing but the experiment.
 */
#ifndef HARNESS_DEAL_H
#define HARNESS_DEAL_H

#include "harness/experiment/experiment.h"
#include "harness/rows/shard.h"

struct deal;

struct deal *deal_create(struct shard which); /* of 0: everything is its own */
/* Deals out n samples of a task for the weights that are loaded for this cell; tasks in the order of the run. How many
 * of them are this process's own. */
int deal_task(struct deal *d, const struct experiment *x, const struct cell *loaded, int task, int n);
int deal_is_own(const struct deal *d, int i); /* of the task that was dealt last */
void deal_destroy(struct deal *d);            /* NULL is fine */

#endif
