/* Does a metric predict how much pruning a layer hurts? Every metric of a study, and the cheap rivals, against the damage in
 * a profile.h5, over its layers: the damage that layer allocators read (policies/allocator_study.h). Where all layers but one
 * were pruned (only: 1) it is the damage that is left when this layer is spared.
 *
 * Rivals: the layer's index; the mean entropy of its attention rows; the share of the full cache's attention that the
 * pruned layer lost (from the rows beside the profile, not known when there are none); the relative error of its attention's
 * output when its cache is cut (repr_output.h). */
#ifndef HARNESS_REPR_RELATE_H
#define HARNESS_REPR_RELATE_H

#include "harness/rankstats.h"
#include "harness/repr_study.h"
#include "policies/allocator_study.h"

struct repr_damage { /* one study of the profile */
    char *name;          /* "0": its group in the file */
    char *policy, *params, *prune_after, *label;
    char *head_budget, *protect, *prefill; /* as JSON but for the first; NULL: the profile does not say */
    double level;
    int only, k;
    int64_t *layer;      /* [k] */
    double *damage[ALLOCATOR_STUDY_N_MEASURE]; /* [k]; NAN where not measured */
    double reliability[ALLOCATOR_STUDY_N_MEASURE]; /* split-half, of the layers' ranks, from the profile; NAN: it has none */
    double *attention_lost; /* [k] or NULL */
    double *output_error; /* [k] or NULL */
    char *without_output; /* why output_error is not known, or NULL */
    char **prompt;       /* [n_prompt] hashes of those that the study stands on */
    size_t n_prompt;
    int shared;          /* prompts of the metrics that the study stands on */
};

struct repr_relation {
    int damage, measure;
    const char *metric, *definition, *stage; /* stage "" and definition "rival" for the rivals */
    struct rankstats r;
    double q, q_shift, q_partial; /* Benjamini and Hochberg over all relations of the call */
};

struct repr_relations {
    struct repr_damage *damage;
    int n_damage;
    struct repr_relation *row;
    int n_row;
    size_t cap;
    char *without_rows; /* why attention_lost is not known, or NULL */
};

/* The studies in `profile` of this task on the experiment's only model. ERR_CONFIG with the file, and what it holds, when there are none,
 * when depth or model differ, or when all layers suffer alike in all of them. */
int repr_relate(const char *profile, const struct experiment *x, const struct model *m, int task, const struct repr_study *s,
                const struct repr_output *output, struct repr_relations *out, struct err *e); /* output NULL: not measured */
/* The damages alone, with the same errors; repr_relations_fini. */
int repr_relate_damages(const char *profile, const struct experiment *x, const struct model *m, int task, struct repr_relations *out,
                        struct err *e);
/* Before anything is measured: the same errors, for all tasks. */
int repr_relate_check(const char *profile, const struct experiment *x, const struct model *m, struct err *e);
/* Adjusted p-values over the relations of all tasks together. */
void repr_relate_adjust(struct repr_relations *r, int n);
void repr_relations_fini(struct repr_relations *r);

#endif
