/* Text on its way out. What files, experiments and models say (labels, names, ids, reasons, outputs) is somebody
 * else's: put as it is into a page, it can end a string, a comment or a cell, and be read as code. So a page knows its
 * language, and every text that is put into it is written as that language writes a text; there is no way to put one in
 * as it is. Formats are literals of our own sources, which the compiler checks.
 *
 * What can't be seen (str_is_hidden, and bytes that are no UTF-8) stands as \n, \t, \x1b, \u0085, \xff in all of them;
 * only CSV keeps line breaks and tabs, since its readers get the very text back. */
#ifndef HARNESS_BASE_QUOTE_H
#define HARNESS_BASE_QUOTE_H

#include <stdarg.h>
#include <stdio.h>

#include "harness/base/err.h"
#include "harness/base/str.h"

enum quote_language {
    QUOTE_LINE,     /* one line of a terminal, of a log, of a comment in gnuplot's data */
    QUOTE_GNUPLOT,  /* a string constant, quotes included; long ones are cut in the middle. Only where `noenhanced` is
                       set */
    QUOTE_LATEX,    /* text of a document or a comment; pdflatex alone sets all of it */
    QUOTE_MARKDOWN, /* a cell, a heading, a part of a paragraph */
    QUOTE_HTML,     /* text, or an attribute in quotes */
    QUOTE_CSV,      /* a field in quotes; what a spreadsheet would run as a formula begins with ' */
    QUOTE_N_LANGUAGE
};

/* Adds `text` as that language writes it. */
void quote_text(enum quote_language language, const char *text, struct str *out);
/* Columns of a terminal that it takes then. */
int quote_width(enum quote_language language, const char *text);

/* 1: a spreadsheet would run it, or it begins with a ' that quote_text would have put before such a text. */
int quote_is_formula(const char *text);

struct quote {
    enum quote_language language;
    struct str page; /* for quote.c and tests */
};

/* printf whose %s (and %c) are texts, written in the page's language; a precision counts their bytes, a width columns.
 */
#define quote_add(q, ...) quote_addf((q), "" __VA_ARGS__)
void quote_addf(struct quote *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void quote_add_word(struct quote *q, const char *text); /* CSV: in quotes only if it has to be; all others: as %s */
void quote_add_number(struct quote *q, double x); /* the shortest that reads back; nothing when it is not finite */
void quote_append(struct quote *q, const struct quote *other); /* of the same language */
int quote_is_empty(const struct quote *q);
int quote_save(const struct quote *q, const char *path, struct err *e);
void quote_print(const struct quote *q, FILE *f); /* Markdown, CSV, lines: what a terminal may show */
void quote_free(struct quote *q);                 /* leaves its language */

/* The same printf for a stream. */
#define quote_show(f, ...) quote_showf((f), "" __VA_ARGS__)
void quote_showf(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void quote_vshow(FILE *f, const char *fmt, va_list ap);
void quote_show_lines(FILE *f, const char *text); /* many lines: line breaks and tabs stay */

#endif
