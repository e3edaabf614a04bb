#include "harness/run/tryout.h"

#include "harness/base/mem.h"
#include "harness/engine/prompts.h"

static void tell(const struct experiment *x, const struct prompts_at *at, const char *why, struct str *out)
{
    const struct exp_task *task = &x->task[at->cell->task];
    str_addf(out, "%s:%d: task '%s', sample %d: %s (model %s)\n", x->path, task->line, task->label, at->sample, why,
             x->model[at->cell->model].name);
}

/* 1 and the reason when one of an item's prompts is too long for the model. */
static int is_too_long(const struct experiment *x, const struct prompts_at *at, struct str *why)
{
    int limit = x->model[at->cell->model].hp.context_length;
    for (int q = 0; q < at->item->n_question; q++) {
        int own = at->item->question[q].max_new_tokens, more = own ? own : at->cell->max_new_tokens;
        if (!limit || at->prompt[q].ids.n + (long)more <= limit)
            continue;
        str_addf(why, "prompt of %d tokens + %d to generate exceed the model's context of %d", at->prompt[q].ids.n,
                 more, limit);
        return 1;
    }
    return 0;
}

static void measure(const struct prompts_at *at, struct exp_sizes *sizes)
{
    for (int q = 0; q < at->item->n_question; q++) {
        int n = at->prompt[q].ids.n;
        sizes->n++;
        sizes->sum += n;
        sizes->longest = n > sizes->longest ? n : sizes->longest;
    }
}

static int try_task(const struct experiment *x, int model, int task, const struct encode_context *c, struct str *out,
                    struct err *e)
{
    struct exp_sizes *sizes = &x->model[model].sizes[task];
    struct prompts_some some = {.most = x->task[task].length ? 1 : TRYOUT_SAMPLES};
    struct prompts *p = prompts_begin(x, model, task, c, &some, e);
    struct prompts_at at;
    int more = p ? 0 : -1, told = 0;
    while (p && (more = prompts_next(p, &at, e)) > 0) {
        struct str why = {0};
        if (at.prompt)
            measure(&at, sizes);
        if ((!at.prompt || is_too_long(x, &at, &why)) && !told++) /* the first one stands for the others */
            tell(x, &at, at.prompt ? why.p : at.why->msg, out);
        sizes->samples += at.is_last;
        str_free(&why);
    }
    prompts_end(p);
    return more;
}

static int try_model(struct experiment *x, int model, struct str *errors, struct str *warnings, struct err *e)
{
    struct model m = {.hp = x->model[model].hp};
    struct encode_context c = {.model = &m};
    int rc = -1;
    if (prompts_open(x, model, &m, &c, e))
        goto out;
    x->model[model].sizes = mem_new((size_t)x->n_task + 1, sizeof *x->model[model].sizes);
    for (int t = 0; t < x->n_task; t++)
        if (try_task(x, model, t, &c, x->task[t].length ? errors : warnings, e))
            goto out;
    rc = 0;
out:
    tokenizer_destroy(m.tokenizer);
    return rc;
}

int tryout_samples(struct experiment *x, struct str *errors, struct str *warnings, struct err *e)
{
    for (int m = 0; m < x->n_model; m++)
        if (try_model(x, m, errors, warnings, e))
            return -1;
    return 0;
}
