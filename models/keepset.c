#include "models/keepset.h"

#include <assert.h>
#include <string.h>

#include "harness/base/mem.h"

static size_t head_index(const struct keepset *k, int layer, int kv_head)
{
    assert(layer >= 0 && layer < k->n_layer && kv_head >= 0 && kv_head < k->n_kv_head);
    return (size_t)layer * (size_t)k->n_kv_head + (size_t)kv_head;
}

struct keepset *keepset_create(int n_layer, int n_kv_head, int n, struct err *e)
{
    struct keepset *k = mem_new(1, sizeof *k);
    size_t heads = (size_t)n_layer * (size_t)n_kv_head;
    *k = (struct keepset){.n_layer = n_layer, .n_kv_head = n_kv_head, .n = n, .words = ((size_t)n + 63) / 64};
    k->bits = mem_try(heads, k->words * sizeof *k->bits, "keep set", e);
    k->count = mem_try(heads, sizeof *k->count, "keep set", e);
    if (!k->bits || !k->count) {
        keepset_destroy(k);
        return NULL;
    }
    return k;
}

void keepset_destroy(struct keepset *k)
{
    if (!k)
        return;
    mem_free(k->bits);
    mem_free(k->count);
    mem_free(k);
}

void keepset_fill(struct keepset *k, int layer, int kv_head)
{
    for (int j = 0; j < k->n; j++)
        keepset_add(k, layer, kv_head, j);
}

void keepset_add(struct keepset *k, int layer, int kv_head, int entry)
{
    size_t i = head_index(k, layer, kv_head);
    assert(entry >= 0 && entry < k->n);
    uint64_t *word = k->bits + i * k->words + (size_t)entry / 64, bit = (uint64_t)1 << (entry % 64);
    k->count[i] += !(*word & bit);
    *word |= bit;
}

int keepset_has(const struct keepset *k, int layer, int kv_head, int entry)
{
    return keepset_bits(k, layer, kv_head)[(size_t)entry / 64] >> (entry % 64) & 1;
}

int keepset_count(const struct keepset *k, int layer, int kv_head)
{
    return k->count[head_index(k, layer, kv_head)];
}

const uint64_t *keepset_bits(const struct keepset *k, int layer, int kv_head)
{
    return k->bits + head_index(k, layer, kv_head) * k->words;
}

int keepset_list(const struct keepset *k, int layer, int kv_head, int32_t *out)
{
    const uint64_t *bits = keepset_bits(k, layer, kv_head);
    int n = 0;
    for (size_t w = 0; w < k->words; w++)
        for (uint64_t left = bits[w]; left; left &= left - 1)
            out[n++] = (int32_t)(w * 64) + __builtin_ctzll(left);
    return n;
}
