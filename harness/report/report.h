/* Tables, plots and pages of a result folder, from its rows alone. */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdio.h>

#include "harness/base/err.h"
#include "harness/base/str.h"

/* cells.csv, table.md, table.tex, plots/, index.html, and profile.h5 when layers were pruned one at a time. `warning`
 * gets what a reader should know although it is no error: that gnuplot is missing (the .gp stay), that there is nothing
 * to plot, that rows of cells were left out which the experiment no longer has. */
int report_write(const char *dir, struct str *warning, struct err *e);
/* The same into the folder `out`, which is made; `dir` stays as it is. Where it has cells.csv alone, as published
 * results do, the pages show the means that stand there. */
int report_write_to(const char *dir, const char *out, struct str *warning, struct err *e);
int report_print(const char *dir, FILE *out, struct err *e); /* the table that report_write made */

#endif
