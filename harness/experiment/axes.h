/* The axes of an experiment's cells, one row of a table each. What reads, expands, prints, compares or tells apart
 * cells goes by the rows, so a new axis is a row in axes.c and a field of struct cell. */
#ifndef HARNESS_AXES_H
#define HARNESS_AXES_H

#include "harness/experiment/axis.h"

enum { AXES_MOST = 32 };

/* In the order of a block's grid, whose last axis is the fastest, of a cell's canonical JSON and of cells.csv. */
int axes_count(void);
const struct axis *axes_at(int i);
int axes_in_row(int i);                       /* number of the i-th in rows */
int axes_find(const char *key);               /* number of the one that rows call so; -1: none */
const char *axes_word(int i);                 /* what people who name it write: keep, for a budget */
const char *axes_key(int i, int k);           /* its k-th key in experiments; NULL: it has no more */
const char *axes_keys(int i, struct str *to); /* all of them: "keep, keep_tokens, keep_bytes" */

/* The values that `map` gives the axis, or the top of the experiment; 1 when one of them says something, right or
 * wrong.
 */
int axes_read(struct load *l, int i, const struct conf *map, struct choices *out);
/* The values of one key. */
void axes_read_key(struct load *l, int i, const char *key, const struct conf *c, struct choices *out);
void axes_read_default(struct load *l, int i, const struct conf *at, struct choices *out); /* empty: its own */

/* 1 when the cell has the value, which a baseline names; exact: its parameters too. */
int axes_is(int i, const struct choice *value, int exact, const struct cell *c);
int axes_same(int i, const struct cell *a, const struct cell *b);
int axes_is_default(const struct experiment *x, int i, const struct cell *c);
void axes_json(int i, const struct cell *c, struct str *out);
void axes_text(int i, const struct cell *c, struct str *out); /* for people: without quotes */
void axes_free(struct cell *c);                               /* the texts that the cell owns */

/* What cells share: the loaded weights of one model; the prompts of one task; a prefill, which makes them a group: its
 * full cache is read once, and its cells decode together. */
int axes_same_weights(const struct cell *a, const struct cell *b);
int axes_same_prompts(const struct cell *a, const struct cell *b);
int axes_same_group(const struct cell *a, const struct cell *b);
/* 1 when none of the cells before cell[i] shares that with it. */
int axes_is_first(const struct cell *cell, int i, int (*same)(const struct cell *a, const struct cell *b));

/* One more axis at the end, or NULL for none, so that tests can see that every place goes by the table. */
void axes_extend(const struct axis *a);

#endif
