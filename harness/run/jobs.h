/* How many prompts of a sweep are computed at once: where a model is too small for one prompt to fill all threads. */
#ifndef HARNESS_JOBS_H
#define HARNESS_JOBS_H

#include "harness/experiment/experiment.h"
#include "harness/run/estimate.h"

struct jobs_choice {
    int best; /* by the size of the smallest model, the threads, and the samples that there are */
    int most; /* that fit into memory beside the weights, which they share; at least 1 */
};

/* memory: --memory, which they share too; free: bytes, 0: not known. */
void jobs_choose(const struct experiment *x, int threads, double memory, double free, struct jobs_choice *out);

/* The most that `jobs` prompts hold at once, by what one holds. */
double jobs_peak(const struct estimate_group *g, double memory, int jobs);

/* The same of the group that takes most, of one model or (-1) of all. */
double jobs_memory(const struct experiment *x, int model, int threads, double memory, int jobs);

#endif
