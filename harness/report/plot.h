/* Plots by gnuplot: for every task, score, kl and nll against bytes with error bars, a line per policy; for a layer
 * study what is lost per layer, in paired differences to the baseline. Data (.dat) and script (.gp) are the product,
 * the pictures are derived. */
#ifndef HARNESS_PLOT_H
#define HARNESS_PLOT_H

#include "harness/report/aggregate.h"

struct plot_list {
    struct plot_item {
        char *name;           /* without folder and ending */
        int drawn;            /* 1: there are pictures of it */
        const char *task_key; /* borrowed from the aggregate; NULL: over several tasks */
    } * item;
    int n;
    size_t cap;
    int n_failed, stuck; /* pictures that gnuplot could not make; 1: it was too slow, and is not tried again */
    struct str warning;  /* why there are no pictures; empty when there are */
};

/* Writes DIR/plots. `out` starts zeroed. A missing, failing or slow gnuplot is a warning, not an error; being
 * asked to stop is one. */
int plot_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e);
void plot_list_fini(struct plot_list *p);

#endif
