/* Figures that need several tasks at once: the heat map of depth and length, and accuracy against bytes over all tasks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/plot_int.h"

enum { MAX_AXIS = 64, MAX_PANEL = 16 };

/* What a panel or a curve is: the policy and what was asked to be kept. */
static char *label_of(const struct aggregate *a, const struct agg_cell *c, int with_keep)
{
    struct str s = {0};
    aggregate_policy_label(a, c, &s);
    if (strcmp(aggregate_text(c, "layer_budget"), "uniform") != 0) {
        str_add(&s, ", ");
        aggregate_axis(c, "layer_budget", &s);
    }
    if (with_keep && strcmp(aggregate_text(c, "policy"), "full") != 0) {
        struct str budget = {0};
        aggregate_axis(c, "budget", &budget);
        str_addf(&s, ", %s%s", strchr("0123456789.", *str_c(&budget)) ? "keep " : "", str_c(&budget));
        str_free(&budget);
    }
    return str_take(&s);
}

static int find(char *const *label, int n, const char *want)
{
    int i = 0;
    while (i < n && strcmp(label[i], want) != 0)
        i++;
    return i;
}

/* ---- depth x length -------------------------------------------------------------------------- */

struct heat {
    const struct aggregate *a;
    const char *task, *model;
    double depth[MAX_AXIS], length[MAX_AXIS];
    int n_depth, n_length, n_panel;
    char *panel[MAX_PANEL];
};

static int place_of(const struct agg_cell *c, double *depth, double *length)
{
    const struct json *d = json_get(json_get(c->axes, "task_params"), "depth"), *l = json_get(c->axes, "length");
    if (!json_is_number(d) || !json_is_number(l) || !isfinite(c->summary[AGG_SCORE].mean))
        return 0;
    *depth = json_number(d, 0);
    *length = json_number(l, 0);
    return 1;
}

static int belongs(const struct heat *h, const struct agg_cell *c)
{
    return !strcmp(aggregate_text(c, "task"), h->task) && !strcmp(aggregate_text(c, "model"), h->model) && !aggregate_shuffled(c, NULL);
}

static int insert(double *axis, int n, double x)
{
    int i = 0;
    while (i < n && axis[i] < x)
        i++;
    if ((i < n && axis[i] == x) || n == MAX_AXIS)
        return n;
    memmove(axis + i + 1, axis + i, (size_t)(n - i) * sizeof *axis);
    axis[i] = x;
    return n + 1;
}

static int index_of(const double *axis, double x)
{
    int i = 0;
    while (axis[i] != x)
        i++;
    return i;
}

static void collect(struct heat *h)
{
    for (int l = 0; l < h->a->n_line; l++) {
        const struct agg_cell *c = &h->a->line[l];
        double depth, length;
        if (!belongs(h, c) || !place_of(c, &depth, &length))
            continue;
        h->n_depth = insert(h->depth, h->n_depth, depth);
        h->n_length = insert(h->length, h->n_length, length);
        char *label = label_of(h->a, c, 1);
        if (find(h->panel, h->n_panel, label) == h->n_panel && h->n_panel < MAX_PANEL)
            h->panel[h->n_panel++] = label;
        else
            mem_free(label);
    }
}

static void add_tics(const char *axis, const double *x, int n, struct str *gp)
{
    str_addf(gp, "set %stics (", axis);
    for (int i = 0; i < n; i++)
        str_addf(gp, "%s'%g' %d", i ? ", " : "", x[i], i);
    str_add(gp, ")\n");
}

