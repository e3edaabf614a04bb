#include "harness/report/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/gnuplot.h"
#include "harness/report/plot_int.h"

const char *const plot_colour[8] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"};
const int plot_point[9] = {7, 5, 9, 11, 13, 4, 6, 8, 10};

void plot_list_fini(struct plot_list *p)
{
    for (int i = 0; i < p->n; i++)
        mem_free(p->item[i].name);
    mem_free(p->item);
    str_free(&p->warning);
    *p = (struct plot_list){0};
}

/* One curve: lines of the table that share a label. */
struct curve {
    char *label;
    int shuffled; /* 1: a cloud of shuffled profiles, drawn as points */
    int *point;   /* [n] index into aggregate.line, by x */
    int n;
    size_t cap;
};

/* The axes that a curve's name may tell. */
static int is_told(int axis)
{
    const struct axis *a = axes_at(axis);
    return a->shown == AXIS_SHOWN_NOTED || strcmp(a->key, "layer_budget") == 0;
}

struct figure {
    const struct aggregate *a;
    const struct agg_cell *task; /* a line of the task */
    int single;                  /* 1: x is the layer that was pruned */
    enum column_id measure;
    double unit; /* bytes of one x unit */
    const char *unit_name;
    int varies[AXES_MOST]; /* by axis: the curves differ in this axis; what all have in common tells nothing */
    struct curve *curve;
    int n_curve;
    size_t cap;
};

static double x_of(const struct figure *f, int line)
{
    int layer;
    if (f->single && aggregate_single(&f->a->line[line], &layer))
        return layer;
    return aggregate_mean(&f->a->line[line], COLUMN_CACHE_BYTES) / f->unit;
}

static int by_x(const void *p, const void *q, void *ctx)
{
    double a = x_of(ctx, *(const int *)p), b = x_of(ctx, *(const int *)q);
    return (a > b) - (a < b);
}

/* A pruned layer's damage is a paired difference to the baseline, whose interval is free of what hard and easy samples
 * differ in; kl is one by itself. */
static int is_damage(const struct figure *f)
{
    return f->single && f->measure != COLUMN_KL;
}

struct value {
    double mean, lo, hi; /* of y */
    int n;
};

static struct value value_of(const struct figure *f, const struct agg_cell *c)
{
    const struct stats_summary *s = &c->summary[f->measure];
    const struct stats_paired *d = &c->diff[f->measure];
    struct value v = {s->mean, s->lo, s->hi, s->n};
    if (is_damage(f)) {
        int falls = columns_higher_is_better(f->measure, aggregate_text(c, "metric"));
        double none = d->n ? 0 : (double)NAN;
        v = falls ? (struct value){none - d->diff, none - d->hi, none - d->lo, d->n}
                  : (struct value){none + d->diff, none + d->lo, none + d->hi, d->n};
    }
    return v;
}

static int has_point(const struct figure *f, const struct agg_cell *c)
{
    int layer;
    if (strcmp(c->task_key, f->task->task_key) != 0 || !strcmp(aggregate_text(c, "policy"), "full") ||
        aggregate_single(c, &layer) != f->single)
        return 0;
    double mean = value_of(f, c).mean;
    return isfinite(mean) && (f->single || isfinite(aggregate_mean(c, COLUMN_CACHE_BYTES))) &&
           (f->measure != COLUMN_KL || mean > 0);
}

/* Only axes in which the curves of this task differ tell anything. */
static int task_varies(const struct figure *f, const char *key)
{
    int differs = 0;
    struct str first = {0}, v = {0};
    for (int l = 0, seen = 0; l < f->a->n_line && !differs; l++) {
        const struct agg_cell *c = &f->a->line[l];
        if (!has_point(f, c))
            continue;
        str_clear(&v);
        aggregate_axis(c, key, seen ? &v : &first);
        differs = seen && strcmp(str_c(&v), str_c(&first)) != 0;
        seen = 1;
    }
    str_free(&first);
    str_free(&v);
    return differs;
}

static void label_of(const struct figure *f, const struct agg_cell *c, struct str *out)
{
    aggregate_policy_label(f->a, c, out);
    for (int k = 0; k < axes_count(); k++) {
        int layers = strcmp(axes_at(k)->key, "layer_budget") == 0;
        if (!f->varies[k] || (layers && f->single)) /* there the layer is x */
            continue;
        size_t before = out->n;
        str_add(out, ", ");
        if (!layers || !aggregate_shuffled(c, out))
            aggregate_axes_label(c, k, out);
        else
            str_add(out, ", shuffled");
        if (out->n == before + 2) { /* nothing protected */
            out->n = before;
            out->p[before] = '\0';
        }
    }
    if (f->single && json_bool(json_get(json_get(json_get(c->axes, "layer_budget"), "single"), "only"), 0))
        str_add(out, ", all but one pruned");
    if (f->single)
        str_addf(out, ", keep %.3g", aggregate_mean(c, COLUMN_LEVEL));
}

