/* Texts that are changed before they are encoded, with where each byte comes from. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/base/unicode.h"
#include "models/tokenizer_int.h"

/* What was appended to the text from byte `from` on stands for the original's bytes [begin, end): byte by byte where
 * they are as many, otherwise only the whole does. */
static void note(struct tokenizer_changed *c, size_t from, size_t begin, size_t end)
{
    mem_grow(&c->end, &c->cap, c->text.n + 1, sizeof *c->end);
    int same = c->text.n - from == end - begin;
    for (size_t i = from; i < c->text.n; i++)
        c->end[i] = (uint32_t)(begin + (same ? i - from : 0));
    c->end[c->text.n] = (uint32_t)end;
}

int tokenizer_normalize(const struct tokenizer *t, const char *text, size_t n, struct tokenizer_changed *out)
{
    size_t at = 0;
    while (t->normalizer == TOKENIZER_NFC && at < n && (unsigned char)text[at] < 0x80)
        at++;
    if (t->normalizer != TOKENIZER_NFC || at == n)
        return 0;
    *out = (struct tokenizer_changed){0};
    note(out, 0, 0, 0);
    size_t valid = 0, k; /* text[at, valid) is well-formed UTF-8 */
    for (at = 0; at < n;) {
        size_t from = out->text.n, len = 1;
        if (valid <= at)
            for (valid = at; valid < n && (k = str_utf8_length((const unsigned char *)text + valid, n - valid));)
                valid += k;
        if (valid == at || ((unsigned char)text[at] < 0x80 && (at + 1 == n || (unsigned char)text[at + 1] < 0x80)))
            str_addc(&out->text, text[at]);
        else
            len = unicode_nfc_piece(text + at, valid - at, &out->text);
        note(out, from, at, at + len);
        at += len;
    }
    return 1;
}

int tokenizer_unescape(const char *text, size_t n, int blank, struct tokenizer_changed *out)
{
    static const char escaped[] = "\xE2\x96\x81";
    if (!blank && !memmem(text, n, escaped, 3))
        return 0;
    *out = (struct tokenizer_changed){0};
    if (blank)
        str_addc(&out->text, ' ');
    note(out, 0, 0, 0);
    for (size_t at = 0; at < n;) {
        size_t from = out->text.n, len = n - at >= 3 && memcmp(text + at, escaped, 3) == 0 ? 3 : 1;
        str_addc(&out->text, len == 3 ? ' ' : text[at]);
        note(out, from, at, at + len);
        at += len;
    }
    return 1;
}

void tokenizer_changed_free(struct tokenizer_changed *c)
{
    str_free(&c->text);
    mem_free(c->end);
    *c = (struct tokenizer_changed){0};
}
