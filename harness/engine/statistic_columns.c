/* columns: for every query head and entry j the sum of A(i, j) over queries i > j, and A(j, j). Entries gather them as
 * long as they live. */
#include "harness/engine/statistic.h"

static size_t room(const struct statistic_source *s)
{
    return statistic_copied(s, 2 * (size_t)s->hp->n_group);
}

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int q = 0; q < s->hp->n_head; q++) {
        int h = q / s->hp->n_group;
        const struct tally_head *held = s->held ? &s->held->head[s->layer * s->hp->n_head + q] : NULL;
        const float *off = held ? held->off : s->pass->off_diagonal[q];
        const float *diagonal = held ? held->diag : s->pass->diagonal[q];
        to->attention[q].off_diagonal = statistic_in_order(s, h, off, 1);
        to->attention[q].diagonal = statistic_in_order(s, h, diagonal, 1);
    }
}

extern const struct statistic_ops statistic_columns;
const struct statistic_ops statistic_columns = {.tap = TRANSFORMER_STAT_COLUMNS, .room = room, .show = show};
