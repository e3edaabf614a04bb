/* The dataset ABI: a task makes samples. A sample is a pure function of (task, its version, parameters,
 * seed, index); tokenizers are seen only through `struct dataset_env`, because a token budget has to be
 * met exactly while datasets know nothing of models. */
#ifndef DATASETS_DATASET_H
#define DATASETS_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/param.h"

#define DATASET_ABI 1

/* What the harness lends to a dataset. */
struct dataset_env {
    void *ctx;
    /* Tokens of a whole prompt as the run will encode it (template, BOS and all): context, question and
     * answer prefix are encoded apart and concatenated. */
    int (*prompt_tokens)(void *ctx, const char *context, size_t n_context, const char *question,
                         const char *answer_prefix);
    /* Keeps the first and last half of the context's tokens so that it has at most max_tokens, decoded again
     * (LongBench's middle truncation); caller frees with mem_free. NULL on error. */
    char *(*truncate_middle)(void *ctx, const char *context, size_t n_context, int max_tokens, struct err *e);
    /* Cuts the text after its first max_tokens tokens; returns bytes kept (<= n). */
    size_t (*head_bytes)(void *ctx, const char *text, size_t n, int max_tokens);
    int context_length;   /* the model's; 0 when unknown */
    const char *data_dir; /* where the books and the questions lie */
    const char *base_dir; /* relative paths of parameters are relative to this (the experiment's folder) */
};

/* Bytes [begin, end) of the context that hold (part of) the answer. */
struct dataset_span {
    size_t begin, end;
};

struct dataset_question {
    char *id;
    char *text;          /* after the context, with the literals before it; "" when there is none */
    char *answer_prefix; /* given to the model after the template's suffix; "" when there is none */
    char **answer;       /* [n_answer] references */
    int n_answer;
    char *target;   /* what a model is trained to write, when that is more than the answers (worked steps); or NULL */
    char **classes; /* [n_class] for the classification metric */
    int n_class;
    char **stop; /* [n_stop] strings that end the output (cut off from it) */
    int n_stop;
    int max_new_tokens; /* 0: the task's own */
};

/* A context with one or several questions. All memory is owned: dataset_item_fini. */
struct dataset_item {
    char *context_id;
    char *context; /* n_context bytes and a NUL */
    size_t n_context;
    struct dataset_question *question;
    int n_question;
    struct dataset_span *evidence;
    int n_evidence;
};

struct dataset_ops {
    int abi;                             /* DATASET_ABI */
    const char *name, *summary, *source; /* source: paper, repository, formula */
    int version;                         /* raised when the samples change */
    int max_new_tokens;                  /* the task's own */
    const char *metric;                  /* the task's own, by name */
    const char *target_delimiter;        /* default of that common parameter; NULL: a blank */
    size_t config_size;
    const struct param *params; /* "length", where a task has one, counts prompt plus max_new_tokens */
    /* (optional) name in rows, where it differs from the task's (jsonl: its `name`) */
    const char *(*label)(const void *config);
    /* (optional) the metric that the parameters ask for; comma-separated for several */
    const char *(*metric_of)(const void *config);
    /* (optional) max_new_tokens that the parameters ask for */
    int (*max_new_tokens_of)(const void *config);
    int (*open)(void **self, const void *config, const struct dataset_env *env, struct err *e);
    /* How many samples there are; -1: as many as asked for. */
    int (*count)(void *self);
    /* Fills a zeroed item. max_new_tokens: what the run will generate at most (for the length budget). */
    int (*item)(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e);
    void (*close)(void *self); /* accepts NULL */
};

int dataset_count(void);
const struct dataset_ops *dataset_at(int i);
const struct dataset_ops *dataset_find(const char *name);
int dataset_validate(const struct dataset_ops *d, struct err *e);
void dataset_item_fini(struct dataset_item *item);

/* The parameters of a task as users give them: its own, then those that every task takes. They are set in one config of
 * dataset_config_size bytes, which begins with the task's own; `open` and `item` see no more of it. */
const struct param *dataset_params(const struct dataset_ops *d); /* lives as long as the program */
size_t dataset_config_size(const struct dataset_ops *d);
/* {"length":1024,...}, appended: canonical. A common parameter stands in it only where it is not the task's default, so
 * that a task is named by what is said of it. */
void dataset_params_json(const struct dataset_ops *d, const void *config, struct str *out);
/* What stands between prompt and answer, where neither has white space there (harness/engine/target.h). */
const char *dataset_target_delimiter(const struct dataset_ops *d, const void *config);

#endif
