/* Tables, plots and pages of a result folder, from its rows alone. */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdio.h>

#include "harness/base/err.h"

/* cells.csv, table.md, table.tex, plots/, index.html, and profile.h5 when layers were pruned one at a time. Without
 * gnuplot: a warning on stderr, and the .gp stay. */
int report_write(const char *dir, struct err *e);
int report_print(const char *dir, FILE *out, struct err *e); /* the table that report_write made */

#endif
