/* The table of columns (harness/rows/columns.h) as cells.csv has it: by how many numbers a measure is told there, and
 * how a column of any cells.csv compares. */
#ifndef HARNESS_CELL_COLUMNS_H
#define HARNESS_CELL_COLUMNS_H

#include "harness/rows/columns.h"
#include "harness/stats/stats.h"

/* What cells.csv says of a measure: "score", "score_se", ..., "score_diff_p". */
struct cell_columns_part {
    const char *ending;
    int is_paired; /* of the difference to the baseline: struct stats_paired; else struct stats_summary */
    size_t offset; /* of a double there */
};
enum { CELL_COLUMNS_N_PART = 9 };
extern const struct cell_columns_part cell_columns_part[CELL_COLUMNS_N_PART];
/* Of either struct, which the part's is_paired tells; NAN without pairs. */
double cell_columns_part_of(const struct cell_columns_part *p, const struct stats_summary *s,
                            const struct stats_paired *d);

/* How a column of a cells.csv compares, by its name alone. What no table knows is an axis, and so discrete. */
enum column_kind cell_columns_kind(const char *name);

#endif
