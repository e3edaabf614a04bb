/* What a measure can be, and what it is without having been measured. */
#include <string.h>

#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"

static const struct stats_range fraction = {0, 1};

const struct stats_range *aggregate_range_of_column(const char *name)
{
    const struct metric_ops *m = metric_find(name);
    for (int i = 0; i < COLUMN_END; i++)
        if (columns_at((enum column_id)i)->pooled == COLUMN_OVER_LAYERS &&
            !strcmp(columns_name((enum column_id)i), name))
            return columns_is_fraction((enum column_id)i) ? &fraction : NULL;
    for (int i = 0; i < metric_count() && !m; i++)
        for (const char *const *extra = metric_at(i)->extra; extra && *extra && !m; extra++)
            if (strcmp(*extra, name) == 0)
                m = metric_at(i); /* f1's precision is a fraction as f1 is */
    return m && strcmp(m->unit, "fraction") == 0 ? &fraction : NULL;
}

const struct stats_range *aggregate_range(const struct agg_cell *c, enum column_id m)
{
    if (m == COLUMN_SCORE)
        return aggregate_range_of_column(aggregate_text(c, "metric"));
    return columns_is_fraction(m) ? &fraction : NULL;
}

static void make_exact(struct stats_summary *s, double is)
{
    if (s->n && s->mean == is) {
        s->se = 0;
        s->lo = s->hi = is;
    }
}

/* The full cache against itself. */
void aggregate_range_identities(const struct aggregate *a, struct agg_cell *c)
{
    if (strcmp(aggregate_text(c, "policy"), "full") != 0)
        return;
    for (int k = 0; k < COLUMN_END; k++) {
        const struct column *column = columns_at((enum column_id)k);
        if (column->full && column->pooled == COLUMN_INTERVALS)
            make_exact(&c->summary[k], *column->full);
        for (int i = 0; i < a->n_extra && column->full && column->pooled == COLUMN_OVER_LAYERS; i++)
            if (strcmp(a->extra_name[i], column->name) == 0)
                make_exact(&c->extra[i], *column->full);
    }
}
