/* Whole experiments on a tiny model, and their rows: what the end-to-end suites share. Every failure on the way fails
 * the calling test. */
#ifndef TESTS_ROWS_H
#define TESTS_ROWS_H

#include "harness/base/json.h"
#include "harness/report/message.h"
#include "harness/run/runner.h"

/* A fresh folder below /tmp with tiny.h5 in it: 3 layers, 4 query heads, 2 KV heads, tokens are bytes and an end of
 * text; context 512. The name is static; rows_leave removes all of it. */
const char *rows_enter(void);
void rows_leave(void);
char *rows_path(const char *name);                   /* of a file in the folder; mem_free */
void rows_write(const char *name, const char *text); /* a file in the folder */
char *rows_read(const char *name);                   /* its text; mem_free */

struct rows {
    struct json **v; /* in the journal's order */
    int n;
};
/* Runs the experiment `yaml` (as the file x.yaml of the folder) into its subfolder `out`; a shorter form of all
 * options. */
void rows_run(const char *yaml, const char *out, size_t memory, struct runner_summary *sum);
/* Reads the rows of `out`, or of rows_run right before. */
void rows_load(const char *out, struct rows *r);
void rows_run_and_load(const char *yaml, const char *out, struct rows *r);
void rows_free(struct rows *r);

/* The texts of messages, joined by "; ". Static. */
const char *rows_told(const struct message_list *l);

/* The row of the same (cell, sample, question), or NULL. */
const struct json *rows_find(const struct rows *r, const struct json *like);
/* One column as text; "" when there is none. Static: three of them live at a time. */
const char *rows_text(const struct json *row, const char *column);
/* Fails unless both rows are equal in every column but those that may differ between two runs (*_s, *rss*) and, unless
 * `place`, those that tell of the others in the sweep (group_cells, cell_index). */
void rows_check_equal(const struct json *a, const struct json *b, int place, const char *what);
/* The same for all rows of `a`, each of which `b` must have. */
void rows_check_all(const struct rows *a, const struct rows *b, int place, const char *what);

/* The names of all policies that remove something, joined by ", ". */
struct str;
void rows_add_policies(struct str *s);
/* Rows of cells that keep everything: each has the very bits of its full cache's. Returns how many there were beside
 * the full ones. */
int rows_check_keeps_all(const struct rows *r);

/* What a command prints, by its words (the last one NULL); its exit status in *status. mem_free. */
char *rows_command(int (*command)(int argc, char **argv), const char *const *word, int *status);

/* A row as a journal holds it, for what reads rows: all that aggregates, tables, plots and profiles look at. */
struct rows_fake {
    const char *cell;
    int index, sample;
    const char *context, *question, *policy, *budget;
    int seed;
    double score, kl;         /* NAN: null */
    const char *status;       /* NULL: ok */
    int window;               /* the policy's parameter; 0: 32 */
    const char *layer_budget; /* as JSON; NULL: "uniform" */
    const char *task;         /* NULL: t */
    double bytes, level;      /* 0: 100; null */
    int length;               /* of the task; 0: none */
    int new_tokens;           /* max_new_tokens; 0: not said */
    const char *more;         /* further columns, `,"name":value`; NULL: none */
};
void rows_add_fake(struct str *s, const struct rows_fake *f);

#endif
