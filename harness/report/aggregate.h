/* From rows to one line per cell: means, intervals, paired differences to the baseline on the same samples.
 *
 * A *cell* is what an experiment names. A *line* of a table or plot pools the cells that differ in nothing but
 * policy_seed, so that a random control is one line with one interval. Rows of one context are one cluster: where a
 * context has several rows, whole contexts are resampled, never single rows. */
#ifndef HARNESS_AGGREGATE_H
#define HARNESS_AGGREGATE_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/json.h"
#include "harness/base/str.h"
#include "harness/rows/columns.h"
#include "harness/rows/plan.h"
#include "harness/stats/stats.h"

enum { AGG_MAX_EXTRA = 64 };

struct agg_row {
    int cell;                /* index into cell[] */
    int ok;                  /* 0: failed or skipped; its values count nowhere */
    int skipped;             /* 1: n/a, because no answer exists for its budget */
    int is_read, is_cut_off; /* some metric looks at its output; max_new_tokens has ended that */
    int protection_cut;      /* not all that is protected fitted into its budget */
    char *reason;            /* of a row that is not ok */
    int64_t sample;
    int64_t cluster; /* hash of the context id */
    int journal;     /* number of the one that it was read from */
    char *context_id, *question_id;
    char prompt_sha256[65];
    char key[65];             /* of all that it depends on (rowkey.h); "": it does not say */
    char data[17];            /* of the question with its answers (rowkey.h); "": an older version wrote the row */
    double value[COLUMN_END]; /* of the columns that are pooled; NAN in all others, and where the row has null */
    double *extra; /* [AGG_MAX_EXTRA] further metrics, in the order of extra_name; NAN where a task has it not */
};

struct agg_cell {
    struct json *axes; /* its last row, owned; of a pooled line: borrowed from its first cell */
    const char *id;
    const struct json *layer_budget; /* {"mga": {...}}'s only member, borrowed; NULL for a bare name */
    int order;                       /* in the experiment */
    int first, n_row;                /* its rows */
    int seeds;                       /* cells that a pooled line stands for; 1 otherwise */
    int baseline;                    /* cell index of what its differences refer to; -1: none */
    char *task_key, *line_key;       /* what cells of one task, of one line, have in common */
    char *study_key;                 /* what cells have in common that differ in layer budget and policy_seed alone */
    int n_ok, n_failed, n_skipped;   /* rows; failed ones without those that are n/a */
    struct stats_summary summary[COLUMN_END]; /* of the columns that are pooled; intervals where they are measures */
    struct stats_paired diff[COLUMN_END];     /* this - baseline, of measures; n is 0 where there is none */
    struct stats_summary *extra;              /* [n_extra] */
};

struct aggregate {
    struct agg_row *row; /* by cell, then sample, then question */
    int n_row;
    struct agg_cell *cell; /* in the order of the experiment */
    int n_cell;
    struct agg_cell *line; /* pooled over policy_seed, same order */
    int n_line;
    int left_out[PLAN_N_VERDICT]; /* rows that are in nothing of this, by reason */
    int n_gone;                   /* cells of those that the experiment has no more */
    int unlisted;                 /* 1: the folder's run has not written which rows belong to it; then these count: */
    int n_replaced, n_build;      /* rows that others took the place of; builds of the program that rows are by */
    char *baseline;               /* what differences refer to, as the experiment says; NULL: the full cache */
    char *extra_name[AGG_MAX_EXTRA]; /* f1, precision, attention_lost, ... as rows name them */
    int n_extra;
};

/* Reads DIR/rows.jsonl, of which only the rows count that belong to the experiment as it was last run there
 * (DIR/plan.jsonl, see plan.h), and the cells' baselines from DIR/manifest.json. Without a plan the manifest's cells
 * count, with all their rows; without either all cells do, and are compared with the full cache of the same task,
 * template, seed and whatever else splits a group (axes.h). Of several rows of one (cell, sample, question) the last
 * one counts; a last line without its newline is ignored. Anything that is no row of this schema is ERR_FORMAT with
 * file and line.
 */
int aggregate_load(const char *dir, struct aggregate *a, struct err *e);
/* What a reader should know of rows that don't count, or that may not belong together; nothing when all is well. */
struct message_list;
void aggregate_tell(const struct aggregate *a, struct message_list *out); /* aggregate_tell.c */
void aggregate_free(struct aggregate *a);                                 /* a zeroed struct is fine */

