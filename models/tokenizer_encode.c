/* Encoding: special tokens first, then the normaliser; then, in byte-level BPE, runs of well-formed UTF-8, pre-tokens
 * and merges of bytes, and in SentencePiece's merges of characters. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_int.h"

struct encoder {
    const struct tokenizer *t;
    struct token_ids *out, *end; /* end may be NULL: byte of the text where each token ends */
    const char *text;            /* the piece at hand */
    struct level {               /* what it was made from by a normaliser, if it was; outermost last */
        const uint32_t *end;     /* of a changed piece; NULL: as it was */
        size_t base;             /* where the piece begins in what is around it */
        const struct level *outer;
    } * level;
    int behind;      /* another text stands before this one */
    size_t n_before; /* ids in out that are not of this text */
    struct tokenizer_work work;
};

static void put(struct encoder *x, int32_t id, size_t end)
{
    token_ids_add(x->out, id);
    if (!x->end)
        return;
    for (const struct level *l = x->level; l; l = l->outer)
        end = l->base + (l->end ? l->end[end] : end);
    token_ids_add(x->end, (int32_t)end);
}

/* ---- byte-level BPE ---- */

static void put_symbols(struct encoder *x, size_t begin)
{
    for (int i = 0; i >= 0; i = x->work.symbol[i].next) {
        begin += x->work.symbol[i].bytes;
        put(x, x->work.symbol[i].id, begin);
    }
}

/* One pre-token, text[begin, end). A byte that the vocabulary lacks has no id: its neighbours become adjacent, as
 * in the tokenizers package, and it counts as part of the symbol before it (or the first). */
static void word(struct encoder *x, size_t begin, size_t end)
{
    struct tokenizer_work *w = &x->work;
    int n = 0, whole = x->t->ignore_merges ? tokenizer_lookup(x->t, x->text + begin, end - begin) : -1;
    uint32_t lost = 0;
    if (whole >= 0 && x->t->type[whole] == TOKEN_NORMAL) {
        put(x, whole, end);
        return;
    }
    mem_grow(&w->symbol, &w->symbol_cap, end - begin, sizeof *w->symbol);
    for (size_t i = begin; i < end; i++) {
        int id = tokenizer_lookup(x->t, x->text + i, 1);
        if (id < 0 && n > 0) {
            w->symbol[n - 1].bytes++;
        } else if (id < 0) {
            lost++;
        } else {
            w->symbol[n] = (struct tokenizer_symbol){id, n - 1, n + 1, 0, 1 + lost};
            n++;
            lost = 0;
        }
    }
    if (n == 0)
        return;
    w->symbol[n - 1].next = -1;
    tokenizer_merge_run(x->t, w, n);
    put_symbols(x, begin);
}

/* Cuts text[begin, end), which is UTF-8, at the matches of r; what lies between matches is a piece too. */
static int split(struct encoder *x, const struct regex *r, size_t begin, size_t end,
                 int (*piece)(struct encoder *, size_t, size_t, struct err *), struct err *e)
{
    size_t at = 0, n = end - begin, from, to;
    while (at < n) {
        int found = regex_next(r, x->text + begin, n, at, &from, &to, e);
        if (found < 0)
            return -1;
        if (!found)
            from = to = n;
        if ((from > at && piece(x, begin + at, begin + from, e)) ||
            (to > from && piece(x, begin + from, begin + to, e)))
            return -1;
        at = to;
    }
    return 0;
}

static int one_word(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    (void)e;
    word(x, begin, end);
    return 0;
}

static int words(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    return split(x, x->t->words, begin, end, one_word, e);
}

static int pieces(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    return x->t->digits ? split(x, x->t->digits, begin, end, words, e) : words(x, begin, end, e);
}

/* Runs of well-formed UTF-8; every other byte stands alone. */
static int bpe(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    while (begin < end) {
        size_t at = begin, len;
        while (at < end && (len = str_utf8_length((const unsigned char *)x->text + at, end - at)) > 0)
            at += len;
        if (at > begin && pieces(x, begin, at, e))
            return -1;
        if (at < end)
            word(x, at, at + 1);
        begin = at < end ? at + 1 : at;
    }
    return 0;
}

