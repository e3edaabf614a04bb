#include "harness/report/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"

void table_add(struct table *t, struct str *text)
{
    mem_grow(&t->text, &t->cap, (size_t)t->n_text + 1, sizeof *t->text);
    t->text[t->n_text] = text->n ? str_take(text) : mem_strdup("");
    str_free(text);
    t->n_row = ++t->n_text / t->n_column;
}

void table_add_text(struct table *t, const char *text)
{
    struct str s = {0};
    str_add(&s, text);
    table_add(t, &s);
}

int table_column_is_empty(const struct table *t, int column, const char *nothing)
{
    for (int r = 1; r < t->n_row; r++)
        if (strcmp(t->text[r * t->n_column + column], nothing) != 0)
            return 0;
    return 1;
}

void table_add_number(struct table *t, double x, int digits)
{
    struct str s = {0};
    if (isfinite(x))
        str_addf(&s, "%.*f", digits, x);
    else
        str_add(&s, "n/a");
    table_add(t, &s);
}

void table_add_value(struct table *t, double x, const char *format)
{
    char text[64];
    if (isfinite(x))
        snprintf(text, sizeof text, format, x);
    table_add_text(t, isfinite(x) ? text : "n/a");
}

/* One digit more, up to nine, in a format of one double like "%+.3f". */
static int refine(char *format)
{
    char *dot = strchr(format, '.');
    if (!dot || dot[1] < '0' || dot[1] > '8')
        return 0;
    dot[1]++;
    return 1;
}

void table_interval(struct str *s, double mean, double lo, double hi, const char *format)
{
    char text[3][64], own[16];
    snprintf(own, sizeof own, "%s", format);
    if (!isfinite(mean)) {
        str_add(s, "n/a");
        return;
    }
    do {
        snprintf(text[0], sizeof text[0], own, mean);
        snprintf(text[1], sizeof text[1], own, lo);
        snprintf(text[2], sizeof text[2], own, hi);
    } while (lo < hi && strcmp(text[1], text[2]) == 0 &&
             refine(own)); /* too narrow for these digits is not without width */
    str_add(s, text[0]);
    if (!isfinite(lo) || !isfinite(hi))
        str_add(s, " [n/a]");
    else if (lo < hi)
        str_addf(s, " [%s, %s]", text[1], text[2]);
    else
        str_add(s, " (exact)");
}

void table_add_ends(struct table *t, double mean, double lo, double hi, const char *format)
{
    struct str s = {0};
    table_interval(&s, mean, lo, hi, format);
    table_add(t, &s);
}

void table_drop_column(struct table *t, int column)
{
    int kept = 0;
    for (int i = 0; i < t->n_text; i++)
        if (i % t->n_column == column)
            mem_free(t->text[i]);
        else
            t->text[kept++] = t->text[i];
    t->n_text = kept;
    t->n_column--;
    t->left -= column < t->left;
}

void table_free(struct table *t)
{
    for (int i = 0; i < t->n_text; i++)
        mem_free(t->text[i]);
    mem_free(t->text);
    *t = (struct table){.n_column = t->n_column, .left = t->left, .least = t->least, .goes_on = t->goes_on};
}

static int is_left(const struct table *t, int column)
{
    return column < t->left || column == t->n_column - 1;
}

static void markdown(const struct table *t, struct quote *out)
{
    int *wide = mem_new((size_t)t->n_column, sizeof *wide);
    for (int i = 0; i < t->n_text; i++) {
        int w = quote_width(QUOTE_MARKDOWN, t->text[i]);
        if (w > wide[i % t->n_column])
            wide[i % t->n_column] = w;
    }
    for (int c = 0; c < t->n_column; c++)
        if (wide[c] < 3)
            wide[c] = 3; /* of the rule below the head */
    for (int c = 0; t->least && c < t->n_column; c++)
        wide[c] = wide[c] < t->least[c] ? t->least[c] : wide[c];
    for (int r = 0; r < t->n_row; r++) {
        for (int c = 0; c < t->n_column; c++)
            quote_add(out, "| %*s ", is_left(t, c) ? -wide[c] : wide[c], t->text[r * t->n_column + c]);
        quote_add(out, "|\n");
        for (int c = 0; r == 0 && !t->goes_on && c < t->n_column; c++) {
            quote_add(out, "| ");
            for (int k = 0; k < wide[c] - 1; k++)
                quote_add(out, "-");
            if (is_left(t, c))
                quote_add(out, "- ");
            else
                quote_add(out, ": ");
        }
        if (r == 0 && !t->goes_on)
            quote_add(out, "|\n");
    }
    mem_free(wide);
}

static void latex(const struct table *t, struct quote *out)
{
    quote_add(out, "\\begin{tabular}{");
    for (int c = 0; c < t->n_column; c++)
        if (is_left(t, c))
            quote_add(out, "l");
        else
            quote_add(out, "r");
    quote_add(out, "}\n\\hline\n");
    for (int r = 0; r < t->n_row; r++) {
        for (int c = 0; c < t->n_column; c++) {
            if (c)
                quote_add(out, " & ");
            quote_add(out, "%s", t->text[r * t->n_column + c]);
        }
        quote_add(out, " \\\\\n");
        if (r == 0)
            quote_add(out, "\\hline\n");
    }
    quote_add(out, "\\hline\n\\end{tabular}\n");
}

static void html(const struct table *t, struct quote *out)
{
    quote_add(out, "<table>\n");
    for (int r = 0; r < t->n_row; r++) {
        const char *tag = r ? "td" : "th";
        quote_add(out, "<tr>");
        for (int c = 0; c < t->n_column; c++) {
            const char *text = t->text[r * t->n_column + c];
            if (is_left(t, c))
                quote_add(out, "<%s class=\"text\">%s</%s>", tag, text, tag);
            else
                quote_add(out, "<%s>%s</%s>", tag, text, tag);
        }
        quote_add(out, "</tr>\n");
    }
    quote_add(out, "</table>\n");
}

void table_write(const struct table *t, struct quote *out)
{
    if (out->language == QUOTE_LATEX)
        latex(t, out);
    else if (out->language == QUOTE_HTML)
        html(t, out);
    else
        markdown(t, out);
}
