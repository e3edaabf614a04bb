#include "harness/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

void plot_list_fini(struct plot_list *p)
{
    for (int i = 0; i < p->n; i++)
        mem_free(p->name[i]);
    mem_free(p->name);
    *p = (struct plot_list){0};
}

/* gnuplot in the plots folder, without a shell. 0, or -1 when it is absent or failed. */
static int run_gnuplot(const char *folder, const char *script)
{
    pid_t pid = fork();
    int status;
    if (pid < 0)
        return -1;
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0)
            dup2(null, 1);
        if (chdir(folder) == 0)
            execlp("gnuplot", "gnuplot", script, (char *)NULL);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int is_single(const struct agg_cell *c, int *layer)
{
    const struct json *s = json_get(json_get(c->axes, "layer_budget"), "single");
    int64_t l;
    if (!s || json_int64(json_get(s, "layer"), &l))
        return 0;
    *layer = (int)l;
    return 1;
}

/* One line of a plot: cells with one label. */
struct line {
    char *label;
    int *cell;
    int n;
    size_t cap;
};

struct figure {
    const struct aggregate *a;
    int first; /* a cell of its task */
    int single;
    enum aggregate_measure measure;
    struct line *line;
    int n_line;
    size_t cap;
};

static double x_of(const struct figure *f, int cell)
{
    int layer = 0;
    if (f->single && is_single(&f->a->cell[cell], &layer))
        return layer;
    return f->a->cell[cell].bytes / 1048576;
}

static int by_x(const void *p, const void *q, void *ctx)
{
    double a = x_of(ctx, *(const int *)p), b = x_of(ctx, *(const int *)q);
    return (a > b) - (a < b);
}

static void label_of(const struct figure *f, int cell, struct str *out)
{
    const struct agg_cell *c = &f->a->cell[cell];
    static const char *const keys[] = {"layer_budget", "protect", "prune_after"};
    static const char *const dflt[] = {"\"uniform\"", "{}", "\"all_but_last\""};
    aggregate_policy_label(f->a, cell, out);
    for (int k = f->single ? 1 : 0; k < 3; k++) {
        char *v = json_print(json_get(c->axes, keys[k]));
        if (strcmp(v, dflt[k]) != 0)
            str_addf(out, " %s", v);
        mem_free(v);
    }
    if (f->single)
        str_addf(out, " keep %s", aggregate_text(c, "budget"));
    double seed = json_number(json_get(c->axes, "policy_seed"), 1);
    if (seed != 1)
        str_addf(out, " seed %.0f", seed);
}

static int same_task(const struct agg_cell *a, const struct agg_cell *b)
{
    char *x = json_print(json_get(a->axes, "task_params")), *y = json_print(json_get(b->axes, "task_params"));
    int equal = !strcmp(x, y) && !strcmp(aggregate_text(a, "task"), aggregate_text(b, "task")) &&
                !strcmp(aggregate_text(a, "model"), aggregate_text(b, "model"));
    mem_free(x);
    mem_free(y);
    return equal;
}

static void collect(struct figure *f)
{
    for (int c = 0; c < f->a->n_cell; c++) {
        const struct agg_cell *cell = &f->a->cell[c];
        int layer;
        if (!same_task(cell, &f->a->cell[f->first]) || !strcmp(aggregate_text(cell, "policy"), "full") ||
            is_single(cell, &layer) != f->single || !isfinite(cell->summary[f->measure].mean))
            continue;
        struct str label = {0};
        int at = 0;
        label_of(f, c, &label);
        while (at < f->n_line && strcmp(f->line[at].label, label.p) != 0)
            at++;
        if (at == f->n_line) {
            mem_grow(&f->line, &f->cap, (size_t)f->n_line + 1, sizeof *f->line);
            f->line[f->n_line++] = (struct line){.label = mem_strdup(label.p)};
        }
        struct line *l = &f->line[at];
        mem_grow(&l->cell, &l->cap, (size_t)l->n + 1, sizeof *l->cell);
        l->cell[l->n++] = c;
        str_free(&label);
    }
    for (int i = 0; i < f->n_line; i++)
        qsort_r(f->line[i].cell, (size_t)f->line[i].n, sizeof(int), by_x, f);
}

static void free_figure(struct figure *f)
{
    for (int i = 0; i < f->n_line; i++) {
        mem_free(f->line[i].label);
        mem_free(f->line[i].cell);
    }
    mem_free(f->line);
}

static double full_mean(const struct figure *f)
{
    for (int c = 0; c < f->a->n_cell; c++)
        if (same_task(&f->a->cell[c], &f->a->cell[f->first]) && !strcmp(aggregate_text(&f->a->cell[c], "policy"), "full"))
            return f->a->cell[c].summary[f->measure].mean;
    return (double)NAN;
}

static void gp_quote(const char *text, struct str *out)
{
    str_addc(out, '\'');
    for (; *text; text++)
        str_add(out, *text == '\'' ? "''" : (char[]){*text, 0});
    str_addc(out, '\'');
}

