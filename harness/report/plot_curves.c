#include "harness/report/plot_curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/plot.h"
#include "harness/report/study.h"

/* One curve: lines of the table that share a label. */
struct curve {
    char *label;
    char *policy; /* its policy with parameters, as labels begin */
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

struct curves {
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

static double x_of(const struct curves *f, int line)
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
static int is_damage(const struct curves *f)
{
    return f->single && f->measure != COLUMN_KL;
}

struct value {
    double mean, lo, hi; /* of y */
    int n;
};

static struct value value_of(const struct curves *f, const struct agg_cell *c)
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

static int has_point(const struct curves *f, const struct agg_cell *c)
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
static int task_varies(const struct curves *f, const char *key)
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

static void label_of(const struct curves *f, const struct agg_cell *c, struct str *out)
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
    if (f->single) {
        str_add(out, ", ");
        study_add_budget(c, out);
    }
}

static void collect(struct curves *f)
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
            struct str policy = {0};
            aggregate_policy_label(f->a, c, &policy);
            f->curve[f->n_curve++] = (struct curve){
                .label = mem_strdup(label.p), .policy = str_take(&policy), .shuffled = aggregate_shuffled(c, NULL)};
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

static void free_curves(struct curves *f)
{
    for (int i = 0; i < f->n_curve; i++) {
        mem_free(f->curve[i].label);
        mem_free(f->curve[i].policy);
        mem_free(f->curve[i].point);
    }
    mem_free(f->curve);
}

/* The full cache's mean of this line of the task; NAN: it is another policy's, or not known. */
static double full_mean(const struct curves *f, int line)
{
    const struct agg_cell *c = &f->a->line[line];
    int is = !strcmp(c->task_key, f->task->task_key) && !strcmp(aggregate_text(c, "policy"), "full");
    return is ? c->summary[f->measure].mean : (double)NAN;
}

/* 1 for the first of the full caches that lie on one height. */
static int opens_height(const struct curves *f, int line)
{
    double mean = full_mean(f, line);
    for (int l = 0; l < line; l++)
        if (fabs(full_mean(f, l) - mean) < 1e-4)
            return 0;
    return isfinite(mean);
}

static void add_across(double y, int dashes, const char *label, struct quote *gp)
{
    quote_add(gp, "%.9g with lines dt %d lw 2 lc rgb '#000000' title %s, \\\n  ", y, dashes, label);
}

/* What the curves are to be compared with: a line across for the full cache, or one for each, named by what sets it
 * apart, where there are several that differ (max_new_tokens, weight_dtype). */
static void add_full(const struct curves *f, struct quote *gp)
{
    int n = 0, drawn = 0;
    if (is_damage(f)) {
        add_across(0, 2, "full cache", gp);
        return;
    }
    for (int l = 0; l < f->a->n_line; l++)
        n += opens_height(f, l);
    for (int l = 0; l < f->a->n_line; l++) {
        struct str label = {0};
        if (!opens_height(f, l))
            continue;
        str_add(&label, "full cache");
        for (int k = 0; k < axes_count() && n > 1; k++)
            if (axes_at(k)->splits && f->varies[k]) {
                str_add(&label, ", ");
                aggregate_axes_label(&f->a->line[l], k, &label);
            }
        add_across(full_mean(f, l), 2 + drawn++ % 4, label.p, gp);
        str_free(&label);
    }
}

static void add_data(const struct curves *f, struct quote *dat)
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

static void add_axes(const struct curves *f, struct quote *gp)
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

static void add_script(const struct curves *f, const char *name, struct quote *gp)
{
    double last = 0;
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
        if (f->measure != COLUMN_KL)
            add_full(f, gp);
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

static int save_curves(const struct figure_job *j, const struct curves *f, struct str *name, struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    add_data(f, &dat);
    add_script(f, name->p, &gp);
    return plot_save(j->folder, name, f->task->task_key, &dat, &gp, j->out, e);
}

static int several_policies(const struct curves *f)
{
    for (int k = 1; k < f->n_curve; k++)
        if (strcmp(f->curve[k].policy, f->curve[0].policy) != 0)
            return 1;
    return 0;
}

/* A picture of each policy by itself: of more curves than plot_most_curves nobody can follow one, and their names leave
 * no room for the plot. */
static int save_by_policy(const struct figure_job *j, const struct curves *all, const struct str *name, struct err *e)
{
    int rc = 0;
    struct curves f = *all;
    f.curve = mem_new((size_t)all->n_curve + 1, sizeof *f.curve);
    for (int first = 0; first < all->n_curve && !rc; first++) {
        const char *policy = all->curve[first].policy;
        struct str of = {0};
        f.n_curve = 0;
        for (int k = 0; k < all->n_curve; k++)
            if (strcmp(all->curve[k].policy, policy) == 0) {
                if (k < first)
                    break;
                f.curve[f.n_curve++] = all->curve[k];
            }
        if (!f.n_curve)
            continue; /* drawn already */
        str_addf(&of, "%s-%s", name->p, policy);
        plot_safe_name(&of);
        rc = save_curves(j, &f, &of, e);
    }
    mem_free(f.curve);
    return rc;
}

int plot_curves(const struct figure_job *j, enum column_id measure, int single, const char *ending, struct err *e)
{
    struct curves f = {.a = j->a, .task = j->task, .single = single, .measure = measure};
    int rc = 0;
    if (measure == COLUMN_NLL && !strcmp(aggregate_text(j->task, "metric"), "nll"))
        return 0; /* the score's plot shows it */
    collect(&f);
    if (f.n_curve) {
        struct str name = {0};
        str_addf(&name, "%d-%s-%s%s", j->number, aggregate_text(j->task, "task"), columns_name(measure), ending);
        plot_safe_name(&name);
        if (f.n_curve > plot_most_curves && several_policies(&f)) {
            rc = save_by_policy(j, &f, &name, e);
            str_free(&name);
        } else {
            rc = save_curves(j, &f, &name, e);
        }
    }
    free_curves(&f);
    return rc;
}
