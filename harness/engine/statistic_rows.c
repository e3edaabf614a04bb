/* rows: what the last queries gave to every entry, [n_row][n_entry] a query head, oldest query first. Where a pass had
 * too few queries, those of earlier ones are kept beside the entries; an entry that came after a query has 0 there. */
#include <string.h>

#include "harness/engine/statistic.h"

static size_t room(const struct statistic_source *s)
{
    size_t n = 0;
    for (int h = 0; s->rows_held && h < s->hp->n_kv_head; h++)
        n += (size_t)s->n[h];
    return n * (size_t)s->n_row * (size_t)s->hp->n_group;
}

/* The newest n_row rows that are kept, in the order of the entries. */
static const float *copy(struct statistic_source *s, int q)
{
    int h = q / s->hp->n_group, held = s->held->head[s->layer * s->hp->n_head + q].n_row;
    size_t n = (size_t)s->n[h];
    float *out = statistic_take(s, (size_t)s->n_row * n);
    for (int r = 0; r < s->n_row; r++) {
        const float *row = tally_row_at(s->held, s->layer, q, held - s->n_row + r);
        float *to = out + (size_t)r * n;
        if (!s->order)
            memcpy(to, row, n * sizeof *to);
        for (size_t j = 0; s->order && j < n; j++)
            to[j] = row[s->order[h][j]];
    }
    return out;
}

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int q = 0; q < s->hp->n_head; q++)
        if (s->rows_held)
            to->attention[q].rows = copy(s, q);
        else
            to->attention[q].rows =
                s->pass->rows[q] + (size_t)(s->pass->n_row - s->n_row) * (size_t)s->n[q / s->hp->n_group];
}

extern const struct statistic_ops statistic_rows;
const struct statistic_ops statistic_rows = {.tap = TRANSFORMER_STAT_ROWS, .room = room, .show = show};
