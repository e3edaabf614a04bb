/* Scores of an output against references: one table of metrics with name, unit, direction. */
#ifndef HARNESS_METRIC_H
#define HARNESS_METRIC_H

#include <stddef.h>

#include "harness/base/err.h"

struct metric_input {
    const char *output; /* what the model generated, stop string cut off */
    char *const *answer;
    int n_answer;
    char *const *classes; /* all classes (classification) */
    int n_class;
    int output_tokens, answer_tokens; /* of the output and of the first answer (yap) */
};

struct metric_ops {
    const char *name, *summary, *source;
    const char *unit; /* "fraction", "tokens", "nats per token" */
    int higher_is_better;
    int needs_answer;
    /* (optional) names of further columns that it fills (f1: precision, recall), NULL-terminated */
    const char *const *extra;
    /* value[0] is the score, value[1...] the extras; NAN without answers, or where the answers are of no form that
     * the metric knows; NULL: computed by the engine (nll) */
    void (*score)(const struct metric_input *in, double *value);
};

int metric_count(void);
const struct metric_ops *metric_at(int i);
const struct metric_ops *metric_find(const char *name);

#endif
