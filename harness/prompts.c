#include "harness/prompts.h"

#include "harness/base/mem.h"

static int concerns(const struct cell *c, int model, int task, const struct prompts_visitor *v)
{
    return c->model == model && c->task == task && (!v->calibrated || c->calibration);
}

static int visit_item(const struct encode_context *c, const struct dataset_item *item, int sample, int new_tokens,
                      const struct prompts_visitor *v, struct err *e)
{
    int rc = -1, done = 0;
    struct prompt *prompt = mem_new((size_t)item->n_question + 1, sizeof *prompt);
    for (; done < item->n_question; done++)
        if (encode_prompt(c, item, done, &prompt[done], e))
            goto out;
    rc = v->item(v->ctx, item, prompt, sample, new_tokens, e);
out:
    for (int q = 0; q < done; q++)
        encode_prompt_fini(&prompt[q]);
    mem_free(prompt);
    return rc;
}

static int visit_sample(const struct experiment *x, int model, int task, const struct encode_context *ec, void *self, int sample,
                        const struct prompts_visitor *v, struct err *e)
{
    const struct cell *cell = x->cell;
    const struct exp_task *t = &x->task[task];
    for (int c = 0; c < x->n_cell; c++) {
        int seen = !concerns(&cell[c], model, task, v);
        for (int k = 0; k < c && !seen; k++)
            seen = concerns(&cell[k], model, task, v) && cell[k].max_new_tokens == cell[c].max_new_tokens;
        if (seen)
            continue;
        struct dataset_item item = {0};
        int bad = t->ops->item(self, sample, x->seed, cell[c].max_new_tokens, &item, e);
        if (bad)
            err_wrap(e, "%s:%d: task '%s', sample %d", x->path, t->line, t->label, sample);
        else
            bad = visit_item(ec, &item, sample, cell[c].max_new_tokens, v, e);
        dataset_item_fini(&item);
        if (bad)
            return -1;
    }
    return 0;
}

int prompts_visit(const struct experiment *x, int model, int task, const struct encode_context *c, const struct prompts_visitor *v,
                  struct err *e)
{
    const struct exp_task *t = &x->task[task];
    void *self = NULL;
    struct encode_context ec = *c;
    struct dataset_env env;
    int rc = -1, first = x->first_sample;
    ec.target_delimiter = dataset_target_delimiter(t->ops, t->config);
    encode_dataset_env(&ec, x->dir, &env);
    if (t->ops->open(&self, t->config, &env, e)) {
        err_wrap(e, "%s:%d: task '%s'", x->path, t->line, t->label);
        goto out;
    }
    int there = t->ops->count(self);
    if (there >= 0 && there <= first) {
        err_set(e, ERR_CONFIG, "%s:%d: first_sample %d: task '%s' has samples 0 to %d", x->path, t->line, first, t->label, there - 1);
        goto out;
    }
    int n = there < 0 || there - first > x->samples ? x->samples : there - first;
    if (v->begin)
        v->begin(v->ctx, n);
    for (int i = first; i < first + n; i++)
        if (visit_sample(x, model, task, &ec, self, i, v, e) || (v->end && v->end(v->ctx, i, e)))
            goto out;
    rc = 0;
out:
    t->ops->close(self);
    return rc;
}
