#include "harness/report/cell_columns.h"

#include <math.h>
#include <string.h>

#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"

const struct cell_columns_part cell_columns_part[CELL_COLUMNS_N_PART] = {
    {"", 0, offsetof(struct stats_summary, mean)},      {"_se", 0, offsetof(struct stats_summary, se)},
    {"_lo", 0, offsetof(struct stats_summary, lo)},     {"_hi", 0, offsetof(struct stats_summary, hi)},
    {"_diff", 1, offsetof(struct stats_paired, diff)},  {"_diff_se", 1, offsetof(struct stats_paired, se)},
    {"_diff_lo", 1, offsetof(struct stats_paired, lo)}, {"_diff_hi", 1, offsetof(struct stats_paired, hi)},
    {"_diff_p", 1, offsetof(struct stats_paired, p)},
};

double cell_columns_part_of(const struct cell_columns_part *p, const struct stats_summary *s,
                            const struct stats_paired *d)
{
    double v = (double)NAN;
    if (!p->is_paired)
        memcpy(&v, (const char *)s + p->offset, sizeof v);
    else if (d && d->n)
        memcpy(&v, (const char *)d + p->offset, sizeof v);
    return v;
}

static int ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

/* 1 when it is `name` followed by one of the parts' endings. */
static int is_part_of(const char *head, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(head, name, n) != 0)
        return 0;
    for (int p = 0; p < CELL_COLUMNS_N_PART; p++)
        if (strcmp(head + n, cell_columns_part[p].ending) == 0)
            return 1;
    return 0;
}

static int is_further_metric(const char *head)
{
    if (is_part_of(head, aggregate_kept_overlap))
        return 1;
    for (int i = 0; i < metric_count(); i++) {
        const struct metric_ops *m = metric_at(i);
        if (is_part_of(head, m->name))
            return 1;
        for (const char *const *extra = m->extra; extra && *extra; extra++)
            if (is_part_of(head, *extra))
                return 1;
    }
    return 0;
}

enum column_kind cell_columns_kind(const char *name)
{
    for (int i = 0; i < COLUMN_END; i++) {
        const struct column *c = columns_at((enum column_id)i);
        int has_parts = c->pooled == COLUMN_INTERVALS || c->pooled == COLUMN_OVER_LAYERS;
        if (c->pooled != COLUMN_NOT_POOLED && strcmp(c->name, name) == 0)
            return c->kind;
        if (has_parts && is_part_of(name, c->name))
            return COLUMN_FLOAT;
    }
    if (ends_in(name, "_s") || strstr(name, "rss")) /* of another version, whose names keep the rule */
        return COLUMN_TIME;
    return is_further_metric(name) ? COLUMN_FLOAT : COLUMN_DISCRETE;
}
