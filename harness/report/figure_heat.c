/* Heat maps of depth and length, a panel for each policy and budget. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/figure.h"

/* What a panel or a curve is: the policy and what was asked to be kept. */
static char *label_of(const struct aggregate *a, const struct agg_cell *c)
{
    struct str s = {0};
    aggregate_policy_label(a, c, &s);
    if (strcmp(aggregate_text(c, "layer_budget"), "uniform") != 0) {
        str_add(&s, ", ");
        aggregate_axis(c, "layer_budget", &s);
    }
    if (strcmp(aggregate_text(c, "policy"), "full") != 0) {
        struct str budget = {0};
        aggregate_axis(c, "budget", &budget);
        const char *key = aggregate_text(c, "budget_key");
        str_addf(&s, ", %s %s", *key ? key : "keep", str_c(&budget));
        str_free(&budget);
    }
    for (int i = 0; i < axes_count(); i++) {
        struct str v = {0};
        if (axes_at(i)->shown == AXIS_SHOWN_NOTED && aggregate_axes_tells(a, c, i, &v)) {
            str_add(&s, ", ");
            aggregate_axes_label(c, i, &s);
        }
        str_free(&v);
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

struct heat {
    const struct aggregate *a;
    const char *task, *model;
    char *form; /* the other parameters of the task */
    struct ticks {
        double *x; /* [n] ascending */
        int n;
        size_t cap;
    } depth, length;
    char **panel;
    int n_panel, *panel_of; /* [n_panel]; [a->n_line], -1: in none */
    size_t cap;
    int least, most;         /* samples a place */
    double full_lo, full_hi; /* scores of the full cache; NAN without */
};

static int place_of(const struct agg_cell *c, double *depth, double *length)
{
    const struct json *d = json_get(json_get(c->axes, "task_params"), "depth"), *l = json_get(c->axes, "length");
    const struct metric_ops *m = metric_find(aggregate_text(c, "metric"));
    if (!m || strcmp(m->unit, "fraction") != 0 || !json_is_number(d) || !json_is_number(l) ||
        !isfinite(c->summary[COLUMN_SCORE].mean))
        return 0;
    *depth = json_number(d, 0);
    *length = json_number(l, 0);
    return 1;
}

static int belongs(const struct heat *h, const struct agg_cell *c)
{
    return !strcmp(aggregate_text(c, "task"), h->task) && !strcmp(aggregate_text(c, "model"), h->model) &&
           !aggregate_shuffled(c, NULL);
}

static int same_form(const struct heat *h, const struct agg_cell *c)
{
    char *form = aggregate_form(c);
    int same = strcmp(form, h->form) == 0;
    mem_free(form);
    return same;
}

static void insert(struct ticks *a, double x)
{
    int i = 0;
    while (i < a->n && a->x[i] < x)
        i++;
    if (i < a->n && a->x[i] == x)
        return;
    mem_grow(&a->x, &a->cap, (size_t)a->n + 1, sizeof *a->x);
    memmove(a->x + i + 1, a->x + i, (size_t)(a->n++ - i) * sizeof *a->x);
    a->x[i] = x;
}

static int index_of(const struct ticks *a, double x)
{
    int i = 0;
    while (a->x[i] != x)
        i++;
    return i;
}

static void collect(struct heat *h)
{
    h->panel_of = mem_new((size_t)h->a->n_line, sizeof *h->panel_of);
    for (int l = 0; l < h->a->n_line; l++) {
        const struct agg_cell *c = &h->a->line[l];
        double depth, length, mean = c->summary[COLUMN_SCORE].mean;
        int n = c->summary[COLUMN_SCORE].n;
        h->panel_of[l] = -1;
        if (!belongs(h, c) || !place_of(c, &depth, &length) || !same_form(h, c))
            continue;
        h->least = h->least && h->least < n ? h->least : n;
        h->most = h->most > n ? h->most : n;
        if (!strcmp(aggregate_text(c, "policy"), "full")) { /* a panel of its own would say the same everywhere */
            h->full_lo = fmin(h->full_lo, mean);
            h->full_hi = fmax(h->full_hi, mean);
            continue;
        }
        insert(&h->depth, depth);
        insert(&h->length, length);
        char *label = label_of(h->a, c);
        int p = h->panel_of[l] = find(h->panel, h->n_panel, label);
        if (p < h->n_panel) {
            mem_free(label);
            continue;
        }
        mem_grow(&h->panel, &h->cap, (size_t)h->n_panel + 1, sizeof *h->panel);
        h->panel[h->n_panel++] = label;
    }
}

static void free_heat(struct heat *h)
{
    for (int p = 0; p < h->n_panel; p++)
        mem_free(h->panel[p]);
    mem_free(h->panel);
    mem_free(h->panel_of);
    mem_free(h->depth.x);
    mem_free(h->length.x);
    mem_free(h->form);
}

/* Behind "set xtics ". */
static void add_tics(const struct ticks *a, const char *unit, struct quote *gp)
{
    quote_add(gp, "(");
    for (int i = 0; i < a->n; i++) {
        struct str label = {0};
        str_addf(&label, "%g%s", a->x[i], unit);
        if (i)
            quote_add(gp, ", ");
        quote_add(gp, "%s %d", label.p, i);
        str_free(&label);
    }
    quote_add(gp, ")\n");
}

static void add_title(const struct heat *h, struct quote *gp)
{
    struct str title = {0};
    str_addf(&title, "%s, %s; score, n = %d", h->task, h->model, h->least);
    if (h->most > h->least)
        str_addf(&title, " to %d", h->most);
    str_add(&title, " a place");
    if (isfinite(h->full_lo))
        str_addf(&title, h->full_hi > h->full_lo ? "; full cache: %.2f to %.2f" : "; full cache: %.2f everywhere",
                 h->full_lo, h->full_hi);
    quote_add(gp, "%s\n", title.p);
    str_free(&title);
}

static void add_place(const struct heat *h, const struct stats_summary *s, double length, double depth,
                      struct quote *dat)
{
    quote_add(dat, "%d %d ", index_of(&h->length, length), index_of(&h->depth, depth));
    if (isfinite(s->mean))
        quote_add(dat, "%.9g", s->mean);
    else
        quote_add(dat, "NaN");
    plot_ends(s->lo, s->hi, dat);
    quote_add(dat, " %d %g %g\n", s->n, length, depth);
}

static void add_heat_data(const struct heat *h, struct quote *dat)
{
    quote_add(dat, "# length index | depth index | score | 95 %% low | 95 %% high | rows | length | depth\n");
    for (int p = 0; p < h->n_panel; p++) {
        if (p)
            quote_add(dat, "\n\n");
        quote_add(dat, "# %s\n", h->panel[p]);
        for (int l = 0; l < h->a->n_line; l++) {
            const struct agg_cell *c = &h->a->line[l];
            double depth, length;
            const struct stats_summary *s = &c->summary[COLUMN_SCORE];
            if (h->panel_of[l] == p && place_of(c, &depth, &length))
                add_place(h, s, length, depth, dat);
        }
    }
}

/* Boxes, not an image: a place that was not measured stays white, and no viewer blurs one place into the next. */
static void add_heat_script(const struct heat *h, const char *name, struct quote *gp)
{
    int columns = h->n_panel < 4 ? h->n_panel : 4, rows = (h->n_panel + columns - 1) / columns;
    int wide = 150 + columns * (60 + 62 * h->length.n), high = 70 + rows * (90 + 42 * h->depth.n);
    struct str dat = {0};
    quote_add(gp, "set encoding utf8\nunset key\nset border 0\nset style fill solid border rgb '#ffffff'\n"
                  "set tics scale 0 textcolor rgb '#333333'\nset cbrange [0:1]\nset cbtics 0.2\n"
                  /* cividis, told apart with any colour vision and in grey */
                  "set palette defined (0 '#00224e', 0.25 '#434e6c', 0.5 '#7d7c78', 0.75 '#bcaf6f', 1 '#fee838')\n");
    quote_add(gp, "set xrange [-0.5:%g]\nset yrange [%g:-0.5]\n", h->length.n - 0.5, h->depth.n - 0.5);
    quote_add(gp, "set xtics ");
    add_tics(&h->length, "", gp);
    quote_add(gp, "set ytics ");
    add_tics(&h->depth, " %%", gp); /* labels of tics are formats */
    str_addf(&dat, "%s.dat", name);
    for (int i = 0; i < 2; i++) {
        struct str file = {0};
        str_addf(&file, i ? "%s.png" : "%s.svg", name);
        if (i)
            quote_add(gp, "set terminal pngcairo size %d,%d font 'sans,12'\n", wide * 6 / 5, high * 6 / 5);
        else
            quote_add(gp, "set terminal svg size %d,%d font 'sans,13' background 'white'\n", wide, high);
        quote_add(gp, "set output %s\n", file.p);
        quote_add(gp, "set multiplot layout %d,%d margins %.4f,%.4f,%.4f,%.4f spacing %.4f,%.4f title noenhanced ",
                  rows, columns, 80.0 / wide, 1 - 90.0 / wide, 55.0 / high, 1 - 75.0 / high, 60.0 / wide, 95.0 / high);
        add_title(h, gp);
        for (int p = 0; p < h->n_panel; p++) {
            quote_add(gp, "set title noenhanced %s\nset ylabel %s\nset xlabel %s\n", h->panel[p],
                      p % columns ? "" : "depth of the needle", p + columns < h->n_panel ? "" : "length, tokens");
            if (p)
                quote_add(gp, "unset colorbox\n");
            else
                quote_add(gp, "set colorbox user origin %.4f,%.4f size %.4f,%.4f\n", 1 - 70.0 / wide, 55.0 / high,
                          15.0 / wide, 1 - 130.0 / high);
            quote_add(gp,
                      "plot %s index %d using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \\\n"
                      "  '' index %d using 1:2:(sprintf('%%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels "
                      "textcolor rgb variable\n",
                      dat.p, p, p);
        }
        quote_add(gp, "unset multiplot\nunset output\n");
        str_free(&file);
    }
    str_free(&dat);
}

/* The maps of a task in several forms are numbered from the second on. */
static void name_heat(const struct heat *h, const struct plot_list *out, struct str *name)
{
    for (int number = 1, taken = 1; taken; number++) {
        str_clear(name);
        str_addf(name, "heat-%s-%s", h->task, h->model);
        if (number > 1)
            str_addf(name, "-%d", number);
        plot_safe_name(name);
        taken = 0;
        for (int i = 0; i < out->n && !taken; i++)
            taken = !strcmp(out->item[i].name, name->p);
    }
}

static int write_heat(const struct figure_job *j, const struct heat *h, struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    struct str name = {0};
    name_heat(h, j->out, &name);
    add_heat_data(h, &dat);
    add_heat_script(h, name.p, &gp);
    return plot_save(j->folder, &name, NULL, &dat, &gp, j->out, e);
}

/* One map for every task, or several where its other parameters vary. */
static int draw(const struct figure_job *j, struct err *e)
{
    const struct aggregate *a = j->a;
    int rc = 0;
    for (int l = 0; l < a->n_line && rc == 0; l++) {
        struct heat h = {.a = a,
                         .task = aggregate_text(&a->line[l], "task"),
                         .model = aggregate_text(&a->line[l], "model"),
                         .full_lo = (double)NAN,
                         .full_hi = (double)NAN};
        int seen = 0;
        h.form = aggregate_form(&a->line[l]);
        for (int k = 0; k < l && !seen; k++)
            seen = belongs(&h, &a->line[k]) && same_form(&h, &a->line[k]);
        if (!seen)
            collect(&h);
        if (h.depth.n > 1 && h.length.n > 1)
            rc = write_heat(j, &h, e);
        free_heat(&h);
    }
    return rc;
}

const struct figure_ops figure_heat = {
    .name = "heat",
    .summary = "the score at every depth and length, a panel for each policy and budget",
    .when = "a task was run at two depths and two lengths at least, and its score is a fraction",
    .scope = FIGURE_ACROSS_TASKS,
    .draw = draw,
};
