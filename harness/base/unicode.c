#include "harness/base/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "harness/base/mem.h"

size_t unicode_next(const char *p, int32_t *point)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
    *point = n > 0 ? c : 0xFFFD;
    return n > 0 ? (size_t)n : 1;
}

void unicode_append(struct str *s, int32_t point)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(point, bytes);
    str_addn(s, (const char *)bytes, (size_t)n);
}

int32_t *unicode_points(const char *text, size_t *n)
{
    int32_t *out = mem_new(strlen(text) + 1, sizeof *out);
    size_t count = 0;
    while (*text)
        text += unicode_next(text, &out[count++]);
    *n = count;
    return out;
}

static int category(int32_t c)
{
    return (int)utf8proc_category(c);
}

static int is_cased(int32_t c)
{
    int k = category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

/* Characters that a word's case looks through: marks, format characters, modifiers, and the punctuation that may
 * stand inside a word (Unicode 3.13, D136). */
static int is_case_ignorable(int32_t c)
{
    switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return 1;
    default:
        return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019 || c == 0x2024 ||
               c == 0x2027;
    }
}

static int ends_word(const int32_t *c, size_t n, size_t i)
{
    size_t before = i, after = i + 1;
    while (before > 0 && is_case_ignorable(c[before - 1]))
        before--;
    while (after < n && is_case_ignorable(c[after]))
        after++;
    return before > 0 && is_cased(c[before - 1]) && (after == n || !is_cased(c[after]));
}

char *unicode_lower(const char *text)
{
    struct str s = {0};
    size_t n;
    int32_t *c = unicode_points(text, &n);
    for (size_t i = 0; i < n; i++) {
        if (c[i] == 0x130)
            str_add(&s, "i\xCC\x87");
        else if (c[i] == 0x3A3)
            unicode_append(&s, ends_word(c, n, i) ? 0x3C2 : 0x3C3);
        else
            unicode_append(&s, utf8proc_tolower(c[i]));
    }
    mem_free(c);
    str_add(&s, "");
    return str_take(&s);
}

int unicode_is_space(int32_t c)
{
    int k = category(c);
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 31) || c == 0x85 || k == UTF8PROC_CATEGORY_ZS ||
           k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

void unicode_trim(const char **text, size_t *n, int begin, int end)
{
    int32_t c;
    for (; begin && *n > 0;) {
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)*text, (utf8proc_ssize_t)*n, &c);
        if (k <= 0 || !unicode_is_space(c))
            break;
        *text += k;
        *n -= (size_t)k;
    }
    while (end && *n > 0) {
        size_t back = 1;
        while (back < 4 && back < *n && ((unsigned char)(*text)[*n - back] & 0xC0) == 0x80)
            back++;
        const utf8proc_uint8_t *last = (const utf8proc_uint8_t *)*text + *n - back;
        if (utf8proc_iterate(last, (utf8proc_ssize_t)back, &c) != (utf8proc_ssize_t)back || !unicode_is_space(c))
            break;
        *n -= back;
    }
}

int unicode_is_digit(int32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_ND;
}

int unicode_is_word(int32_t c)
{
    int k = category(c);
    return c == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

/* 1 when c may change with what stands before it: a mark, or a vowel or final of Hangul. */
static int joins(int32_t c)
{
    int k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME ||
           (c >= 0x1100 && c <= 0x11FF);
}

static int combining_class(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Puts marks into canonical order: a stable counting sort of every run of them, because the library's own sorting takes
 * the square of a long run's length. */
static void order_marks(int32_t *c, size_t n)
{
    int32_t *copy = NULL;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && combining_class(c[end]) > 0; end++)
            ;
        if (end - i < 2) {
            end += end == i;
            continue;
        }
        size_t count[256] = {0}, at = i;
        for (size_t k = i; k < end; k++)
            count[combining_class(c[k])]++;
        if (!copy)
            copy = mem_new(n, sizeof *copy);
        memcpy(copy + i, c + i, (end - i) * sizeof *c);
        for (int k = 1; k < 256; k++) {
            size_t of_class = count[k];
            count[k] = at;
            at += of_class;
        }
        for (size_t k = i; k < end; k++)
            c[count[combining_class(copy[k])]++] = copy[k];
    }
    mem_free(copy);
}

size_t unicode_nfc_piece(const char *p, size_t n, struct str *out)
{
    enum { MOST = 32 }; /* code points that one decomposes into; four are the most there are */
    int32_t *c = NULL, point;
    size_t cap = 0, count = 0, at = 0, points = 0;
    for (; at < n; points++) {
        utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)p + at, (utf8proc_ssize_t)(n - at), &point);
        if (len <= 0 || (points > 0 && !joins(point)))
            break;
        at += (size_t)len;
        mem_grow(&c, &cap, count + MOST, sizeof *c);
        int bound = 0;
        utf8proc_ssize_t k =
            utf8proc_decompose_char(point, c + count, MOST, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &bound);
        count += k > 0 && k <= MOST ? (size_t)k : 0;
    }
    order_marks(c, count);
    utf8proc_ssize_t left = utf8proc_normalize_utf32(c, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < left; i++)
        unicode_append(out, c[i]);
    mem_free(c);
    return at;
}

const char *unicode_version(void)
{
    return utf8proc_version();
}
