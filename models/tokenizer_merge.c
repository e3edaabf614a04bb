/* Byte-pair merges: the best pair first, the leftmost of equals, until none is left. A pair is as good as its merge's
 * rank in the list or, in a SentencePiece vocabulary with scores, as the token that comes out. */
#include <string.h>

#include "harness/base/mem.h"
#include "models/tokenizer_int.h"

enum { SHORT = 24 }; /* up to so many symbols a scan for the best pair beats a heap */

struct tokenizer_candidate {
    int32_t rank, left, result;
    uint32_t left_bytes, right_bytes; /* stale when the symbols have changed since */
};

/* What comes of the symbol at `left` and the next one: 1 and its rank and id, or 0. */
static int pair(const struct tokenizer *t, const struct tokenizer_work *w, int left, struct tokenizer_candidate *c)
{
    const struct tokenizer_symbol *a = &w->symbol[left], *b;
    if (a->next < 0)
        return 0;
    b = &w->symbol[a->next];
    *c = (struct tokenizer_candidate){.left = left, .left_bytes = a->bytes, .right_bytes = b->bytes};
    if (t->by_score) {
        size_t n = (size_t)a->bytes + b->bytes;
        c->result = n > t->longest ? -1 : tokenizer_lookup(t, w->text + a->at, n);
        c->rank = c->result < 0 ? -1 : t->rank[c->result];
        return c->result >= 0;
    }
    const struct tokenizer_merge *m = tokenizer_merge_of(t, a->id, b->id);
    if (m) {
        c->rank = m->rank;
        c->result = m->result;
    }
    return m != NULL;
}

static int before(const struct tokenizer_candidate *a, const struct tokenizer_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(const struct tokenizer *t, struct tokenizer_work *w, int left)
{
    struct tokenizer_candidate c;
    if (!pair(t, w, left, &c))
        return;
    mem_grow(&w->heap, &w->heap_cap, (size_t)w->heap_n + 1, sizeof *w->heap);
    int i = w->heap_n++;
    for (; i > 0 && before(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static struct tokenizer_candidate heap_pop(struct tokenizer_work *w)
{
    struct tokenizer_candidate top = w->heap[0], last = w->heap[--w->heap_n];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= w->heap_n)
            break;
        if (child + 1 < w->heap_n && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

static void join(struct tokenizer_work *w, int left, int32_t result)
{
    struct tokenizer_symbol *a = &w->symbol[left], *b = &w->symbol[a->next];
    a->id = result;
    a->bytes += b->bytes;
    a->next = b->next;
    b->bytes = 0;
    if (a->next >= 0)
        w->symbol[a->next].prev = left;
}

static void merge_short(const struct tokenizer *t, struct tokenizer_work *w)
{
    struct tokenizer_candidate best, c;
    do {
        best.rank = -1;
        for (int i = 0; w->symbol[i].next >= 0; i = w->symbol[i].next)
            if (pair(t, w, i, &c) && (best.rank < 0 || c.rank < best.rank))
                best = c;
        if (best.rank >= 0)
            join(w, best.left, best.result);
    } while (best.rank >= 0);
}

static void merge_long(const struct tokenizer *t, struct tokenizer_work *w, int n)
{
    w->heap_n = 0;
    for (int i = 0; i < n; i++)
        heap_push(t, w, i);
    while (w->heap_n) {
        struct tokenizer_candidate c = heap_pop(w);
        const struct tokenizer_symbol *a = &w->symbol[c.left];
        if (a->bytes != c.left_bytes || a->next < 0 || w->symbol[a->next].bytes != c.right_bytes)
            continue;
        join(w, c.left, c.result);
        if (a->prev >= 0)
            heap_push(t, w, a->prev);
        heap_push(t, w, c.left);
    }
}

void tokenizer_merge_run(const struct tokenizer *t, struct tokenizer_work *w, int n)
{
    if (n <= SHORT)
        merge_short(t, w);
    else
        merge_long(t, w, n);
}

void tokenizer_work_free(struct tokenizer_work *w)
{
    mem_free(w->symbol);
    mem_free(w->heap);
    *w = (struct tokenizer_work){0};
}
