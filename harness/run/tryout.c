#include "harness/run/tryout.h"

#include "harness/engine/prompts.h"

struct tryout {
    const struct experiment *x;
    int model, task;
    struct str *out;
};

static void tell(const struct tryout *t, int sample, const char *why)
{
    const struct exp_task *task = &t->x->task[t->task];
    str_addf(t->out, "%s:%d: task '%s', sample %d: %s (model %s)\n", t->x->path, task->line, task->label, sample, why,
             t->x->model[t->model].name);
}

static int made(void *ctx, const struct dataset_item *item, const struct prompt *prompt, int sample, int new_tokens,
                struct err *e)
{
    const struct tryout *t = ctx;
    int limit = t->x->model[t->model].hp.context_length;
    (void)e;
    for (int q = 0; q < item->n_question; q++) {
        int more = item->question[q].max_new_tokens ? item->question[q].max_new_tokens : new_tokens;
        struct str why = {0};
        if (!limit || prompt[q].ids.n + (long)more <= limit)
            continue;
        str_addf(&why, "prompt of %d tokens + %d to generate exceed the model's context of %d", prompt[q].ids.n, more,
                 limit);
        tell(t, sample, why.p);
        str_free(&why);
        return 0;
    }
    return 0;
}

static int failed(void *ctx, const struct dataset_item *item, int sample, int new_tokens, const struct err *why,
                  struct err *e)
{
    (void)item;
    (void)new_tokens;
    (void)e;
    tell(ctx, sample, why->msg);
    return 0;
}

static int try_model(const struct experiment *x, int model, struct str *errors, struct str *warnings, struct err *e)
{
    struct model m = {.hp = x->model[model].hp};
    struct encode_context c = {.model = &m};
    int rc = -1;
    if (prompts_open(x, model, &m, &c, e))
        goto out;
    for (int t = 0; t < x->n_task; t++) {
        struct tryout on = {x, model, t, x->task[t].length ? errors : warnings};
        struct prompts_visitor v = {.ctx = &on, .item = made, .failed = failed, .most = 1};
        if (prompts_visit(x, model, t, &c, &v, e))
            goto out;
    }
    rc = 0;
out:
    tokenizer_destroy(m.tokenizer);
    return rc;
}

int tryout_samples(const struct experiment *x, struct str *errors, struct str *warnings, struct err *e)
{
    for (int m = 0; m < x->n_model; m++)
        if (try_model(x, m, errors, warnings, e))
            return -1;
    return 0;
}
