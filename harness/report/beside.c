#include "harness/report/beside.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/published.h"
#include "harness/report/table.h"

static const char *const no_pattern[] = {"value", "scale", "statistic",
                                         "with"}; /* keys of rows and columns that choose nothing */
static const double TINY = 1e-18;

struct beside {
    struct published p;
    struct csv ours;
};

/* 1 when the line has all values that the selector names. */
static int answers(const struct csv *ours, int r, const struct conf *selector)
{
    for (int i = 0; i < selector->n; i++) {
        const char *key = selector->key[i];
        int told = 0;
        for (size_t k = 0; k < sizeof no_pattern / sizeof *no_pattern; k++)
            told |= strcmp(key, no_pattern[k]) == 0;
        if (told)
            continue;
        int c = csv_column(ours, key);
        if (c < 0 || selector->item[i]->kind != CONF_SCALAR ||
            fnmatch(selector->item[i]->text, csv_at(ours, r, c), 0) != 0)
            return 0;
    }
    return 1;
}

/* Sums over lines of x and y, for mean, standard deviation and Pearson's r. */
struct sums {
    int n;
    double x, y, xx, yy, xy;
};

static struct sums sum_lines(const struct csv *ours, const struct conf *row, const struct conf *column,
                             const char *value, const char *with)
{
    struct sums s = {0};
    int at = csv_column(ours, value), beside = with ? csv_column(ours, with) : at;
    for (int r = 1; r < ours->n_row && at >= 0 && beside >= 0; r++) {
        double x, y;
        if ((row && !answers(ours, r, row)) || !answers(ours, r, column) || str_to_double(csv_at(ours, r, at), &x) ||
            str_to_double(csv_at(ours, r, beside), &y) || !isfinite(x) || !isfinite(y))
            continue;
        s.n++;
        s.x += x;
        s.y += y;
        s.xx += x * x;
        s.yy += y * y;
        s.xy += x * y;
    }
    return s;
}

/* What row and column choose, as the column's `statistic` says; NAN: nothing, or no variance. */
static double our_figure(const struct beside *b, const struct conf *row, const struct conf *column)
{
    const char *value = published_text(column, "value", published_text(b->p.c, "value", "score"));
    const char *statistic = published_text(column, "statistic", "mean");
    struct sums s = sum_lines(&b->ours, row, column, value, published_text(column, "with", NULL));
    if (!s.n)
        return (double)NAN;
    if (strcmp(statistic, "mean") == 0)
        return s.x / s.n;
    if (strcmp(statistic, "pearson") == 0) {
        double vx = s.xx - s.x * s.x / s.n, vy = s.yy - s.y * s.y / s.n;
        return vx > TINY && vy > TINY ? (s.xy - s.x * s.y / s.n) / sqrt(vx * vy) : (double)NAN;
    }
    struct sums all = sum_lines(&b->ours, NULL, column, value, NULL);
    double var = all.n > 1 ? (all.xx - all.x * all.x / all.n) / (all.n - 1) : 0;
    return var > TINY ? (s.x / s.n - all.x / all.n) / sqrt(var) : (double)NAN;
}

static void add_ours(const struct beside *b, const char *row, const char *column, struct table *t)
{
    const struct conf *by_row = conf_get(b->p.rows, row), *by_column = conf_get(b->p.columns, column);
    struct str s = {0};
    double scale = 1, v = by_row && by_column ? our_figure(b, by_row, by_column) : (double)NAN;
    str_to_double(published_text(by_row, "scale", published_text(b->p.c, "scale", "1")), &scale);
    if (isfinite(v))
        str_addf(&s, "%.4g", scale * v);
    else
        str_add(&s, by_row && by_column && b->ours.n_row > 1 ? "n/a" : "not measured");
    table_add(t, &s);
}

static void add_published(const struct beside *b, const char *row, const char *column, struct table *t)
{
    const char *v = "";
    for (int r = 1; r < b->p.file.n_row; r++)
        if (published_in_table(&b->p, r) && strcmp(csv_at(&b->p.file, r, b->p.row), row) == 0 &&
            strcmp(csv_at(&b->p.file, r, b->p.column), column) == 0)
            v = csv_at(&b->p.file, r, b->p.value);
    table_add_text(t, v);
}

/* Names of the table's rows or columns in the order of the file. */
static int names_of(const struct beside *b, int column, const char ***out)
{
    int n = 0;
    *out = mem_new((size_t)b->p.file.n_row + 1, sizeof **out);
    for (int r = 1; r < b->p.file.n_row; r++) {
        const char *name = csv_at(&b->p.file, r, column);
        int seen = !published_in_table(&b->p, r);
        for (int i = 0; i < n && !seen; i++)
            seen = strcmp((*out)[i], name) == 0;
        if (!seen)
            (*out)[n++] = name;
    }
    return n;
}

static void print(const struct beside *b, struct quote *out)
{
    const char **rows, **columns;
    int n_row = names_of(b, b->p.row, &rows), n_column = names_of(b, b->p.column, &columns);
    struct table t = {.n_column = 4, .left = 2};
    static const char *const heads[] = {"row", "column", "published", "ours"};
    for (int k = 0; k < 4; k++)
        table_add_text(&t, heads[k]);
    for (int c = 0; c < n_column; c++)
        for (int r = 0; r < n_row; r++) {
            table_add_text(&t, rows[r]);
            table_add_text(&t, columns[c]);
            add_published(b, rows[r], columns[c], &t);
            add_ours(b, rows[r], columns[c], &t);
        }
    quote_add(out, "\n## Table %s of %s, and ours\n\n", published_text(b->p.c, "table", ""),
              fs_basename(b->p.file.path));
    table_write(&t, out);
    table_free(&t);
    mem_free(rows);
    mem_free(columns);
}

int beside_markdown(const char *dir, struct quote *out, struct err *e)
{
    struct beside b = {0};
    char *config = fs_join(dir, "config.yaml"), *from = NULL, *base = NULL;
    struct conf *root = fs_exists(config) ? conf_read(config, e) : NULL;
    const struct conf *c = conf_get(conf_get(root, "report"), "beside");
    int rc = fs_exists(config) && !root ? -1 : 0;
    if (!c)
        goto out;
    rc = -1;
    base = fs_join(dir, published_text(root, "relative_to", "."));
    from = fs_join(dir, published_text(c, "from", "cells.csv"));
    if (published_open(&b.p, c, base, e))
        goto out;
    if (fs_exists(from) ? csv_read(from, &b.ours, e) : 0)
        goto out;
    print(&b, out);
    rc = 0;
out:
    csv_free(&b.p.file);
    csv_free(&b.ours);
    conf_free(root);
    mem_free(config);
    mem_free(from);
    mem_free(base);
    return rc;
}
