/* What a measure can be, and what it is without having been measured. */
#include <math.h>
#include <string.h>

#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"

static const struct stats_range fraction = {0, 1};

const struct stats_range *aggregate_range_of_column(const char *name)
{
    const struct metric_ops *m = metric_find(name);
    if (strcmp(name, "attention_lost") == 0 || strcmp(name, "evidence_kept") == 0)
        return &fraction;
    for (int i = 0; i < metric_count() && !m; i++)
        for (const char *const *extra = metric_at(i)->extra; extra && *extra && !m; extra++)
            if (strcmp(*extra, name) == 0)
                m = metric_at(i); /* f1's precision is a fraction as f1 is */
    return m && strcmp(m->unit, "fraction") == 0 ? &fraction : NULL;
}

const struct stats_range *aggregate_range(const struct agg_cell *c, enum aggregate_measure m)
{
    return m == AGG_SCORE ? aggregate_range_of_column(aggregate_text(c, "metric")) : m == AGG_TOP1 ? &fraction : NULL;
}

/* The full cache against itself. */
void aggregate_range_identities(const struct aggregate *a, struct agg_cell *c)
{
    if (strcmp(aggregate_text(c, "policy"), "full") != 0)
        return;
    struct {
        struct stats_summary *s;
        double is;
    } same[5 + AGG_MAX_EXTRA] = {{&c->summary[AGG_KL], 0}, {&c->summary[AGG_KL_MAX], 0}, {&c->summary[AGG_TOP1], 1}};
    int n = 3;
    for (int i = 0; i < a->n_extra; i++)
        if (strcmp(a->extra_name[i], "attention_lost") == 0 || strcmp(a->extra_name[i], "evidence_kept") == 0) {
            same[n].s = &c->extra[i];
            same[n++].is = a->extra_name[i][0] == 'e';
        }
    for (int i = 0; i < n; i++)
        if (same[i].s->n && same[i].s->mean == same[i].is) {
            same[i].s->se = 0;
            same[i].s->lo = same[i].s->hi = same[i].is;
        }
}
