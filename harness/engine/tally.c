#include "harness/engine/tally.h"

#include <assert.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/layers.h"

static size_t per_head(const struct tally *t, int cap)
{
    return (size_t)cap * (size_t)((t->columns ? 2 : 0) + t->window);
}

/* Pointers into the arena, from the capacities. */
static void lay_out(struct tally *t)
{
    float *at = t->arena;
    for (int i = 0; i < t->n_layer * t->n_head; i++) {
        struct tally_head *h = &t->head[i];
        size_t cap = (size_t)t->cap[i / t->n_head * t->n_kv_head + i % t->n_head / t->n_group];
        h->off = t->columns ? at : NULL;
        h->diag = t->columns ? at + cap : NULL;
        at += t->columns ? 2 * cap : 0;
        h->row = t->window ? at : NULL;
        at += cap * (size_t)t->window;
    }
}

static struct tally *create(const struct hparams *hp, const int *cap, int columns, int window, struct err *e)
{
    struct tally *t = mem_new(1, sizeof *t);
    *t = (struct tally){.n_layer = hp->n_layer,
                        .n_head = hp->n_head,
                        .n_kv_head = hp->n_kv_head,
                        .n_group = hp->n_group,
                        .columns = columns,
                        .window = window};
    size_t kv_heads = (size_t)hp->n_layer * (size_t)hp->n_kv_head;
    t->cap = mem_new(kv_heads, sizeof *t->cap);
    t->head = mem_new((size_t)hp->n_layer * (size_t)hp->n_head, sizeof *t->head);
    for (size_t i = 0; i < kv_heads; i++) {
        t->cap[i] = cap[i];
        t->floats += per_head(t, cap[i]) * (size_t)hp->n_group;
    }
    t->arena = mem_try(t->floats + 1, sizeof *t->arena, "attention statistics of cached entries", e);
    if (!t->arena) {
        tally_destroy(t);
        return NULL;
    }
    lay_out(t);
    return t;
}

struct tally *tally_create(const struct hparams *hp, const struct kvcache *c, int room, const struct tally_of *of,
                           struct err *e)
{
    int heads = hp->n_layer * hp->n_kv_head, *cap = mem_new((size_t)heads, sizeof *cap);
    for (int i = 0; i < heads; i++)
        if (layers_takes(hp, of->layers, i / hp->n_kv_head))
            cap[i] = kvcache_n_entry(c, i / hp->n_kv_head, i % hp->n_kv_head) + room;
    struct tally *t = create(hp, cap, of->columns, of->window, e);
    mem_free(cap);
    return t;
}

void tally_destroy(struct tally *t)
{
    if (!t)
        return;
    mem_free(t->cap);
    mem_free(t->head);
    mem_free(t->arena);
    mem_free(t);
}

struct tally *tally_clone(const struct tally *t, struct err *e)
{
    struct hparams hp = {.n_layer = t->n_layer, .n_head = t->n_head, .n_kv_head = t->n_kv_head, .n_group = t->n_group};
    struct tally *copy = create(&hp, t->cap, t->columns, t->window, e);
    if (!copy)
        return NULL;
    memcpy(copy->arena, t->arena, t->floats * sizeof *t->arena);
    for (int i = 0; i < t->n_layer * t->n_head; i++) {
        copy->head[i].n_row = t->head[i].n_row;
        copy->head[i].next = t->head[i].next;
    }
    return copy;
}

size_t tally_bytes(const struct tally *t)
{
    return t ? t->floats * sizeof *t->arena : 0;
}

static struct tally_head *one_head(const struct tally *t, int layer, int head, int *cap)
{
    *cap = t->cap[layer * t->n_kv_head + head / t->n_group];
    return &t->head[layer * t->n_head + head];
}

const float *tally_row_at(const struct tally *t, int layer, int head, int i)
{
    int cap;
    const struct tally_head *h = one_head(t, layer, head, &cap);
    assert(i >= 0 && i < h->n_row);
    return h->row + (size_t)((h->next - h->n_row + i + t->window) % t->window) * (size_t)cap;
}

/* Room for one more row; entries that it does not see stay zero. */
static float *new_row(const struct tally *t, struct tally_head *h, int cap)
{
    float *row = h->row + (size_t)h->next * (size_t)cap;
    memset(row, 0, (size_t)cap * sizeof *row);
    h->next = (h->next + 1) % t->window;
    h->n_row += h->n_row < t->window;
    return row;
}

