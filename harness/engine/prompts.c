#include "harness/engine/prompts.h"

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"

static int concerns(const struct cell *c, int model, int task, const struct prompts_visitor *v)
{
    return c->model == model && c->task == task && (!v->calibrated || c->calibration);
}

/* Encodes all questions: 0, or -1 with the prompts that are done already in *done. */
static int encode_all(const struct encode_context *c, const struct dataset_item *item, struct prompt *prompt, int *done,
                      struct err *e)
{
    for (*done = 0; *done < item->n_question; (*done)++)
        if (encode_prompt(c, item, *done, &prompt[*done], e))
            return -1;
    return 0;
}

/* What a sample can't do is told to the visitor; an interrupt or a full disk is not the sample's. */
static int is_the_samples(const struct prompts_visitor *v, const struct err *why)
{
    return v->failed && why->code != ERR_INTERRUPTED && why->code != ERR_IO;
}

static int visit_made(const struct experiment *x, const struct exp_task *t, const struct encode_context *ec, void *self,
                      int sample, int new_tokens, const struct prompts_visitor *v, struct err *e)
{
    struct dataset_item item = {0};
    struct err why = {0};
    struct prompt *prompt = NULL;
    int done = 0, rc = -1, made = t->ops->item(self, sample, x->seed, new_tokens, &item, &why) == 0;
    if (made)
        prompt = mem_new((size_t)item.n_question + 1, sizeof *prompt);
    if (made && encode_all(ec, &item, prompt, &done, &why) == 0) {
        rc = v->item(v->ctx, &item, prompt, sample, new_tokens, e);
    } else if (is_the_samples(v, &why)) {
        rc = v->failed(v->ctx, made ? &item : NULL, sample, new_tokens, &why, e);
    } else {
        err_wrap(&why, "%s:%d: task '%s', sample %d", x->path, t->line, t->label, sample);
        if (e)
            *e = why;
    }
    for (int q = 0; q < done; q++)
        encode_prompt_fini(&prompt[q]);
    mem_free(prompt);
    dataset_item_fini(&item);
    return rc;
}

static int visit_sample(const struct experiment *x, int model, int task, const struct encode_context *ec, void *self,
                        int sample, const struct prompts_visitor *v, struct err *e)
{
    const struct cell *cell = x->cell;
    for (int c = 0; c < x->n_cell; c++) {
        int seen = !concerns(&cell[c], model, task, v);
        for (int k = 0; k < c && !seen; k++)
            seen = concerns(&cell[k], model, task, v) && axes_same_prompts(&cell[k], &cell[c]);
        if (!seen && visit_made(x, &x->task[task], ec, self, sample, cell[c].max_new_tokens, v, e))
            return -1;
    }
    return 0;
}

int prompts_visit(const struct experiment *x, int model, int task, const struct encode_context *c,
                  const struct prompts_visitor *v, struct err *e)
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
        err_set(e, ERR_CONFIG, "%s:%d: first_sample %d: task '%s' has samples 0 to %d", x->path, t->line, first,
                t->label, there - 1);
        goto out;
    }
    int n = there < 0 || there - first > x->samples ? x->samples : there - first;
    if (v->most && n > v->most)
        n = v->most;
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
