/* harness/rows/columns: every column of the table is in rows, in cells.csv and in what compares them, as its line says.
 * All loops walk the table, so that a new column is tested as soon as it is there. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/report/aggregate.h"
#include "harness/report/cell_columns.h"
#include "harness/report/compare.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static struct rows rows;
static struct aggregate a;
static struct csv cells;

/* Two samples, all measures, one layer at a time: every column has something to say. */
static void setup(void)
{
    struct err e;
    rows_enter();
    rows_run_and_load("# What is there?\nschema: 1\nexperiment: x\nmodel: tiny.h5\ntasks:\n  - passkey: {length: 400}\n"
                      "samples: 2\nmeasure: [score, nll, kl]\nmax_new_tokens: 4\nsweep:\n  - policy: full\n"
                      "  - {policy: knorm, keep: 0.5, layer_budget: {single: {layer: 1}}}\n",
                      "out", &rows);
    char *dir = rows_path("out"), *path = rows_path("cells.csv");
    struct quote page = {.language = QUOTE_CSV};
    ck_assert_msg(aggregate_load(dir, &a, &e) == 0, "%s", e.msg);
    aggregate_csv(&a, &page);
    ck_assert_int_eq(quote_save(&page, path, &e), 0);
    ck_assert_msg(csv_read(path, &cells, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(cells.n_row, a.n_cell + 1);
    quote_free(&page);
    mem_free(dir);
    mem_free(path);
}

static void teardown(void)
{
    csv_free(&cells);
    aggregate_free(&a);
    rows_free(&rows);
    rows_leave();
}

static int place_in(const struct json *row, const char *name)
{
    int i = 0;
    for (const struct json *v = json_first(row); v; v = json_next(v), i++)
        if (strcmp(json_key(v), name) == 0)
            return i;
    return -1;
}

START_TEST(every_column_is_in_every_row_in_the_order_of_the_table)
{
    for (int r = 0; r < rows.n; r++)
        for (int i = 0, last = -1; i < COLUMN_END; i++) {
            const struct column *c = columns_at((enum column_id)i);
            int at = place_in(rows.v[r], c->name);
            if (c->type == COLUMN_NOT_IN_ROWS || (at < 0 && c->unknown == COLUMN_KNOWN_OR_LEFT_OUT))
                continue;
            ck_assert_msg(at > last, "%s is at %d, the column before it at %d", c->name, at, last);
            if (c->behind)
                ck_assert_int_gt(at, place_in(rows.v[r], c->behind));
            last = at;
        }
}
END_TEST

static const char *csv_text(int row, const char *name, const char *ending)
{
    struct str head = {0};
    str_addf(&head, "%s%s", name, ending);
    int at = csv_column(&cells, head.p);
    ck_assert_msg(at >= 0, "cells.csv has no %s", head.p);
    str_free(&head);
    return csv_at(&cells, row, at);
}

/* The mean over a cell's rows, of what a row says or of the mean over its layers. */
static double mean_of(const char *cell, const struct column *c)
{
    double sum = 0;
    int n = 0;
    for (int r = 0; r < rows.n; r++) {
        const struct json *v = json_get(rows.v[r], c->name);
        if (strcmp(rows_text(rows.v[r], "cell"), cell) != 0 || json_is_null(v))
            continue;
        double layers = 0;
        for (const struct json *l = json_is_array(v) ? json_first(v) : NULL; l; l = json_next(l))
            layers += json_number(l, (double)NAN) / json_size(v);
        sum += json_is_array(v) ? layers : json_number(v, (double)NAN);
        n++;
    }
    return n ? sum / n : (double)NAN;
}

START_TEST(every_column_that_is_pooled_is_in_cells_csv_with_the_mean_of_its_rows)
{
    int told = 0;
    for (int i = 0; i < COLUMN_END; i++) {
        const struct column *c = columns_at((enum column_id)i);
        if (c->pooled == COLUMN_NOT_POOLED)
            continue;
        for (int p = 0; p < CELL_COLUMNS_N_PART; p++)
            if (c->pooled == COLUMN_INTERVALS || (c->pooled == COLUMN_OVER_LAYERS && !cell_columns_part[p].is_paired))
                csv_text(1, c->name, cell_columns_part[p].ending);
        for (int r = 1; r < cells.n_row && c->pooled != COLUMN_BY_CELL; r++) {
            const char *text = csv_text(r, c->name, "");
            double x, want = mean_of(csv_text(r, "cell", ""), c);
            ck_assert_msg(str_to_double(text, &x) == 0 ? fabs(x - want) <= 1e-5 * fabs(want) : !*text && isnan(want),
                          "%s: %s, expected %g", c->name, text, want);
            told += *text != '\0';
        }
    }
    ck_assert_int_gt(told, cells.n_row * 10);
    ck_assert_str_eq(csv_text(1, columns_name(COLUMN_ROWS), ""), "2");
    ck_assert_str_eq(csv_text(1, columns_name(COLUMN_FAILED), ""), "0");
    ck_assert_str_eq(csv_text(1, columns_name(COLUMN_SAMPLES), ""), "0..1");
    ck_assert_str_eq(csv_text(2, columns_name(COLUMN_BASELINE), ""), csv_text(1, "cell", ""));
    ck_assert_int_eq((int)strlen(csv_text(1, columns_name(COLUMN_DATA), "")), 16);
}
END_TEST

/* What the names and the kinds of a table's line promise each other. */
START_TEST(lines_of_the_table_agree_with_themselves)
{
    for (int i = 0; i < COLUMN_END; i++) {
        const struct column *c = columns_at((enum column_id)i);
        size_t n = c->name ? strlen(c->name) : 0;
        ck_assert_msg(n > 0 && c->unit, "column %d has no name or unit", i);
        int is_time = (n > 2 && strcmp(c->name + n - 2, "_s") == 0) || strstr(c->name, "rss");
        ck_assert_msg(is_time == (c->kind == COLUMN_TIME), "%s: names of times end in _s or hold rss", c->name);
        ck_assert_msg((c->kind == COLUMN_MEASURED) == (c->pooled == COLUMN_INTERVALS), "%s", c->name);
        ck_assert_msg(c->kind != COLUMN_MEASURED || c->better != COLUMN_NO_WAY, "%s: which way is worse?", c->name);
        ck_assert_msg((c->type == COLUMN_NOT_IN_ROWS) == (c->pooled == COLUMN_BY_CELL), "%s", c->name);
        ck_assert_msg((c->type == COLUMN_OWN) == (c->print != NULL), "%s", c->name);
        for (int k = 0; k < i; k++) {
            const struct column *d = columns_at((enum column_id)k);
            int both = (c->type != COLUMN_NOT_IN_ROWS && d->type != COLUMN_NOT_IN_ROWS) ||
                       (c->pooled != COLUMN_NOT_POOLED && d->pooled != COLUMN_NOT_POOLED);
            ck_assert_msg(!both || strcmp(c->name, d->name) != 0, "%s twice", c->name);
        }
    }
}
END_TEST

/* Two tables that differ in one column, by one. */
static struct compare_count compare_one(const char *name, double by, int all)
{
    struct compare_options o = {.rtol = 0.01, .atol = 0.01, .all = all};
    struct compare_count n;
    struct str out = {0}, text[2] = {{0}, {0}};
    struct err e;
    char *path[2] = {rows_path("a.csv"), rows_path("b.csv")};
    for (int i = 0; i < 2; i++) {
        str_addf(&text[i], "cell,policy%s%s%s,made_up\nx,knorm",
                 strcmp(name, "cache_bytes_end") ? ",cache_bytes_end" : "", *name ? "," : "", name);
        str_addf(&text[i], "%s", strcmp(name, "cache_bytes_end") ? ",100" : "");
        if (*name)
            str_addf(&text[i], ",%g", 7 + i * by);
        str_addf(&text[i], ",%s\n", *name || !i ? "p" : "q");
        rows_write(i ? "b.csv" : "a.csv", text[i].p);
        str_free(&text[i]);
    }
    ck_assert_msg(compare_cells(path[0], path[1], &o, &out, &n, &e) == 0, "%s: %s", name, e.msg);
    str_free(&out);
    mem_free(path[0]);
    mem_free(path[1]);
    return n;
}

START_TEST(compare_judges_every_column_by_its_kind)
{
    for (int i = 0; i < COLUMN_END; i++) {
        const struct column *c = columns_at((enum column_id)i);
        if (c->pooled == COLUMN_NOT_POOLED)
            continue;
        struct compare_count up = compare_one(c->name, 1, 0), down = compare_one(c->name, -1, 0),
                             all = compare_one(c->name, 1, 1), little = compare_one(c->name, 0.001, 1);
        int higher = c->better == COLUMN_HIGHER || c->better == COLUMN_METRIC_SAYS;
        int measured = c->kind == COLUMN_MEASURED, is_float = measured || c->kind == COLUMN_FLOAT;
        int discrete = c->kind == COLUMN_DISCRETE;
        ck_assert_msg(up.differs == discrete && down.differs == discrete && little.differs == discrete, "%s", c->name);
        ck_assert_msg(up.worse == (measured && !higher) && up.better == (measured && higher), "%s up", c->name);
        ck_assert_msg(down.worse == (measured && higher) && down.better == (measured && !higher), "%s down", c->name);
        ck_assert_msg(all.worse == is_float && little.worse == 0, "%s, all of them", c->name);
        ck_assert_msg(up.other_data == (i == COLUMN_DATA), "%s: other data", c->name);
    }
}
END_TEST

/* Parts of measures and further metrics are looked at with --all alone; what nobody knows must be equal. */
START_TEST(compare_knows_parts_and_metrics_by_name_wherever_they_stand)
{
    static const char *const floats[] = {"score_se", "kl_diff_p", "f1", "recall_lo", "attention_lost_hi"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        struct compare_count some = compare_one(floats[i], 1, 0), all = compare_one(floats[i], 1, 1);
        ck_assert_msg(!compare_failed(&some) && !some.better && all.worse == 1, "%s", floats[i]);
    }
    struct compare_count time = compare_one("older_s", 1, 1), unknown = compare_one("", 0, 0);
    ck_assert_int_eq(compare_failed(&time), 0);
    ck_assert_int_eq(unknown.differs, 1);
}
END_TEST

Suite *make_columns_suite(void)
{
    Suite *s = suite_create("columns");
    TCase *t = tcase_create("columns");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_column_is_in_every_row_in_the_order_of_the_table);
    tcase_add_test(t, every_column_that_is_pooled_is_in_cells_csv_with_the_mean_of_its_rows);
    tcase_add_test(t, lines_of_the_table_agree_with_themselves);
    tcase_add_test(t, compare_judges_every_column_by_its_kind);
    tcase_add_test(t, compare_knows_parts_and_metrics_by_name_wherever_they_stand);
    suite_add_tcase(s, t);
    return s;
}
