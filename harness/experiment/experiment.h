/* An experiment file, validated and expanded: models, task instances, and the ordered list of cells.
 * Reading and checking only; nothing runs. */
#ifndef HARNESS_EXPERIMENT_H
#define HARNESS_EXPERIMENT_H

#include <stdint.h>

#include "datasets/dataset.h"
#include "harness/base/str.h"
#include "harness/experiment/budget.h"
#include "harness/metric/metric.h"
#include "models/model.h"
#include "policies/allocator.h"
#include "policies/head.h"
#include "policies/policy.h"

enum prune_after { PRUNE_AFTER_CONTEXT, PRUNE_AFTER_QUESTION, PRUNE_AFTER_ALL_BUT_LAST, PRUNE_AFTER_PROMPT };
extern const char *const experiment_prune_after_names[];

/* What becomes of layers that see only a window. */
enum windows { WINDOWS_KEEP, WINDOWS_PRUNE, WINDOWS_N };
extern const char *const experiment_windows_names[];

enum measure { MEASURE_SCORE = 1, MEASURE_NLL = 2, MEASURE_KL = 4 /* kl, top1, kl_max, first_divergence */ };

/* Prompts of a task in a model's tokens, as far as some were encoded. */
struct exp_sizes {
    int n, longest; /* prompts, tokens */
    double sum;     /* tokens of all */
    int samples;    /* that they are of */
};

struct exp_model {
    char *path;              /* resolved */
    char *name;              /* file name without .h5: what rows print */
    struct hparams hp;       /* read when the experiment is checked */
    char sha256[HASH_HEX];   /* as the file states it; once it was loaded, or a profile is compared with it, its own */
    int is_hashed;           /* 1: by its weights */
    struct exp_sizes *sizes; /* [n_task] NULL: nobody has encoded any (tryout.h does) */
    int line;
};

struct exp_task {
    const struct dataset_ops *ops;
    void *config;
    char *label;                      /* what rows print as task */
    char *params;                     /* canonical JSON of the config, see dataset_params_json */
    int length;                       /* its parameter `length`, or 0 */
    const struct metric_ops **metric; /* [n_metric]; the first one is `score` */
    int n_metric;
    int n_sample; /* that a run visits: the experiment's `samples`, or as many as the data have from first_sample on */
    int line;
};

enum chunk_budget { CHUNK_SEEN, CHUNK_FINAL };

/* `prefill`: the whole prompt at once, or in chunks with a cut after each. */
struct chunking {
    int64_t size; /* tokens; 0: prefill full */
    int budget;   /* enum chunk_budget: keep is of the tokens fed so far, or of the whole prompt */
    int carry;    /* 1: survivors keep their attention statistics; 0: the chunk's alone */
};

/* A mode of `prefill` or `decode`, as `list` and `describe` print it. */
struct mode {
    const char *name, *summary;
    const struct param *params;
    size_t config_size;
};
extern const struct mode experiment_prefills[], experiment_decodes[]; /* NULL name at the end */
extern const char *const experiment_positions_names[];                /* in the order of 0 original, 1 packed */
extern const char *const experiment_dtype_names[];

struct cell {
    int model, task; /* indices */
    const struct policy_ops *policy;
    void *policy_config;
    char *params; /* canonical JSON of the policy's parameters */
    struct budget budget;
    char *budget_text; /* "0.4" as canonical decimal; "" for none */
    const struct allocator_ops *allocator;
    void *allocator_config;
    void *allocator_self;                  /* what `allocate` reads: made once per model, or the config */
    const char *infeasible;                /* why the allocator can meet no budget of this model; NULL: it can some */
    const struct exp_prompts *calibration; /* of the profile that the allocator reads; NULL: it reads none */
    char inputs[HASH_HEX];                 /* hash of the files that the allocator reads; "" for none */
    char *layer_budget;                    /* canonical: name, or {"name":{...}} */
    const struct head_ops *heads;
    struct protect protect;
    char *protect_json; /* canonical JSON, {} when nothing */
    enum prune_after prune_after;
    struct chunking chunk;
    int64_t cut_every;    /* decode: 0 frozen, 1 evict, N interval: cut back after every N tokens fed */
    int packed;           /* positions: 0 original, 1 packed */
    enum windows windows; /* keep: layers with a window are not pruned; prune: as the others are */
    /* canonical JSON of the axes: "full" or {"chunked":{...}}; "frozen", "evict" or {"interval":N} */
    char *prefill, *decode;
    uint64_t policy_seed;
    int max_new_tokens;            /* resolved */
    enum model_dtype weight_dtype; /* MODEL_F32 or MODEL_BF16 */
    enum model_dtype arithmetic;   /* of products with weights; MODEL_BF16 goes with weights held so */
    enum model_dtype cache_dtype;  /* of keys and values as they are held: MODEL_F32 or MODEL_BF16 */
    int made_up;                   /* of the axis that tests add to the table; 0 otherwise */
    char *json;                    /* the resolved cell, canonical JSON: what `id` hashes */
    char id[17];                   /* first 16 hex digits of its SHA-256 */
    int line;                      /* of its block */
    int baseline;                  /* index of the cell that differences refer to; -1: none, or itself */
};

