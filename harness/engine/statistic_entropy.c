/* entropy: of every attention row of the pass, [n_query] a query head, in nats. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int q = 0; q < s->hp->n_head; q++)
        to->attention[q].entropy = s->pass->entropy[q];
}

extern const struct statistic_ops statistic_entropy;
const struct statistic_ops statistic_entropy = {.tap = TRANSFORMER_STAT_ENTROPY, .show = show};
