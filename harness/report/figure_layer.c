/* What pruning each layer alone does: paired differences to the baseline, kl as it is. */
#include "harness/report/plot_curves.h"

static int draw(const struct figure_job *j, struct err *e)
{
    static const enum column_id measures[] = {COLUMN_SCORE, COLUMN_KL, COLUMN_NLL};
    int bad = 0;
    for (size_t k = 0; k < sizeof measures / sizeof *measures && !bad; k++)
        bad = plot_curves(j, measures[k], 1, "-layer", e);
    return bad ? -1 : 0;
}

const struct figure_ops figure_layer = {
    .name = "layer",
    .summary = "what is lost where one layer alone is pruned, with error bars",
    .when = "a task has a layer study (layer_budget: single)",
    .scope = FIGURE_OF_TASK,
    .draw = draw,
};
