/* The one reader of profile.h5 (its format stands in harness/report/profile.h): which studies of layers it holds, of
 * which model, and how much each layer suffered. What lies beside the numbered studies is not looked at. Whatever is
 * there must be whole: an attribute or a column that the format promises and the file lacks is an error that names it.
 *
 * damage, higher = the layer suffers more from being pruned (where all layers but one were: from being the one that is
 * spared):
 *   score   loss of the task's score against the baseline
 *   nll     its rise against the baseline
 *   kl      mean divergence from the full cache
 *   top1    1 - the share of steps with the full cache's choice
 * Differences are paired where the samples are, and between the means where they are not. */
#ifndef POLICIES_ALLOCATOR_STUDY_H
#define POLICIES_ALLOCATOR_STUDY_H

#include "harness/base/h5.h"
#include "policies/allocator.h"

enum allocator_study_measure {
    ALLOCATOR_STUDY_SCORE,
    ALLOCATOR_STUDY_NLL,
    ALLOCATOR_STUDY_KL,
    ALLOCATOR_STUDY_TOP1,
    ALLOCATOR_STUDY_N_MEASURE
};
extern const char *const allocator_study_measures[]; /* in the order of the enum, NULL-terminated */

struct allocator_study {
    char *group; /* "/0" */
    char *task, *policy, *windows;
    double level;         /* fraction kept in the studied layer; NAN: not the same in all layers */
    int only;             /* 1: all layers but one were pruned */
    int higher_is_better; /* of the score */
    int n;                /* layers; 0 before allocator_study_layers */
    int64_t *layer;       /* [n] ascending, the model's own numbers */
};

/* ERR_CONFIG naming file, expected and found for a profile of another depth, or of another model: by its hash where
 * both are known, else by its name where both are. */
int allocator_study_check_model(const struct h5 *f, const struct allocator_setup *s, struct err *e);
/* All studies of the file, without their layers, in order of name. */
int allocator_study_list(const struct h5 *f, struct allocator_study **v, int *n, struct err *e);
void allocator_study_free(struct allocator_study *v, int n); /* NULL is fine */
/* Reads n and layer. ERR_FORMAT for layers that a model with n_layer has not, or that do not ascend. */
int allocator_study_layers(const struct h5 *f, int n_layer, struct allocator_study *s, struct err *e);
/* damage[s->n]; NAN where nothing was measured. */
int allocator_study_damage(const struct h5 *f, const struct allocator_study *s, enum allocator_study_measure m,
                           double *damage, struct err *e);

#endif
