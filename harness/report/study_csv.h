/* studies.csv: one line per layer study and measure, with what all its layers say together
 * (harness/stats/permutation.h). */
#ifndef HARNESS_STUDY_CSV_H
#define HARNESS_STUDY_CSV_H

#include "harness/report/aggregate.h"

/* Nothing without a study. */
int study_csv_write(const char *dir, const struct aggregate *a, struct err *e);

#endif
