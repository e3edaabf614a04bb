/* One line for all tasks of a result folder: every cell's means over tasks, each task weighing the same.
 *
 * The lengths and depths of a task are one task: its contexts are resampled whole, with their rows at every length.
 * Samples of different tasks are independent; a mean over K tasks has the interval
 *
 *     mean - sqrt(sum_k (m_k - lo_k)^2) / K, mean + sqrt(sum_k (hi_k - m_k)^2) / K
 *
 * from each task's mean m_k and 95 % interval [lo_k, hi_k] (method of variance estimates recovery: Zou and Donner,
 * Statistics in Medicine 27, 2008, 1693-1702). So it follows intervals that are not symmetric, and has a width where
 * every sample failed, or none differs. */
#ifndef HARNESS_POOL_H
#define HARNESS_POOL_H

#include "harness/base/quote.h"
#include "harness/report/aggregate.h"

struct pool_value {
    int n;               /* tasks that have it; 0: all else is NAN */
    double mean, lo, hi; /* lo, hi: NAN where a task has no interval */
};

struct pool_line {
    const struct agg_cell *cell; /* its first: the axes */
    int n_sample;
    double keep, cache_share, bytes; /* means over the tasks that have a score; NAN: none */
    struct pool_value score, nll, kl, score_diff, nll_diff, kl_diff; /* differences to each cell's baseline */
    struct pool_value overlap;                                       /* of what is kept, with the baseline's */
};

/* Cells that differ in task, length or policy_seed alone are one line, in the order of the experiment; how many. The
 * caller frees *out. */
int pool_lines(const struct aggregate *a, struct pool_line **out);
/* "snapkv window=32, mga by=kl, protect: ...": what is not the default, and in which lines differ. */
void pool_label(const struct aggregate *a, const struct agg_cell *c, struct str *out);
/* Of it the layer budget alone: "mga rho_max=1"; without one of its parameters, if not NULL. */
void pool_layer_budget(const struct aggregate *a, const struct agg_cell *c, const char *without, struct str *out);
/* The table of `report DIR --pool`. */
int pool_markdown(const char *dir, struct quote *out, struct err *e);

#endif
