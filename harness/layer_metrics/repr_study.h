/* Metrics of layers of one model on one task: for every layer, at the four stages of a block. Every sample's
 * prompt goes through the model once as it is and once per view, a copy from which each word is dropped with
 * probability `drop`; both papers perturb inputs, DepthKV so, Skean et al. by edits of characters, which are not
 * imitated. Of a context with several questions the first one is asked. */
#ifndef HARNESS_REPR_STUDY_H
#define HARNESS_REPR_STUDY_H

#include "harness/base/hash.h"
#include "harness/experiment/experiment.h"
#include "harness/layer_metrics/repr.h"
#include "harness/stats/stats.h"
#include "models/transformer.h"

enum { REPR_STUDY_DEPTHKV = 0, REPR_STUDY_SKEAN = 1, REPR_STUDY_BOTH = 2 };

struct repr_options {
    int definition; /* REPR_STUDY_* */
    double drop, temperature, alpha;
    int64_t batch;                                /* samples that infonce contrasts, dime and lidar pool; -1: all */
    int64_t knn, views, permutations, max_tokens; /* max_tokens: -1 all */
    int standard, code;                           /* infonce's denominator; curvature of Skean's code */
};
extern const struct param repr_study_params[];

extern const char *const repr_study_stages[]; /* pre, att, res, mlp: as enum tap_stage */

struct repr_study {
    const struct repr_options *o;
    int n_layer, n_sample, batch, n_batch;
    int n_token; /* longest prompt */
    /* [definition][metric][stage] -> [n_layer]: over samples; dime and lidar of SKEAN: over batches. NULL: not asked
     * for */
    struct stats_summary *value[REPR_N_DEFINITION][REPR_N_METRIC][TAP_N_STAGE];
    struct stats_summary *entropy; /* [n_layer] mean entropy of attention rows, nats */
    char (*prompt)[HASH_HEX];      /* [n_sample] as rows' prompt_sha256 */
};

/* Runs task `task` of the experiment on an open model. `output` (may be NULL) gets every prompt; `progress` (may be
 * NULL) is told of every sample. */
struct repr_output;
struct progress;
int repr_study_run(const struct experiment *x, const struct model *m, int task, const struct repr_options *o,
                   struct repr_output *output, struct progress *progress, struct repr_study *out, struct err *e);
void repr_study_fini(struct repr_study *s); /* a zeroed one is fine */

/* `text` without the words that fall to r; what follows a word goes with it. */
struct rng;
void repr_study_drop_words(const char *text, size_t n, double drop, struct rng *r, struct str *out);

#endif