static void collect(struct figure *f)
{
    double most = 0;
    for (int k = 0; k < axes_count(); k++)
        f->varies[k] = is_told(k) && task_varies(f, axes_at(k)->key);
    for (int l = 0; l < f->a->n_line; l++) {
        const struct agg_cell *c = &f->a->line[l];
        if (!has_point(f, c))
            continue;
        most = fmax(most, aggregate_mean(c, COLUMN_CACHE_BYTES));
        struct str label = {0};
        int at = 0;
        label_of(f, c, &label);
        while (at < f->n_curve && strcmp(f->curve[at].label, label.p) != 0)
            at++;
        if (at == f->n_curve) {
            mem_grow(&f->curve, &f->cap, (size_t)f->n_curve + 1, sizeof *f->curve);
            f->curve[f->n_curve++] =
                (struct curve){.label = mem_strdup(label.p), .shuffled = aggregate_shuffled(c, NULL)};
        }
        struct curve *v = &f->curve[at];
        mem_grow(&v->point, &v->cap, (size_t)v->n + 1, sizeof *v->point);
        v->point[v->n++] = l;
        str_free(&label);
    }
    f->unit = most >= 1048576 ? 1048576 : 1024;
    f->unit_name = most >= 1048576 ? "MiB" : "KiB";
    for (int i = 0; i < f->n_curve; i++)
        qsort_r(f->curve[i].point, (size_t)f->curve[i].n, sizeof(int), by_x, f);
}

static void free_figure(struct figure *f)
{
    for (int i = 0; i < f->n_curve; i++) {
        mem_free(f->curve[i].label);
        mem_free(f->curve[i].point);
    }
    mem_free(f->curve);
}

static double full_mean(const struct figure *f)
{
    for (int l = 0; l < f->a->n_line; l++)
        if (!strcmp(f->a->line[l].task_key, f->task->task_key) &&
            !strcmp(aggregate_text(&f->a->line[l], "policy"), "full"))
            return f->a->line[l].summary[f->measure].mean;
    return (double)NAN;
}

void plot_ends(double lo, double hi, struct quote *dat)
{
    if (isfinite(lo) && isfinite(hi))
        quote_add(dat, " %.9g %.9g", lo, hi);
    else
        quote_add(dat, " NaN NaN");
}

static void add_data(const struct figure *f, struct quote *dat)
{
    quote_add(dat, "# %s | %s%s | 95 %% low | 95 %% high | rows | keep\n", f->single ? "layer" : f->unit_name,
              columns_name(f->measure),
              !is_damage(f)                ? ""
              : f->measure == COLUMN_SCORE ? " lost"
                                           : " added");
    for (int i = 0; i < f->n_curve; i++) {
        if (i)
            quote_add(dat, "\n\n");
        quote_add(dat, "# %s\n", f->curve[i].label);
        for (int k = 0; k < f->curve[i].n; k++) {
            const struct agg_cell *c = &f->a->line[f->curve[i].point[k]];
            const struct value v = value_of(f, c);
            quote_add(dat, "%.9g %.9g", x_of(f, f->curve[i].point[k]), v.mean);
            plot_ends(v.lo, v.hi, dat);
            quote_add(dat, " %d %.6g\n", v.n, aggregate_mean(c, COLUMN_KEEP));
        }
    }
}

