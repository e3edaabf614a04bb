/* Two policies against each other, over all budgets at once. */
#include <math.h>
#include <string.h>
#include <uthash.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/experiment/axis.h"
#include "harness/report/aggregate.h"

/* The mean over seeds of one measure, for one (task, budget, sample, question) of both policies. */
struct pair_value {
    char *key;
    double sum[2];
    int n[2];
    int64_t cluster;
    const char *budget;
    const struct stats_range *range;
    UT_hash_handle hh;
};

/* What two policies must have in common: all but what a policy is, its own default, and seeds, which are averaged. */
static int is_of_pair(const struct axis *a)
{
    return a->shown != AXIS_SHOWN_POOLED && a->dflt_is != AXIS_DEFAULT_OF_POLICY && strcmp(a->key, "policy") != 0 &&
           !a->is_part;
}

static void collect_pair(const struct aggregate *a, const char *policy, int side, enum column_id m, double below,
                         struct pair_value **table)
{
    static const char *const none[] = {NULL};
    for (int i = 0; i < a->n_row; i++) {
        const struct agg_row *r = &a->row[i];
        const struct agg_cell *c = &a->cell[r->cell];
        if (strcmp(aggregate_text(c, "policy"), policy) != 0 || isnan(r->value[m]) ||
            !(aggregate_mean(c, COLUMN_KEEP) < below))
            continue;
        const char *task = aggregate_text(c, "task");
        struct str key = {0};
        struct pair_value *v;
        char *axes = aggregate_axes_join(c, none, is_of_pair);
        str_addf(&key, "%s%s%lld %s", c->task_key, axes, (long long)r->sample, r->question_id);
        mem_free(axes);
        HASH_FIND_STR(*table, key.p, v);
        if (!v) {
            v = mem_new(1, sizeof *v);
            v->key = str_take(&key);
            /* ids are a task's own; in its forms (depths, lengths) they name what was drawn alike, which is one cluster
             */
            v->cluster = r->cluster ^ (int64_t)(hash_fnv1a(task, strlen(task)) >> 1);
            v->budget = aggregate_text(c, "budget");
            v->range = aggregate_range(c, m);
            HASH_ADD_KEYPTR(hh, *table, v->key, strlen(v->key), v);
        }
        v->sum[side] += r->value[m];
        v->n[side]++;
        str_free(&key);
    }
}

int aggregate_pair(const struct aggregate *a, const char *policy, const char *other, enum column_id m, double below,
                   struct stats_paired *out, int *n_budget, struct err *e)
{
    struct pair_value *table = NULL, *v, *next;
    int n = 0, budgets = 0;
    collect_pair(a, policy, 0, m, below, &table);
    collect_pair(a, other, 1, m, below, &table);
    size_t size = HASH_COUNT(table) + (size_t)1;
    double *x = mem_new(size, sizeof *x), *y = mem_new(size, sizeof *y);
    const char **budget = mem_new(size, sizeof *budget);
    int64_t *cluster = mem_new(size, sizeof *cluster);
    const struct stats_range *range = table ? table->range : NULL;
    HASH_ITER(hh, table, v, next)
    {
        if (v->n[0] && v->n[1]) {
            int k = 0;
            while (k < budgets && strcmp(budget[k], v->budget) != 0)
                k++;
            if (k == budgets)
                budget[budgets++] = v->budget;
            x[n] = v->sum[0] / v->n[0];
            y[n] = v->sum[1] / v->n[1];
            cluster[n++] = v->cluster;
            if (v->range != range)
                range = NULL; /* tasks whose scores have different ranges have none together */
        }
        HASH_DEL(table, v);
        mem_free(v->key);
        mem_free(v);
    }
    *out = stats_paired_clustered(x, y, cluster, n, range);
    *n_budget = budgets;
    mem_free(x);
    mem_free(y);
    mem_free(budget);
    mem_free(cluster);
    return n ? 0
             : err_set(e, ERR_USAGE, "no budget below %g at which both '%s' and '%s' have a %s", below, policy, other,
                       columns_name(m));
}
