/* Variable-length texts, as files of version 1 and h5py have them: references into heaps ("GCOL") that lie anywhere in
 * the file. The library hangs on a heap whose objects don't fill it exactly, and writes behind its memory where an
 * object is longer than the reference says. So each heap is walked once, and each reference is held against what lies
 * there; texts together may not exceed the file, for many references may lead to one. */
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

enum { SMALLEST = 4096, HEAD = 16 }; /* heap that the format knows: so there are not too many */

/* Sizes of a heap's objects by their number. */
static int read_objects(struct h5_walk *w, struct h5_gheap *h, const unsigned char *data, uint64_t n, struct err *e)
{
    h->n = (size_t)(n / HEAD);
    h->size = mem_new(h->n, sizeof *h->size);
    for (uint64_t at = HEAD; n - at >= HEAD;) {
        struct h5_cursor c = {data + at, HEAD, 0};
        uint64_t is = h5_take(&c, 2);
        h5_take(&c, 2);
        h5_take(&c, 4);
        uint64_t size = h5_take(&c, 8), room = n - at - HEAD;
        if (is == 0) { /* the rest is free, and its size counts from its head */
            if (size != n - at)
                return h5_check_damaged(w, "a heap of texts that ends elsewhere", h->at + at, e);
            return 0;
        }
        if (is >= h->n || h->size[is] || size > room || ((size + 7) & ~(uint64_t)7) > room)
            return h5_check_damaged(w, "a heap of texts that holds more than it can", h->at + at, e);
        h->size[is] = size + 1;
        at += HEAD + ((size + 7) & ~(uint64_t)7);
    }
    return 0;
}

static const struct h5_gheap *heap_at(struct h5_walk *w, uint64_t at, struct err *e)
{
    unsigned char head[HEAD];
    size_t lo = 0, hi = w->n_heap;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->heap[mid].at == at)
            return &w->heap[mid];
        if (w->heap[mid].at < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (h5_check_bytes(w, at, sizeof head, head, "a heap of texts", e))
        return NULL;
    struct h5_cursor c = {head + 8, 8, 0};
    uint64_t n = h5_take(&c, 8);
    if (memcmp(head, "GCOL\1", 5) != 0 || n < SMALLEST || n % 8) {
        h5_check_damaged(w, "no heap of texts", at, e);
        return NULL;
    }
    unsigned char *data = h5_check_piece(w, at, n, "a heap of texts", e);
    struct h5_gheap h = {.at = at};
    if (!data || read_objects(w, &h, data, n, e)) {
        mem_free(h.size);
        mem_free(data);
        return NULL;
    }
    mem_free(data);
    mem_grow(&w->heap, &w->cap_heap, w->n_heap + 1, sizeof *w->heap);
    memmove(w->heap + lo + 1, w->heap + lo, (w->n_heap - lo) * sizeof *w->heap);
    w->heap[lo] = h;
    w->n_heap++;
    return &w->heap[lo];
}

int h5_heap_check(struct h5_walk *w, const unsigned char *ref, uint64_t n, struct err *e)
{
    for (uint64_t i = 0; i < n; i++) {
        struct h5_cursor c = {ref + 16 * i, 16, 0};
        uint64_t length = h5_take(&c, 4), at = h5_take(&c, 8), index = h5_take(&c, 4);
        if (at == 0 && length == 0)
            continue; /* the empty text */
        const struct h5_gheap *h = at ? heap_at(w, at, e) : NULL;
        if (at && !h)
            return -1;
        if (!h || index == 0 || index >= h->n || h->size[index] != length + 1)
            return h5_check_damaged(w, "a text that is not in its heap", at, e);
        if (length > w->texts)
            return h5_check_damaged(w, "its texts are longer than the file", at, e);
        w->texts -= length;
    }
    return 0;
}