/* Prompts that a profile was measured on. */
struct exp_prompts {
    char *path;    /* of the profile */
    char **sha256; /* [n] sorted */
    size_t n;
};
/* 1 when the prompt with this hash is one of them. */
int experiment_is_calibration(const struct exp_prompts *p, const char *sha256);

struct experiment {
    char *path, *dir;      /* the file and its folder */
    char *name, *question; /* `experiment`, and the comment on the first line */
    struct exp_model *model;
    int n_model;
    struct exp_task *task;
    int n_task;
    struct cell *cell;
    int n_cell;
    char *template_name;                     /* "raw", "chat", or what the map says, as JSON */
    char *template_system;                   /* of {chat: {system: ...}}; NULL: there is none */
    char *template_prefix, *template_suffix; /* of pieces that the file spells out; NULL: it does not */
    int samples, first_sample;               /* per task: first_sample .. first_sample + samples - 1 */
    uint64_t seed;
    unsigned measure; /* enum measure bits */
    int record_kept;
    char *baseline; /* the selector of cell.baseline, as one line of YAML */
    struct exp_owned {
        const struct param *params;
        void *config;
    } * owned; /* [n_owned] parameters of policies and allocators, which cells borrow */
    int n_owned;
    struct exp_self {
        const struct allocator_ops *ops;
        void *self;
    } * self; /* [n_self] what allocators made, which cells borrow */
    int n_self;
    char **infeasible; /* [n_infeasible] reasons, which cells borrow */
    int n_infeasible;
    struct exp_prompts **prompts; /* [n_prompts] of profiles, which cells borrow */
    int n_prompts;
    struct str unused;   /* lines "file:line: ...": what stands in the file in vain, for people to be told */
    struct str resolved; /* config.yaml: the whole thing with every default filled in */
};

/* `name`: a file, or what experiment_find finds. `set` holds --set KEY=VALUE texts; limit 0: none. All errors are
 * gathered: on failure e->msg holds the first and `errors` (may be NULL) one "file:line: message" per line. */
int experiment_load(const char *name, const char *const *set, int n_set, int limit, struct experiment *x,
                    struct str *errors, struct err *e);
/* The same from text that was put together elsewhere (`run -m M -t T -p P -k K`). `name` stands for the file. */
int experiment_load_text(const char *name, const char *text, const char *const *set, int n_set, int limit,
                         struct experiment *x, struct str *errors, struct err *e);
/* Appends x->resolved as a file in the folder `dir` has to say it: with relative_to where dir is not the experiment's.
 */
void experiment_print(const struct experiment *x, const char *dir, struct str *out);
/* Appends "task 't': 20 samples from number 0 on; 100 are asked for" when the task's data end before `samples` do; 1
 * then, else 0. */
int experiment_has_fewer(const struct experiment *x, int task, struct str *out);
void experiment_fini(struct experiment *x);
/* What random scores of a sample depend on: the task, its version and parameters, the seed and the index. */
uint64_t experiment_sample_hash(const struct experiment *x, int task, int sample);

/* Cells are in the order of models and tasks. Among those of a (model, task) the full caches stand first, one for every
 * group (axes.h), and are added where a file names none; the others are in file order, equal ones merged. */

/* Sets the template alone of an empty experiment, from what could stand behind `template:` in a file; experiment_fini
 * afterwards. -1 and what is wrong with it. */
int experiment_template_of(const char *text, struct experiment *x, struct err *e);
/* What stands around the prompts of a model with this tokenizer. The texts are t's or the experiment's. */
int experiment_pieces(const struct experiment *x, const struct tokenizer *t, struct template_pieces *out,
                      struct err *e);

#endif
