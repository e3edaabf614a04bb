/* The damages of a profile.h5 that metrics are set against, read for one task, and the table of what came of it. */
#ifndef HARNESS_REPR_DAMAGE_H
#define HARNESS_REPR_DAMAGE_H

#include "harness/experiment/axes.h"
#include "harness/stats/rankstats.h"
#include "models/model.h"
#include "policies/allocator_study.h"

struct repr_damage { /* one study of the profile */
    char *name;      /* "0": its group in the file */
    char *policy, *params, *prune_after, *label;
    char *head_budget, *protect, *prefill; /* as JSON but for the first; NULL: the profile does not say */
    char *axis[AXES_MOST]; /* all that the profile says of the study's axes, by their numbers; NULL: nothing */
    double level;
    char *windows;
    int windows_are_pruned;
    int only, k;
    int64_t *layer;                                /* [k] */
    double *damage[ALLOCATOR_STUDY_N_MEASURE];     /* [k]; NAN where not measured */
    double reliability[ALLOCATOR_STUDY_N_MEASURE]; /* split-half, of the layers' ranks, from the profile; NAN: it has
                                                      none */
    double *attention_lost;                        /* [k] or NULL */
    double *output_error;                          /* [k] or NULL */
    char *without_output;                          /* why output_error is not known, or NULL */
    char **prompt;                                 /* [n_prompt] hashes of those that the study stands on */
    size_t n_prompt;
    int shared; /* prompts of the metrics that the study stands on */
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

/* The damages alone, of the studies of this task, errors as repr_relate; freed by repr_relations_fini. */
int repr_damage_read(const char *profile, const struct experiment *x, const struct model *m, int task,
                     struct repr_relations *out, struct err *e);
/* Before anything is measured: the same errors, for all tasks. */
int repr_damage_check(const char *profile, const struct experiment *x, const struct model *m, struct err *e);
/* 1 for the same JSON, whatever its blanks. */
int repr_damage_same_json(const char *a, const char *b);
void repr_relations_fini(struct repr_relations *r);

#endif
