#include "harness/base/quote.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

enum { GNUPLOT_MOST = 300 }; /* bytes of a text in a figure, which has no room for more */

/* ---- one text -------------------------------------------------------------------------------- */

/* The text with everything in it to be seen; control characters of `keep` stay. */
static void make_visible(const char *text, const char *keep, struct str *out)
{
    static const char special[] = "\n\r\t", letter[] = "nrt";
    int32_t point;
    for (size_t n = strlen(text), len; n; text += len, n -= len) {
        const char *at = strchr(special, *text);
        len = str_point(text, n, &point);
        if (len == 0 || (len == 1 && (unsigned char)*text < 0x20 && !at && !strchr(keep, *text)) || *text == 0x7F) {
            str_addf(out, "\\x%02x", (unsigned char)*text);
            len = 1;
        } else if (strchr(keep, *text) || !str_is_hidden(point)) {
            str_addn(out, text, len);
        } else if (at) {
            str_addf(out, "\\%c", letter[at - special]);
        } else {
            str_addf(out, point > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)point);
        }
    }
}

static int is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

static void line(const char *p, struct str *out)
{
    str_add(out, p);
}

/* In single quotes nothing is looked at but the quote, and that one not everywhere: '''x' is no string. Double quotes
 * know `commands`, which an octal number is not. */
static void gnuplot(const char *p, struct str *out)
{
    struct str s = {0};
    size_t n = strlen(p), head = 2 * (size_t)GNUPLOT_MOST / 3, tail = n > GNUPLOT_MOST ? n - GNUPLOT_MOST / 3 : 0;
    if (n > GNUPLOT_MOST) {
        for (; head && (p[head] & 0xC0) == 0x80;)
            head--;
        for (; (p[tail] & 0xC0) == 0x80;)
            tail++;
        str_addn(&s, p, head);
        str_add(&s, " ... ");
        str_add(&s, p + tail);
    } else {
        str_add(&s, p);
    }
    int simple = !strchr(str_c(&s), '\'');
    str_addc(out, simple ? '\'' : '"');
    for (p = str_c(&s); *p; p++)
        if (!simple && strchr("\"\\`$@{}", *p))
            str_addf(out, "\\%03o", (unsigned char)*p);
        else
            str_addc(out, *p);
    str_addc(out, simple ? '\'' : '"');
    str_free(&s);
}

/* Letters that LaTeX composes in its default encoding, some signs, and the numbers of all others. */
static void latex_point(int32_t c, const char *p, size_t len, struct str *out)
{
    int letter = c >= 0xC0 && c <= 0xFF && c != 0xD0 && c != 0xD7 && c != 0xDE && c != 0xF0 && c != 0xF7 && c != 0xFE;
    if (c == 0xB1)
        str_add(out, "$\\pm$");
    else if (letter || (c >= 0x2018 && c <= 0x2019) || (c >= 0x201C && c <= 0x201D) || c == 0x2013 || c == 0x2014 ||
             c == 0x2026)
        str_addn(out, p, len);
    else
        str_addf(out, "[U+%04X]", (unsigned)c);
}

static void latex(const char *p, struct str *out)
{
    static const char special[] = "_%&#{}$\\~^<>|\"`";
    static const char *const command[] = {"\\_",         "\\%",        "\\&",          "\\#",
                                          "\\{",         "\\}",        "\\$",          "\\textbackslash{}",
                                          "\\~{}",       "\\^{}",      "\\textless{}", "\\textgreater{}",
                                          "\\textbar{}", "\\char34{}", "\\`{}"};
    int32_t point;
    if (*p == '[' || *p == '*') /* behind \\ of the row before, an argument */
        str_addf(out, "{%c}", *p++);
    for (size_t n = strlen(p), len; n; p += len, n -= len) {
        const char *at = strchr(special, *p);
        len = str_point(p, n, &point);
        if (at)
            str_add(out, command[at - special]);
        else if (point >= 0x80)
            latex_point(point, p, len, out);
        else if (*p == '-' && p[1] == '-') /* two would be a dash */
            str_add(out, "-{}");
        else
            str_addc(out, *p);
    }
}

