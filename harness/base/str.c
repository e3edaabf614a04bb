#include "harness/base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"

void str_addn(struct str *s, const char *bytes, size_t n)
{
    mem_grow(&s->p, &s->cap, s->n + n + 1, 1);
    if (n)
        memcpy(s->p + s->n, bytes, n);
    s->n += n;
    s->p[s->n] = '\0';
}

void str_add(struct str *s, const char *text)
{
    str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
    str_addn(s, &c, 1);
}

void str_addf(struct str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        leave_out_of_memory(0, "a formatted text"); /* all formats here are sound: it can be nothing else */
    if (n > 0) {
        mem_grow(&s->p, &s->cap, s->n + (size_t)n + 1, 1);
        vsnprintf(s->p + s->n, (size_t)n + 1, fmt, again);
        s->n += (size_t)n;
    }
    va_end(again);
}

void str_clear(struct str *s)
{
    s->n = 0;
    if (s->p)
        s->p[0] = '\0';
}

void str_free(struct str *s)
{
    mem_free(s->p);
    *s = (struct str){0};
}

const char *str_c(const struct str *s)
{
    return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
    char *p = s->p ? s->p : mem_strdup("");
    *s = (struct str){0};
    return p;
}

void str_add_double(struct str *s, double x)
{
    char buf[40];
    if (x == floor(x) && fabs(x) < 1e15) { /* 100 and not 1e+02, which is shorter */
        str_addf(s, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtod(buf, NULL) == x || isnan(x))
            break;
    }
    str_add(s, buf);
}

void str_add_json_double(struct str *s, double x)
{
    if (isfinite(x))
        str_add_double(s, x);
    else
        str_add(s, "null");
}

size_t str_utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
        (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

size_t str_point(const char *p, size_t n, int32_t *point)
{
    static const unsigned char lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    size_t len = str_utf8_length((const unsigned char *)p, n);
    *point = len ? (unsigned char)*p & lead[len] : 0;
    for (size_t i = 1; i < len; i++)
        *point = *point << 6 | ((unsigned char)p[i] & 0x3F);
    return len;
}

int str_is_hidden(int32_t c)
{
    static const int32_t range[][2] = {{0, 0x1F},        {0x7F, 0x9F},     {0x61C, 0x61C},
                                       {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069},
                                       {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (c >= range[i][0] && c <= range[i][1])
            return 1;
    return (c & 0xFFFE) == 0xFFFE;
}

void str_add_json(struct str *s, const char *text, size_t n)
{
    int32_t point;
    const unsigned char *p = (const unsigned char *)text;
    str_addc(s, '"');
    for (size_t i = 0; i < n;) {
        size_t len = str_point(text + i, n - i, &point);
        if (len == 0) {
            str_add(s, "\xEF\xBF\xBD");
            i++;
        } else if (p[i] == '"' || p[i] == '\\') {
            str_addc(s, '\\');
            str_addc(s, (char)p[i++]);
        } else if (p[i] == '\n') {
            str_add(s, "\\n");
            i++;
        } else if (p[i] == '\t') {
            str_add(s, "\\t");
            i++;
        } else if (p[i] == '\r') {
            str_add(s, "\\r");
            i++;
        } else if (point <= 0xFFFF && str_is_hidden(point)) { /* a pair of surrogates would be no YAML */
            str_addf(s, "\\u%04x", (unsigned)point);
            i += len;
        } else {
            str_addn(s, text + i, len);
            i += len;
        }
    }
    str_addc(s, '"');
}

int str_to_int64(const char *text, int64_t *out)
{
    char *end;
    if (*text == '\0' || strchr(" \t\n\r\v\f", *text))
        return -1;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || *end)
        return -1;
    *out = v;
    return 0;
}

int str_to_double(const char *text, double *out)
{
    static _Atomic(locale_t) of_all;
    locale_t c_locale = atomic_load(&of_all);
    if (!c_locale) {
        locale_t mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (atomic_compare_exchange_strong(&of_all, &c_locale, mine))
            c_locale = mine;
        else
            freelocale(mine); /* another thread was first */
    }
    char *end;
    if (*text == '\0' || strchr(" \t\n\r\v\f", *text))
        return -1;
    errno = 0;
    locale_t old = uselocale(c_locale);
    double v = strtod(text, &end);
    uselocale(old);
    if (*end || (errno == ERANGE && fabs(v) > 1))
        return -1;
    *out = v;
    return 0;
}

int str_to_bytes(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        double by;
    } units[] = {{"", 1},           {"B", 1},          {"KiB", 1024},  {"K", 1024},    {"k", 1024}, {"kB", 1e3},
                 {"KB", 1e3},       {"MiB", 1048576},  {"M", 1048576}, {"m", 1048576}, {"MB", 1e6}, {"GiB", 1073741824},
                 {"G", 1073741824}, {"g", 1073741824}, {"GB", 1e9}};
    char digits[32];
    size_t n = strspn(text, "0123456789.");
    double x, by = 0;
    const char *unit = text + n + (n && text[n] == ' ');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i].unit) == 0)
            by = units[i].by;
    if (n >= sizeof digits || by == 0)
        return -1;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (str_to_double(digits, &x) || !(x * by >= 1) || x * by > 1e15)
        return -1;
    *out = (int64_t)floor(x * by);
    return 0;
}

int str_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > 64 || nb > 64)
        return 64;
    int d[65][65];
    for (size_t i = 0; i <= na; i++)
        for (size_t j = 0; j <= nb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[na][nb];
}

const char *str_nearest(const char *name, const char *const *candidate, int n)
{
    const char *best = NULL;
    int best_d = (int)strlen(name) / 3 + 2; /* a slip, not another word */
    for (int i = 0; i < n; i++) {
        int d = str_distance(name, candidate[i]);
        if (d < best_d && d < (int)strlen(candidate[i])) {
            best_d = d;
            best = candidate[i];
        }
    }
    return best;
}

const char *str_did_you_mean(const char *name, const char *const *candidate, int n)
{
    static char hint[128];
    const char *near = str_nearest(name, candidate, n);
    hint[0] = '\0';
    if (near)
        snprintf(hint, sizeof hint, "; did you mean '%s'?", near);
    return hint;
}

/* Letters in lower case and digits, in out[64]; of longer names the beginning. */
static void bare_name(const char *name, char *out)
{
    size_t n = 0;
    for (; *name && n < 63; name++)
        if (!strchr("_- .", *name))
            out[n++] = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
    out[n] = '\0';
}

int str_is_slip(const char *name, const char *other)
{
    char a[64], b[64];
    bare_name(name, a);
    bare_name(other, b);
    size_t na = strlen(a), nb = strlen(b);
    if (strcmp(a, b) == 0 || (nb == na + 1 && b[na] == 's' && memcmp(a, b, na) == 0))
        return 1;
    return na >= 5 && na <= nb + 1 && nb <= na + 1 && str_distance(a, b) == 1;
}
