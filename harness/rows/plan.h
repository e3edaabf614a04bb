/* plan.jsonl: which rows of a folder's journal belong to the experiment as it was last run there. The journal only
 * grows; an experiment that lost records, was limited, or got another model or program leaves rows behind that no table
 * may count. A run writes down, for every cell, the first part of its rows' keys and for every question of its data the
 * second (rowkey.h), so that `report` can tell without the model or the data. A line each:
 *
 *   {"schema":1,"engine":"<16 hex>"}
 *   {"cell":"<id>","key":"<64 hex>","data":D}                       in the experiment's order; key null: see plan_write
 *   {"data":D,"sample":0,"question":"<id>","sha256":"<64 hex>"}     cells that have the same prompts share D */
#ifndef HARNESS_PLAN_H
#define HARNESS_PLAN_H

#include "harness/base/json.h"
#include "harness/base/str.h"
#include "harness/experiment/experiment.h"

/* What becomes of a row: the first one counts, the others are left out for this reason. */
enum plan_verdict {
    PLAN_BELONGS,
    PLAN_CELL,    /* the experiment has no such cell */
    PLAN_SAMPLE,  /* nor such a sample and question */
    PLAN_DATA,    /* the same sample and question have another text, or other answers, now */
    PLAN_BUILD,   /* another engine computed it */
    PLAN_INPUTS,  /* another model or tokenizer, other sources of the policy or allocator, another profile */
    PLAN_PENDING, /* of a model that the run, which was stopped, had not come to yet */
    PLAN_SCHEMA,  /* its form is of another version of the program */
    PLAN_N_VERDICT
};

struct plan;

/* Of an experiment whose cells and questions are added as they become known. */
struct plan *plan_create(const struct experiment *x, const char *engine);
void plan_add_cell(struct plan *p, const struct cell *c, const char *key);
/* of: one of the cells that have the question (axes_same_prompts). */
void plan_add_question(struct plan *p, const struct cell *of, int sample, const char *question, const char *sha256);
/* All cells, those without a key as such: their rows wait until the run comes to their model. */
int plan_write(const struct plan *p, const char *dir, struct err *e);

/* Takes from the plan that is in the folder what another process of the same run knew: keys of cells that have none
 * here yet, and their questions. Where it is of another engine, nothing. */
int plan_complete(struct plan *p, const char *dir, struct err *e);

int plan_is_there(const char *dir);
/* Reads DIR/plan.jsonl; *out is NULL when there is none. ERR_FORMAT with file and line for what is no plan. */
int plan_read(const char *dir, struct plan **out, struct err *e);
enum plan_verdict plan_judge(const struct plan *p, const struct json *row);
/* How many rows belong, of cells whose model some run has come to; *pending: of cells that none has. */
long plan_rows(struct plan *p, int *pending);
/* After plan_rows: which of them, from 0, a row that belongs is; -1: it does not. */
long plan_place(const struct plan *p, const struct json *row);
int plan_order(const struct plan *p, const char *cell); /* its place in the experiment; -1: none */
/* "3 rows of samples that ..., 2 rows of ..." from the counts of verdicts; nothing when all belong. gone:
 * cells that the rows of PLAN_CELL are of. */
void plan_tell(const int count[PLAN_N_VERDICT], int gone, struct str *out);
void plan_destroy(struct plan *p); /* accepts NULL */

#endif