/* ---- SentencePiece ---- */

static int is_special(const struct tokenizer *t, int32_t id)
{
    return t->type[id] == TOKEN_CONTROL || t->type[id] == TOKEN_ADDED;
}

/* 1 when nothing but BOS stands in front. */
static int is_beginning(const struct encoder *x)
{
    const struct token_ids *ids = x->out;
    return !x->behind && (ids->n == 0 || (ids->n == 1 && x->n_before == 1 && ids->id[0] == x->t->bos));
}

/* 1 when a blank goes in front of text[begin, end), a stretch without control and added tokens. */
static int takes_blank(const struct encoder *x, size_t begin, size_t end)
{
    const struct tokenizer *t = x->t;
    const struct token_ids *ids = x->out;
    const char *text = x->text + begin;
    int each = t->space == TOKENIZER_SPACE_EACH || t->space == TOKENIZER_SPACE_EACH_WORD;
    int unless = t->space == TOKENIZER_SPACE_FIRST_WORD || t->space == TOKENIZER_SPACE_EACH_WORD;
    if (t->space == TOKENIZER_SPACE_NONE || (t->space == TOKENIZER_SPACE_FIRST && t->by_score) ||
        (ids->n == 0 && x->behind) ||
        (unless && (*text == ' ' || (end - begin >= 3 && memcmp(text, "\xE2\x96\x81", 3) == 0))))
        return 0;
    return is_beginning(x) || (each && is_special(t, ids->id[ids->n - 1]));
}

/* text[begin, end) by characters; those that no token holds become bytes. */
static void characters(struct encoder *x, size_t begin, size_t end)
{
    struct tokenizer_work *w = &x->work;
    const unsigned char *p = (const unsigned char *)x->text;
    int n = 0;
    w->text = x->text;
    for (size_t at = begin, len; at < end; at += len) {
        len = str_utf8_length(p + at, end - at);
        len = len ? len : 1;
        mem_grow(&w->symbol, &w->symbol_cap, (size_t)n + 1, sizeof *w->symbol);
        int id = tokenizer_lookup(x->t, x->text + at, len);
        w->symbol[n] = (struct tokenizer_symbol){id, n - 1, n + 1, (uint32_t)at, (uint32_t)len};
        n++;
    }
    if (n == 0)
        return;
    w->symbol[n - 1].next = -1;
    tokenizer_merge_run(x->t, w, n);
    for (int i = 0; i >= 0; i = w->symbol[i].next) {
        const struct tokenizer_symbol *s = &w->symbol[i];
        if (s->id >= 0)
            put(x, s->id, s->at + s->bytes);
        for (uint32_t k = 0; s->id < 0 && k < s->bytes; k++)
            put(x, x->t->byte_id[p[s->at + k]], s->at + k + 1);
    }
}

static void sentence_piece(struct encoder *x, size_t begin, size_t end)
{
    struct tokenizer_changed c;
    if (!tokenizer_unescape(x->text + begin, end - begin, takes_blank(x, begin, end), &c)) {
        characters(x, begin, end);
        return;
    }
    const char *text = x->text;
    struct level level = {c.end, begin, x->level}, *outer = x->level;
    x->text = str_c(&c.text);
    x->level = &level;
    characters(x, 0, c.text.n);
    x->text = text;
    x->level = outer;
    tokenizer_changed_free(&c);
}

/* ---- the whole ---- */

static int plain(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    if (x->t->kind == TOKENIZER_BPE)
        return bpe(x, begin, end, e);
    if (x->t->kind == TOKENIZER_SPM)
        sentence_piece(x, begin, end);
    for (size_t i = begin; i < end && x->t->kind == TOKENIZER_BYTES; i++)
        put(x, (unsigned char)x->text[i], i + 1);
    return 0;
}

