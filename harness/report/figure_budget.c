/* Score, kl and nll of one task against the bytes of the cache, a curve per policy. A cloud of shuffled profiles is
 * grey points. */
#include "harness/report/plot_curves.h"

static int draw(const struct figure_job *j, struct err *e)
{
    static const enum column_id measures[] = {COLUMN_SCORE, COLUMN_KL, COLUMN_NLL};
    int bad = 0;
    for (size_t k = 0; k < sizeof measures / sizeof *measures && !bad; k++)
        bad = plot_curves(j, measures[k], 0, "", e);
    return bad ? -1 : 0;
}

const struct figure_ops figure_budget = {
    .name = "budget",
    .summary =
        "score, kl and nll against bytes, with error bars, a curve per policy; of more than 12 a picture per policy",
    .when = "a task has pruned cells, not one layer at a time",
    .scope = FIGURE_OF_TASK,
    .draw = draw,
};
