/* Figures: every kind of plot is one file, figure_<name>.c, and one line of the list in figure.c.
 *
 * A figure looks at the aggregated rows, and adds as many pictures as they have something to say for it: data and
 * script of each go to plot_save (plot.h), which has them drawn and listed in index.html. Where it does not apply
 * it adds none, which is no error. */
#ifndef HARNESS_FIGURE_H
#define HARNESS_FIGURE_H

#include "harness/report/aggregate.h"
#include "harness/report/plot.h"

/* What is to be drawn from, and where to. */
struct figure_job {
    const char *folder;
    const struct aggregate *a;
    const struct agg_cell *task; /* a line of the task; NULL for figures over several */
    int number;                  /* of the task, from 1 */
    struct plot_list *out;       /* pictures that are there already; plot_save adds to it */
};

enum figure_scope { FIGURE_OF_TASK, FIGURE_ACROSS_TASKS };

struct figure_ops {
    const char *name;    /* the file's, without figure_ */
    const char *summary; /* what it shows */
    const char *when;    /* what rows must have for it to apply */
    enum figure_scope scope;
    int (*draw)(const struct figure_job *j, struct err *e);
};

int figure_count(void);
const struct figure_ops *figure_at(int i); /* in the order in which pages show them */
const struct figure_ops *figure_find(const char *name);

/* Writes DIR/plots with all figures, and removes those of an earlier report that this one has not. `out` starts zeroed.
 * A missing, failing or slow gnuplot is a warning, not an error; being asked to stop is one. */
int figure_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e);

#endif
