/* Parts of a report, for report.c alone. */
#ifndef HARNESS_REPORT_INT_H
#define HARNESS_REPORT_INT_H

#include "harness/aggregate.h"
#include "harness/study.h"

struct report_texts {
    struct str *md, *tex, *html; /* all are added to */
};

/* What else sets a line apart: everything that is not a default, in words. */
void report_notes(const struct aggregate *a, const struct agg_cell *c, struct str *s);

/* For every layer study of this task: layers x damage with intervals, and whether the layers differ at all. */
void report_layers(const struct aggregate *a, const struct study_list *studies, const char *task_key,
                   const struct report_texts *out);

#endif
