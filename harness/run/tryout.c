#include "harness/run/tryout.h"

#include "harness/engine/prompts.h"

static void tell(const struct experiment *x, const struct prompts_at *at, const char *why, struct str *out)
{
    const struct exp_task *task = &x->task[at->cell->task];
    str_addf(out, "%s:%d: task '%s', sample %d: %s (model %s)\n", x->path, task->line, task->label, at->sample, why,
             x->model[at->cell->model].name);
}

/* The first question of an item whose prompt is too long for the model. */
static void check_length(const struct experiment *x, const struct prompts_at *at, struct str *out)
{
    int limit = x->model[at->cell->model].hp.context_length;
    for (int q = 0; q < at->item->n_question; q++) {
        int own = at->item->question[q].max_new_tokens, more = own ? own : at->cell->max_new_tokens;
        struct str why = {0};
        if (!limit || at->prompt[q].ids.n + (long)more <= limit)
            continue;
        str_addf(&why, "prompt of %d tokens + %d to generate exceed the model's context of %d", at->prompt[q].ids.n,
                 more, limit);
        tell(x, at, why.p, out);
        str_free(&why);
        return;
    }
}

static int try_task(const struct experiment *x, int model, int task, const struct encode_context *c, struct str *out,
                    struct err *e)
{
    struct prompts_some some = {.most = 1};
    struct prompts *p = prompts_begin(x, model, task, c, &some, e);
    struct prompts_at at;
    int more = p ? 0 : -1;
    while (p && (more = prompts_next(p, &at, e)) > 0)
        if (at.prompt)
            check_length(x, &at, out);
        else
            tell(x, &at, at.why->msg, out);
    prompts_end(p);
    return more;
}

static int try_model(const struct experiment *x, int model, struct str *errors, struct str *warnings, struct err *e)
{
    struct model m = {.hp = x->model[model].hp};
    struct encode_context c = {.model = &m};
    int rc = -1;
    if (prompts_open(x, model, &m, &c, e))
        goto out;
    for (int t = 0; t < x->n_task; t++)
        if (try_task(x, model, t, &c, x->task[t].length ? errors : warnings, e))
            goto out;
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
