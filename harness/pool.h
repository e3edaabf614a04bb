/* One line for all tasks of a result folder: every cell's means over tasks, each task weighing the same.
 *
 * SE = sqrt(sum of the tasks' squared SE) / tasks, since tasks share no samples; ± is 1.96 SE. A cell that some task lacks, or
 * could not run, is n/a with the number of tasks it has. Of layer budgets only the parameters that are not the default,
 * and in which the folder's lines differ, are printed. */
#ifndef HARNESS_POOL_H
#define HARNESS_POOL_H

#include "harness/base/err.h"
#include "harness/base/str.h"

int pool_markdown(const char *dir, struct str *out, struct err *e);

#endif
