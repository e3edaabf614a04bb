/* rows: what the last queries gave to every entry, [n_row][n_entry] a query head, oldest query first. Where a pass had
 * too few queries, those of earlier ones are kept beside the entries; an entry that came after a query has 0 there. */
#include <string.h>

#include "harness/engine/statistic.h"

static size_t room(const struct statistic_source *s)
{
    size_t n = 0;
    for (int h = 0; (s->rows_held || s->order) && h < s->hp->n_kv_head; h++)
        n += (size_t)s->n[h];
    return n * (size_t)s->n_row * (size_t)s->hp->n_group;
}

/* Row r of the newest n_row, slot by slot. */
static const float *row_at(const struct statistic_source *s, int q, int r)
{
    if (s->rows_held)
        return tally_row_at(s->held, s->layer, q, s->held->head[s->layer * s->hp->n_head + q].n_row - s->n_row + r);
    size_t n_key = (size_t)s->pass->n_key[q / s->hp->n_group];
    return s->pass->rows[q] + (size_t)(s->pass->n_row - s->n_row + r) * n_key;
}

/* The newest n_row rows, in the order of the entries. */
static const float *copy(struct statistic_source *s, int q)
{
    int h = q / s->hp->n_group;
    size_t n = (size_t)s->n[h];
    float *out = statistic_take(s, (size_t)s->n_row * n);
    for (int r = 0; r < s->n_row; r++) {
        const float *row = row_at(s, q, r);
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
        to->attention[q].rows = s->rows_held || s->order ? copy(s, q) : row_at(s, q, 0);
}

extern const struct statistic_ops statistic_rows;
const struct statistic_ops statistic_rows = {.tap = TRANSFORMER_STAT_ROWS, .room = room, .show = show};
