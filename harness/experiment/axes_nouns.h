/* Kinds of axes whose values are names with parameters. */
#ifndef HARNESS_AXES_NOUNS_H
#define HARNESS_AXES_NOUNS_H

#include "harness/experiment/axis.h"

extern const struct axis_kind axes_nouns_policy, axes_nouns_params; /* params: a part of policy */
extern const struct axis_kind axes_nouns_head_budget;
extern const struct axis_kind axes_nouns_layer_budget, axes_nouns_prefill, axes_nouns_decode;

#endif
