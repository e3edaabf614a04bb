/* Variable-length texts, as files of version 1 and h5py have them: references into heaps ("GCOL") that lie anywhere in
 * the file. Each heap is read once; texts together may not exceed the file, nor the search for them what a file that
 * was written in order needs. */
#include <inttypes.h>
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

enum { SMALLEST = 4096 }; /* heap that the format knows: so there are not too many */

struct heap {
    uint64_t at;
    unsigned char *data;
    size_t n, next; /* next: behind the object that was found last */
};

struct search {
    const struct h5 *f;
    const char *path;
    struct heap *heap; /* in order of `at` */
    size_t n, cap;
    uint64_t bytes, texts, steps; /* that may still be read of heaps, be handed out, be looked at */
};

static int damaged(const struct search *s, const char *what, uint64_t at, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s:%s: %s (byte %" PRIu64 "): the file is damaged", s->f->path, s->path, what, at);
}

static struct heap *heap_at(struct search *s, uint64_t at, struct err *e)
{
    unsigned char head[16];
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->heap[mid].at == at)
            return &s->heap[mid];
        if (s->heap[mid].at < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (h5_bytes(s->f, at, sizeof head, head, "a heap of texts", e))
        return NULL;
    struct h5_cursor c = {head + 8, 8, 0};
    uint64_t n = h5_take(&c, 8);
    if (memcmp(head, "GCOL\1", 5) != 0 || n < SMALLEST || n > s->bytes) {
        damaged(s, "no heap of texts", at, e);
        return NULL;
    }
    s->bytes -= n;
    unsigned char *data = n > s->f->size ? NULL : mem_try((size_t)n, 1, "a heap of texts", e);
    if (!data || h5_bytes(s->f, at, n, data, "a heap of texts", e)) {
        mem_free(data);
        return NULL;
    }
    mem_grow(&s->heap, &s->cap, s->n + 1, sizeof *s->heap);
    memmove(s->heap + lo + 1, s->heap + lo, (s->n - lo) * sizeof *s->heap);
    s->heap[lo] = (struct heap){at, data, (size_t)n, 16};
    s->n++;
    return &s->heap[lo];
}

/* Object `index` of a heap, sought from `from` on; NULL: it is not there. */
static const unsigned char *object(struct search *s, struct heap *h, size_t from, uint64_t index, uint64_t *n)
{
    while (from + 16 <= h->n && s->steps) {
        struct h5_cursor c = {h->data + from, 16, 0};
        uint64_t is = h5_take(&c, 2);
        h5_take(&c, 2);
        h5_take(&c, 4);
        uint64_t size = h5_take(&c, 8);
        s->steps--;
        if (is == 0 || size > h->n - from - 16)
            return NULL; /* 0: free from here on */
        size_t end = from + 16 + (size_t)((size + 7) & ~(uint64_t)7);
        if (is == index) {
            h->next = end;
            *n = size;
            return h->data + from + 16;
        }
        from = end;
    }
    return NULL;
}

static char *text_at(struct search *s, const unsigned char *ref, struct err *e)
{
    struct h5_cursor c = {ref, 16, 0};
    uint64_t length = h5_take(&c, 4), at = h5_take(&c, 8), index = h5_take(&c, 4), n = 0;
    if (length == 0)
        return mem_strdup("");
    struct heap *h = heap_at(s, at, e);
    if (!h)
        return NULL;
    const unsigned char *text = object(s, h, h->next, index, &n);
    text = text ? text : object(s, h, 16, index, &n);
    if (!text || n < length || length > s->texts) {
        damaged(s, "a text that is not in its heap", at, e);
        return NULL;
    }
    s->texts -= length;
    return mem_strndup((const char *)text, strnlen((const char *)text, (size_t)length));
}

int h5_heap_strings(const struct h5 *f, const char *path, const unsigned char *ref, size_t n, char **out, struct err *e)
{
    struct search s = {.f = f, .path = path, .bytes = f->size, .texts = f->size, .steps = f->size + 64 * (uint64_t)n};
    size_t done = 0;
    while (done < n && (out[done] = text_at(&s, ref + 16 * done, e)))
        done++;
    for (size_t i = 0; i < s.n; i++)
        mem_free(s.heap[i].data);
    mem_free(s.heap);
    for (size_t i = 0; done < n && i < done; i++) {
        mem_free(out[i]);
        out[i] = NULL;
    }
    return done < n ? -1 : 0;
}
