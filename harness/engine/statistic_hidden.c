/* hidden: the input of the layer's attention norm for every token of the pass, [n_query][d_model]. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    to->view->hidden = s->pass->hidden;
}

extern const struct statistic_ops statistic_hidden;
const struct statistic_ops statistic_hidden = {.tap = TRANSFORMER_STAT_HIDDEN, .show = show};