/* Fills the counts, summaries, differences and means of `out` from the rows of these cells, as one: a context that
 * several of them have is one cluster. out->extra is allocated anew. */
void aggregate_summarise(const struct aggregate *a, const int *cell, int n_cell, struct agg_cell *out);

/* The row of this cell that is of the same sample and question; NULL where there is none, or no cell. */
const struct agg_row *aggregate_partner(const struct aggregate *a, int cell, const struct agg_row *r);
/* Its place in extra_name, where it gets one if there is room; -1 where there is none. */
int aggregate_extra(struct aggregate *a, const char *name);

/* aggregate_kept.c: gives rows the further metric `kept_overlap`, of cells whose baseline is another one than the full
 * cache, where DIR/kept.h5 has what both kept. */
int aggregate_kept(struct aggregate *a, const char *dir, struct err *e);
extern const char aggregate_kept_overlap[]; /* the metric's name */

/* aggregate_range.c: [0, 1] for fractions, NULL for what has no known range. */
const struct stats_range *aggregate_range(const struct agg_cell *c, enum column_id m);
const struct stats_range *aggregate_range_of_column(const char *name); /* of a further metric */
/* What the full cache has by definition, not from samples (kl 0, top1 1, no attention lost, all evidence kept), gets an
 * interval without width, the only ones there are. */
void aggregate_range_identities(const struct aggregate *a, struct agg_cell *c);

struct quote;
void aggregate_csv(const struct aggregate *a, struct quote *out);                      /* cells.csv */
void aggregate_csv_axis(const struct agg_cell *c, const char *key, struct quote *out); /* as cells.csv has it */

double aggregate_mean(const struct agg_cell *c, enum column_id column); /* of a column that is pooled */
const char *aggregate_text(const struct agg_cell *c, const char *key);  /* a text axis; "" when absent */
/* An axis for people: {"single":{"layer":3}} reads "single layer=3". */
void aggregate_axis(const struct agg_cell *c, const char *key, struct str *out);
/* The parameters of its task but for length and depth, a line each; the caller frees it. */
char *aggregate_form(const struct agg_cell *c);
/* "snapkv window=32": the policy, and those of its parameters in which the lines of this task differ. */
void aggregate_policy_label(const struct aggregate *a, const struct agg_cell *c, struct str *out);
/* 1 and the layer when the cell prunes one layer at a time. */
int aggregate_single(const struct agg_cell *c, int *layer);
/* 1 when its layer budget reads a shuffled profile; *out (may be NULL) then gets the budget for people, but for the
 * seed. */
int aggregate_shuffled(const struct agg_cell *c, struct str *out);

/* aggregate_axes.c: what tells cells and lines apart, by the table of axes (harness/experiment/axes.h). */
struct axis;
/* The values of a cell as one text, equal for cells that have them in common: of these keys of rows, NULL at the end,
 * and of all axes for which `has` is not 0. The caller frees it. */
char *aggregate_axes_join(const struct agg_cell *c, const char *const *keys, int (*has)(const struct axis *a));

/* 1 and the value as people read it when a line needs it said: it is not the default, or there is no default for all
 * and the task's lines (of the same policy, where the policy has its own) differ. `axis`: its number. */
int aggregate_axes_tells(const struct aggregate *a, const struct agg_cell *c, int axis, struct str *value);
/* Adds all that are noted and need it, as "name, between, value; ..." behind what is there. by_key: the name is the key
 * of rows, otherwise the one for notes. */
void aggregate_axes_notes(const struct aggregate *a, const struct agg_cell *c, int by_key, const char *between,
                          struct str *out);
/* The value for a curve or panel, whose label has no names: "evict", but "new tokens 8". */
void aggregate_axes_label(const struct agg_cell *c, int axis, struct str *out);

/* The paired difference A - B of a measure between two policies, over every budget below `below`, task and question
 * that both have; policy seeds are averaged first; clustered by context, which the forms (lengths, depths) of one task
 * share. *n_budget: budgets that took part. */
int aggregate_pair(const struct aggregate *a, const char *policy, const char *other, enum column_id m, double below,
                   struct stats_paired *out, int *n_budget, struct err *e);

#endif
