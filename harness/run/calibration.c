#include "harness/run/calibration.h"
#include "harness/base/leave.h"

#include "harness/engine/prompts.h"

struct check {
    const struct experiment *x;
    int model, task;
};

static int see(void *ctx, const struct dataset_item *item, const struct prompt *prompt, int sample, int new_tokens,
               struct err *e)
{
    const struct check *k = ctx;
    const struct experiment *x = k->x;
    for (int q = 0; q < item->n_question; q++) {
        char sha256[HASH_HEX];
        hash_sha256(prompt[q].ids.id, (size_t)prompt[q].ids.n * sizeof(int32_t), sha256);
        for (int c = 0; c < x->n_cell; c++) {
            const struct cell *cell = &x->cell[c];
            if (cell->model == k->model && cell->task == k->task && cell->max_new_tokens == new_tokens &&
                experiment_is_calibration(cell->calibration, sha256))
                return err_set(
                    e, ERR_CONFIG,
                    "%s:%d: %s was calibrated on a prompt of this evaluation: task '%s', sample %d, sha256 %.16s...; "
                    "choose other samples (first_sample, seed, split)",
                    x->path, cell->line, cell->calibration->path, x->task[k->task].label, sample, sha256);
        }
    }
    return 0;
}

/* A sample without a prompt shares none. */
static int pass_over(void *ctx, const struct dataset_item *item, int sample, int new_tokens, const struct err *why,
                     struct err *e)
{
    (void)ctx;
    (void)item;
    (void)sample;
    (void)new_tokens;
    (void)why;
    (void)e;
    return 0;
}

static int may_stop(void *ctx, int sample, struct err *e)
{
    (void)ctx;
    (void)sample;
    return leave_asked() ? err_set(e, ERR_INTERRUPTED, "stopped; nothing was written") : 0;
}

static int reads_profile(const struct experiment *x, int model, int task)
{
    for (int c = 0; c < x->n_cell; c++)
        if (x->cell[c].model == model && (task < 0 || x->cell[c].task == task) && x->cell[c].calibration)
            return 1;
    return 0;
}

static int check_model(const struct experiment *x, int model, struct err *e)
{
    struct model m = {.hp = x->model[model].hp};
    struct encode_context c = {.model = &m};
    int rc = -1;
    if (prompts_open(x, model, &m, &c, e))
        goto out;
    for (int t = 0; t < x->n_task; t++) {
        struct check k = {x, model, t};
        struct prompts_visitor v = {.ctx = &k, .calibrated = 1, .item = see, .end = may_stop, .failed = pass_over};
        if (reads_profile(x, model, t) && prompts_visit(x, model, t, &c, &v, e))
            goto out;
    }
    rc = 0;
out:
    tokenizer_destroy(m.tokenizer);
    return rc;
}

int calibration_check(const struct experiment *x, struct err *e)
{
    for (int m = 0; m < x->n_model; m++)
        if (reads_profile(x, m, -1) && check_model(x, m, e))
            return -1;
    return 0;
}
