#include "harness/run/calibration.h"

#include "harness/base/leave.h"
#include "harness/engine/prompts.h"
#include "harness/experiment/axes.h"

/* -1 when a cell of these prompts was calibrated on one of them. */
static int check_prompts(const struct experiment *x, const struct prompts_at *at, struct err *e)
{
    for (int q = 0; q < at->item->n_question; q++) {
        const struct token_ids *ids = &at->prompt[q].ids;
        char sha256[HASH_HEX];
        hash_sha256(ids->id, (size_t)ids->n * sizeof *ids->id, sha256);
        for (int c = 0; c < x->n_cell; c++) {
            const struct cell *cell = &x->cell[c];
            if (axes_same_prompts(cell, at->cell) && experiment_is_calibration(cell->calibration, sha256))
                return err_set(
                    e, ERR_CONFIG,
                    "%s:%d: %s was calibrated on a prompt of this evaluation: task '%s', sample %d, sha256 %.16s...; "
                    "choose other samples (first_sample, seed, split)",
                    x->path, cell->line, cell->calibration->path, x->task[cell->task].label, at->sample, sha256);
        }
    }
    return 0;
}

static int check_task(const struct experiment *x, int model, int task, const struct encode_context *c, struct err *e)
{
    struct prompts_some some = {.calibrated = 1};
    struct prompts *p = prompts_begin(x, model, task, c, &some, e);
    struct prompts_at at;
    int more = p ? 0 : -1;
    while (p && (more = prompts_next(p, &at, e)) > 0) {
        if (leave_asked())
            more = err_set(e, ERR_INTERRUPTED, "stopped; nothing was written");
        else if (at.prompt && check_prompts(x, &at, e)) /* a sample without a prompt shares none */
            more = -1;
        if (more < 0)
            break;
    }
    prompts_end(p);
    return more;
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
    for (int t = 0; t < x->n_task; t++)
        if (reads_profile(x, model, t) && check_task(x, model, t, &c, e))
            goto out;
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
