/* From rows to one line per cell: means, intervals, paired differences to the full cache on the same samples. */
#ifndef HARNESS_AGGREGATE_H
#define HARNESS_AGGREGATE_H

#include "harness/base/json.h"
#include "harness/base/str.h"
#include "harness/stats.h"

enum aggregate_measure { AGG_SCORE, AGG_NLL, AGG_KL, AGG_TOP1, AGG_KL_MAX, AGG_N_MEASURE };
extern const char *const aggregate_measure_names[];

struct agg_row {
    struct json *json;
    int cell;           /* index into agg.cell */
    int64_t sample;
    int64_t question;   /* hash of context and question id: what pairs rows */
    double value[AGG_N_MEASURE], bytes, keep, tokens;
};

struct agg_cell {
    const struct json *axes; /* a row of it */
    const char *id;
    int order;          /* in the experiment */
    int n_ok, n_failed;
    struct stats_summary summary[AGG_N_MEASURE];
    struct stats_paired diff[AGG_N_MEASURE]; /* cell - full, where n > 0 */
    double bytes, keep, tokens, prefill_s, decode_s;
    int baseline;       /* index of full for the same model, task, parameters and prune_after; -1: none */
};

struct aggregate {
    struct agg_row *row;
    int n_row;
    struct agg_cell *cell; /* in the order of the experiment */
    int n_cell;
};

/* Reads DIR/rows.jsonl. Of several rows of one (cell, sample, question) the last one counts. */
int aggregate_load(const char *dir, struct aggregate *a, struct err *e);
void aggregate_free(struct aggregate *a);
/* "snapkv window=32": the policy, and its parameters where several sets occur. */
void aggregate_policy_label(const struct aggregate *a, int cell, struct str *out);
void aggregate_csv(const struct aggregate *a, struct str *out);
const char *aggregate_text(const struct agg_cell *c, const char *key); /* "" when absent */

#endif
