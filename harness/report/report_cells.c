/* The page of results whose rows are not there. */
#include <stdio.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/experiment/axes.h"
#include "harness/report/report_int.h"
#include "harness/report/table.h"

static int varies(const struct csv *cells, const char *key)
{
    int column = csv_column(cells, key);
    for (int r = 2; r < cells->n_row && column >= 0; r++)
        if (strcmp(csv_at(cells, r, column), csv_at(cells, 1, column)) != 0)
            return 1;
    return 0;
}

/* What tells the cells apart, and what each of them came to. */
enum { MOST_HEADS = AXES_MOST + 16 };
static int add_heads(const struct csv *cells, const char *head[MOST_HEADS], int *n_axis)
{
    static const char *const of[] = {"model", "task", "length"}, *const always[] = {"policy", "budget", "layer_budget"};
    static const enum column_id values[] = {COLUMN_ROWS, COLUMN_KEEP, COLUMN_CACHE_SHARE, COLUMN_SCORE,
                                            COLUMN_NLL,  COLUMN_KL,   COLUMN_TOP1};
    int n = 0;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        head[n++] = of[i];
    for (int i = 0; i < axes_count(); i++) {
        int is_told = axes_at(i)->splits == AXIS_SPLITS_PREFILL || varies(cells, axes_at(i)->key);
        for (size_t k = 0; k < sizeof always / sizeof *always; k++)
            is_told |= strcmp(axes_at(i)->key, always[k]) == 0;
        if (is_told)
            head[n++] = axes_at(i)->key;
    }
    *n_axis = n;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        head[n++] = columns_name(values[i]);
    return n;
}

void report_cells(const struct csv *cells, const char *dir, const struct report_texts *out)
{
    const char *heads[MOST_HEADS];
    int n_axis, n_head = add_heads(cells, heads, &n_axis);
    struct table t = {.n_column = n_head + 1, .left = n_axis}; /* the last column is a text: an empty one */
    struct str title = {0};
    for (int h = 0; h < n_head; h++)
        table_add_text(&t, heads[h]);
    table_add_text(&t, "");
    for (int r = 1; r < cells->n_row; r++) {
        for (int h = 0; h < n_head; h++) {
            int column = csv_column(cells, heads[h]);
            const char *text = column < 0 ? "" : csv_at(cells, r, column);
            char number[32];
            double x;
            if (h >= n_axis && !str_to_double(text, &x))
                snprintf(number, sizeof number, "%.4g", x);
            else
                number[0] = '\0';
            table_add_text(&t, *number ? number : text);
        }
        table_add_text(&t, "");
    }
    for (int h = n_head - 1; h >= 0; h--)
        if (table_column_is_empty(&t, h, ""))
            table_drop_column(&t, h);
    str_addf(&title, "Cells of %s", dir);
    report_heading(title.p, out);
    report_table(&t, "Means of cells.csv, which has their intervals and differences too.", out);
    str_free(&title);
}
