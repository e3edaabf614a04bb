#include "harness/engine/prompts.h"

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"

struct prompts {
    const struct experiment *x;
    const struct exp_task *task;
    struct encode_context encode;
    struct dataset_env env;
    void *self;               /* the open task */
    int first, n;             /* samples [first, first + n) */
    const struct cell **cell; /* [n_cell] the first of each set of cells that share prompts */
    int n_cell;
    int next;                 /* of n * n_cell */
    struct dataset_item item; /* the one that was lent last */
    struct prompt *prompt;
    int n_prompt;
    struct err why;
};

static int concerns(const struct cell *c, int model, int task, const struct prompts_some *some)
{
    return c->model == model && c->task == task && (!some->calibrated || c->calibration) &&
           (!some->cell || axes_same_prompts(some->cell, c));
}

static void find_cells(struct prompts *p, int model, int task, const struct prompts_some *some)
{
    p->cell = mem_new((size_t)p->x->n_cell + 1, sizeof *p->cell);
    for (int c = 0; c < p->x->n_cell; c++) {
        int seen = !concerns(&p->x->cell[c], model, task, some);
        for (int i = 0; i < p->n_cell && !seen; i++)
            seen = axes_same_prompts(p->cell[i], &p->x->cell[c]);
        if (!seen)
            p->cell[p->n_cell++] = &p->x->cell[c];
    }
}

/* Which samples of those that there are (-1: as many as one likes). */
static int find_samples(struct prompts *p, int there, const struct prompts_some *some, struct err *e)
{
    const struct exp_task *t = p->task;
    p->first = some->is_from ? some->from : p->x->first_sample;
    if (there >= 0 && there <= p->first)
        return err_set(e, ERR_CONFIG, "%s:%d: %s %d: task '%s' has samples 0 to %d", p->x->path, t->line,
                       some->is_from ? "sample" : "first_sample", p->first, t->label, there - 1);
    p->n = there < 0 || there - p->first > p->x->samples ? p->x->samples : there - p->first;
    if (some->most && p->n > some->most)
        p->n = some->most;
    if (!p->n_cell)
        p->n = 0;
    return 0;
}

struct prompts *prompts_begin(const struct experiment *x, int model, int task, const struct encode_context *c,
                              const struct prompts_some *some, struct err *e)
{
    static const struct prompts_some all;
    struct prompts *p = mem_new(1, sizeof *p);
    const struct exp_task *t = &x->task[task];
    *p = (struct prompts){.x = x, .task = t, .encode = *c};
    p->encode.target_delimiter = dataset_target_delimiter(t->ops, t->config);
    encode_dataset_env(&p->encode, x->dir, &p->env);
    find_cells(p, model, task, some ? some : &all);
    if (t->ops->open(&p->self, t->config, &p->env, e)) {
        err_wrap(e, "%s:%d: task '%s'", x->path, t->line, t->label);
        goto fail;
    }
    if (find_samples(p, t->ops->count(p->self), some ? some : &all, e))
        goto fail;
    return p;
fail:
    prompts_end(p);
    return NULL;
}

int prompts_count(const struct prompts *p)
{
    return p->n;
}

int prompts_total(const struct prompts *p)
{
    return p->n * p->n_cell;
}

void prompts_seek(struct prompts *p, int next)
{
    p->next = next;
}

static void forget(struct prompts *p)
{
    for (int q = 0; q < p->n_prompt; q++)
        encode_prompt_fini(&p->prompt[q]);
    mem_free(p->prompt);
    p->prompt = NULL;
    p->n_prompt = 0;
    dataset_item_fini(&p->item);
    p->item = (struct dataset_item){0};
    p->why = (struct err){0};
}

/* All questions of the item; on an error some may be encoded. */
static int encode_all(struct prompts *p, struct err *e)
{
    p->prompt = mem_new((size_t)p->item.n_question + 1, sizeof *p->prompt);
    for (; p->n_prompt < p->item.n_question; p->n_prompt++)
        if (encode_prompt(&p->encode, &p->item, p->n_prompt, &p->prompt[p->n_prompt], e))
            return -1;
    return 0;
}

int prompts_next(struct prompts *p, struct prompts_at *at, struct err *e)
{
    forget(p);
    if (p->next >= p->n * p->n_cell)
        return 0;
    int which = p->next % p->n_cell;
    *at = (struct prompts_at){
        .sample = p->first + p->next / p->n_cell, .cell = p->cell[which], .is_last = which == p->n_cell - 1};
    p->next++;
    if (p->task->ops->item(p->self, at->sample, p->x->seed, at->cell->max_new_tokens, &p->item, &p->why) == 0) {
        at->item = &p->item;
        if (encode_all(p, &p->why) == 0)
            at->prompt = p->prompt;
    }
    if (at->prompt)
        return 1;
    at->why = &p->why;
    return p->why.code == ERR_INTERRUPTED || p->why.code == ERR_IO ? prompts_fail(p, at, e) : 1;
}

int prompts_fail(const struct prompts *p, const struct prompts_at *at, struct err *e)
{
    struct err why = *at->why;
    err_wrap(&why, "%s:%d: task '%s', sample %d", p->x->path, p->task->line, p->task->label, at->sample);
    if (e)
        *e = why;
    return -1;
}

void prompts_end(struct prompts *p)
{
    if (!p)
        return;
    forget(p);
    p->task->ops->close(p->self);
    mem_free(p->cell);
    mem_free(p);
}

int prompts_open(const struct experiment *x, int model, struct model *m, struct encode_context *c, struct err *e)
{
    const struct exp_model *of = &x->model[model];
    if (model_open_tokenizer(of->path, &m->tokenizer, e))
        return err_wrap(e, "%s:%d", x->path, of->line);
    if (!m->tokenizer)
        return err_set(e, ERR_CONFIG, "%s:%d: %s holds no tokenizer", x->path, of->line, of->path);
    if (experiment_pieces(x, m->tokenizer, &c->pieces, e))
        return err_wrap(e, "%s", x->path);
    return 0;
}
