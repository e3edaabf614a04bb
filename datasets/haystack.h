/* Hay in which needles are hidden: a sequence of units (sentences of books, stock lines), and contexts made of it.
 *
 *     struct haystack h;
 *     haystack_open(&h, "datasets/books", &e);
 *     struct haystack_context c = {.hay = &h, .head = "Memorise ...\n", .needle = {...}, .n_needle = 1};
 *     fit_context(env, haystack_build, &c, 1, question, prefix, budget, &context, &e);
 */
#ifndef DATASETS_HAYSTACK_H
#define DATASETS_HAYSTACK_H

#include <stddef.h>

#include "datasets/fit.h"
#include "harness/base/err.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"

struct haystack {
    char *text;
    size_t n;
    size_t *begin; /* [n_unit + 1] of each unit in text; the last one is n */
    int n_unit;
    size_t cap;
    size_t text_cap;
    char join; /* what stands between units: blank or line break */
    int whole; /* fit_size counts units, not words; its letters are of the next unit */
};

/* The .txt files of a folder, or one file, cut into sentences; line breaks and runs of blanks are one blank. */
int haystack_open(struct haystack *h, const char *path, struct err *e);
/* RULER's kinds: one line of five stock sentences, books (env->data_dir), or nothing yet: needles are added by the
 * caller. Its `noise` and `essay` are the first two words of haystack_types. */
enum haystack_type { HAYSTACK_NOISE, HAYSTACK_ESSAY, HAYSTACK_NEEDLE };
extern const char *const haystack_types[];       /* all three */
extern const char *const haystack_plain_types[]; /* without needle */
int haystack_open_type(struct haystack *h, enum haystack_type type, const struct dataset_env *env, struct err *e);
/* Stock texts, repeated without end. */
void haystack_open_stock(struct haystack *h, const char *const *unit, int n, char join);
/* Appends a unit to a haystack of stock texts, or to a zeroed one. */
void haystack_add(struct haystack *h, const char *unit, size_t n);
void haystack_close(struct haystack *h); /* accepts a zeroed one */

/* Paths of the .txt files of a folder in the order of their names, or of the one file itself; *n >= 1. Caller frees
 * with haystack_free_files. NULL on error. */
char **haystack_files(const char *path, int *n, struct err *e);
void haystack_free_files(char **file, int n); /* accepts NULL */

enum { HAYSTACK_MAX_NEEDLE = 40 };

struct haystack_needle {
    char *text;              /* stands between two units, joined as they are */
    size_t answer, n_answer; /* the bytes of `text` that hold the answer */
    double depth;            /* 0: before the first unit, 1: after the last */
    int apart, n_apart; /* n_apart > 0: the apart-th, from 0, of so many needles in ascending depth that stand before
                           different units, where there are so many */
    int wanted;         /* asked for */
    size_t begin, end;  /* of the answer in the context, as last built */
};

struct haystack_context {
    const struct haystack *hay;
    long start;       /* its first unit; after the last comes the first again */
    const char *head; /* the task's text before the hay */
    struct haystack_needle needle[HAYSTACK_MAX_NEEDLE];
    int n_needle;
};

/* A fit_build; ctx is a struct haystack_context. A needle at depth d stands before unit floor(d x units), the last
 * one, which may be a part, counted (RULER). Needles at one place stand in the order of the array. */
void haystack_build(void *ctx, struct fit_size size, struct str *out);

/* Draws depths of the n needles as RULER does, in any order or ascending. In lines (noise, needle): n different lines,
 * so that none stands at the very end. In book text: n of 40 evenly spaced percentages. n <= HAYSTACK_MAX_NEEDLE. */
void haystack_draw_depths(struct rng *r, enum haystack_type type, struct haystack_needle *needle, int n, int ascending);

#endif
