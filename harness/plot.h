/* Plots by gnuplot: for every task, score and kl against bytes with error bars, a line per policy; for a layer study,
 * score and kl per layer. Data (.dat) and script (.gp) are the product, the pictures are derived. */
#ifndef HARNESS_PLOT_H
#define HARNESS_PLOT_H

#include "harness/aggregate.h"

struct plot_list {
    char **name; /* without ending */
    int n;
    size_t cap;
};

int plot_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e);
void plot_list_fini(struct plot_list *p);

#endif