static void add_data(const struct figure *f, struct str *dat)
{
    str_addf(dat, "# x %s lo hi n    (x: %s)\n", aggregate_measure_names[f->measure], f->single ? "layer" : "MiB of cache");
    for (int i = 0; i < f->n_line; i++) {
        str_addf(dat, "%s# %s\n", i ? "\n\n" : "", f->line[i].label);
        for (int k = 0; k < f->line[i].n; k++) {
            const struct agg_cell *c = &f->a->cell[f->line[i].cell[k]];
            const struct stats_summary *s = &c->summary[f->measure];
            double lo = isfinite(s->lo) ? s->lo : s->mean, hi = isfinite(s->hi) ? s->hi : s->mean;
            str_addf(dat, "%.6g %.9g %.9g %.9g %d\n", x_of(f, f->line[i].cell[k]), s->mean, lo, hi, c->n_ok);
        }
    }
}

static void add_script(const struct figure *f, const char *name, struct str *gp)
{
    const struct agg_cell *c = &f->a->cell[f->first];
    struct str title = {0};
    const char *metric = f->measure == AGG_SCORE ? aggregate_text(c, "metric") : aggregate_measure_names[f->measure];
    double full = full_mean(f), length = json_number(json_get(c->axes, "length"), 0);
    int log_kl = f->measure == AGG_KL;
    str_addf(&title, "%s, %s", aggregate_text(c, "task"), aggregate_text(c, "model"));
    if (length > 0)
        str_addf(&title, ", %.0f tokens", length);
    str_add(gp, "set encoding utf8\nset key outside right top noenhanced\nset grid lc rgb '#dddddd'\nset border 3\nset tics nomirror\n");
    str_add(gp, "set title noenhanced ");
    gp_quote(title.p, gp);
    str_addf(gp, "\nset xlabel '%s'\nset ylabel noenhanced '%s'\n", f->single ? "pruned layer" : "cache after pruning, MiB (float32)", metric);
    if (f->measure == AGG_SCORE && strcmp(metric, "nll") != 0 && strcmp(metric, "yap") != 0)
        str_add(gp, "set yrange [-0.03:1.03]\n");
    if (log_kl)
        str_add(gp, "set logscale y\nset format y '10^{%L}'\n");
    str_add(gp, f->single ? "set xtics 0, 5\nset xrange [-0.5:*]\n" : "set xrange [0:*]\n");
    for (int i = 0; i < 2; i++) {
        str_addf(gp, "set terminal %s\nset output '%s.%s'\nplot ",
                 i ? "pngcairo size 900,520 font 'sans,11'" : "svg size 900,520 font 'sans,13' background 'white'", name,
                 i ? "png" : "svg");
        if (isfinite(full) && !log_kl)
            str_addf(gp, "%.9g with lines dt 2 lw 2 lc rgb 'black' title 'full cache', \\\n  ", full);
        for (int k = 0; k < f->n_line; k++) {
            str_addf(gp, "%s'%s.dat' index %d using 1:2:3:4 with yerrorlines lw 2 pt %d ps 0.8 title ", k ? ", \\\n  " : "", name,
                     k, 4 + k % 11);
            gp_quote(f->line[k].label, gp);
        }
        str_add(gp, "\n");
    }
    str_free(&title);
}

static int write_figure(const char *folder, const struct figure *f, const char *name, int *gnuplot, struct err *e)
{
    struct str dat = {0}, gp = {0}, path = {0}, script = {0};
    int rc = -1;
    add_data(f, &dat);
    add_script(f, name, &gp);
    str_addf(&path, "%s/%s.dat", folder, name);
    str_addf(&script, "%s.gp", name);
    if (fs_write_atomic(path.p, dat.p, dat.n, e))
        goto out;
    str_clear(&path);
    str_addf(&path, "%s/%s", folder, script.p);
    if (fs_write_atomic(path.p, gp.p, gp.n, e))
        goto out;
    if (*gnuplot && run_gnuplot(folder, script.p)) {
        fprintf(stderr, "warning: gnuplot is absent or failed; %s holds the script\n", path.p);
        *gnuplot = 0; /* once is enough */
    }
    rc = 0;
out:
    str_free(&dat);
    str_free(&gp);
    str_free(&path);
    str_free(&script);
    return rc;
}

int plot_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e)
{
    static const enum aggregate_measure measures[] = {AGG_SCORE, AGG_KL, AGG_NLL};
    char *folder = fs_join(dir, "plots");
    int rc = -1, gnuplot = 1, task = 0;
    if (fs_mkdirs(folder, e))
        goto out;
    for (int c = 0; c < a->n_cell; c++) {
        int seen = 0;
        for (int k = 0; k < c; k++)
            seen |= same_task(&a->cell[k], &a->cell[c]);
        if (seen)
            continue;
        task++;
        for (int single = 0; single < 2; single++)
            for (int m = 0; m < 3; m++) {
                struct figure f = {.a = a, .first = c, .single = single, .measure = measures[m]};
                struct str name = {0};
                collect(&f);
                str_addf(&name, "%d-%s-%s%s", task, aggregate_text(&a->cell[c], "task"), aggregate_measure_names[measures[m]],
                         single ? "-layer" : "");
                for (char *p = name.p; *p; p++)
                    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p))
                        *p = '_';
                int bad = f.n_line && write_figure(folder, &f, name.p, &gnuplot, e);
                if (f.n_line) {
                    mem_grow(&out->name, &out->cap, (size_t)out->n + 1, sizeof *out->name);
                    out->name[out->n++] = str_take(&name);
                }
                str_free(&name);
                free_figure(&f);
                if (bad)
                    goto out;
            }
    }
    rc = 0;
out:
    mem_free(folder);
    return rc;
}
