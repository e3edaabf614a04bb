/* Curves of one task with error bars, a curve for all lines that share a label: what the figures of a task draw. */
#ifndef HARNESS_PLOT_CURVES_H
#define HARNESS_PLOT_CURVES_H

#include "harness/report/figure.h"

/* Adds one picture, <number>-<task>-<measure><ending>, or none where the task has no points.
 * single 0: the measure against bytes, with the full cache as a line. 1: against the layer that was pruned alone, as
 * what was lost to the baseline where the measure is not a loss by itself. */
int plot_curves(const struct figure_job *j, enum column_id measure, int single, const char *ending, struct err *e);

#endif
