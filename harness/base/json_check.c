#include "harness/base/json_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/str.h"

enum { MAX_DEPTH = 1000, MAX_NUMBER = 400 };

struct scan {
    const char *text, *p, *end;
    struct json_fault *fault;
    char open[MAX_DEPTH]; /* '{' or '[' of every level */
    int depth;
};

__attribute__((format(printf, 3, 4))) static int fail(struct scan *s, const char *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->fault->why, sizeof s->fault->why, fmt, ap);
    va_end(ap);
    s->fault->at = (size_t)(at - s->text);
    return -1;
}

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* "expected X, found 'y'": a character, or a byte that is none. */
static int unexpected(struct scan *s, const char *expected)
{
    unsigned char c = s->p < s->end ? (unsigned char)*s->p : 0;
    if (s->p == s->end)
        return fail(s, s->p, "expected %s, found the end", expected);
    if (c < 0x20 || c >= 0x7F)
        return fail(s, s->p, "expected %s, found byte 0x%02X", expected, c);
    if (c == '\'')
        return fail(s, s->p, "expected %s, found ' (texts stand in double quotes)", expected);
    return fail(s, s->p, "expected %s, found '%c'", expected, c);
}

static int is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '+' ||
           c == '-' || c == '.';
}

static int scan_word(struct scan *s)
{
    static const struct {
        const char *word, *hint;
    } known[] = {{"true", NULL},
                 {"false", NULL},
                 {"null", NULL},
                 {"True", "JSON writes true"},
                 {"False", "JSON writes false"},
                 {"None", "JSON writes null"},
                 {"NaN", "no number of JSON"},
                 {"nan", "no number of JSON"},
                 {"Infinity", "no number of JSON"},
                 {"-Infinity", "no number of JSON"},
                 {"+Infinity", "no number of JSON"}};
    size_t n = 0;
    while (s->p + n < s->end && is_word(s->p[n]))
        n++;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].word) != n || memcmp(s->p, known[i].word, n) != 0)
            continue;
        if (known[i].hint)
            return fail(s, s->p, "'%s' is %s%s", known[i].word, strncmp(known[i].hint, "no", 2) ? "not JSON: " : "",
                        known[i].hint);
        s->p += n;
        return 0;
    }
    return n ? fail(s, s->p, "expected a value, found '%.*s'", (int)(n < 40 ? n : 40), s->p) : unexpected(s, "a value");
}

