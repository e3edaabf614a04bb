#include "harness/report/compare.h"

#include <math.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/cell_columns.h"

struct run {
    const struct compare_options *o;
    struct csv base, now;
    enum column_kind *kind; /* [base.n_column] */
    int *now_column;        /* [base.n_column]; -1: none */
    struct str *out;
    struct compare_count *count;
};

static void tell_json(struct str *out, const char *verdict, const char *id, const char *column, const char *base,
                      const char *now)
{
    const char *const pair[][2] = {
        {"verdict", verdict}, {"cell", id}, {"column", column}, {"base", base}, {"new", now}};
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        str_addf(out, "%s\"%s\":", i ? "," : "{", pair[i][0]);
        if (pair[i][1])
            str_add_json(out, pair[i][1], strlen(pair[i][1]));
        else
            str_add(out, "null");
    }
    str_add(out, "}\n");
}

static int varies(const struct csv *c, int column)
{
    for (int r = 2; r < c->n_row; r++)
        if (strcmp(csv_at(c, r, column), csv_at(c, 1, column)) != 0)
            return 1;
    return 0;
}

/* What the cell is: its task, and the axes that are not the default, or of those without one the values that vary. */
static void add_cell(const struct csv *c, int row, struct str *out)
{
    static const char *const of[] = {"model", "task", "length"};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        int k = csv_column(c, of[i]);
        if (k >= 0 && *csv_at(c, row, k))
            str_addf(out, " %s", csv_at(c, row, k));
    }
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        int k = csv_column(c, a->key);
        const char *v = k < 0 ? "" : csv_at(c, row, k);
        if (!*v || strcmp(v, "{}") == 0 || (a->dflt && strcmp(v, a->dflt) == 0) ||
            (a->dflt_is != AXIS_DEFAULT_FIXED && !varies(c, k)))
            continue;
        if (a->shown == AXIS_SHOWN_COLUMN)
            str_addf(out, " %s", v);
        else
            str_addf(out, " %s=%s", a->note, v);
    }
}

static void tell(struct run *r, const char *verdict, const struct csv *c, int row, const char *column, const char *base,
                 const char *now)
{
    const char *id = csv_at(c, row, csv_column(c, "cell"));
    if (r->o->json) {
        tell_json(r->out, verdict, id, column, base, now);
        return;
    }
    struct str line = {0};
    str_addf(&line, "%-8s %s", verdict, id);
    add_cell(c, row, &line);
    if (column)
        str_addf(&line, ": %s %s, expected %s", column, *now ? now : "(empty)", *base ? base : "(empty)");
    quote_text(QUOTE_LINE, line.p, r->out); /* one line, whatever the names hold */
    str_addc(r->out, '\n');
    str_free(&line);
}

static int read_number(const struct csv *c, int row, int column, double *x, struct err *e)
{
    const char *s = csv_at(c, row, column);
    if (!str_to_double(s, x) && isfinite(*x))
        return 0;
    return err_set(e, ERR_FORMAT, "%s:%d: %s: expected a number, found '%s'", c->path, c->line[row], c->field[column],
                   s);
}

static int compare_float(struct run *r, int i, int j, int column, int column_now, enum column_kind kind, struct err *e)
{
    const char *name = r->base.field[column], *a = csv_at(&r->base, i, column), *b = csv_at(&r->now, j, column_now);
    if (kind == COLUMN_FLOAT && !r->o->all)
        return 0;
    if (!*a != !*b) { /* a number that came or went is no matter of degree */
        r->count->differs++;
        tell(r, "differs", &r->base, i, name, a, b);
        return 0;
    }
    double x, y;
    if (!*a)
        return 0;
    if (read_number(&r->base, i, column, &x, e) || read_number(&r->now, j, column_now, &y, e))
        return -1;
    if (fabs(y - x) <= r->o->atol + r->o->rtol * fabs(x))
        return 0;
    int metric = csv_column(&r->base, columns_name(COLUMN_METRIC));
    int good =
        kind == COLUMN_MEASURED &&
        (y > x) == columns_higher_is_better(columns_find_measure(name), metric < 0 ? "" : csv_at(&r->base, i, metric));
    if (good && !r->o->both && !r->o->all) {
        r->count->better++;
        tell(r, "better", &r->base, i, name, a, b);
    } else {
        r->count->worse++;
        tell(r, kind == COLUMN_MEASURED ? good ? "better" : "worse" : "moved", &r->base, i, name, a, b);
    }
    return 0;
}

static const char *text_at(const struct csv *c, int row, const char *column)
{
    int k = csv_column(c, column);
    return k < 0 ? "" : csv_at(c, row, k);
}

/* 0 when both cells are of other samples, prompts or answers: then neither can be better. Where one of them does not
 * say what it is of, nothing contradicts. */
static int same_data(struct run *r, int i, int j)
{
    struct str base = {0}, now = {0};
    const char *a = text_at(&r->base, i, columns_name(COLUMN_DATA)),
               *b = text_at(&r->now, j, columns_name(COLUMN_DATA));
    const char *of_a = text_at(&r->base, i, columns_name(COLUMN_SAMPLES)),
               *of_b = text_at(&r->now, j, columns_name(COLUMN_SAMPLES));
    if (!*a || !*b) {
        r->count->unknown++;
        return 1;
    }
    if (!strcmp(a, b))
        return 1;
    r->count->other_data++;
    str_add(&base, of_a);
    str_addf(&now, "%s%s", of_b, strcmp(of_a, of_b) ? "" : " of other prompts or answers");
    tell(r, "differs", &r->base, i, columns_name(COLUMN_SAMPLES), str_c(&base), str_c(&now));
    str_free(&base);
    str_free(&now);
    return 0;
}

