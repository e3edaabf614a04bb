/* Parts of a report, for report.c alone. */
#ifndef HARNESS_REPORT_INT_H
#define HARNESS_REPORT_INT_H

#include "harness/report/aggregate.h"
#include "harness/report/study.h"
#include "harness/report/table.h"

struct report_texts {
    struct quote *md, *tex, *html; /* all are added to */
};

extern const char report_intervals[]; /* what [ ], n/a and exact say, for the note below a table */

/* What else sets a line apart: everything that is not a default, in words. */
void report_notes(const struct aggregate *a, const struct agg_cell *c, struct str *s);

/* For every layer study of this task: layers x damage with intervals, and whether the layers differ at all. */
void report_layers(const struct aggregate *a, const struct study_list *studies, const char *task_key,
                   const struct report_texts *out);

/* For every cloud of shuffled profiles of this task: the percentile of every layer budget in it. */
void report_clouds(const struct aggregate *a, const char *task_key, const struct report_texts *out);

/* All of a cells.csv whose rows are not there, as one table. */
struct csv;
void report_cells(const struct csv *cells, const char *dir, const struct report_texts *out);

void report_heading(const char *text, const struct report_texts *out);
void report_table(struct table *t, const char *note, const struct report_texts *out); /* frees the table */

#endif
