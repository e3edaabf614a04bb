/* A small table of texts, printed as Markdown (padded, so that a terminal shows it well), LaTeX and HTML. */
#ifndef HARNESS_TABLE_H
#define HARNESS_TABLE_H

#include <stddef.h>

#include "harness/base/quote.h"
#include "harness/base/str.h"

struct table {
    char **text; /* [n_row][n_column], owned; the first row is the head */
    int n_row, n_column, n_text;
    int left; /* columns at the left that are texts; all others but the last are numbers, set flush right */
    size_t cap;
    const int *least; /* [n_column] Markdown: columns are at least so wide; NULL: as wide as their texts */
    int goes_on;      /* Markdown: 1: rows of a table whose head stands already; all of them are rows */
};

void table_add(struct table *t, struct str *text); /* the next field; takes the text, leaves an empty str */
void table_add_text(struct table *t, const char *text);
/* Numbers: "n/a" where one is not finite; `format` takes one double. */
void table_add_number(struct table *t, double x, int digits);
void table_add_value(struct table *t, double x, const char *format);
/* 0.5 [0.2, 0.8]; "0.5 [n/a]" where the interval is not known; "0 (exact)" where lo = hi: by definition, not by
 * sampling. More digits than `format` asks for where both ends would read the same. */
void table_add_ends(struct table *t, double mean, double lo, double hi, const char *format);
void table_interval(struct str *s, double mean, double lo, double hi,
                    const char *format); /* the same text, elsewhere */
/* Leaves out a column in which every row below the head is empty or the same `nothing`. */
void table_drop_column(struct table *t, int column);
int table_column_is_empty(const struct table *t, int column, const char *nothing);
void table_free(struct table *t); /* leaves a zeroed struct but for n_column and left */

/* The table in the language of the page: Markdown, LaTeX or HTML. */
void table_write(const struct table *t, struct quote *out);

#endif
