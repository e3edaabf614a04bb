/* The part of a report that is about shuffled profiles: where every layer budget stands among budgets of the same shape
 * dealt out to random layers. What does not stand out of that cloud owes its result to its shape, not to its profile.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/report/pool.h"
#include "harness/report/report_int.h"
#include "harness/report/table.h"

/* Each has three columns of the table: its mean, the percentile, and p. */
static const struct {
    enum column_id column;
    const char *format;
} measures[] = {{COLUMN_SCORE, "%.3f"}, {COLUMN_NLL, "%.4f"}, {COLUMN_KL, "%.3g"}};
static const char *const of_each[] = {NULL /* its name */, "percentile", "p"};
enum { MEASURES = sizeof measures / sizeof *measures, OF_EACH = sizeof of_each / sizeof *of_each };

/* Means of the shuffles that count, for one measure; higher = better. */
struct cloud {
    double *v; /* [n] ascending */
    int n;
};

/* 1 where more is better, else -1. */
static int sign_of(const struct agg_cell *c, enum column_id m)
{
    return columns_higher_is_better(m, aggregate_text(c, "metric")) ? 1 : -1;
}

static double goodness(const struct agg_cell *c, enum column_id m)
{
    return sign_of(c, m) * c->summary[m].mean;
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Share of the cloud that it beats, ties counting half, in percent; *p: share that does as well or better, itself
 * included. */
static double percentile(const struct cloud *c, double x, double *p)
{
    int below = 0, equal = 0;
    for (int i = 0; i < c->n; i++) {
        int ties = fabs(c->v[i] - x) <= 1e-12 * fmax(fabs(c->v[i]), fabs(x)); /* equal up to rounding */
        equal += ties;
        below += !ties && c->v[i] < x;
    }
    *p = (c->n - below + 1.0) / (c->n + 1.0);
    return 100 * (below + 0.5 * equal) / c->n;
}

static void add_cells(struct table *t, const struct agg_cell *c, const struct cloud *cloud)
{
    for (int k = 0; k < MEASURES; k++) {
        double p, mean = c->summary[measures[k].column].mean;
        int known = isfinite(mean) && cloud[k].n > 0;
        double at = known ? percentile(&cloud[k], goodness(c, measures[k].column), &p) : (double)NAN;
        table_add_value(t, mean, measures[k].format);
        table_add_number(t, at, 1);
        table_add_number(t, known ? p : (double)NAN, 4);
    }
}

static void add_range(struct table *t, const struct cloud *cloud, int sign)
{
    struct str s = {0};
    if (!cloud->n) {
        table_add_text(t, "n/a");
    } else {
        double median = (cloud->v[(cloud->n - 1) / 2] + cloud->v[cloud->n / 2]) / 2; /* + 0.0: no -0 */
        str_addf(&s, "%.3g (%.3g to %.3g)", sign * median + 0.0, sign * cloud->v[0] + 0.0,
                 sign * cloud->v[cloud->n - 1] + 0.0);
        table_add(t, &s);
    }
    table_add_text(t, "n/a");
    table_add_text(t, "n/a");
}

/* Of the same axes as `opener`, but for the layer budget; shuffled: and of the same budget, shuffled in whatever way.
 */
static int same(const struct agg_cell *c, const struct agg_cell *opener, const char *budget, int shuffled)
{
    struct str text = {0};
    int is = strcmp(c->study_key, opener->study_key) == 0 && strcmp(aggregate_text(c, "policy"), "full") != 0 &&
             aggregate_shuffled(c, &text) == shuffled && (!shuffled || strcmp(str_c(&text), budget) == 0);
    str_free(&text);
    return is;
}

static void add_title(const struct aggregate *a, const struct agg_cell *c, int n, const struct report_texts *out)
{
    struct str title = {0};
    str_add(&title, "Among shuffled profiles: ");
    aggregate_policy_label(a, c, &title);
    str_addf(&title, ", kept %.3f, %d shuffles", aggregate_mean(c, COLUMN_KEEP), n);
    report_notes(a, c, &title);
    report_heading(title.p, out);
    str_free(&title);
}

/* The cloud that this line opens, and all budgets of the same axes that were not shuffled. */
static void add_cloud(const struct aggregate *a, int first, const char *budget, const struct report_texts *out)
{
    const struct agg_cell *c = &a->line[first];
    struct table t = {.n_column = 1 + MEASURES * OF_EACH, .left = 1};
    struct cloud cloud[MEASURES];
    struct str text = {0};
    int n = 0;
    for (int k = 0; k < MEASURES; k++) {
        cloud[k] = (struct cloud){mem_new((size_t)a->n_line + 1, sizeof(double)), 0};
        n = 0;
        for (int l = first; l < a->n_line; l++) {
            if (!same(&a->line[l], c, budget, 1))
                continue;
            double x = goodness(&a->line[l], measures[k].column);
            if (isfinite(x))
                cloud[k].v[cloud[k].n++] = x;
            n++;
        }
        if (cloud[k].n)
            qsort(cloud[k].v, (size_t)cloud[k].n, sizeof(double), by_value);
    }
    add_title(a, c, n, out);
    table_add_text(&t, "layer budget");
    for (int k = 0; k < MEASURES; k++)
        for (int h = 0; h < OF_EACH; h++)
            table_add_text(&t, of_each[h] ? of_each[h] : columns_name(measures[k].column));
    for (int l = 0; l < a->n_line; l++)
        if (same(&a->line[l], c, NULL, 0)) {
            pool_layer_budget(a, &a->line[l], NULL, &text);
            table_add(&t, &text);
            add_cells(&t, &a->line[l], cloud);
        }
    pool_layer_budget(a, c, "shuffle", &text);
    str_add(&text, ", shuffled: median (worst to best)");
    table_add(&t, &text);
    for (int k = 0; k < MEASURES; k++)
        add_range(&t, &cloud[k], sign_of(c, measures[k].column));
    for (int k = MEASURES - 1; k >= 0; k--)
        if (table_column_is_empty(&t, 1 + k * OF_EACH, "n/a"))
            for (int h = OF_EACH - 1; h >= 0; h--)
                table_drop_column(&t, 1 + k * OF_EACH + h);
    report_table(&t,
                 "percentile: share of the shuffles that a budget beats, ties counting half. p = (b + 1) / (shuffles + "
                 "1), b: shuffles that "
                 "do as well or better; one-sided, not corrected for the number of rows.",
                 out);
    for (int k = 0; k < MEASURES; k++)
        mem_free(cloud[k].v);
}

void report_clouds(const struct aggregate *a, const char *task_key, const struct report_texts *out)
{
    for (int l = 0; l < a->n_line; l++) {
        struct str budget = {0};
        int opens = strcmp(a->line[l].task_key, task_key) == 0 && aggregate_shuffled(&a->line[l], &budget);
        for (int k = 0; k < l && opens; k++)
            opens = !same(&a->line[k], &a->line[l], str_c(&budget), 1);
        if (opens)
            add_cloud(a, l, budget.p, out);
        str_free(&budget);
    }
}
