/* Kinds of axes whose values are one field of a cell: words, whole numbers, budgets, protection. */
#ifndef HARNESS_AXES_VALUES_H
#define HARNESS_AXES_VALUES_H

#include "harness/experiment/axis.h"

extern const struct axis_kind axes_values_word;   /* an int: one of `words` */
extern const struct axis_kind axes_values_number; /* an int or uint64_t within min and max */
extern const struct axis_kind axes_values_budget, axes_values_protect;

#endif
