/* Does a metric predict how much pruning a layer hurts? Every metric of a study, and the cheap rivals, against the
 * damage in a profile.h5, over its layers: the damage that layer allocators read (policies/allocator_study.h). Where
 * all layers but one were pruned (only: 1) it is the damage that is left when this layer is spared.
 *
 * Rivals: the layer's index; the mean entropy of its attention rows; the share of the full cache's attention that the
 * pruned layer lost (from the rows beside the profile, not known when there are none); the relative error of its
 * attention's output when its cache is cut (repr_output.h). */
#ifndef HARNESS_REPR_RELATE_H
#define HARNESS_REPR_RELATE_H

#include "harness/layer_metrics/repr_damage.h"
#include "harness/layer_metrics/repr_output.h"
#include "harness/layer_metrics/repr_study.h"

/* The studies in `profile` of this task on the experiment's only model. ERR_CONFIG with the file, and what it holds,
 * when there are none, when depth or model differ, or when all layers suffer alike in all of them. */
int repr_relate(const char *profile, const struct experiment *x, const struct model *m, int task,
                const struct repr_study *s, const struct repr_output *output, struct repr_relations *out,
                struct err *e); /* output NULL: not measured */
/* Adjusted p-values over the relations of all tasks together. */
void repr_relate_adjust(struct repr_relations *r, int n);

#endif
