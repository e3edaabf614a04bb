/* The axes of an experiment's cells: one row each, and all that reads, prints, compares or tells apart cells goes by
 * the rows. A new axis is a row here and a field of struct cell. */
#ifndef HARNESS_AXES_H
#define HARNESS_AXES_H

#include "harness/experiment/experiment.h"

/* What cells that differ in an axis can't have in common. */
enum axes_split {
    AXES_SPLIT_WEIGHTS = 1, /* the model as it is loaded */
    AXES_SPLIT_PROMPTS = 2, /* the prompts: a task's `length` counts what may be generated */
    AXES_SPLIT_PREFILL = 4  /* the tokens that are read before the cut */
};

struct axis {
    const char *key;     /* in experiments, rows and cells.csv */
    size_t offset, size; /* the field of struct cell that says whether two cells differ */
    unsigned splits;     /* enum axes_split; 0: cells that differ share all of it */
};

int axes_count(void);
const struct axis *axes_at(int i);

/* The three things that cells share, the loaded weights of one model; the prompts of one task;
 * a prefill, which makes them a group: its full cache is read once, and its cells decode together. */
int axes_same_weights(const struct cell *a, const struct cell *b);
int axes_same_prompts(const struct cell *a, const struct cell *b);
int axes_same_group(const struct cell *a, const struct cell *b);

#endif
