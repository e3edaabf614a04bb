/* What a layer study measured (profile.h5), as a damage for every layer: allocator_study.h says what damage is.
 *
 * A file may hold several studies: one per task, policy and level (the fraction kept in the studied layer). `task`,
 * `policy` and `level` choose among them; those that remain are pooled: at every level the mean over studies, and where
 * one number a layer is asked for, the mean over levels. Studies that prune all layers but one (only) are left out.
 * What else lies in the file is not looked at.
 *
 * Where a model has layers with a window, studies of cells that treat them alike are looked at alone (windows: keep or
 * prune), and one of other layers than the cell prunes is refused.
 *
 * Instead of measured damage, `metric` names any dataset of float64 with one number for each of the model's layers: a
 * metric that stands in for it. Where high numbers mean that a layer tolerates pruning, damage is its negative.
 *
 * An allocator puts a struct allocator_profile_choice into its config and ALLOCATOR_PROFILE_PARAMS into its table. */
#ifndef POLICIES_ALLOCATOR_PROFILE_H
#define POLICIES_ALLOCATOR_PROFILE_H

#include "policies/allocator.h"
#include "policies/allocator_study.h"

struct allocator_profile_choice {
    char *path;
    char *task, *policy; /* "all", or a name */
    double level;        /* -1: all */
    int measure;         /* enum allocator_study_measure */
    char *metric;        /* NULL or "": measured damage; else a dataset of the file with one number a layer */
    int high;            /* what a high number of it means: 0 the layer tolerates pruning, 1 it suffers */
    int64_t shuffle;     /* 0: off; a seed that deals the profile out to other layers: the control "shuffled" */
};

extern const char *const allocator_profile_all[]; /* {"all", NULL} */

extern const char *const allocator_profile_high[]; /* {"tolerates", "suffers", NULL} */

/* Rows of a parameter table (a macro, because an initialiser can be shared in no other way). */
/* clang-format off */
#define ALLOCATOR_PROFILE_PARAMS(type, member) \
    {"profile", PARAM_PATH, offsetof(type, member.path), NULL, 0, 0, NULL, \
     "profile.h5 that a study of single layers wrote"}, \
    {"task", PARAM_STRING, offsetof(type, member.task), "all", 0, 0, NULL, \
     "studies of this task; all: the mean over all"}, \
    {"policy", PARAM_STRING, offsetof(type, member.policy), "all", 0, 0, NULL, \
     "studies of this policy; all: the mean over all"}, \
    {"level", PARAM_FLOAT, offsetof(type, member.level), "all", 0, 1, allocator_profile_all, \
     "fraction kept in the studied layer; all: the mean over levels"}, \
    {"measure", PARAM_ENUM, offsetof(type, member.measure), "kl", 0, 0, allocator_study_measures, \
     "what damage is: loss of score, rise of nll, kl, or loss of top1 agreement"}, \
    {"shuffle", PARAM_INT, offsetof(type, member.shuffle), "0", 0, 1e15, NULL, \
     "seed that deals the profile out to other layers; 0: as measured"}

/* The rows for rules that may go by a metric instead. */
#define ALLOCATOR_PROFILE_METRIC(type, member) \
    {"metric", PARAM_STRING, offsetof(type, member.metric), "", 0, 0, NULL, \
     "dataset of the profile with one number a layer, to go by instead of damage: /metrics/..."}, \
    {"high", PARAM_ENUM, offsetof(type, member.high), "tolerates", 0, 0, allocator_profile_high, \
     "what a high number of the metric says of a layer"}
/* clang-format on */

struct allocator_profile {
    int n_layer, n_level;
    double *level;  /* [n_level] ascending */
    double *damage; /* [n_level][n_layer]; NAN below `first` where nothing was measured */
    double *mean;   /* [n_layer] over levels */
};

/* Layers below `first` are of no concern to the caller: they may lack, are not dealt out, and count in no comparison.
 * ERR_CONFIG naming file, study, layer and numbers: a profile of another model or depth, no study that matches (with
 * those that are there), a layer without a number, and a profile in which all layers are equal. */
struct allocator_profile *allocator_profile_read(const struct allocator_profile_choice *c,
                                                 const struct allocator_setup *s, int first, struct err *e);
/* Hashes of the prompts that the file's studies stand on, sorted; h5_free_strings. */
int allocator_profile_prompts(const char *path, char ***sha256, size_t *n, struct err *e);
void allocator_profile_free(struct allocator_profile *p); /* NULL is fine */

#endif
