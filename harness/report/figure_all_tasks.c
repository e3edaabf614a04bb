/* Accuracy against bytes over all tasks, each weighing the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/report/figure.h"
#include "harness/report/pool.h"

struct point {
    struct pool_line line;
    char *label;
    char *policy; /* with parameters, as labels begin */
};

static int by_curve(const void *p, const void *q)
{
    const struct point *a = p, *b = q;
    int c = strcmp(a->label, b->label);
    return c ? c : (a->line.bytes > b->line.bytes) - (a->line.bytes < b->line.bytes);
}

/* `of`: the policy whose picture it is, where each has its own; NULL: all are in one. */
static int write_pooled(const struct figure_job *j, const struct point *v, int n, int n_task, const char *of,
                        struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    struct str name = {0}, file = {0}, title = {0}, x = {0};
    double most = 0, full = (double)NAN;
    int curves = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, v[i].line.bytes);
    double unit = most >= 1048576 ? 1048576 : 1024;
    const char *unit_name = unit > 1024 ? "MiB" : "KiB";
    str_add(&name, "0-all-tasks-score");
    if (of) {
        str_addf(&name, "-%s", of);
        plot_safe_name(&name);
    }
    str_addf(&file, "%s.dat", name.p);
    str_addf(&title, "mean over %d tasks", n_task);
    str_addf(&x, "mean cache after pruning, %s (float32)", unit_name);
    quote_add(&dat, "# %s a task | mean score | 95 %% low | 95 %% high, over %d tasks\n", unit_name, n_task);
    quote_add(&gp,
              "set encoding utf8\nset key outside right top Left reverse noenhanced samplen 2 spacing 1.2\n"
              "set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\n"
              "set tics nomirror textcolor rgb '#333333'\nset bars 0.6\nset title %s noenhanced\n"
              "set xlabel %s\nset xrange [0:*]\nset ylabel 'mean score'\n"
              "set yrange [-0.03:1.03]\nset ytics 0.2\nset offsets graph 0, graph 0.03, 0, 0\n",
              title.p, x.p);
    for (int i = 0; i < n; i++) {
        const struct pool_value *score = &v[i].line.score;
        if (!strcmp(v[i].label, "full"))
            full = score->mean;
        if (i && strcmp(v[i].label, v[i - 1].label) != 0)
            quote_add(&dat, "\n\n");
        if (!i || strcmp(v[i].label, v[i - 1].label) != 0) {
            quote_add(&dat, "# %s\n", v[i].label);
            curves++;
        }
        quote_add(&dat, "%.9g %.9g", v[i].line.bytes / unit, score->mean);
        plot_ends(score->lo, score->hi, &dat);
        quote_add(&dat, "\n");
    }
    for (int i = 0; i < 2; i++) {
        plot_terminal(name.p, i, &gp);
        quote_add(&gp, "plot ");
        if (isfinite(full))
            quote_add(&gp, "%.9g with lines dt 2 lw 2 lc rgb '#000000' title 'full cache'", full);
        for (int k = 0, curve = 0, drawn = 0; k < n; k++) {
            if (k && !strcmp(v[k].label, v[k - 1].label))
                continue;
            if (strcmp(v[k].label, "full") != 0) {
                if (drawn || isfinite(full))
                    quote_add(&gp, ", \\\n  ");
                quote_add(&gp,
                          "%s index %d using ($1%+.4g):2:3:4 with yerrorlines lw 1.8 ps 1 pt %d lc rgb %s title %s",
                          file.p, curve, (drawn - curves / 2.0) * 0.003 * most / unit, plot_point[drawn % 9],
                          plot_colour[drawn % 8], v[k].label);
                drawn++;
            }
            curve++;
        }
        quote_add(&gp, "\n");
    }
    str_free(&file);
    str_free(&title);
    str_free(&x);
    return plot_save(j->folder, &name, NULL, &dat, &gp, j->out, e);
}

static int is_full(const struct point *p)
{
    return strcmp(p->policy, "full") == 0;
}

/* Of sorted points; the full cache is a line across. */
static int n_curves(const struct point *v, int n)
{
    int curves = 0;
    for (int i = 0; i < n; i++)
        curves += !is_full(&v[i]) && (!i || strcmp(v[i].label, v[i - 1].label) != 0);
    return curves;
}

/* A picture of each policy by itself, the full cache in all of them. */
static int write_by_policy(const struct figure_job *j, const struct point *v, int n, int n_task, struct err *e)
{
    int rc = 0;
    struct point *some = mem_new((size_t)n, sizeof *some);
    for (int first = 0; first < n && !rc; first++) {
        int n_some = 0, drawn = is_full(&v[first]);
        for (int i = 0; i < first; i++)
            drawn |= strcmp(v[i].policy, v[first].policy) == 0;
        for (int i = 0; i < n && !drawn; i++)
            if (is_full(&v[i]) || strcmp(v[i].policy, v[first].policy) == 0)
                some[n_some++] = v[i];
        if (!drawn)
            rc = write_pooled(j, some, n_some, n_task, v[first].policy, e);
    }
    mem_free(some);
    return rc;
}

/* Only what was measured on every task has a point, and only scores that are fractions can be averaged. */
static int draw(const struct figure_job *j, struct err *e)
{
    const struct aggregate *a = j->a;
    struct pool_line *line;
    int n, n_task = 0, kept = 0, rc = 0, layer;
    for (int c = 0; c < a->n_cell; c++) {
        const struct metric_ops *m = metric_find(aggregate_text(&a->cell[c], "metric"));
        if (!m || strcmp(m->unit, "fraction") != 0 || aggregate_single(&a->cell[c], &layer) ||
            strcmp(aggregate_text(&a->cell[c], "model"), aggregate_text(&a->cell[0], "model")) != 0)
            return 0;
    }
    n = pool_lines(a, &line);
    struct point *v = mem_new((size_t)n + 1, sizeof *v);
    for (int i = 0; i < n; i++)
        n_task = line[i].score.n > n_task ? line[i].score.n : n_task;
    for (int i = 0; i < n; i++) {
        struct str label = {0}, policy = {0};
        if (line[i].score.n < n_task || !isfinite(line[i].bytes) || aggregate_shuffled(line[i].cell, NULL))
            continue; /* a hundred shuffled profiles would hide the rest */
        pool_label(a, line[i].cell, &label);
        aggregate_policy_label(a, line[i].cell, &policy);
        v[kept++] = (struct point){line[i], str_take(&label), str_take(&policy)};
    }
    if (n_task > 1 && kept > 1) {
        qsort(v, (size_t)kept, sizeof *v, by_curve);
        rc = n_curves(v, kept) > plot_most_curves ? write_by_policy(j, v, kept, n_task, e)
                                                  : write_pooled(j, v, kept, n_task, NULL, e);
    }
    for (int i = 0; i < kept; i++) {
        mem_free(v[i].label);
        mem_free(v[i].policy);
    }
    mem_free(v);
    mem_free(line);
    return rc;
}

const struct figure_ops figure_all_tasks = {
    .name = "all_tasks",
    .summary = "the mean score over all tasks against bytes, a curve per policy; of more than 12 a picture per policy",
    .when = "two tasks at least, one model, and every score a fraction",
    .scope = FIGURE_ACROSS_TASKS,
    .draw = draw,
};