static int compare_row(struct run *r, int i, int j, struct err *e)
{
    if (!same_data(r, i, j))
        return 0;
    r->count->n_cell++;
    for (int k = 0; k < r->base.n_column; k++) {
        const char *name = r->base.field[k];
        enum column_kind kind = r->kind[k];
        int l = r->now_column[k];
        int is_told_elsewhere = kind == COLUMN_TIME || kind == COLUMN_SOURCE; /* not at all, or by same_data */
        if (is_told_elsewhere || (l < 0 && kind == COLUMN_FLOAT && !r->o->all))
            continue;
        if (l < 0 || (kind == COLUMN_DISCRETE && strcmp(csv_at(&r->base, i, k), csv_at(&r->now, j, l)) != 0)) {
            r->count->differs++;
            tell(r, "differs", &r->base, i, name, csv_at(&r->base, i, k),
                 l < 0 ? "(no such column)" : csv_at(&r->now, j, l));
        } else if (kind != COLUMN_DISCRETE && compare_float(r, i, j, k, l, kind, e)) {
            return -1;
        }
    }
    return 0;
}

/* What the columns are, once for all rows. */
static void match_columns(struct run *r)
{
    r->kind = mem_new((size_t)r->base.n_column, sizeof *r->kind);
    r->now_column = mem_new((size_t)r->base.n_column, sizeof *r->now_column);
    for (int k = 0; k < r->base.n_column; k++) {
        r->kind[k] = cell_columns_kind(r->base.field[k]);
        r->now_column[k] = csv_column(&r->now, r->base.field[k]);
    }
}

static int row_of(const struct csv *c, const char *id)
{
    int column = csv_column(c, "cell");
    for (int i = 1; i < c->n_row; i++)
        if (!strcmp(csv_at(c, i, column), id))
            return i;
    return -1;
}

/* Reads one side; every cell once. */
static int read_side(const char *path, struct csv *c, struct err *e)
{
    char *file = fs_is_dir(path) ? fs_join(path, "cells.csv") : mem_strdup(path);
    int rc = csv_read(file, c, e);
    int column = rc ? -1 : csv_column(c, "cell");
    const char *bytes = columns_name(COLUMN_CACHE_BYTES_END);
    if (rc == 0 && (column < 0 || csv_column(c, bytes) < 0))
        rc = err_set(e, ERR_FORMAT, "%s:1: column '%s' missing: no cells.csv", file, column < 0 ? "cell" : bytes);
    if (rc == 0 && c->n_row < 2) /* nothing to compare must not read as nothing worse */
        rc = err_set(e, ERR_FORMAT, "%s: no cells", file);
    for (int i = 1; rc == 0 && i < c->n_row; i++)
        if (row_of(c, csv_at(c, i, column)) != i)
            rc = err_set(e, ERR_FORMAT, "%s:%d: cell %s twice", file, c->line[i], csv_at(c, i, column));
    int n = rc ? -1 : csv_column(c, columns_name(COLUMN_ROWS)), counts = n < 0;
    for (int i = 1; rc == 0 && i < c->n_row && !counts; i++)
        counts = strcmp(csv_at(c, i, n), "0") != 0;
    if (rc == 0 && !counts)
        rc = err_set(e, ERR_FORMAT, "%s: no cell has a row that counts (n is 0 in all of them)", file);
    mem_free(file);
    return rc;
}

int compare_cells(const char *base, const char *now, const struct compare_options *o, struct str *out,
                  struct compare_count *count, struct err *e)
{
    struct run r = {.o = o, .out = out, .count = count};
    *count = (struct compare_count){0};
    int rc = read_side(base, &r.base, e) || read_side(now, &r.now, e) ? -1 : 0;
    if (rc == 0)
        match_columns(&r);
    for (int i = 1; rc == 0 && i < r.base.n_row; i++) {
        int j = row_of(&r.now, csv_at(&r.base, i, csv_column(&r.base, "cell")));
        if (j < 0) {
            count->missing++;
            tell(&r, "missing", &r.base, i, NULL, NULL, NULL);
        } else {
            rc = compare_row(&r, i, j, e);
        }
    }
    for (int j = 1; rc == 0 && j < r.now.n_row; j++)
        if (row_of(&r.base, csv_at(&r.now, j, csv_column(&r.now, "cell"))) < 0) {
            count->extra++;
            tell(&r, "extra", &r.now, j, NULL, NULL, NULL);
        }
    mem_free(r.kind);
    mem_free(r.now_column);
    csv_free(&r.base);
    csv_free(&r.now);
    return rc;
}

void compare_tell(const struct compare_count *c, struct message_list *out)
{
    if (c->unknown)
        message_add(out, MESSAGE_UNKNOWN_DATA, &(struct message_values){.number = {c->unknown}});
    if (c->other_data)
        message_add(out, MESSAGE_OTHER_DATA, &(struct message_values){.number = {c->other_data}});
}

int compare_failed(const struct compare_count *c)
{
    return c->missing || c->differs || c->worse || c->other_data;
}