static void add_axes(const struct figure *f, struct quote *gp)
{
    const struct agg_cell *c = f->task;
    struct str title = {0}, x = {0}, y = {0};
    size_t longest = 0;
    const char *name = f->measure == COLUMN_SCORE ? aggregate_text(c, "metric") : "";
    const struct metric_ops *metric = metric_find(name);
    int64_t length;
    str_addf(&title, "%s, %s", aggregate_text(c, "task"), aggregate_text(c, "model"));
    if (json_int64(json_get(c->axes, "length"), &length) == 0)
        str_addf(&title, ", %lld tokens", (long long)length);
    if (f->measure == COLUMN_KL)
        str_add(&y, "KL divergence from the full cache, nats per token");
    else if (f->measure == COLUMN_NLL)
        str_addf(&y, "negative log-likelihood%s, nats per token", is_damage(f) ? " added" : "");
    else
        str_addf(&y, is_damage(f) ? "score lost: %s" : "score: %s", name);
    str_addf(&x, "cache after pruning, %s (float32)", f->unit_name);
    for (int k = 0; k < f->n_curve; k++)
        longest = strlen(f->curve[k].label) > longest ? strlen(f->curve[k].label) : longest;
    /* long names beside the plot would leave no room for it */
    if (longest > 40)
        quote_add(gp,
                  "set encoding utf8\nset key outside below maxcols 1 Left reverse noenhanced samplen 2 spacing 1.2\n");
    else
        quote_add(gp, "set encoding utf8\nset key outside right top Left reverse noenhanced samplen 2 spacing 1.2\n");
    quote_add(gp,
              "set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\nset tics nomirror "
              "textcolor rgb '#333333'\n"
              "set bars 0.6\nset title noenhanced %s",
              title.p);
    if (f->single)
        quote_add(gp, "\nset xlabel 'pruned layer'\nset xrange [-0.5:*]\n");
    else
        quote_add(gp, "\nset xlabel %s\nset xrange [0:*]\n", x.p);
    quote_add(gp, "set ylabel noenhanced %s\nset offsets graph 0, graph 0.03, 0, 0\n", y.p);
    if (f->measure == COLUMN_SCORE && !is_damage(f) && metric && !strcmp(metric->unit, "fraction"))
        quote_add(gp, "set yrange [-0.03:1.03]\nset ytics 0.2\n");
    if (f->measure == COLUMN_KL)
        quote_add(gp, "set logscale y\nset format y '%%g'\n");
    str_free(&title);
    str_free(&x);
    str_free(&y);
}

/* Where the picture goes: 0: SVG, 1: PNG. */
void plot_terminal(const char *name, int png, struct quote *gp)
{
    struct str file = {0};
    str_addf(&file, png ? "%s.png" : "%s.svg", name);
    if (png)
        quote_add(gp, "set terminal pngcairo size 1080,600 font 'sans,12'\n");
    else
        quote_add(gp, "set terminal svg size 900,500 font 'sans,13' background 'white'\n");
    quote_add(gp, "set output %s\n", file.p);
    str_free(&file);
}

static void add_script(const struct figure *f, const char *name, struct quote *gp)
{
    double full = is_damage(f) ? 0 : full_mean(f), last = 0;
    struct str dat = {0};
    for (int k = 0; k < f->n_curve; k++)
        last = fmax(last, x_of(f, f->curve[k].point[f->curve[k].n - 1]));
    /* curves stand a hair apart, so that error bars at one budget don't hide each other; the .dat has the true x */
    double step = f->single ? fmin(0.12, 0.6 / f->n_curve) : fmin(0.006, 0.04 / f->n_curve) * last;
    add_axes(f, gp);
    str_addf(&dat, "%s.dat", name);
    for (int i = 0; i < 2; i++) {
        plot_terminal(name, i, gp);
        quote_add(gp, "plot ");
        if (isfinite(full) && f->measure != COLUMN_KL)
            quote_add(gp, "%.9g with lines dt 2 lw 2 lc rgb '#000000' title 'full cache', \\\n  ", full);
        for (int k = 0; k < f->n_curve; k++) {
            if (k)
                quote_add(gp, ", \\\n  ");
            if (f->curve[k].shuffled) {
                quote_add(gp, "%s index %d using 1:2 with points pt 6 ps 0.7 lc rgb '#aaaaaa' title %s", dat.p, k,
                          f->curve[k].label);
                continue;
            }
            quote_add(gp, "%s index %d using ($1%+.4g):2:", dat.p, k, (k - (f->n_curve - 1) / 2.0) * step);
            if (f->measure == COLUMN_KL)
                quote_add(
                    gp,
                    "($3 <= 0 ? $2 / 10 : $3)"); /* a logarithmic axis has no zero, which would hide the whole bar */
            else
                quote_add(gp, "3");
            quote_add(gp, ":4 with yerrorlines lw 1.8 ps 1 pt %d lc rgb %s title %s", plot_point[k % 9],
                      plot_colour[k % 8], f->curve[k].label);
        }
        quote_add(gp, "\n");
    }
    str_free(&dat);
}

