/* `depthkv compare`: two cells.csv, cell by cell. Cells are matched by their id, which is the hash of the resolved
 * cell: neither the order of rows nor that of columns matters.
 *
 * How a column compares is in its line of harness/rows/columns.c; what that table does not know is an axis.
 *
 * - Discrete columns (axes, counts, entries, bytes) must be equal.
 * - The means of score, nll, kl, kl_max and top1 are equal when |new - base| <= atol + rtol |base|, and else know which
 *   way is worse. All other floats (standard errors, intervals, differences, p values, further metrics) are compared
 *   only with `all`.
 * - `samples` and `data` must not contradict: cells of other samples, prompts or answers are told as different and not
 *   compared.
 * - Times (columns that end in _s or contain rss) are never compared. */
#ifndef HARNESS_COMPARE_H
#define HARNESS_COMPARE_H

#include "harness/base/err.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/report/message.h"

struct compare_options {
    double rtol, atol;
    int both; /* a difference counts in either direction */
    int all;  /* in every float column; implies both */
    int json; /* one object a finding */
};

struct compare_count {
    int n_cell;         /* in both, and compared */
    int other_data;     /* in both, but of other samples, prompts or answers */
    int unknown;        /* compared, although one side does not say what it was measured on */
    int missing, extra; /* cells that only BASE, only NEW has */
    int differs;        /* discrete columns, or columns that one side lacks */
    int worse, better;  /* floats beyond the tolerance; with `both`, `worse` holds either direction */
};

/* `base` and `now` are result folders or cells.csv files. Appends a line for each finding. ERR_IO or ERR_FORMAT (file,
 * line, column) when one can't be read. */
int compare_cells(const char *base, const char *now, const struct compare_options *o, struct str *out,
                  struct compare_count *count, struct err *e);
/* What is to be doubted about the comparison itself. */
void compare_tell(const struct compare_count *c, struct message_list *out);
/* 1 when NEW may not stand in for BASE: cells missing, discrete columns that differ, floats that got worse. */
int compare_failed(const struct compare_count *c);

#endif
