/* The page of results whose rows are not there. */
#include <stdio.h>

#include "harness/base/csv.h"
#include "harness/report/report_int.h"
#include "harness/report/table.h"

void report_cells(const struct csv *cells, const char *dir, const struct report_texts *out)
{
    static const char *const axes[] = {"model", "task", "length", "policy", "budget", "layer_budget", "prune_after"};
    static const enum column_id values[] = {COLUMN_ROWS, COLUMN_KEEP, COLUMN_SCORE, COLUMN_NLL, COLUMN_KL, COLUMN_TOP1};
    enum { N_AXIS = sizeof axes / sizeof *axes, N_VALUE = sizeof values / sizeof *values, N_HEAD = N_AXIS + N_VALUE };
    const char *heads[N_HEAD];
    struct table t = {.n_column = N_HEAD + 1, .left = N_AXIS}; /* the last column is a text: an empty one */
    struct str title = {0};
    for (int h = 0; h < N_HEAD; h++)
        heads[h] = h < N_AXIS ? axes[h] : columns_name(values[h - N_AXIS]);
    for (int h = 0; h < N_HEAD; h++)
        table_add_text(&t, heads[h]);
    table_add_text(&t, "");
    for (int r = 1; r < cells->n_row; r++) {
        for (int h = 0; h < N_HEAD; h++) {
            int column = csv_column(cells, heads[h]);
            const char *text = column < 0 ? "" : csv_at(cells, r, column);
            char number[32];
            double x;
            if (h >= N_AXIS && !str_to_double(text, &x))
                snprintf(number, sizeof number, "%.4g", x);
            else
                number[0] = '\0';
            table_add_text(&t, *number ? number : text);
        }
        table_add_text(&t, "");
    }
    for (int h = N_HEAD - 1; h >= 0; h--)
        if (table_column_is_empty(&t, h, ""))
            table_drop_column(&t, h);
    str_addf(&title, "Cells of %s", dir);
    report_heading(title.p, out);
    report_table(&t, "Means of cells.csv, which has their intervals and differences too.", out);
    str_free(&title);
}
