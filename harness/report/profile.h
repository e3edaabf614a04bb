/* profile.h5: how much pruning each layer alone hurts, from the cells of a layer study (layer_budget: single).
 *
 *   attributes of /       schema 1, n_layer, model, model_sha256 ("" when the folder has no manifest)
 *   /<study>              one per task, policy and level, numbered from 0; attributes task, metric, policy, params,
 *                         task_params, level (fraction kept in the studied layer), prune_after, prefill, head_budget,
 *                         protect, only (1: all layers but this one are pruned), higher_is_better (of the score)
 *     layer               int64 [k] studied layers, ascending
 *     prompt_sha256       strings: the prompts that the numbers stand on, sorted
 *     score nll kl top1   groups of float64 [k]: mean se lo hi, diff diff_se diff_lo diff_hi diff_p (paired difference
 *                         to the baseline), baseline (its mean), and n int64 [k]; se, lo and hi as in
 *                         harness/stats/stats.h
 *       attributes        what all layers say together (harness/stats/permutation.h): permutation_p, effect, variance,
 *                         null_mean, null_sd, permutations, split_half and split_half_rank (reliability of the layers'
 *                         means, of their ranks), n_sample; NaN where samples are too few */
#ifndef HARNESS_PROFILE_H
#define HARNESS_PROFILE_H

#include "harness/report/aggregate.h"

/* Does nothing when no cell prunes one layer at a time. */
int profile_write(const char *dir, const struct aggregate *a, struct err *e);

#endif
