/* What people write who come from other tools, or miss a step, and what to write here instead. Everything appends a
 * hint that begins with "; " or ": ", or nothing. */
#ifndef HARNESS_EXPERIMENT_HABITS_H
#define HARNESS_EXPERIMENT_HABITS_H

#include "harness/base/str.h"
#include "harness/experiment/conf.h"

/* Key number i of an experiment (`top`) or of a block, which nobody knows. */
void experiment_habits_key(const struct conf *map, int i, int top, struct str *out);
/* An unknown name where `what` ("policy", "layer_budget", "task") is expected. */
void experiment_habits_name(const char *what, const char *name, struct str *out);
/* A parameter that its owner, which has these, does not know. */
void experiment_habits_parameter(const char *name, const char *const *known, int n, struct str *out);
/* A value that is no `keep`, `keep_tokens` or `keep_bytes`. */
void experiment_habits_budget(const char *key, const char *text, struct str *out);
/* A model that is not there, or is no model file of ours. */
void experiment_habits_model(const char *name, struct str *out);

#endif
