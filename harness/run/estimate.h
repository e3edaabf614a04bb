/* What an experiment will take, before it runs: arithmetic, time and memory. All of it follows from the shapes of the
 * model, the lengths of the tasks and the budgets of the cells; nothing is loaded or measured. */
#ifndef HARNESS_ESTIMATE_H
#define HARNESS_ESTIMATE_H

#include <stddef.h>

#include "harness/experiment/experiment.h"

/* What one group holds at once, in bytes. A group, the cells that share a prefill (axes_same_group), is opened by its
 * first cell. */
struct estimate_group {
    int n_cell;
    int prompt; /* tokens of the longest prompt; 0: only its data tell */
    double weights, activations;
    double full_cache; /* of the prompt. Chunked cells read it anew when this one is gone: theirs, if it takes more */
    double scores;     /* scores and attention statistics, and the full cache's predictions */
    double cells;      /* caches of all its cells, if they decoded at once; --memory bounds it */
    double largest;    /* of the one that takes most: with less the group can't be run, however few decode at once */
    int largest_cell;  /* index into x->cell */
};

/* Multiplications and additions by the passes that do them: prompts that are read; steps of all cells of a group, which
 * read every weight for a few rows; given tokens along which cells are forced, many rows at once. */
struct estimate_work {
    double read, step, forced;
};

/* How many of them are done in a second, by all threads. */
struct estimate_rates {
    double read, step;
};

struct estimate {
    int groups; /* prefills */
    struct estimate_work work;
    double flop;                /* all of them */
    double weights, full_cache; /* bytes; the cache of the longest prompt */
    double cut_caches;          /* bytes of the caches that decode at once, bounded by `memory` */
    struct estimate_group most; /* the group that takes most memory, and what that is: estimate_peak */
    double peak;
};

/* A thread's rate where nothing was measured; a core with AVX2 exceeds it. */
extern const double estimate_flops;

double estimate_seconds(const struct estimate_work *w, const struct estimate_rates *r);
/* One token that is read behind n / 2 others on average, and one step behind `entries` of them in all layers. */
double estimate_read_flop(const struct hparams *hp, double n);
double estimate_step_flop(const struct hparams *hp, double entries);
/* What all samples of the group take that cell `first` opens. */
void estimate_group_work(const struct experiment *x, int first, struct estimate_work *out);

/* Of a cell's task in its model's tokens; NULL: no prompt was encoded. */
const struct exp_sizes *estimate_sizes(const struct experiment *x, const struct cell *c);
/* Tokens of a cell's longest prompt: what its task's length leaves, or what prompts that were encoded have; 0: not
 * known. */
int estimate_longest(const struct experiment *x, const struct cell *c);
/* kept [n_layer]: entries of a prompt of n tokens that a cell keeps in each layer, by its budget, or by an allocator
 * that fixes layers by itself (vector, single). Those that spread the budget's total are taken to spread it evenly. */
void estimate_kept(const struct cell *c, const struct hparams *hp, double n, double *kept);
/* model: index into x->model. memory: bytes for cut caches (--memory). Of a task without `length`, time goes by the
 * mean of the prompts that were encoded, memory by the longest; where none was, both by the model's context. */
void estimate_model(const struct experiment *x, int model, double memory, int threads, struct estimate *out);

int estimate_opens_group(const struct experiment *x, int cell);
/* prompt: tokens; 0: what estimate_longest says, and without it nothing is known (prompt 0, weights only). */
void estimate_group(const struct experiment *x, int first, int prompt, int threads, struct estimate_group *out);
/* What it holds even when no cell decodes: all but `cells`. */
double estimate_base(const struct estimate_group *g);
/* With as many cells as decode at once in `memory` (--memory). */
double estimate_peak(const struct estimate_group *g, double memory);
/* ERR_CONFIG for the first group that needs more than `free` bytes although only its largest cell decodes, naming file,
 * line and cell. Groups of prompts whose length is not known are left to the run, which checks every one when it has
 * the prompt. free 0: how much is free is not known, and nothing is refused. */
int estimate_check(const struct experiment *x, double free, int threads, struct err *e);

#endif