void tally_take(struct tally *t, const struct tally *before, const struct attention_stats *st)
{
    int l = st->layer;
    if (!t->cap[l * t->n_kv_head])
        return;
#pragma omp parallel for schedule(static)
    for (int q = 0; q < t->n_head; q++) {
        int cap, old_cap = 0, n = st->n_key[q / t->n_group];
        struct tally_head *h = one_head(t, l, q, &cap);
        const struct tally_head *old = before ? one_head(before, l, q, &old_cap) : NULL;
        assert(n <= cap);
        old = old_cap ? old : NULL;
        for (int j = 0; t->columns && j < n; j++) {
            int carried = old && old->off && j < n - st->n_query;
            h->off[j] =
                carried ? (float)((double)old->off[j] + (double)st->off_diagonal[q][j]) : st->off_diagonal[q][j];
            h->diag[j] = carried ? old->diag[j] : st->diagonal[q][j];
        }
        h->n_row = h->next = 0;
        for (int i = 0; t->window && old && i < old->n_row; i++)
            memcpy(new_row(t, h, cap), tally_row_at(before, l, q, i), (size_t)(n - st->n_query) * sizeof(float));
        for (int i = 0; t->window && i < st->n_row; i++)
            memcpy(new_row(t, h, cap), st->rows[q] + (size_t)i * (size_t)n, (size_t)n * sizeof(float));
    }
}

void tally_row(struct tally *t, int layer, int head, const float *weight, int n_key)
{
    int cap;
    struct tally_head *h = one_head(t, layer, head, &cap);
    if (!cap)
        return;
    assert(n_key <= cap);
    if (t->columns) {
        for (int j = 0; j < n_key - 1; j++)
            h->off[j] += weight[j];
        h->off[n_key - 1] = 0;
        h->diag[n_key - 1] = weight[n_key - 1];
    }
    if (!t->window)
        return;
    for (int i = 0; i < t->window;
         i++) /* older queries did not see the new entry, whose slot another one may have had */
        h->row[(size_t)i * (size_t)cap + (size_t)n_key - 1] = 0;
    memcpy(new_row(t, h, cap), weight, (size_t)n_key * sizeof *weight);
}

struct tally *tally_gather(const struct tally *t, const struct hparams *hp, const struct kvcache *c,
                           const struct keepset *keep, int room, const struct tally_of *of, struct err *e)
{
    int heads = t->n_layer * t->n_kv_head, most = 0, columns = of->columns, window = of->window;
    assert(!columns || t->columns);
    int *cap = mem_new((size_t)heads, sizeof *cap);
    for (int i = 0; i < heads; i++) {
        int l = i / t->n_kv_head, h = i % t->n_kv_head, n = kvcache_n_entry(c, l, h);
        assert(!layers_takes(hp, of->layers, l) || t->cap[i]);
        if (layers_takes(hp, of->layers, l))
            cap[i] = (keep ? keepset_count(keep, l, h) : n) + room;
        most = n > most ? n : most;
    }
    struct tally *to = create(hp, cap, columns, window, e);
    int32_t *slot = mem_new((size_t)most + 1, sizeof *slot);
    for (int i = 0; to && i < heads; i++) {
        int l = i / t->n_kv_head, kv = i % t->n_kv_head, n = kvcache_kept_slots(c, keep, l, kv, slot), old_cap;
        for (int q = kv * t->n_group; cap[i] && q < (kv + 1) * t->n_group; q++) {
            const struct tally_head *old = one_head(t, l, q, &old_cap);
            struct tally_head *h = &to->head[l * t->n_head + q];
            for (int j = 0; columns && j < n; j++) {
                h->off[j] = old->off[slot[j]];
                h->diag[j] = old->diag[slot[j]];
            }
            for (int r = old->n_row > window ? old->n_row - window : 0; window && r < old->n_row; r++) {
                const float *from = tally_row_at(t, l, q, r);
                float *row = new_row(to, h, cap[i]);
                for (int j = 0; j < n; j++)
                    row[j] = from[slot[j]];
            }
        }
    }
    mem_free(cap);
    mem_free(slot);
    return to;
}

void tally_sealed(struct tally *t, const struct kvcache *c)
{
    for (int i = 0; i < t->n_layer * t->n_kv_head; i++) {
        int l = i / t->n_kv_head, h = i % t->n_kv_head, left = t->cap[i] - kvcache_n_entry(c, l, h);
        if (!t->cap[i] || left <= 0)
            continue;
        int32_t *to = mem_new((size_t)t->cap[i], sizeof *to);
        for (int slot = 0; slot < t->cap[i]; slot++)
            to[slot] = slot - left; /* the oldest go */
        tally_move(t, l, h, to, t->cap[i]);
        mem_free(to);
    }
}

void tally_move(struct tally *t, int layer, int kv_head, const int32_t *to, int n)
{
    if (!t->cap[layer * t->n_kv_head + kv_head])
        return;
    for (int q = kv_head * t->n_group; q < (kv_head + 1) * t->n_group; q++) {
        int cap;
        struct tally_head *h = one_head(t, layer, q, &cap);
        for (int slot = 0; slot < n; slot++) {
            if (to[slot] < 0 || to[slot] == slot)
                continue;
            if (t->columns) {
                h->off[to[slot]] = h->off[slot];
                h->diag[to[slot]] = h->diag[slot];
            }
            for (int i = 0; i < t->window; i++)
                h->row[(size_t)i * (size_t)cap + (size_t)to[slot]] = h->row[(size_t)i * (size_t)cap + (size_t)slot];
        }
    }
}