/* Only what would be read as more than a character gets its backslash, so that names stay as they are. */
static void markdown(const char *text, struct str *out)
{
    for (const char *p = text; *p; p++) {
        char before = p > text ? p[-1] : ' ', next = p[1];
        int escaped = strchr("|*`$~", *p) != NULL;
        escaped |= *p == '\\' && !is_alnum(next);
        escaped |= *p == '_' && !(is_alnum(before) && is_alnum(next));
        escaped |= *p == ']' && (next == '(' || next == '[');
        escaped |= *p == '&' && (is_alnum(next) || next == '#');
        escaped |= *p == '<' && (is_alnum(next) || (next && strchr("/!?", next)));
        escaped |= *p == '#' && (next == '\0' || next == '#');
        if (escaped)
            str_addc(out, '\\');
        str_addc(out, *p);
    }
}

static void html(const char *p, struct str *out)
{
    static const char special[] = "<>&\"'";
    static const char *const entity[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    for (; *p; p++) {
        const char *at = strchr(special, *p);
        if (at)
            str_add(out, entity[at - special]);
        else
            str_addc(out, *p);
    }
}

/* RFC 4180. A text that begins as a formula gets a ' in front, as does one that has such a ' already: a reader takes
 * one away from whatever begins with quotes and a formula. */
int quote_is_formula(const char *p)
{
    p += strspn(p, "'");
    return *p && strchr("=+-@\t\r\n", *p);
}

static void csv(const char *p, struct str *out)
{
    str_add(out, quote_is_formula(p) ? "\"'" : "\"");
    for (; *p; p++) {
        if (*p == '"')
            str_addc(out, '"');
        str_addc(out, *p);
    }
    str_addc(out, '"');
}

void quote_text(enum quote_language language, const char *text, struct str *out)
{
    static void (*const write[QUOTE_N_LANGUAGE])(const char *, struct str *) = {line,     gnuplot, latex,
                                                                                markdown, html,    csv};
    struct str visible = {0};
    make_visible(text, language == QUOTE_CSV ? "\n\r\t" : "", &visible);
    write[language](str_c(&visible), out);
    str_free(&visible);
}

static int width_of(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

int quote_width(enum quote_language language, const char *text)
{
    struct str s = {0};
    quote_text(language, text, &s);
    int n = width_of(str_c(&s));
    str_free(&s);
    return n;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* One conversion of a format: %[flags][width][.precision][length]kind. */
struct conversion {
    char flags[8], length[3], kind;
    int width, precision; /* precision -1: none */
};

struct arguments {
    va_list ap; /* in a struct, since an array can't be handed down by its address */
};

static int read_count(const char **p, struct arguments *a)
{
    int n = 0;
    if (**p == '*') {
        ++*p;
        return va_arg(a->ap, int);
    }
    for (; **p >= '0' && **p <= '9'; ++*p)
        n = 10 * n + (**p - '0');
    return n;
}

/* Behind the %; what follows the conversion. */
static const char *read_conversion(const char *p, struct arguments *a, struct conversion *c)
{
    size_t n = strspn(p, "-+ #0");
    *c = (struct conversion){.precision = -1};
    memcpy(c->flags, p, n < sizeof c->flags ? n : sizeof c->flags - 1);
    p += n;
    c->width = read_count(&p, a);
    if (c->width < 0) {
        c->width = -c->width;
        strcpy(c->flags, "-");
    }
    if (*p == '.') {
        p++;
        c->precision = read_count(&p, a);
    }
    for (n = 0; *p && strchr("hlzjt", *p); p++)
        if (n < sizeof c->length - 1)
            c->length[n++] = *p;
    c->kind = *p;
    return p + 1;
}

static void add_text(struct quote *q, const struct conversion *c, const char *text)
{
    struct str s = {0};
    char *cut = c->precision >= 0 ? mem_strndup(text, strnlen(text, (size_t)c->precision)) : NULL;
    quote_text(q->language, cut ? cut : text, &s);
    int pad = c->width - width_of(str_c(&s)), left = c->flags[0] == '-';
    for (int i = 0; i < pad && !left; i++)
        str_addc(&q->page, ' ');
    str_add(&q->page, str_c(&s));
    for (int i = 0; i < pad && left; i++)
        str_addc(&q->page, ' ');
    mem_free(cut);
    str_free(&s);
}

/* The format is put together here, from a literal that the compiler has checked. */
static void add_number(struct str *out, const struct conversion *c, struct arguments *a)
{
    char spec[64];
    int at = snprintf(spec, sizeof spec, "%%%s", c->flags);
    if (c->width)
        at += snprintf(spec + at, sizeof spec - (size_t)at, "%d", c->width);
    if (c->precision >= 0)
        at += snprintf(spec + at, sizeof spec - (size_t)at, ".%d", c->precision);
    snprintf(spec + at, sizeof spec - (size_t)at, "%s%c", c->length, c->kind);
    if (strchr("aAeEfFgG", c->kind))
        str_addf(out, spec, va_arg(a->ap, double));
    else if (!strcmp(c->length, "ll"))
        str_addf(out, spec, va_arg(a->ap, long long));
    else if (!strcmp(c->length, "l"))
        str_addf(out, spec, va_arg(a->ap, long));
    else if (!strcmp(c->length, "z"))
        str_addf(out, spec, va_arg(a->ap, size_t));
    else if (!strcmp(c->length, "j"))
        str_addf(out, spec, va_arg(a->ap, intmax_t));
    else if (!strcmp(c->length, "t"))
        str_addf(out, spec, va_arg(a->ap, ptrdiff_t));
    else if (c->kind == 'p')
        str_addf(out, spec, va_arg(a->ap, void *));
    else
        str_addf(out, spec, va_arg(a->ap, int));
}

static void add_all(struct quote *q, const char *fmt, struct arguments *a)
{
    while (*fmt) {
        size_t n = strcspn(fmt, "%");
        struct conversion c;
        str_addn(&q->page, fmt, n);
        fmt += n;
        if (!*fmt)
            break;
        fmt = read_conversion(fmt + 1, a, &c);
        if (c.kind == '%') {
            str_addc(&q->page, '%');
        } else if (c.kind == 's') {
            const char *text = va_arg(a->ap, const char *);
            add_text(q, &c, text ? text : "(null)");
        } else if (c.kind == 'c') {
            const char one[2] = {(char)va_arg(a->ap, int), '\0'};
            add_text(q, &c, one);
        } else {
            add_number(&q->page, &c, a);
        }
    }
}

void quote_addf(struct quote *q, const char *fmt, ...)
{
    struct arguments a;
    va_start(a.ap, fmt);
    add_all(q, fmt, &a);
    va_end(a.ap);
}

void quote_add_word(struct quote *q, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:- ";
    if (q->language == QUOTE_CSV && !quote_is_formula(text) && text[strspn(text, plain)] == '\0')
        str_add(&q->page, text);
    else
        quote_text(q->language, text, &q->page);
}

void quote_add_number(struct quote *q, double x)
{
    if (isfinite(x))
        str_add_double(&q->page, x);
}

void quote_append(struct quote *q, const struct quote *other)
{
    str_addn(&q->page, str_c(&other->page), other->page.n);
}

int quote_is_empty(const struct quote *q)
{
    return q->page.n == 0;
}

int quote_save(const struct quote *q, const char *path, struct err *e)
{
    return fs_write_atomic(path, str_c(&q->page), q->page.n, e);
}

void quote_print(const struct quote *q, FILE *f)
{
    fwrite(str_c(&q->page), 1, q->page.n, f);
}

void quote_free(struct quote *q)
{
    str_free(&q->page);
}

void quote_vshow(FILE *f, const char *fmt, va_list ap)
{
    struct quote q = {.language = QUOTE_LINE};
    struct arguments a;
    va_copy(a.ap, ap);
    add_all(&q, fmt, &a);
    va_end(a.ap);
    quote_print(&q, f);
    quote_free(&q);
}

void quote_showf(FILE *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    quote_vshow(f, fmt, ap);
    va_end(ap);
}

void quote_show_lines(FILE *f, const char *text)
{
    struct str s = {0};
    make_visible(text, "\n\t", &s);
    fwrite(str_c(&s), 1, s.n, f);
    str_free(&s);
}
