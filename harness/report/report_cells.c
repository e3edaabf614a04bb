/* The page of results whose rows are not there. */
#include <stdio.h>

#include "harness/base/csv.h"
#include "harness/report/report_int.h"
#include "harness/report/table.h"

void report_cells(const struct csv *cells, const char *dir, const struct report_texts *out)
{
    static const char *const heads[] = {"model", "task", "length", "policy", "budget", "layer_budget", "prune_after",
                                        "n",     "keep", "score",  "nll",    "kl",     "top1",         ""};
    enum { N_HEAD = sizeof heads / sizeof *heads, FIRST_NUMBER = 7 };
    struct table t = {.n_column = N_HEAD, .left = FIRST_NUMBER};
    struct str title = {0};
    for (int h = 0; h < N_HEAD; h++)
        table_add_text(&t, heads[h]);
    for (int r = 1; r < cells->n_row; r++)
        for (int h = 0; h < N_HEAD; h++) {
            int column = csv_column(cells, heads[h]);
            const char *text = column < 0 ? "" : csv_at(cells, r, column);
            char number[32];
            double x;
            if (h >= FIRST_NUMBER && !str_to_double(text, &x))
                snprintf(number, sizeof number, "%.4g", x);
            else
                number[0] = '\0';
            table_add_text(&t, *number ? number : text);
        }
    for (int h = N_HEAD - 2; h >= 0; h--)
        if (table_column_is_empty(&t, h, ""))
            table_drop_column(&t, h);
    str_addf(&title, "Cells of %s", dir);
    report_heading(title.p, out);
    report_table(&t, "Means of cells.csv, which has their intervals and differences too.", out);
    str_free(&title);
}
