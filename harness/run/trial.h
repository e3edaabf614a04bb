/* How long an experiment will take on this machine: passes of a few layers of the model's shape, with made-up weights,
 * are timed, and counted as often as a run does them. Loading the model is not in it, nor are tasks, metrics and files.
 */
#ifndef HARNESS_TRIAL_H
#define HARNESS_TRIAL_H

#include "harness/experiment/experiment.h"
#include "harness/run/estimate.h"

struct trial {
    double prefill; /* seconds: prompts are read, with the statistics that policies ask for */
    double decode;  /* tokens are chosen, and measures taken along given ones; at most, for steps in which a cell agrees
                       with the full cache are measured while it decodes */
};

/* Of all cells of a model, all samples. Every prompt length, type of weights and number of cells is timed once; it
 * takes as long as the layers that are timed, and their memory and caches. -1: out of memory. Chunked cells count as
 * others. */
int trial_time(const struct experiment *x, int model, struct trial *out, struct err *e);

/* The rates of estimate.h for a model, in some tenths of a second: a prompt of the model's group that takes most is
 * read by one layer of its shape (by a few where layers differ), or as much of it as little work allows, and one step
 * of its cells (some of them) is taken through layers that no cache holds. No weight of the model is read. -1: out of
 * memory. */
int trial_rates(const struct experiment *x, int model, struct estimate_rates *out, struct err *e);

#endif
