/* What `depthkv metrics` writes into its folder:
 *   metrics.csv        task, definition, stage, metric, layer, n, value, se, lo, hi, window (of a layer that has one)
 *   metrics.h5         the same means as /metrics/<task, from 0>/<definition>/<stage>/<metric>, float64 [n_layer],
 *                      with the task's and the model's names, and /metrics/prompt_sha256 (strings): what allocators may
 *                      read instead of damage
 *   correlations.csv   one line per (task, study, measure, metric)
 *   metrics.md         the tables
 *   plots/metrics-<task, from 1>-<definition>.{dat,gp,svg,png} */
#ifndef HARNESS_REPR_REPORT_H
#define HARNESS_REPR_REPORT_H

#include "harness/base/quote.h"
#include "harness/layer_metrics/repr_relate.h"
#include "harness/report/message.h"

struct repr_report {
    const struct experiment *x;
    const struct model *m;
    const struct repr_options *o;
    struct repr_study *study;         /* [x->n_task] */
    struct repr_relations *relations; /* [x->n_task], or NULL without a profile */
    const char *profile;
};

/* messages: what could not be made though nothing failed (no gnuplot). */
int repr_report_write(const char *dir, const struct repr_report *r, struct message_list *messages, struct err *e);
void repr_report_markdown(const struct repr_report *r, struct quote *out);

#endif
