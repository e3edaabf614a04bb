#include "harness/report.h"

#include <math.h>
#include <string.h>

#include "harness/aggregate.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/plot.h"

static void cell_number(struct str *s, double x, int digits)
{
    if (isfinite(x))
        str_addf(s, "%.*f", digits, x);
    else
        str_add(s, "n/a");
}

/* "0.812 [0.70, 0.91]" */
static void with_interval(struct str *s, double mean, double lo, double hi)
{
    cell_number(s, mean, 3);
    if (isfinite(lo) && isfinite(hi))
        str_addf(s, " [%.3f, %.3f]", lo, hi);
}

static int same_task(const struct agg_cell *a, const struct agg_cell *b)
{
    static const char *const keys[] = {"model", "task", "task_params"};
    for (int k = 0; k < 3; k++) {
        char *x = json_print(json_get(a->axes, keys[k])), *y = json_print(json_get(b->axes, keys[k]));
        int equal = strcmp(x, y) == 0;
        mem_free(x);
        mem_free(y);
        if (!equal)
            return 0;
    }
    return 1;
}

/* What else sets a cell apart: everything that is not a default. */
static void add_notes(const struct agg_cell *c, struct str *s)
{
    static const struct { const char *key, *dflt; } axes[] = {
        {"layer_budget", "\"uniform\""}, {"protect", "{}"}, {"prune_after", "\"all_but_last\""}, {"policy_seed", "1"}};
    for (int k = 0; k < 4; k++) {
        char *v = json_print(json_get(c->axes, axes[k].key));
        if (strcmp(v, axes[k].dflt) != 0)
            str_addf(s, "%s%s %s", s->n ? "; " : "", axes[k].key, v);
        mem_free(v);
    }
}

static void title(const struct agg_cell *c, struct str *s)
{
    char *p = json_print(json_get(c->axes, "task_params"));
    str_addf(s, "%s on %s, %s", aggregate_text(c, "task"), aggregate_text(c, "model"), p);
    mem_free(p);
}

static void table_row(const struct aggregate *a, int i, const char *open, const char *between, const char *close,
                      struct str *out)
{
    const struct agg_cell *c = &a->cell[i];
    struct str notes = {0};
    add_notes(c, &notes);
    str_add(out, open);
    aggregate_policy_label(a, i, out);
    str_add(out, between);
    cell_number(out, c->keep, 3);
    str_add(out, between);
    cell_number(out, c->tokens, 0);
    str_add(out, between);
    cell_number(out, c->bytes / 1048576, 2);
    str_add(out, between);
    cell_number(out, c->bytes / 2097152, 2);
    str_addf(out, "%s%d", between, c->n_ok);
    str_add(out, between);
    with_interval(out, c->summary[AGG_SCORE].mean, c->summary[AGG_SCORE].lo, c->summary[AGG_SCORE].hi);
    str_add(out, between);
    if (c->diff[AGG_SCORE].n)
        with_interval(out, c->diff[AGG_SCORE].diff, c->diff[AGG_SCORE].lo, c->diff[AGG_SCORE].hi);
    else
        str_add(out, "n/a");
    str_add(out, between);
    with_interval(out, c->summary[AGG_KL].mean, c->summary[AGG_KL].lo, c->summary[AGG_KL].hi);
    str_add(out, between);
    cell_number(out, c->summary[AGG_TOP1].mean, 3);
    str_add(out, between);
    cell_number(out, c->summary[AGG_NLL].mean, 3);
    str_addf(out, "%s%s%s", between, str_c(&notes), close);
    str_free(&notes);
}

static const char *const heads[] = {"policy", "kept", "tokens", "MiB", "MiB bf16", "n", "score", "difference to full", "kl",
                                    "top1", "nll", "other"};
enum { N_HEAD = sizeof heads / sizeof *heads };

static void table_md(const struct aggregate *a, struct str *out)
{
    for (int i = 0; i < a->n_cell; i++) {
        if (i == 0 || !same_task(&a->cell[i], &a->cell[i - 1])) {
            struct str t = {0};
            title(&a->cell[i], &t);
            str_addf(out, "%s## %s\n\nmetric: %s; intervals: 95 %%, percentile bootstrap over samples\n\n|", i ? "\n" : "", t.p,
                     aggregate_text(&a->cell[i], "metric"));
            for (int h = 0; h < N_HEAD; h++)
                str_addf(out, " %s |", heads[h]);
            str_add(out, "\n|");
            for (int h = 0; h < N_HEAD; h++)
                str_add(out, h == 0 || h == N_HEAD - 1 ? " --- |" : " ---: |");
            str_add(out, "\n");
            str_free(&t);
        }
        table_row(a, i, "| ", " | ", " |\n", out);
    }
}

