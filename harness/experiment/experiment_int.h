/* Private to experiment*.c: gathering errors, and expanding names with parameters. */
#ifndef HARNESS_EXPERIMENT_INT_H
#define HARNESS_EXPERIMENT_INT_H

#include "harness/experiment/conf.h"
#include "harness/experiment/experiment.h"

/* What `layer: all` of an allocator expands to in the block that is being read. */
struct all_layers {
    int n;              /* 0: not known, and the word is kept */
    const char *unlike; /* why there is no one answer; NULL: there is */
    int number[DIMS_MAX_LAYER];
};

struct load {
    struct experiment *x;
    struct conf *root;
    struct str *errors;
    struct err *first;
    int n_error;
    struct all_layers layers;
};

/* Notes "file:line: text"; the load fails in the end, but goes on to find the rest. */
void experiment_complain(struct load *l, const struct conf *at, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "; did you mean 'x'?" or "", in a static buffer. */
const char *experiment_hint(const char *name, const char *const *known, int n);

/* One noun with parameters: a policy, an allocator, a task. */
struct noun {
    const void *ops;
    const char *name;
    const struct param *params;
    size_t config_size;
    void (*json)(const void *ops, const void *config,
                 struct str *out); /* canonical parameters; NULL: as the table has them */
    int bare;                      /* 1: {name: value} gives its first parameter, as in {interval: 512} */
};
struct choice {
    struct noun noun;
    void *config;
    char *params; /* canonical JSON */
    int line;
};
struct choices {
    struct choice *v;
    int n;
    size_t cap;
};
/* Expands a name, {name: {params}}, or a list of those; lists of values are axes. `all` is what the word "all" of a
 * parameter `layer` expands to; NULL: it is kept. Complains about whatever is wrong. */
void experiment_choices(struct load *l, const struct conf *c, const char *what,
                        int (*find)(const char *name, struct noun *out), const char *const *known, int n_known,
                        const struct all_layers *all, struct choices *out);
void experiment_choices_fini(struct choices *c);

/* Parameters of decode: interval. */
struct interval {
    int64_t every;
};

int experiment_find_policy(const char *name, struct noun *out);
int experiment_find_allocator(const char *name, struct noun *out);
int experiment_find_dataset(const char *name, struct noun *out);
int experiment_find_prefill(const char *name, struct noun *out);
int experiment_find_decode(const char *name, struct noun *out);

/* What the allocators of a block made of their parameters. */
struct ready {
    int n;                                  /* allocators */
    void **self;                            /* [WINDOWS_N][n_model][n] NULL: the config */
    const char **infeasible;                /* the same: why no budget can be met; NULL: some can */
    const struct exp_prompts **calibration; /* [n] NULL: no profile */
    char (*inputs)[HASH_HEX];               /* [n] hash of the files that they read; "" for none */
};
/* Makes them ready for each model, and for each way that the block's cells treat its windows (bits of 1 << enum
 * windows); complains, at their lines of `at`, of parameters and files that do not fit it. What they made belongs to
 * the experiment. */
void experiment_allocators(struct load *l, const struct conf *at, const struct choices *allocator,
                           const unsigned *windows, struct ready *out);
/* What an allocator made for a model, or why it can't serve any budget of it, goes to a cell. */
void experiment_allocators_give(const struct experiment *x, const struct ready *r, int allocator, struct cell *c);
void experiment_allocators_fini(struct ready *r);

/* All cells of all blocks for every model and task. */
void experiment_cells(struct load *l);

/* Finds cell.baseline of all cells. */
void experiment_baseline(struct load *l);

/* Opens every task's data once; lengths against contexts and new tokens. */
void experiment_check_tasks(struct load *l);
/* Budgets below one entry, more protected layers than there are. */
void experiment_check_budgets(struct load *l);
/* A file of which no cell but `full` can be run, whatever the prompt. */
void experiment_check_any(struct load *l);
/* `template`: a word or pieces. */
void experiment_template(struct load *l);
/* template: chat of models that have none. */
void experiment_check_template(struct load *l);

/* Complains of keys that no block has (`top`: that no experiment has). */
void experiment_check_keys(struct load *l, const struct conf *map, int top);

/* Axes at the top that every block overrides: wrong values are complained of, right ones listed in x->unused, and those
 * of --set refused, which somebody has just asked for. */
void experiment_top(struct load *l);
/* 0 for a key at the top that names such an axis. */
int experiment_top_is_used(const struct load *l, const char *key);

/* What a policy or a layer allocator can't do in a mode: said once a block, at its line. */
void experiment_modes_check(struct load *l, const struct conf *block, const struct choices *policy,
                            const struct choices *allocator, const struct choices *prefill,
                            const struct choices *decode);

/* Whole number of a scalar within bounds, or dflt and a complaint. */
int64_t experiment_int(struct load *l, const struct conf *c, const char *key, int64_t min, int64_t max, int64_t dflt);

#endif