static size_t digits(const struct scan *s, const char *p)
{
    size_t n = 0;
    while (p + n < s->end && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

static int scan_number(struct scan *s)
{
    const char *p = s->p, *begin = p;
    char copy[MAX_NUMBER + 1];
    double x;
    size_t all = 0, n;
    while (begin + all < s->end && is_word(begin[all]))
        all++;
    p += *p == '-';
    n = digits(s, p);
    int bad = n == 0 || (n > 1 && *p == '0');
    p += n;
    if (!bad && p < s->end && *p == '.') {
        n = digits(s, p + 1);
        bad = n == 0;
        p += 1 + n;
    }
    if (!bad && p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < s->end && (*p == '+' || *p == '-');
        n = digits(s, p);
        bad = n == 0;
        p += n;
    }
    if (bad || p != begin + all)
        return *begin == '-' && !digits(s, begin + 1)
                   ? scan_word(s)
                   : fail(s, begin, "'%.*s' is no number of JSON", (int)(all < 40 ? all : 40), begin);
    memcpy(copy, begin, all < MAX_NUMBER ? all : MAX_NUMBER);
    copy[all < MAX_NUMBER ? all : MAX_NUMBER] = '\0';
    if (all > MAX_NUMBER || str_to_double(copy, &x))
        return fail(s, begin, "the number '%.40s%s' is too large", copy, all > 40 ? "..." : "");
    s->p = p;
    return 0;
}

static int hex4(const struct scan *s, const char *p, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, p++) {
        if (p >= s->end)
            return -1;
        unsigned d = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                     : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a' + 10)
                     : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A' + 10)
                                              : 16;
        if (d > 15)
            return -1;
        *out = *out * 16 + d;
    }
    return 0;
}

static int scan_escape(struct scan *s)
{
    const char *at = s->p++; /* the backslash */
    unsigned u, low;
    if (s->p == s->end)
        return fail(s, at, "a text that does not end");
    if (*s->p != 'u') {
        if (!*s->p || !strchr("\"\\/bfnrt", *s->p))
            return fail(s, at,
                        (unsigned char)*s->p > 0x20 && (unsigned char)*s->p < 0x7F ? "unknown escape '\\%c'"
                                                                                   : "unknown escape",
                        *s->p);
        s->p++;
        return 0;
    }
    if (hex4(s, s->p + 1, &u))
        return fail(s, at, "\\u wants four hexadecimal digits");
    if (u == 0)
        return fail(s, at, "a text holds a NUL (\\u0000)");
    s->p += 5;
    if (u < 0xD800 || u > 0xDFFF)
        return 0;
    if (u > 0xDBFF || s->p + 1 >= s->end || s->p[0] != '\\' || s->p[1] != 'u' || hex4(s, s->p + 2, &low) ||
        low < 0xDC00 || low > 0xDFFF)
        return fail(s, at, "\\u%04X is half of a character", u);
    s->p += 6;
    return 0;
}

/* Bytes of the character of UTF-8 at p; 0 when it is none (overlong forms and surrogates too). */
static size_t character(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 9;
    if (more >= n)
        return 0;
    for (size_t i = 1; i <= more; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    int bad = (c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
              (c == 0xF4 && p[1] > 0x8F);
    return bad ? 0 : more + 1;
}

static int scan_string(struct scan *s)
{
    const char *begin = s->p++;
    while (s->p < s->end && *s->p != '"') {
        unsigned char c = (unsigned char)*s->p;
        size_t n = 1;
        if (c == '\\') {
            if (scan_escape(s))
                return -1;
            continue;
        }
        if (c == 0)
            return fail(s, s->p, "a text holds a NUL");
        if (c < 0x20)
            return fail(s, s->p, "a text holds a control character (byte 0x%02X), which JSON writes as an escape", c);
        if (c >= 0x80 && !(n = character((const unsigned char *)s->p, (size_t)(s->end - s->p))))
            return fail(s, s->p, "byte 0x%02X is not UTF-8", c);
        s->p += n;
    }
    if (s->p == s->end)
        return fail(s, begin, "a text that does not end");
    s->p++;
    return 0;
}

static int scan_key(struct scan *s)
{
    skip_blanks(s);
    if (s->p == s->end || *s->p != '"')
        return unexpected(s, "a key in double quotes");
    if (scan_string(s))
        return -1;
    skip_blanks(s);
    if (s->p == s->end || *s->p != ':')
        return unexpected(s, "':'");
    s->p++;
    return 0;
}

/* After a value: what follows it, closing levels; 1 when the whole is read, 0 when another value comes. */
static int after_value(struct scan *s)
{
    while (s->depth) {
        int object = s->open[s->depth - 1] == '{';
        skip_blanks(s);
        if (s->p < s->end && *s->p == ',') {
            s->p++;
            return object ? scan_key(s) : 0;
        }
        if (s->p == s->end || *s->p != (object ? '}' : ']'))
            return unexpected(s, object ? "',' or '}'" : "',' or ']'");
        s->p++;
        s->depth--;
    }
    return 1;
}

/* The value at p; 1 when it has opened a level that a value follows in. */
static int scan_value(struct scan *s)
{
    skip_blanks(s);
    char c = s->p < s->end ? *s->p : '\0';
    if (c == '"')
        return scan_string(s);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(s);
    if (c != '{' && c != '[')
        return scan_word(s);
    if (s->depth == MAX_DEPTH)
        return fail(s, s->p, "nested deeper than %d", MAX_DEPTH);
    s->open[s->depth++] = c;
    s->p++;
    skip_blanks(s);
    if (s->p < s->end && *s->p == (c == '{' ? '}' : ']')) {
        s->p++;
        s->depth--;
        return 0;
    }
    return c == '{' && scan_key(s) ? -1 : 1;
}

int json_check(const char *text, size_t n, struct json_fault *out)
{
    struct scan s = {.text = text, .p = text, .end = text + n, .fault = out};
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        s.p += 3;
    for (;;) {
        int opened = scan_value(&s), done = opened == 0 ? after_value(&s) : 0;
        if (opened < 0 || done < 0)
            return -1;
        if (done)
            break;
    }
    skip_blanks(&s);
    return s.p == s.end ? 0 : fail(&s, s.p, "text after the JSON value");
}
