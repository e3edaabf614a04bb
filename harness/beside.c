#include "harness/beside.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/table.h"

static const char *const no_pattern[] = {"value", "scale", "statistic", "with"}; /* keys of rows and columns that choose nothing */
static const double TINY = 1e-18;

struct beside {
    const struct conf *c, *rows, *columns;
    struct csv published, ours;
    int table, row, column, value; /* columns of `published` */
};

static const char *text_of(const struct conf *map, const char *key, const char *dflt)
{
    const struct conf *c = conf_get(map, key);
    return c && c->kind == CONF_SCALAR ? c->text : dflt;
}

static int in_table(const struct beside *b, int r)
{
    return strcmp(csv_at(&b->published, r, b->table), text_of(b->c, "table", "")) == 0;
}

static int open_published(struct beside *b, const struct conf *c, const char *dir, struct err *e)
{
    static const char *const names[] = {"table", "row", "column", "value"};
    int *const at[] = {&b->table, &b->row, &b->column, &b->value};
    *b = (struct beside){.c = c, .rows = conf_get(c, "rows"), .columns = conf_get(c, "columns")};
    char *path = fs_join(dir, text_of(c, "file", ""));
    int rc = csv_read(path, &b->published, e);
    for (int k = 0; k < 4 && !rc; k++) {
        *at[k] = csv_column(&b->published, names[k]);
        if (*at[k] < 0)
            rc = err_set(e, ERR_FORMAT, "%s: no column '%s'", path, names[k]);
    }
    mem_free(path);
    return rc;
}

/* Every key of rows or columns is one of the table. */
static int check_names(const struct beside *b, const struct conf *map, int column, const char *what, struct err *e)
{
    for (int i = 0; map && i < map->n; i++) {
        int found = 0;
        for (int r = 1; r < b->published.n_row && !found; r++)
            found = in_table(b, r) && strcmp(csv_at(&b->published, r, column), map->key[i]) == 0;
        if (!found)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: table %s of %s has no %s '%s'", map->file, map->key_line[i],
                           text_of(b->c, "table", ""), b->published.path, what, map->key[i]);
        const char *statistic = text_of(map->item[i], "statistic", "mean");
        if (strcmp(statistic, "mean") != 0 && strcmp(statistic, "z") != 0 && strcmp(statistic, "pearson") != 0)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: statistic '%s' unknown; mean, z and pearson are known", map->file,
                           map->key_line[i], statistic);
        if (map->item[i]->kind != CONF_MAP)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s '%s': expected a map of columns and patterns", map->file, map->key_line[i],
                           what, map->key[i]);
    }
    return 0;
}

int beside_check(const struct conf *c, const char *dir, struct err *e)
{
    static const char *const known[] = {"file", "table", "from", "value", "scale", "rows", "columns"};
    enum { N_KNOWN = sizeof known / sizeof *known };
    struct beside b = {0};
    int found = 0;
    if (c->kind != CONF_MAP)
        return err_set(e, ERR_CONFIG, "%s:%d: beside: expected a map", c->file, c->line);
    for (int i = 0; i < c->n; i++) {
        int ok = 0;
        for (int k = 0; k < N_KNOWN; k++)
            ok |= strcmp(c->key[i], known[k]) == 0;
        if (!ok)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: key '%s' unknown%s", c->file, c->key_line[i], c->key[i],
                           str_did_you_mean(c->key[i], known, N_KNOWN));
        if ((c->item[i]->kind == CONF_MAP) != (strcmp(c->key[i], "rows") == 0 || strcmp(c->key[i], "columns") == 0))
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s: expected %s", c->file, c->key_line[i], c->key[i],
                           c->item[i]->kind == CONF_MAP ? "one value" : "a map");
    }
    for (int k = 0; k < 2; k++)
        if (!conf_get(c, known[k]))
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s is missing", c->file, c->line, known[k]);
    int rc = open_published(&b, c, dir, e);
    for (int r = 1; r < b.published.n_row && !rc; r++)
        found |= in_table(&b, r);
    if (!rc && !found)
        rc = err_set(e, ERR_CONFIG, "%s:%d: beside: %s has no table '%s'", c->file, c->line, b.published.path, text_of(c, "table", ""));
    rc = rc || check_names(&b, b.rows, b.row, "row", e) || check_names(&b, b.columns, b.column, "column", e);
    csv_free(&b.published);
    return rc ? -1 : 0;
}

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
        if (c < 0 || selector->item[i]->kind != CONF_SCALAR || fnmatch(selector->item[i]->text, csv_at(ours, r, c), 0) != 0)
            return 0;
    }
    return 1;
}

/* Sums over lines of x and y, for mean, standard deviation and Pearson's r. */
struct sums {
    int n;
    double x, y, xx, yy, xy;
};

static struct sums sum_lines(const struct csv *ours, const struct conf *row, const struct conf *column, const char *value,
                             const char *with)
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
    const char *value = text_of(column, "value", text_of(b->c, "value", "score"));
    const char *statistic = text_of(column, "statistic", "mean");
    struct sums s = sum_lines(&b->ours, row, column, value, text_of(column, "with", NULL));
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
    const struct conf *by_row = conf_get(b->rows, row), *by_column = conf_get(b->columns, column);
    struct str s = {0};
    double scale = 1, v = by_row && by_column ? our_figure(b, by_row, by_column) : (double)NAN;
    str_to_double(text_of(by_row, "scale", text_of(b->c, "scale", "1")), &scale);
    if (isfinite(v))
        str_addf(&s, "%.4g", scale * v);
    else
        str_add(&s, by_row && by_column && b->ours.n_row > 1 ? "n/a" : "not measured");
    table_add(t, &s);
}

static void add_published(const struct beside *b, const char *row, const char *column, struct table *t)
{
    const char *v = "";
    for (int r = 1; r < b->published.n_row; r++)
        if (in_table(b, r) && strcmp(csv_at(&b->published, r, b->row), row) == 0 &&
            strcmp(csv_at(&b->published, r, b->column), column) == 0)
            v = csv_at(&b->published, r, b->value);
    table_add_text(t, v);
}

/* Names of the table's rows or columns in the order of the file. */
static int names_of(const struct beside *b, int column, const char ***out)
{
    int n = 0;
    *out = mem_new((size_t)b->published.n_row + 1, sizeof **out);
    for (int r = 1; r < b->published.n_row; r++) {
        const char *name = csv_at(&b->published, r, column);
        int seen = !in_table(b, r);
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
    int n_row = names_of(b, b->row, &rows), n_column = names_of(b, b->column, &columns);
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
    quote_add(out, "\n## Table %s of %s, and ours\n\n", text_of(b->c, "table", ""), fs_basename(b->published.path));
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
    base = fs_join(dir, text_of(root, "relative_to", "."));
    from = fs_join(dir, text_of(c, "from", "cells.csv"));
    if (open_published(&b, c, base, e))
        goto out;
    if (fs_exists(from) ? csv_read(from, &b.ours, e) : 0)
        goto out;
    print(&b, out);
    rc = 0;
out:
    csv_free(&b.published);
    csv_free(&b.ours);
    conf_free(root);
    mem_free(config);
    mem_free(from);
    mem_free(base);
    return rc;
}