static int write_heat(const char *folder, struct heat *h, struct plot_list *out, int *gnuplot, struct err *e)
{
    struct str dat = {0}, gp = {0}, name = {0};
    str_add(&dat, "# length index | depth index | score | 95 % low | 95 % high | rows | length | depth\n");
    for (int p = 0; p < h->n_panel; p++) {
        str_addf(&dat, "%s# %s\n", p ? "\n\n" : "", h->panel[p]);
        for (int l = 0; l < h->a->n_line; l++) {
            const struct agg_cell *c = &h->a->line[l];
            double depth, length;
            if (!belongs(h, c) || !place_of(c, &depth, &length))
                continue;
            char *label = label_of(h->a, c, 1);
            const struct stats_summary *s = &c->summary[AGG_SCORE];
            if (!strcmp(label, h->panel[p]))
                str_addf(&dat, "%d %d %.9g %.9g %.9g %d %g %g\n", index_of(h->length, length), index_of(h->depth, depth), s->mean,
                         s->lo, s->hi, s->n, length, depth);
            mem_free(label);
        }
    }
    str_addf(&name, "heat-%s-%s", h->task, h->model);
    plot_safe_name(name.p);
    int columns = h->n_panel < 4 ? h->n_panel : 2, rows = (h->n_panel + columns - 1) / columns;
    str_add(&gp, "set encoding utf8\nunset key\nset cbrange [0:1]\nset cbtics 0.2\nset border lc rgb '#555555'\nset tics nomirror out\n"
                 /* cividis, told apart with any colour vision and in grey */
                 "set palette defined (0 '#00224e', 0.25 '#434e6c', 0.5 '#7d7c78', 0.75 '#bcaf6f', 1 '#fee838')\n"
                 "set xlabel 'length, tokens'\nset ylabel 'depth of the needle, percent'\nset cblabel 'score'\n");
    str_addf(&gp, "set xrange [-0.5:%g]\nset yrange [%g:-0.5]\n", h->n_length - 0.5, h->n_depth - 0.5);
    add_tics("x", h->length, h->n_length, &gp);
    add_tics("y", h->depth, h->n_depth, &gp);
    for (int i = 0; i < 2; i++) {
        str_addf(&gp, "set terminal %s size %d,%d %s\nset output '%s.%s'\nset multiplot layout %d,%d title ", i ? "pngcairo" : "svg",
                 60 + columns * 440, 60 + rows * 320, i ? "font 'sans,11'" : "font 'sans,12' background 'white'", name.p,
                 i ? "png" : "svg", rows, columns);
        struct str title = {0};
        str_addf(&title, "%s, %s", h->task, h->model);
        plot_quote(title.p, &gp);
        str_free(&title);
        str_add(&gp, " noenhanced\n");
        for (int p = 0; p < h->n_panel; p++) {
            str_add(&gp, "set title noenhanced ");
            plot_quote(h->panel[p], &gp);
            str_addf(&gp, "\nplot '%s.dat' index %d using 1:2:3 with image, \\\n  '' index %d using 1:2:(sprintf('%%.2f', $3)):"
                     "($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable\n", name.p, p, p);
        }
        str_add(&gp, "unset multiplot\nunset output\n");
    }
    int rc = plot_save(folder, name.p, &dat, &gp, gnuplot, &out->warning, e);
    plot_list_add(out, &name, NULL);
    str_free(&dat);
    str_free(&gp);
    return rc;
}

static int heat_maps(const char *folder, const struct aggregate *a, struct plot_list *out, int *gnuplot, struct err *e)
{
    int rc = 0;
    for (int l = 0; l < a->n_line && rc == 0; l++) {
        struct heat h = {.a = a, .task = aggregate_text(&a->line[l], "task"), .model = aggregate_text(&a->line[l], "model")};
        int seen = 0;
        for (int k = 0; k < l && !seen; k++)
            seen = belongs(&h, &a->line[k]);
        if (seen)
            continue;
        collect(&h);
        if (h.n_depth > 1 && h.n_length > 1)
            rc = write_heat(folder, &h, out, gnuplot, e);
        for (int p = 0; p < h.n_panel; p++)
            mem_free(h.panel[p]);
    }
    return rc;
}

/* ---- all tasks ------------------------------------------------------------------------------- */

struct pooled {
    char *label, *budget;
    double bytes, score, variance; /* sums over tasks */
    int n;
};

static int by_curve(const void *p, const void *q)
{
    const struct pooled *a = p, *b = q;
    int c = strcmp(a->label, b->label);
    return c ? c : (a->bytes / a->n > b->bytes / b->n) - (a->bytes / a->n < b->bytes / b->n);
}

