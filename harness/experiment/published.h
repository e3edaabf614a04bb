/* `report: {beside: ...}`: figures that somebody published, beside those of a result folder.
 *
 *   report:
 *     beside:
 *       file: paper.csv            # columns table, row, column, value; others are not looked at
 *       table: 3                   # the rows of the file that are meant
 *       from: cells.csv            # of the result folder; or correlations.csv, metrics.csv
 *       value: score               # the column of `from` that holds our figure
 *       scale: 100                 # that it is multiplied by
 *       rows:                      # a published row, and the lines of `from` that it means: {column: glob pattern}
 *         FullKV: {policy: full}
 *         MGA: {layer_budget: '*"mga"*'}
 *       columns:                   # the same for columns; value may stand here too
 *         GEM7 arXiv R-1: {task: arxiv, value: rouge1}
 *
 * A column may say `statistic: z` (how many standard deviations the line stands from the mean of all lines of the
 * column) or `pearson`, `with: yap` (the correlation of two columns over the chosen lines) instead of the mean; a row
 * its own scale. A row's and a column's patterns together choose lines; of several the mean counts. A row or a column
 * that isn't listed is "not measured", what no line answers to, or has no such number, n/a. */
#ifndef HARNESS_PUBLISHED_H
#define HARNESS_PUBLISHED_H

#include "harness/base/csv.h"
#include "harness/base/err.h"
#include "harness/experiment/conf.h"

/* The file of published figures, and the map under `beside` that says what of it is meant. */
struct published {
    const struct conf *c, *rows, *columns;
    struct csv file;               /* the caller's: csv_free */
    int table, row, column, value; /* its columns */
};

/* Checks the map under `beside`: keys, the file and that the table, its rows and columns are in it; `dir` is where
 * paths start. ERR_CONFIG with file and line. */
int published_check(const struct conf *beside, const char *dir, struct err *e);
/* Reads the file; paths start in `dir`. The map must have been checked. */
int published_open(struct published *p, const struct conf *beside, const char *dir, struct err *e);
/* The text under `key` of a map, or dflt. */
const char *published_text(const struct conf *map, const char *key, const char *dflt);
/* 1 when line r of the file belongs to the table that is meant. */
int published_in_table(const struct published *p, int r);

#endif
