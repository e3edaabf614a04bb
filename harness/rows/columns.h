/* What a row says beside its axes, and what cells.csv makes of it: one line a column, in columns.c. Rows are written
 * and read back by it, cells are aggregated, printed and compared by it. A new column is a field of struct row, a name
 * in enum column_id and a line in the table. (Further metrics are no columns of this table: a task brings its own.) */
#ifndef HARNESS_COLUMNS_H
#define HARNESS_COLUMNS_H

#include <stddef.h>

#include "harness/base/str.h"
#include "harness/engine/row.h"

/* In the order in which rows and cells.csv have them. */
enum column_id {
    /* of a cell alone */
    COLUMN_BASELINE,
    COLUMN_SAMPLES,
    COLUMN_DATA,
    COLUMN_ROWS,
    COLUMN_FAILED,
    /* of rows, among their axes */
    COLUMN_KEEP,
    COLUMN_KEEP_TOKENS,
    COLUMN_KEEP_BYTES,
    COLUMN_LEVEL,
    /* of rows, behind their axes */
    COLUMN_STATUS,
    COLUMN_REASON,
    COLUMN_PROMPT_TOKENS,
    COLUMN_ENTRIES,
    COLUMN_KEPT,
    COLUMN_PROTECTION_CUT,
    COLUMN_CACHE_BYTES,
    COLUMN_CACHE_SHARE,
    COLUMN_CACHE_BYTES_BF16,
    COLUMN_CACHE_BYTES_END,
    COLUMN_CACHE_BYTES_PEAK,
    COLUMN_POLICY_BYTES,
    COLUMN_CACHES_RSS,
    COLUMN_OUTPUT,
    COLUMN_OUTPUT_TOKENS,
    COLUMN_FINISH_REASON,
    COLUMN_PREDICTED,
    COLUMN_METRIC,
    COLUMN_SCORE,
    COLUMN_METRICS,
    COLUMN_NLL,
    COLUMN_KL,
    COLUMN_TOP1,
    COLUMN_KL_MAX,
    COLUMN_FIRST_DIVERGENCE,
    COLUMN_ATTENTION_LOST,
    COLUMN_EVIDENCE_KEPT,
    COLUMN_PREFILL_S,
    COLUMN_DECODE_S,
    COLUMN_GROUP_CELLS,
    COLUMN_END
};

/* How two values of it compare. */
enum column_kind {
    COLUMN_DISCRETE, /* equal or not: counts, bytes, exact decimals */
    COLUMN_MEASURED, /* a score: equal within a tolerance, and one of two may be worse */
    COLUMN_FLOAT,    /* equal within a tolerance, where somebody asks */
    COLUMN_TIME,     /* seconds and resident memory, which no two runs have in common; so its name says: _s, rss */
    COLUMN_SOURCE    /* what was measured on: told apart before anything else is compared */
};

enum column_better {
    COLUMN_NO_WAY, /* neither */
    COLUMN_LOWER,
    COLUMN_HIGHER,
    COLUMN_METRIC_SAYS /* the task's metric knows */
};

/* How struct row holds it, and so how a row prints it. */
enum column_type {
    COLUMN_NOT_IN_ROWS,
    COLUMN_DOUBLE, /* NAN prints as null */
    COLUMN_INT,
    COLUMN_INT64,
    COLUMN_TEXT,   /* const char * */
    COLUMN_SWITCH, /* int, as true or false */
    COLUMN_LAYERS, /* const double *[n_layer]; NULL prints as null */
    COLUMN_OWN     /* by `print` */
};

/* When a row does not know it. */
enum column_unknown {
    COLUMN_KNOWN_ALWAYS,
    COLUMN_KNOWN_IF_OK,      /* null in rows that are not ok */
    COLUMN_KNOWN_IF_REACHED, /* null below 0 */
    COLUMN_KNOWN_OR_LEFT_OUT /* NAN: the row lacks the column */
};

/* What cells.csv makes of it. */
enum column_pooled {
    COLUMN_NOT_POOLED, /* nothing */
    COLUMN_BY_CELL,    /* it is of the cell itself, not of its rows */
    COLUMN_MEAN,       /* the mean over rows */
    COLUMN_INTERVALS,  /* mean, standard error, interval; paired difference to the baseline likewise */
    COLUMN_OVER_LAYERS /* each row's mean over layers: mean, standard error, interval, among the further metrics */
};

struct column {
    const char *name, *unit; /* "": no unit */
    enum column_kind kind;
    enum column_better better;
    enum column_pooled pooled;
    enum column_type type;
    size_t offset; /* in struct row */
    enum column_unknown unknown;
    const char *behind; /* the axis that it follows in rows; NULL: all of them */
    void (*print)(const struct row *r, struct str *out);
    const double *full; /* what the full cache has by definition, not from samples; NULL: nothing */
};

const struct column *columns_at(enum column_id id);
/* 1 for score, nll, kl, ...: what has intervals and differences. */
int columns_is_measure(enum column_id id);
const char *columns_name(enum column_id id);
/* 1 where more is better; `metric`: the task's, which knows it of the score. */
int columns_higher_is_better(enum column_id id, const char *metric);
/* The measure of this name; COLUMN_END: there is none. */
enum column_id columns_find_measure(const char *name);
int columns_is_fraction(enum column_id id); /* 1: in [0, 1] */

/* Adds ,"name":value to a row for all columns that follow this axis; NULL: for those behind all axes. */
void columns_json(const struct row *r, const char *behind, struct str *out);

#endif
