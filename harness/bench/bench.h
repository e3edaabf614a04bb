/* `depthkv bench`: the work that is timed, and what it gives. A *test* is one row of the table: some work, repeated
 * after a warm-up, and the limit that it is compared with. models/PERFORMANCE.md defines every limit. */
#ifndef HARNESS_BENCH_H
#define HARNESS_BENCH_H

#include "harness/base/err.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/base/timing.h"
#include "harness/bench/bench_limits.h"
#include "models/model.h"

enum bench_direction {
    BENCH_SHARE, /* limit / time: 1 is the machine's limit, larger is better */
    BENCH_TIMES  /* time / limit, or bytes / expected bytes: smaller is better */
};

enum { BENCH_MAX_REPEAT = 100 };

struct bench_result {
    double second[BENCH_MAX_REPEAT]; /* [n] of one repeat, divided by `steps` */
    double base[BENCH_MAX_REPEAT];   /* [n] what a relative test is compared with, run beside it; unused otherwise */
    double bandwidth[BENCH_MAX_REPEAT][2]; /* [n] right before and right after second[i]; when paired */
    int paired;                            /* 1: `bytes` are judged by it */
    int n;
    double tokens;                                            /* done in the time of second[i] */
    double rss, expected;                                     /* bytes, 0: not asked for */
    double linear_flop, qk_flop, pv_flop, rows32_flop, bytes; /* of one second[i]: what the limit is made of */
    int relative;                                             /* 1: the limit is `base` */
    double timing[TIMING_N_PHASE][TIMING_N_KIND], timing_s;   /* of one more repeat, not divided; 0: none */
};

struct bench_run {
    const struct model *model;
    enum model_dtype cache_dtype; /* of keys and values: MODEL_F32 or MODEL_BF16 */
    const char *shape;            /* whose model is made of random numbers; NULL: it comes from a file */
    const struct bench_limits *limits;
    struct bench_cells *cells;                             /* the cells of its sweeps */
    struct token_ids prompt;                               /* as many tokens as the longest test needs */
    int repeats, timing;                                   /* timing: one more repeat, with the clocks running */
    struct bench_result *watched;                          /* whose timing the next timed window is; NULL: nobody's */
    void (*progress)(const char *test, int repeat, int n); /* repeat 0: warming up */
};

struct bench_test {
    const char *name, *what;
    int tokens; /* the context that it needs */
    int new_tokens;
    int needs_tokenizer;
    unsigned limits; /* 1 << BENCH_SQUARE, ...: measured before and after */
    enum bench_direction direction;
    double goal, goal_bf16; /* of the ratio; in bf16 arithmetic */
    int variant;            /* for run */
    int (*run)(struct bench_run *b, const struct bench_test *t, struct bench_result *out, struct err *e);
    int asked; /* 1: only where --only names it: it takes long, or much memory */
};
int bench_test_count(void);
double bench_test_goal(const struct bench_test *t, const struct model *m);
/* Seconds that a test takes, roughly: from its prefills and steps, on a machine that does `rate` multiply-adds on
 * registers a second (FLOP/s). Limits are not in it. */
double bench_test_seconds(const struct bench_test *t, const struct model *m, double rate, int rounds);
const struct bench_test *bench_test_at(int i);

/* The cells of the sweeps (32 cells, layer study), from an experiment put together for this model file. */
struct bench_cells *bench_cells_create(const char *model_path, struct err *e);
void bench_cells_destroy(struct bench_cells *c); /* accepts NULL */

/* `n` token ids of the first book, or, without a tokenizer or a book, drawn from a fixed seed. */
void bench_prompt(const struct model *m, int n, struct token_ids *out);

/* What is printed of one test. */
struct bench_row {
    const struct bench_test *test;
    double goal;
    struct bench_result r;
    double mean, sd;                    /* of second[] */
    double limit;                       /* seconds; mean over the repeats that are in the ratio */
    double ratio, ratio_sd, ratio_best; /* mean and deviation over the repeats; of the best one */
    int moved;                          /* repeats that are in no ratio, because their bandwidth moved meanwhile */
    double before[BENCH_N_LIMIT], after[BENCH_N_LIMIT]; /* NAN: not measured */
    double others;              /* share of the CPUs that other processes took meanwhile; NAN: unknown */
    char skipped[ERR_MSG_SIZE]; /* why it did not run, or did not end well; "" when it did */
};
/* Fills mean ... ratio_best from r, before and after. */
void bench_row_judge(struct bench_row *row);
double bench_best(double before, double after); /* the larger one; NAN is no number */

struct bench_report {
    const struct model *model;
    const struct bench_row *row;
    int n_row;
    const struct bench_limits *limits;
    const double (*point)[BENCH_N_LIMIT]; /* [n_point] in the order in which they were measured */
    int n_point, repeats, threads;
    enum model_dtype cache_dtype;
};
/* Markdown: the machine and a table's head; a line of it as soon as a test is done (nothing of one that did not run);
 * memory, timing, limits and notes of all. */
void bench_print_head(const struct bench_report *r, struct quote *out);
void bench_print_row(const struct bench_row *row, struct quote *out);
void bench_print_rest(const struct bench_report *r, struct quote *out);
void bench_print_csv_head(struct quote *out);
void bench_print_csv(const struct bench_row *row, int threads, struct quote *out);
void bench_print_json(const struct bench_report *r, struct str *out);

/* The same tests on several numbers of threads, r[n]: a table of times, speed-ups and efficiencies (bench_scale.c). */
void bench_print_scale(const struct bench_report *r, int n, struct quote *out);
/* Data and script of a plot of the speed-ups, by gnuplot's index a test or a limit. */
void bench_plot_scale(const struct bench_report *r, int n, struct quote *dat, struct quote *gp);
void bench_print_machine(const struct bench_report *r, struct quote *out);
/* Best and least of all measurements of limit i; 0 when there was none. */
int bench_extremes(const struct bench_report *r, int i, double *best, double *least);

#endif