/* gnuplot's end, and what is to be told of it: the first failure, and how many there were. */
static int draw(const char *folder, const char *name, struct plot_list *out, struct err *e)
{
    struct str why = {0};
    enum gnuplot_end end = GNUPLOT_LATE;
    if (out->stuck)
        gnuplot_remove(folder, name);
    else
        end = gnuplot_run(folder, name, &why);
    out->stuck |= end == GNUPLOT_LATE;
    if (end == GNUPLOT_ABSENT && !out->warning.n)
        str_addf(&out->warning, "gnuplot is not installed; the plots' scripts are in %s", folder);
    else if ((end == GNUPLOT_FAILED || end == GNUPLOT_LATE) && out->n_failed++ == 0)
        str_addf(&out->warning, "gnuplot could not make the picture of %s/%s.gp: %s", folder, name, str_c(&why));
    str_free(&why);
    out->item[out->n - 1].drawn = end == GNUPLOT_DONE;
    return end == GNUPLOT_INTERRUPTED
               ? err_set(e, ERR_INTERRUPTED, "interrupted while %s/%s.gp was drawn", folder, name)
               : 0;
}

int plot_save(const char *folder, struct str *name, const char *task_key, struct quote *dat, struct quote *gp,
              struct plot_list *out, struct err *e)
{
    struct str data = {0}, script = {0};
    str_addf(&data, "%s/%s.dat", folder, name->p);
    str_addf(&script, "%s/%s.gp", folder, name->p);
    gnuplot_remove(folder, name->p); /* before its data change: whenever this ends, no picture shows others */
    int bad = quote_save(dat, data.p, e) || quote_save(gp, script.p, e);
    mem_grow(&out->item, &out->cap, (size_t)out->n + 1, sizeof *out->item);
    out->item[out->n++] = (struct plot_item){.name = str_take(name), .task_key = task_key};
    bad = bad || draw(folder, out->item[out->n - 1].name, out, e);
    quote_free(dat);
    quote_free(gp);
    str_free(&data);
    str_free(&script);
    return bad ? -1 : 0;
}

/* How many pictures are missing, behind the reason of the first. */
void plot_list_tell(struct plot_list *p)
{
    if (p->n_failed > 1)
        str_addf(&p->warning, " (and %d more)", p->n_failed - 1);
}

static int write_figure(const char *folder, const struct figure *f, struct str *name, struct plot_list *out,
                        struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    add_data(f, &dat);
    add_script(f, name->p, &gp);
    return plot_save(folder, name, f->task->task_key, &dat, &gp, out, e);
}

void plot_safe_name(struct str *name)
{
    enum {
        MOST = 100,
        HASH = 9
    }; /* with a folder in front and .gp.tmp.1234567 behind, far below the 255 of a file system */
    uint64_t hash = hash_fnv1a(name->p, name->n);
    for (char *p = name->p; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p))
            *p = '_';
    if (name->n <= MOST)
        return;
    name->n = MOST - HASH;
    str_addf(name, "-%08x", (unsigned)(hash & 0xFFFFFFFF));
}

/* All figures of one task, named <number>-<task>-<measure>. */
static int write_task(const char *folder, const struct aggregate *a, const struct agg_cell *task, int number,
                      struct plot_list *out, struct err *e)
{
    static const enum column_id measures[] = {COLUMN_SCORE, COLUMN_KL, COLUMN_NLL};
    int bad = 0;
    for (int k = 0; k < 6 && !bad; k++) {
        struct figure f = {.a = a, .task = task, .single = k / 3, .measure = measures[k % 3]};
        if (f.measure == COLUMN_NLL && !strcmp(aggregate_text(task, "metric"), "nll"))
            continue; /* the score's plot shows it */
        collect(&f);
        if (f.n_curve) {
            struct str name = {0};
            str_addf(&name, "%d-%s-%s%s", number, aggregate_text(task, "task"), columns_name(f.measure),
                     f.single ? "-layer" : "");
            plot_safe_name(&name);
            bad = write_figure(folder, &f, &name, out, e);
        }
        free_figure(&f);
    }
    return bad ? -1 : 0;
}

int plot_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e)
{
    char *folder = fs_join(dir, "plots");
    int rc = -1, number = 0;
    if (fs_mkdirs(folder, e))
        goto out;
    for (int l = 0; l < a->n_line; l++) {
        int seen = 0;
        for (int k = 0; k < l && !seen; k++)
            seen = !strcmp(a->line[k].task_key, a->line[l].task_key);
        if (!seen && write_task(folder, a, &a->line[l], ++number, out, e))
            goto out;
    }
    if (plot_across(folder, a, out, e))
        goto out;
    if (out->n == 0)
        str_add(&out->warning, "nothing to plot: no policy but full has a score");
    plot_list_tell(out);
    rc = 0;
out:
    mem_free(folder);
    return rc;
}
