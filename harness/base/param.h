/* Parameter tables. A policy, allocator or task describes its parameters once; parsing, bounds,
 * defaults, `describe`, and the record of what a run used all read the same rows.
 *
 *   struct config { int window; int kernel; int pooling; };
 *   static const struct param params[] = {
 *       {"window", PARAM_INT, offsetof(struct config, window), "64", 1, 1e6, NULL, "last queries that vote"},
 *       {"pooling", PARAM_ENUM, offsetof(struct config, pooling), "avg", 0, 0, pooling_words, "..."},
 *       {0},
 *   };
 *
 * A config is a plain struct that starts zeroed; param_defaults fills it, param_set changes one field,
 * param_fini releases what strings and lists hold. */
#ifndef HARNESS_BASE_PARAM_H
#define HARNESS_BASE_PARAM_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/decimal.h"
#include "harness/base/err.h"
#include "harness/base/str.h"

enum param_type {
    PARAM_BOOL,     /* int: true or false */
    PARAM_INT,      /* int64_t; a word of `words` is stored as -1 - index (then min must be >= 0) */
    PARAM_FLOAT,    /* double; a word of `words` likewise as -1 - index */
    PARAM_DECIMAL,  /* struct decimal, exact */
    PARAM_ENUM,     /* int: index into `words` */
    PARAM_STRING,   /* char *, owned */
    PARAM_PATH,     /* char *, owned; relative to the experiment file; must exist */
    PARAM_INTS,     /* struct param_ints */
    PARAM_FLOATS,   /* struct param_floats */
    PARAM_DECIMALS, /* struct param_decimals */
    PARAM_STRINGS   /* struct param_strings */
};

struct param_ints {
    int64_t *v;
    int n;
};
struct param_floats {
    double *v;
    int n;
};
struct param_decimals {
    struct decimal *v;
    int n;
};
struct param_strings {
    char **v;
    int n;
};

struct param {
    const char *name; /* NULL ends the table */
    enum param_type type;
    size_t offset;
    const char *dflt;         /* as text; lists: comma-separated; NULL: required */
    double min, max;          /* numbers, and each element of a list of them: inclusive bounds */
    const char *const *words; /* ENUM: all values; INT, FLOAT: words beside numbers; NULL-terminated */
    const char *help;         /* one line, with the unit */
};

int param_is_list(const struct param *p);
const struct param *param_find(const struct param *table, const char *name); /* NULL when unknown */

/* Fills a zeroed config with the defaults (required fields stay zero). */
void param_defaults(const struct param *table, void *config);
/* Sets one field from `n` texts (1 for a scalar, any number for a list). ERR_CONFIG names parameter,
 * expectation and finding; the config is unchanged then. */
int param_set(const struct param *p, void *config, const char *const *text, int n, struct err *e);
void param_fini(const struct param *table, void *config); /* a second call is harmless */

/* The field as JSON (a number, "word", [list], ...), appended. */
void param_value_json(const struct param *p, const void *config, struct str *out);
/* {"window":64,"kernel":5,...} in table order, appended; the canonical form that cells are hashed by. */
void param_json(const struct param *table, const void *config, struct str *out);
/* "integer >= 1", "one of avg, max", ... appended. */
void param_domain(const struct param *p, struct str *out);

#endif