static void tex_escape(const char *text, struct str *out)
{
    for (; *text; text++) {
        if (strchr("_%&#{}$", *text))
            str_addc(out, '\\');
        str_addc(out, *text);
    }
}

static void table_tex(const struct aggregate *a, struct str *out)
{
    for (int i = 0; i < a->n_cell; i++) {
        if (i == 0 || !same_task(&a->cell[i], &a->cell[i - 1])) {
            struct str t = {0};
            title(&a->cell[i], &t);
            if (i)
                str_add(out, "\\hline\n\\end{tabular}\n\n");
            str_add(out, "% ");
            str_add(out, t.p);
            str_add(out, "\n\\begin{tabular}{lrrrrrrrrrrl}\n\\hline\n");
            for (int h = 0; h < N_HEAD; h++)
                str_addf(out, "%s%s", h ? " & " : "", heads[h]);
            str_add(out, " \\\\\n\\hline\n");
            str_free(&t);
        }
        struct str row = {0};
        table_row(a, i, "", "\x01", "", &row);
        for (char *p = row.p; *p;) { /* columns were parted by a byte that needs no escape */
            size_t n = strcspn(p, "\x01");
            char *part = mem_strndup(p, n);
            tex_escape(part, out);
            mem_free(part);
            p += n;
            if (*p) {
                str_add(out, " & ");
                p++;
            }
        }
        str_add(out, " \\\\\n");
        str_free(&row);
    }
    if (a->n_cell)
        str_add(out, "\\hline\n\\end{tabular}\n");
}

static void html_escape(const char *text, struct str *out)
{
    for (; *text; text++)
        if (*text == '<' || *text == '>' || *text == '&')
            str_addf(out, "&#%d;", *text);
        else
            str_addc(out, *text);
}

static void page(const struct aggregate *a, const struct plot_list *plots, struct str *out)
{
    str_add(out, "<!doctype html>\n<meta charset=\"utf-8\">\n<title>depthkv</title>\n<style>body{font-family:sans-serif;margin:2em}"
                 "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 8px;text-align:right}"
                 "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>\n");
    for (int i = 0; i < a->n_cell; i++) {
        if (i == 0 || !same_task(&a->cell[i], &a->cell[i - 1])) {
            struct str t = {0};
            title(&a->cell[i], &t);
            str_add(out, i ? "</table>\n<h2>" : "<h2>");
            html_escape(t.p, out);
            str_add(out, "</h2>\n<table><tr>");
            for (int h = 0; h < N_HEAD; h++)
                str_addf(out, "<th>%s</th>", heads[h]);
            str_add(out, "</tr>\n");
            str_free(&t);
        }
        struct str row = {0};
        table_row(a, i, "", "\x01", "", &row);
        str_add(out, "<tr><td>");
        for (const char *p = row.p; *p; p++) {
            char one[2] = {*p, 0};
            if (*p == '\x01')
                str_add(out, "</td><td>");
            else
                html_escape(one, out);
        }
        str_add(out, "</td></tr>\n");
        str_free(&row);
    }
    str_add(out, a->n_cell ? "</table>\n" : "");
    for (int i = 0; i < plots->n; i++)
        str_addf(out, "<p><img src=\"plots/%s.svg\" alt=\"%s\"></p>\n", plots->name[i], plots->name[i]);
}

static int save(const char *dir, const char *name, struct str *text, struct err *e)
{
    char *path = fs_join(dir, name);
    int rc = fs_write_atomic(path, str_c(text), text->n, e);
    mem_free(path);
    str_free(text);
    return rc;
}

int report_write(const char *dir, struct err *e)
{
    struct aggregate a;
    struct plot_list plots = {0};
    struct str csv = {0}, md = {0}, tex = {0}, html = {0};
    int rc = -1;
    if (aggregate_load(dir, &a, e))
        return -1;
    aggregate_csv(&a, &csv);
    table_md(&a, &md);
    table_tex(&a, &tex);
    if (save(dir, "cells.csv", &csv, e) || save(dir, "table.md", &md, e) || save(dir, "table.tex", &tex, e) ||
        plot_write(dir, &a, &plots, e))
        goto out;
    page(&a, &plots, &html);
    if (save(dir, "index.html", &html, e))
        goto out;
    rc = 0;
out:
    str_free(&csv);
    str_free(&md);
    str_free(&tex);
    str_free(&html);
    plot_list_fini(&plots);
    aggregate_free(&a);
    return rc;
}

int report_print(const char *dir, FILE *out, struct err *e)
{
    struct aggregate a;
    struct str md = {0};
    if (aggregate_load(dir, &a, e))
        return -1;
    table_md(&a, &md);
    fputs(str_c(&md), out);
    str_free(&md);
    aggregate_free(&a);
    return 0;
}