static int write_pooled(const char *folder, const struct pooled *v, int n, int n_task, struct plot_list *out, int *gnuplot,
                        struct err *e)
{
    struct str dat = {0}, gp = {0}, name = {0};
    double most = 0, full = (double)NAN;
    int curves = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, v[i].bytes / v[i].n);
    double unit = most >= 1048576 ? 1048576 : 1024;
    str_add(&name, "0-all-tasks-score");
    str_addf(&dat, "# %s a task | mean score | 95 %% low | 95 %% high, over %d tasks\n", unit > 1024 ? "MiB" : "KiB", n_task);
    str_addf(&gp, "set encoding utf8\nset key outside right top Left reverse noenhanced samplen 2 spacing 1.2\n"
                  "set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\n"
                  "set tics nomirror textcolor rgb '#333333'\nset bars 0.6\nset title 'mean over %d tasks' noenhanced\n"
                  "set xlabel 'mean cache after pruning, %s (float32)'\nset xrange [0:*]\nset ylabel 'mean score'\n"
                  "set yrange [-0.03:1.03]\nset ytics 0.2\nset offsets graph 0, graph 0.03, 0, 0\n",
             n_task, unit > 1024 ? "MiB" : "KiB");
    for (int i = 0; i < n; i++) {
        double half = 1.959963984540054 * sqrt(v[i].variance) / v[i].n, mean = v[i].score / v[i].n;
        if (!strcmp(v[i].label, "full"))
            full = mean;
        if (!i || strcmp(v[i].label, v[i - 1].label) != 0)
            str_addf(&dat, "%s# %s\n", curves++ ? "\n\n" : "", v[i].label);
        str_addf(&dat, "%.9g %.9g %.9g %.9g\n", v[i].bytes / v[i].n / unit, mean, fmax(mean - half, 0), fmin(mean + half, 1));
    }
    for (int i = 0; i < 2; i++) {
        str_addf(&gp, "set terminal %s\nset output '%s.%s'\nplot ",
                 i ? "pngcairo size 1080,600 font 'sans,12'" : "svg size 900,500 font 'sans,13' background 'white'", name.p,
                 i ? "png" : "svg");
        if (isfinite(full))
            str_addf(&gp, "%.9g with lines dt 2 lw 2 lc rgb '#000000' title 'full cache'", full);
        for (int k = 0, curve = 0, drawn = 0; k < n; k++) {
            if (k && !strcmp(v[k].label, v[k - 1].label))
                continue;
            if (strcmp(v[k].label, "full") != 0) {
                str_addf(&gp, "%s'%s.dat' index %d using ($1%+.4g):2:3:4 with yerrorlines lw 1.8 ps 1 pt %d lc rgb '%s' title ",
                         drawn || isfinite(full) ? ", \\\n  " : "", name.p, curve, (drawn - curves / 2.0) * 0.003 * most / unit,
                         plot_point[drawn % 9], plot_colour[drawn % 8]);
                plot_quote(v[k].label, &gp);
                drawn++;
            }
            curve++;
        }
        str_add(&gp, "\n");
    }
    int rc = plot_save(folder, name.p, &dat, &gp, gnuplot, &out->warning, e);
    plot_list_add(out, &name, NULL);
    str_free(&dat);
    str_free(&gp);
    return rc;
}

/* Tasks are fixed and weigh the same; their samples are independent, so the variances of their means add. Only what was
 * measured on every task has a point, and only scores that are fractions can be averaged. */
static int all_tasks(const char *folder, const struct aggregate *a, struct plot_list *out, int *gnuplot, struct err *e)
{
    struct pooled *v = NULL;
    size_t cap = 0;
    int n = 0, n_task = 0, rc = 0, fit = 1;
    for (int l = 0; l < a->n_line; l++) {
        const struct agg_cell *c = &a->line[l];
        int seen = 0, layer;
        for (int k = 0; k < l && !seen; k++)
            seen = !strcmp(a->line[k].task_key, c->task_key);
        n_task += !seen;
        const struct metric_ops *m = metric_find(aggregate_text(c, "metric"));
        fit &= m && !strcmp(m->unit, "fraction") && !aggregate_single(c, &layer) &&
               !strcmp(aggregate_text(c, "model"), aggregate_text(&a->line[0], "model"));
        if (!isfinite(c->summary[AGG_SCORE].mean) || !isfinite(c->bytes) || aggregate_shuffled(c, NULL))
            continue; /* a hundred shuffled profiles would hide the rest */
        struct str budget = {0};
        aggregate_axis(c, "budget", &budget);
        char *label = label_of(a, c, 0), *b = mem_strdup(str_c(&budget));
        str_free(&budget);
        int i = 0;
        while (i < n && (strcmp(v[i].label, label) != 0 || strcmp(v[i].budget, b) != 0))
            i++;
        if (i == n) {
            mem_grow(&v, &cap, (size_t)n + 1, sizeof *v);
            v[n++] = (struct pooled){.label = label, .budget = b};
        } else {
            mem_free(label);
            mem_free(b);
        }
        double se = c->summary[AGG_SCORE].se;
        v[i].bytes += c->bytes;
        v[i].score += c->summary[AGG_SCORE].mean;
        v[i].variance += isfinite(se) ? se * se : 0;
        v[i].n++;
    }
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (v[i].n == n_task) {
            struct pooled t = v[kept];
            v[kept++] = v[i];
            v[i] = t;
        }
    if (fit && n_task > 1 && kept > 1) {
        qsort(v, (size_t)kept, sizeof *v, by_curve);
        rc = write_pooled(folder, v, kept, n_task, out, gnuplot, e);
    }
    for (int i = 0; i < n; i++) {
        mem_free(v[i].label);
        mem_free(v[i].budget);
    }
    mem_free(v);
    return rc;
}

int plot_across(const char *folder, const struct aggregate *a, struct plot_list *out, int *gnuplot, struct err *e)
{
    return heat_maps(folder, a, out, gnuplot, e) || all_tasks(folder, a, out, gnuplot, e) ? -1 : 0;
}
