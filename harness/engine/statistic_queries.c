/* queries: the rotated queries of the pass, [n_query][head_dim] a query head. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int q = 0; q < s->hp->n_head; q++)
        to->attention[q].queries = s->pass->queries[q];
}

extern const struct statistic_ops statistic_queries;
const struct statistic_ops statistic_queries = {.tap = TRANSFORMER_STAT_QUERIES, .show = show};
