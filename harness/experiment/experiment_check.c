/* What can be known to fail before anything runs: data, lengths, templates. */
#include <limits.h>
#include <string.h>

#include "harness/base/data_dir.h"
#include "harness/base/mem.h"
#include "harness/experiment/budget.h"
#include "harness/experiment/experiment_int.h"
#include "harness/experiment/layers.h"
#include "models/kvcache.h"

static int no_tokens(void *ctx, const char *context, size_t n, const char *question, const char *answer_prefix)
{
    (void)ctx;
    (void)context;
    (void)n;
    (void)question;
    (void)answer_prefix;
    return -1;
}

static char *no_truncation(void *ctx, const char *context, size_t n, int max_tokens, struct err *e)
{
    (void)ctx;
    (void)context;
    (void)n;
    (void)max_tokens;
    err_set(e, ERR_CONFIG, "no tokenizer is at hand while an experiment is checked");
    return NULL;
}

static size_t no_head(void *ctx, const char *text, size_t n, int max_tokens)
{
    (void)ctx;
    (void)text;
    (void)max_tokens;
    return n;
}

/* The key's node at or after a line, in the tree's order. */
static const struct conf *find_key(const struct conf *c, const char *key, int from, int *line)
{
    for (int i = 0; c && i < c->n; i++) {
        if (c->kind == CONF_MAP && strcmp(c->key[i], key) == 0 && c->key_line[i] >= from) {
            *line = c->key_line[i];
            return c->item[i];
        }
        const struct conf *found = find_key(c->item[i], key, from, line);
        if (found)
            return found;
    }
    return NULL;
}

/* Complains of a task's data: at the line of the parameter that the message begins with, otherwise at the task's. */
static void complain_of_data(struct load *l, const struct conf *at, const struct exp_task *t, const char *msg)
{
    static const char begin[] = "parameter '";
    int line = t->line;
    if (strncmp(msg, begin, strlen(begin)) == 0) {
        const char *p = msg + strlen(begin);
        char *key = mem_strndup(p, strcspn(p, "'"));
        const struct conf *found = find_key(at, key, t->line, &line);
        at = found ? found : at;
        mem_free(key);
    }
    experiment_complain(l, at, line, "task '%s': %s", t->label, msg);
}

/* What would end a run in its second hour: data that are missing or broken, prompts that no model holds. */
void experiment_check_tasks(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *at = conf_get(l->root, "tasks");
    struct dataset_env env = {.prompt_tokens = no_tokens,
                              .truncate_middle = no_truncation,
                              .head_bytes = no_head,
                              .data_dir = data_dir(),
                              .base_dir = x->dir};
    for (int t = 0; t < x->n_task; t++) {
        struct exp_task *task = &x->task[t];
        struct err e = {0};
        void *self = NULL;
        int told = 0, there = -1;
        if (task->ops->open(&self, task->config, &env, &e))
            complain_of_data(l, at, task, e.msg);
        else
            there = task->ops->count(self);
        if (there >= 0 && there <= x->first_sample)
            experiment_complain(l, at, task->line, "first_sample %d: task '%s' has samples 0 to %d", x->first_sample,
                                task->label, there - 1);
        task->n_sample = there < 0 || there - x->first_sample > x->samples ? x->samples : there - x->first_sample;
        task->ops->close(self);
        for (int m = 0; m < x->n_model; m++)
            if (x->model[m].hp.context_length > 0 && task->length > x->model[m].hp.context_length)
                experiment_complain(l, at, task->line, "task '%s': length %d exceeds the context of model '%s', %d",
                                    task->label, task->length, x->model[m].name, x->model[m].hp.context_length);
        for (int c = 0; c < x->n_cell && task->length && !told; c++)
            if (x->cell[c].task == t && x->cell[c].max_new_tokens >= task->length && ++told)
                experiment_complain(
                    l, at, task->line,
                    "task '%s': length %d leaves nothing for the prompt: max_new_tokens is %d (it counts)", task->label,
                    task->length, x->cell[c].max_new_tokens);
    }
}

int experiment_has_fewer(const struct experiment *x, int task, struct str *out)
{
    const struct exp_task *t = &x->task[task];
    if (t->n_sample >= x->samples)
        return 0;
    str_addf(out, "task '%s': %d samples from number %d on; %d are asked for", t->label, t->n_sample, x->first_sample,
             x->samples);
    return 1;
}

static int check_first(const struct cell *c, const struct layers *of, struct err *e)
{
    int first = c->protect.first_layers;
    if (first <= of->n)
        return 0;
    return err_set(e, ERR_CONFIG, "protect: first_layers %d of a model with %d layers%s", first, of->n,
                   of->n < of->n_model ? " that are pruned" : "");
}

/* Budgets and protection that the model cannot meet, whatever the prompt. */
void experiment_check_budgets(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *at = conf_get(l->root, "sweep");
    int told = -1; /* line */
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        const struct exp_model *model = &x->model[c->model];
        const struct hparams *hp = &model->hp;
        struct layers layers;
        struct err e = {0};
        int m;
        if (c->line == told || c->policy->keeps_all)
            continue;
        layers_of(hp, c->windows, &layers);
        if (hp->n_layer && !layers.n)
            experiment_complain(l, at, told = c->line,
                                "model '%s': every layer has a window, so that windows: keep leaves none to prune; "
                                "windows: prune does",
                                model->name);
        else if (budget_entries(&c->budget, INT_MAX, layers.n, hp->n_kv_head, kvcache_entry_bytes(hp, c->cache_dtype),
                                &m, &e) ||
                 check_first(c, &layers, &e)) {
            layers_explain(hp, c->windows, &e);
            experiment_complain(l, at, told = c->line, "%s (model %s)", e.msg, model->name);
        }
    }
}

/* Cells whose layer budget asks for more whole layers than there are to prune are n/a beside others; where there are no
 * others, the file asks for nothing that could run. */
void experiment_check_any(struct load *l)
{
    const struct experiment *x = l->x;
    const struct cell *first = NULL;
    int pruned = 0, infeasible = 0;
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        pruned += !c->policy->keeps_all;
        infeasible += c->infeasible != NULL;
        first = first || !c->infeasible ? first : c;
    }
    if (first && infeasible == pruned)
        experiment_complain(
            l, conf_get(l->root, "sweep"), first->line,
            "layer_budget '%s': %s (model %s); so every cell of the file is n/a, and there is nothing to "
            "run",
            first->allocator->name, first->infeasible, x->model[first->model].name);
}

/* A template that the model does not have, that nobody here knows, or that has no place for a system message. */
void experiment_check_template(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *at = conf_get(l->root, "template");
    int chat = x->template_system || strcmp(x->template_name, "chat") == 0;
    for (int m = 0; m < x->n_model && chat; m++) {
        struct template_pieces pieces;
        struct tokenizer *t = NULL;
        struct err e = {0};
        if (x->model[m].hp.n_layer == 0)
            continue; /* complained of already */
        int bad = model_open_tokenizer(x->model[m].path, &t, &e);
        if (!bad && !t)
            bad = err_set(&e, ERR_CONFIG, "%s holds no tokenizer", x->model[m].path);
        if (bad || experiment_pieces(x, t, &pieces, &e))
            experiment_complain(l, at, at->line, "template: model '%s': %s", x->model[m].name, e.msg);
        tokenizer_destroy(t);
    }
}
