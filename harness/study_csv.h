/* studies.csv: one line per layer study and measure, with what all its layers say together (harness/permutation.h). */
#ifndef HARNESS_STUDY_CSV_H
#define HARNESS_STUDY_CSV_H

#include "harness/aggregate.h"

/* Nothing without a study. */
int study_csv_write(const char *dir, const struct aggregate *a, struct err *e);

#endif
