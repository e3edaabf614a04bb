/* Finding control and added tokens in a text, as the tokenizers package does it: the earliest, and of those that begin
 * together the longest; those that are "normalized" are looked for in a second pass, in what the first leaves over. */
#include <string.h>

#include "harness/base/str.h"
#include "models/tokenizer_int.h"

/* Rust's \w, which tells whether a token stands as a word of its own: Alphabetic, marks, decimal digits, connectors,
 * joiners. Alphabetic is spelt out because older PCRE2 don't know it. */
static const char word_character[] = "[\\p{L}\\p{Nl}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}\\x{24B6}-\\x{24E9}"
                                     "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}]";

int tokenizer_prepare_added(struct tokenizer *t, struct err *e)
{
    int flags = 0;
    for (int i = 0; i < t->n_special; i++)
        flags |= t->flags[t->special[i]];
    t->any_flag = flags;
    if (flags & TOKEN_SINGLE_WORD)
        t->word_character = regex_compile(word_character, e);
    return flags & TOKEN_SINGLE_WORD && !t->word_character ? -1 : 0;
}

/* The first of special[from, end), which agree in their first k bytes and are longer, whose byte k is at least `byte`.
 */
static int first_with(const struct tokenizer *t, int from, int end, uint32_t k, int byte)
{
    while (from < end) {
        int middle = from + (end - from) / 2;
        if ((unsigned char)t->bytes[t->offset[t->special[middle]] + k] < byte)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

/* The longest at text[at] of this pass, or -1. They are sorted, so those that begin as the text does stand together;
 * there may be thousands of them, and hostile texts where every byte begins one. */
static int special_at(const struct tokenizer *t, const char *text, size_t at, size_t end, int pass)
{
    int from = t->special_first[(unsigned char)text[at]], to = t->special_first[(unsigned char)text[at] + 1], best = -1;
    for (uint32_t k = 1; from < to; k++) {
        int id = t->special[from];
        if (t->length[id] == k) { /* the shortest comes first */
            best = !(t->flags[id] & TOKEN_NORMALIZED) == !pass ? id : best;
            from++;
        }
        if (at + k >= end)
            break;
        int byte = (unsigned char)text[at + k];
        from = first_with(t, from, to, k, byte);
        to = first_with(t, from, to, k, byte + 1);
    }
    return best;
}

/* Bytes of the white space (Unicode's White_Space) at p, of which n are left; 0: there is none. */
static size_t white(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n > 0 && (u[0] == ' ' || (u[0] >= 9 && u[0] <= 13)))
        return 1;
    if (n > 1 && u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0))
        return 2;
    if (n < 3 || u[0] < 0xE1 || u[0] > 0xE3)
        return 0;
    int code = (u[0] & 15) << 12 | (u[1] & 63) << 6 | (u[2] & 63);
    if ((u[1] & 0xC0) != 0x80 || (u[2] & 0xC0) != 0x80)
        return 0;
    return code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
                   code == 0x205F || code == 0x3000
               ? 3
               : 0;
}

/* Where the white space begins that ends at `end`; not before `begin`. */
static size_t white_before(const char *text, size_t begin, size_t end)
{
    for (;;) {
        size_t back = 1;
        while (back <= 3 && (back > end - begin || white(text + end - back, back) != back))
            back++;
        if (back > 3)
            return end;
        end -= back;
    }
}

/* 1 when a word character stands right before `at` (side -1) or at it (side 1), within [begin, end). */
static int touches_word(const struct tokenizer *t, const char *text, size_t begin, size_t end, size_t at, int side,
                        struct err *e)
{
    size_t from = at, to, match, match_end;
    if (side < 0)
        while (from > begin && at - from < 4 && (from == at || ((unsigned char)text[from] & 0xC0) == 0x80))
            from--;
    size_t n = str_utf8_length((const unsigned char *)text + from, end - from);
    to = from + n;
    if (from >= end || n == 0 || (side < 0 && to != at) || (side < 0 && from == at))
        return 0;
    return regex_next(t->word_character, text + from, n, 0, &match, &match_end, e);
}

int tokenizer_next_added(const struct tokenizer *t, const char *text, size_t begin, size_t end, int pass,
                         struct tokenizer_added *m, struct err *e)
{
    for (size_t at = m->scan; at < end;) {
        int id = special_at(t, text, at, end, pass);
        if (id < 0) {
            at++;
            continue;
        }
        size_t stop = at + t->length[id], from = at;
        int flags = t->flags[id];
        m->scan = at = stop;
        if (flags & TOKEN_SINGLE_WORD) {
            int left = touches_word(t, text, begin, end, from, -1, e),
                right = touches_word(t, text, begin, end, stop, 1, e);
            if (left < 0 || right < 0)
                return -1;
            if (left || right)
                continue;
        }
        if (flags & TOKEN_LSTRIP) { /* but not into what the last one took */
            from = white_before(text, begin, from);
            from = from < m->end ? m->end : from;
        }
        for (size_t n; flags & TOKEN_RSTRIP && (n = white(text + stop, end - stop)) > 0;)
            stop += n;
        m->id = id;
        m->begin = from;
        m->end = stop;
        return 1;
    }
    return 0;
}
