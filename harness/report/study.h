/* Layer studies in a result folder: the lines that prune one layer at a time (or all but one), by task, policy, level
 * and every other axis; and what all layers of a study say together. */
#ifndef HARNESS_STUDY_H
#define HARNESS_STUDY_H

#include "harness/report/aggregate.h"
#include "harness/stats/permutation.h"

struct study {
    const struct agg_cell **line; /* [n] by layer; borrowed from the aggregate */
    int *layer;                   /* [n] ascending */
    int n;
    int only; /* 1: all layers but this one are pruned */
};

struct study_list {
    struct study *v; /* [n] in the order of the experiment */
    int n;
};

void study_find(const struct aggregate *a, struct study_list *out);
void study_list_fini(struct study_list *s);

/* The share that a studied layer keeps of what it has, as long as that is one number: under keep_tokens and keep_bytes
 * a layer with a window keeps another share than the others, and the study has none, NAN. */
double study_level(const struct study *s);
/* Appends what sets a line's study apart in headings and keys: "keep 0.2", "keep_tokens 100". */
void study_add_budget(const struct agg_cell *line, struct str *out);

struct study_agreement {
    struct permutation_test test;
    double split_half, split_half_rank; /* reliability of the layers' means, of their ranks */
};
/* The unit is the context: its questions and policy seeds are averaged first. Contexts that lack a layer are left out.
 */
struct study_agreement study_agree(const struct aggregate *a, const struct study *s, enum column_id m);

#endif
