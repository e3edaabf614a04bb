/* Plots by gnuplot: for every task, score, kl and nll against bytes with error bars, a line per policy; for a layer
 * study what is lost per layer, in paired differences to the baseline. Data (.dat) and script (.gp) are the product, the pictures are derived. */
#ifndef HARNESS_PLOT_H
#define HARNESS_PLOT_H

#include "harness/aggregate.h"

struct plot_list {
    struct plot_item {
        char *name;           /* without folder and ending */
        const char *task_key; /* borrowed from the aggregate; NULL: over several tasks */
    } *item;
    int n;
    size_t cap;
    struct str warning; /* why there are no pictures; empty when there are */
};

/* Writes DIR/plots. `out` starts zeroed. A missing or failing gnuplot is a warning, not an error. */
int plot_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e);
/* Runs gnuplot on a script in `folder`. 0; -1 when it failed, -2 when there is none. */
int plot_gnuplot(const char *folder, const char *script);
void plot_list_fini(struct plot_list *p);

#endif
