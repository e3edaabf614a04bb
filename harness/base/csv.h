/* CSV files with a header, as pages of QUOTE_CSV hold them (RFC 4180: quotes doubled, line feeds inside quotes; a '
 * before what a spreadsheet would run is not part of the text). */
#ifndef HARNESS_BASE_CSV_H
#define HARNESS_BASE_CSV_H

#include "harness/base/err.h"

struct csv {
    char *path, *text;
    char **field; /* [n_row][n_column]; row 0 is the header */
    int *line;    /* [n_row] where each begins, from 1 */
    int n_row, n_column;
};

/* Every row has as many fields as the header, and the header names no column twice; ERR_FORMAT with file and line. */
int csv_read(const char *path, struct csv *out, struct err *e);
int csv_column(const struct csv *c, const char *name); /* -1: none */
const char *csv_at(const struct csv *c, int row, int column);
void csv_free(struct csv *c); /* a zeroed struct is fine */

#endif