static int tokens(struct encoder *x, size_t begin, size_t end, int pass, struct err *e);

/* What the first pass leaves over. */
static int second(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    return x->t->any_flag & TOKEN_NORMALIZED ? tokens(x, begin, end, 1, e) : plain(x, begin, end, e);
}

/* Between the two passes every run of UTF-8 is normalised. */
static int normalized(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    struct tokenizer_changed c;
    if (!tokenizer_normalize(x->t, x->text + begin, end - begin, &c))
        return second(x, begin, end, e);
    const char *text = x->text;
    struct level level = {c.end, begin, x->level}, *outer = x->level;
    x->text = str_c(&c.text);
    x->level = &level;
    int rc = second(x, 0, c.text.n, e);
    x->text = text;
    x->level = outer;
    tokenizer_changed_free(&c);
    return rc;
}

/* Cuts text[begin, end) at its control and added tokens; the others' text goes through the second pass, or is plain. */
static int tokens(struct encoder *x, size_t begin, size_t end, int pass, struct err *e)
{
    const struct tokenizer *t = x->t;
    struct tokenizer_added m = {.end = begin, .scan = begin};
    int found;
    do {
        size_t from = m.end;
        found = tokenizer_next_added(t, x->text, begin, end, pass, &m, e);
        if (found < 0)
            return -1;
        size_t to = found ? m.begin : end;
        if (to > from && (pass ? plain(x, from, to, e) : normalized(x, from, to, e)))
            return -1;
        if (found && m.id >= t->n_row)
            return err_set(e, ERR_UNSUPPORTED,
                           "the text holds '%.*s', token %d, but the model's embedding has only %d rows",
                           (int)t->length[m.id], t->bytes + t->offset[m.id], m.id, t->n_row);
        if (found)
            put(x, m.id, m.end);
    } while (found);
    return 0;
}

/* SentencePiece itself puts the blank in front, and makes blanks of U+2581, before it looks for user-defined symbols. A
 * control token at the beginning, which it never finds in a text, has no blank in front. 1, 0, or -1. */
static int takes_first_blank(const struct encoder *x, size_t n, struct err *e)
{
    const struct tokenizer *t = x->t;
    struct tokenizer_added m = {0};
    if (!t->by_score || t->space != TOKENIZER_SPACE_FIRST || n == 0 || !is_beginning(x))
        return 0;
    for (int pass = 0; pass < 2; pass++) {
        m = (struct tokenizer_added){0};
        int found = tokenizer_next_added(t, x->text, 0, n, pass, &m, e);
        if (found < 0 || (found && m.begin == 0 && t->type[m.id] == TOKEN_CONTROL))
            return found < 0 ? -1 : 0;
    }
    return 1;
}

static int encode(struct encoder *x, const char *text, size_t n, struct err *e)
{
    struct tokenizer_changed c = {0};
    struct level level = {0};
    if (n > INT32_MAX)
        return err_set(e, ERR_UNSUPPORTED, "a text of %zu bytes; at most %d can be encoded at once", n, INT32_MAX);
    x->n_before = (size_t)x->out->n;
    x->text = text;
    int blank = takes_first_blank(x, n, e);
    if (blank < 0)
        return -1;
    if (x->t->by_score && tokenizer_unescape(text, n, blank, &c)) {
        level.end = c.end;
        x->level = &level;
        x->text = str_c(&c.text);
        n = c.text.n;
    }
    int rc = tokens(x, 0, n, 0, e);
    tokenizer_changed_free(&c);
    tokenizer_work_free(&x->work);
    return rc;
}

int tokenizer_encode_offsets(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out,
                             struct token_ids *end, struct err *e)
{
    struct encoder x = {.t = t, .out = out, .end = end};
    return encode(&x, text, n, e);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out, struct err *e)
{
    return tokenizer_encode_offsets(t, text, n, out, NULL, e);
}

int tokenizer_encode_behind(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out, struct err *e)
{
    struct encoder x = {.t = t, .out = out, .behind = 1};
    return encode(&x, text, n, e);
}
