/* One group on the tiny model of tests/lib/rows.h, run directly: prompts of random tokens, every cell's keep set and
 * row at hand. All cells of the experiment must belong to one group. */
#ifndef TESTS_LAB_H
#define TESTS_LAB_H

#include "harness/engine/group.h"
#include "models/model.h"
#include "tests/lib/plain.h"

/* The model: the tiny one, or that with windows (support.h), under windows: keep or prune. Set before lab_open. */
enum lab_kind { LAB_ALIKE, LAB_KEEP, LAB_PRUNE, LAB_N_KIND };
extern enum lab_kind lab_kind;

/* Ways to read, cut and decode: as a block of a sweep says it, and as the plain twin goes it. */
enum { LAB_N_WAY = 7 };
extern const struct lab_way {
    const char *rest;
    struct plain_course course;
    int packed;
} lab_way[LAB_N_WAY];

enum { LAB_SAMPLE = 77 }; /* the sample's hash, for random scores */

struct lab_result {       /* of one (cell, question) */
    struct keepset *keep; /* NULL: it failed */
    char *row;            /* its JSON */
    int32_t *out;         /* generated tokens */
    int n_out;
};

struct lab {
    struct experiment x;
    struct model *model;
    struct prompt prompt;
    struct dataset_item item;
    struct lab_result *result; /* [x.n_cell] of the first question */
    size_t batch_bytes;        /* 0: no limit */
};

/* `sweep`: blocks of the sweep as YAML, each line with its indentation. n_prompt tokens in random order, the last
 * n_suffix of which are the template's suffix and the n_question before them the question. */
void lab_open(struct lab *l, const char *sweep, const char *top, int n_prompt, int n_question, int n_suffix);
void lab_run(struct lab *l, enum prune_after after);
int lab_try(struct lab *l, enum prune_after after, struct err *e); /* the same; -1 when the group as a whole fails */
void lab_clear(struct lab *l);                                     /* forgets the results */
void lab_close(struct lab *l);
/* A number of a cell's row; NAN for null. */
double lab_number(const struct lab *l, int cell, const char *key);
/* Of the answer, which is fed to p on course c; p has seen the whole prompt. */
double lab_nll(const struct lab *l, struct plain *p, struct plain_course *c);
void lab_text(const struct lab *l, int cell, const char *key, struct str *out); /* any column, as JSON */

#endif
