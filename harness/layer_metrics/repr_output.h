/* The cheap rival of the metrics of layers that comes closest to the damage itself: what cutting one layer's cache
 * does to that layer's attention output, in a single step.
 *
 * For every study of a profile that prunes one layer at a time, and every prompt: the prompt is read whole up to
 * prune_after, and layer l's cache alone is cut as the study's cells were (scorer, parameters, level, heads,
 * protection). Then the tokens that were held back are fed, once with the full cache and once with each cut one; where
 * none is held back (prune_after: prompt), the full cache's first greedy token. Layers below l are whole, so layer l
 * gets the same input both times.
 *
 *   error_l = mean over the fed tokens of |a_cut - a_full| / |a_full|
 *
 * where a is the output of layer l's attention, after W_o and before the residual is added,
 * in the Euclidean norm, then the mean over prompts. Nothing of what later layers or later tokens make of it is seen:
 * that is the damage. Not known (with the reason) for studies of `only: true`, of a chunked prefill, of a scorer that
 * reads the reference answer, and where the scorer fails. A random scorer has policy_seed 1; a budget that was given in
 * tokens or bytes is the fraction that it came to on average. */
#ifndef HARNESS_REPR_OUTPUT_H
#define HARNESS_REPR_OUTPUT_H

#include "harness/engine/encode.h"

struct repr_output;

/* For the studies of this task, in the order of repr_relate. */
struct repr_output *repr_output_open(const char *profile, const struct experiment *x, const struct model *m, int task,
                                     struct err *e);
void repr_output_close(struct repr_output *o); /* NULL is fine */
/* Adds a prompt of the task. Errors are those of the machine; a study that fails is left out from then on. */
int repr_output_add(struct repr_output *o, const struct prompt *p, int sample, struct err *e);
/* error[layers of the study], the mean over prompts so far; -1 and why (static, or as long as o lives) when it is not
 * known. */
int repr_output_mean(const struct repr_output *o, int study, double *error, const char **why);

#endif
