/* What the files of plots share. */
#ifndef HARNESS_PLOT_INT_H
#define HARNESS_PLOT_INT_H

#include "harness/metric.h"
#include "harness/plot.h"

/* Okabe and Ito's palette, which readers with any colour vision can tell apart, and point types that differ as well. */
extern const char *const plot_colour[8];
extern const int plot_point[9];

void plot_quote(const char *text, struct str *gp); /* a string of gnuplot */
void plot_safe_name(char *name);                   /* in place: letters, digits, _ and - stay */
/* Writes name.dat and name.gp, and runs gnuplot while *gnuplot says that there is one. */
int plot_save(const char *folder, const char *name, const struct str *dat, const struct str *gp, int *gnuplot, struct str *warning,
              struct err *e);
void plot_list_add(struct plot_list *p, struct str *name, const char *task_key); /* takes the name */
/* Figures over several tasks: heat maps of depth and length, accuracy against bytes over all tasks. */
int plot_across(const char *folder, const struct aggregate *a, struct plot_list *out, int *gnuplot, struct err *e);

#endif
