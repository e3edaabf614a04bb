/* Encoding: special tokens first, then runs of well-formed UTF-8, then pre-tokens, then byte-pair merges. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_int.h"

enum { SHORT_WORD = 24 }; /* up to here a scan for the best pair beats a heap */

struct encoder {
    const struct tokenizer *t;
    struct token_ids *out, *end; /* end may be NULL: byte of the text where each token ends */
    const char *text;
    /* of one word: symbols as a linked list */
    struct symbol {
        int32_t id;
        int prev, next;
        uint32_t bytes;
    } * symbol;
    size_t symbol_cap;
    struct candidate {
        int32_t rank, left;
        int32_t left_id, right_id; /* stale when the symbols have changed since */
    } * heap;
    size_t heap_cap;
    int heap_n;
};

static void put(struct encoder *x, int32_t id, size_t end)
{
    token_ids_add(x->out, id);
    if (x->end)
        token_ids_add(x->end, (int32_t)end);
}

static int before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct encoder *x, int left)
{
    const struct symbol *a = &x->symbol[left];
    if (a->next < 0)
        return;
    const struct tokenizer_merge *m = tokenizer_merge_of(x->t, a->id, x->symbol[a->next].id);
    if (!m)
        return;
    mem_grow(&x->heap, &x->heap_cap, (size_t)x->heap_n + 1, sizeof *x->heap);
    int i = x->heap_n++;
    struct candidate c = {m->rank, left, m->left, m->right};
    for (; i > 0 && before(&c, &x->heap[(i - 1) / 2]); i = (i - 1) / 2)
        x->heap[i] = x->heap[(i - 1) / 2];
    x->heap[i] = c;
}

static struct candidate heap_pop(struct encoder *x)
{
    struct candidate top = x->heap[0], last = x->heap[--x->heap_n];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= x->heap_n)
            break;
        if (child + 1 < x->heap_n && before(&x->heap[child + 1], &x->heap[child]))
            child++;
        if (!before(&x->heap[child], &last))
            break;
        x->heap[i] = x->heap[child];
        i = child;
    }
    x->heap[i] = last;
    return top;
}

static void join(struct encoder *x, int left, int32_t result)
{
    struct symbol *a = &x->symbol[left], *b = &x->symbol[a->next];
    a->id = result;
    a->bytes += b->bytes;
    a->next = b->next;
    b->id = -1;
    if (a->next >= 0)
        x->symbol[a->next].prev = left;
}

static void merge_short(struct encoder *x)
{
    for (;;) {
        const struct tokenizer_merge *best = NULL;
        int at = -1;
        for (int i = 0; x->symbol[i].next >= 0; i = x->symbol[i].next) {
            const struct tokenizer_merge *m =
                tokenizer_merge_of(x->t, x->symbol[i].id, x->symbol[x->symbol[i].next].id);
            if (m && (!best || m->rank < best->rank)) {
                best = m;
                at = i;
            }
        }
        if (!best)
            return;
        join(x, at, best->result);
    }
}

static void merge_long(struct encoder *x, int n)
{
    x->heap_n = 0;
    for (int i = 0; i < n; i++)
        heap_push(x, i);
    while (x->heap_n) {
        struct candidate c = heap_pop(x);
        struct symbol *a = &x->symbol[c.left];
        if (a->id != c.left_id || a->next < 0 || x->symbol[a->next].id != c.right_id)
            continue;
        join(x, c.left, tokenizer_merge_of(x->t, c.left_id, c.right_id)->result);
        if (a->prev >= 0)
            heap_push(x, a->prev);
        heap_push(x, c.left);
    }
}

/* One pre-token, text[begin, end). A byte that the vocabulary lacks has no id: its neighbours become adjacent, as
 * in the tokenizers package, and it counts as part of the symbol before it (or the first). */
static void word(struct encoder *x, size_t begin, size_t end)
{
    int n = 0;
    uint32_t lost = 0;
    mem_grow(&x->symbol, &x->symbol_cap, end - begin, sizeof *x->symbol);
    for (size_t i = begin; i < end; i++) {
        int id = tokenizer_lookup(x->t, x->text + i, 1);
        if (id < 0 && n > 0) {
            x->symbol[n - 1].bytes++;
        } else if (id < 0) {
            lost++;
        } else {
            x->symbol[n] = (struct symbol){id, n - 1, n + 1, 1 + lost};
            n++;
            lost = 0;
        }
    }
    if (n == 0)
        return;
    x->symbol[n - 1].next = -1;
    if (n <= SHORT_WORD)
        merge_short(x);
    else
        merge_long(x, n);
    for (int i = 0; i >= 0; i = x->symbol[i].next) {
        begin += x->symbol[i].bytes;
        put(x, x->symbol[i].id, begin);
    }
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

/* Text without special tokens: runs of well-formed UTF-8; every other byte stands alone. */
static int plain(struct encoder *x, size_t begin, size_t end, struct err *e)
{
    if (x->t->kind == TOKENIZER_BYTES) {
        for (size_t i = begin; i < end; i++)
            put(x, (unsigned char)x->text[i], i + 1);
        return 0;
    }
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

/* Cuts text[begin, end) at its control and added tokens; the others' text goes through the second pass, or is plain. */
static int tokens(struct encoder *x, size_t begin, size_t end, int pass, struct err *e)
{
    const struct tokenizer *t = x->t;
    struct tokenizer_added m = {.end = begin, .scan = begin};
    int last = pass == 1 || !(t->any_flag & TOKEN_NORMALIZED), found;
    do {
        size_t from = m.end;
        found = tokenizer_next_added(t, x->text, begin, end, pass, &m, e);
        if (found < 0)
            return -1;
        size_t to = found ? m.begin : end;
        if (to > from && (last ? plain(x, from, to, e) : tokens(x, from, to, 1, e)))
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

int tokenizer_encode_offsets(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out,
                             struct token_ids *end, struct err *e)
{
    struct encoder x = {.t = t, .out = out, .end = end, .text = text};
    if (n > INT32_MAX)
        return err_set(e, ERR_UNSUPPORTED, "a text of %zu bytes; at most %d can be encoded at once", n, INT32_MAX);
    int rc = tokens(&x, 0, n, 0, e);
    mem_free(x.symbol);
    mem_free(x.heap);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out, struct err *e)
{
    return tokenizer_encode_offsets(t, text, n, out, NULL, e);
}
