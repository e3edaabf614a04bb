/* Keys and values of one layer as second factors of bf16 products. What a row of outputs has room for is a multiple of
 * 16 and one more sixteen, so that rows do not all begin in the same few sets of a cache. */
#include <math.h>

#include "harness/base/mem.h"
#include "models/attention_int.h"
#include "models/kernels.h"
#include "models/kernels_bf16_rows.h"

enum { APART = KERNELS_BF16_OUTPUTS };

static size_t up(int n, int step)
{
    return (size_t)((n + step - 1) / step * step);
}

/* Of a block of n entries; *values: where its values begin. */
static size_t block_words(const struct hparams *hp, int n, size_t *values)
{
    size_t entries = up(n, KERNELS_BF16_TERMS);
    *values = up(hp->head_dim, KERNELS_BF16_TERMS) * (entries + APART);
    return *values + entries * (up(hp->head_dim, KERNELS_BF16_OUTPUTS) + APART);
}

/* Of the first n entries of an array. */
static size_t words_of(const struct hparams *hp, int n)
{
    size_t values;
    return (size_t)(n / ATTENTION_KEYS) * block_words(hp, ATTENTION_KEYS, &values) +
           (n % ATTENTION_KEYS ? block_words(hp, n % ATTENTION_KEYS, &values) : 0);
}

static int n_segment(const struct attention_job *j, int h)
{
    const struct kv_segment *s = kvcache_segment(j->cache[0], j->layer, h);
    return s ? s->n : 0;
}

static int n_of(const struct attention_job *j, int h, int tail)
{
    return tail ? kvcache_tail(j->cache[0], j->layer, h)->n : n_segment(j, h);
}

static int blocks_of(int n)
{
    return (n + ATTENTION_KEYS - 1) / ATTENTION_KEYS;
}

struct attention_factors attention_factors(const struct attention_packed *p, const struct attention_job *j, int h,
                                           int tail, int from)
{
    int n = n_of(j, h, tail) - from, here = n < ATTENTION_KEYS ? n : ATTENTION_KEYS;
    size_t values, at = p->head[h] + (tail ? words_of(j->hp, n_segment(j, h)) : 0) + words_of(j->hp, from);
    block_words(j->hp, here, &values);
    return (struct attention_factors){.keys = p->words + at,
                                      .values = p->words + at + values,
                                      .key_ld = up(here, KERNELS_BF16_TERMS) + APART,
                                      .value_ld = up(j->hp->head_dim, KERNELS_BF16_OUTPUTS) + APART};
}

/* As many entries at a time as one block of terms has: where they are held as bf16 they are widened first. */
static void pack_block(const struct attention_packed *p, const struct attention_job *j, int h, int tail, int from)
{
    enum { STEP = KERNELS_BF16_TERMS };
    const struct kv_segment *seg = kvcache_segment(j->cache[0], j->layer, h);
    const struct kv_tail *own = kvcache_tail(j->cache[0], j->layer, h);
    struct attention_factors f = attention_factors(p, j, h, tail, from);
    struct kv_rows k = tail ? own->k : seg->k, v = tail ? own->v : seg->v;
    int d = j->hp->head_dim, n = n_of(j, h, tail) - from;
    size_t size = (size_t)d;
    float wide[STEP * DIMS_MAX_HEAD_DIM];
    n = n < ATTENTION_KEYS ? n : ATTENTION_KEYS;
    for (int i = 0; i < n; i += STEP) {
        int now = n - i < STEP ? n - i : STEP;
        size_t at = (size_t)(from + i) * size, numbers = (size_t)now * size;
        kernels_bf16_pack_rows(f.keys + 2 * i, f.key_ld, kvrows_read(kvrows_at(k, at), numbers, wide), size, now, d);
        kernels_bf16_pack_terms(f.values + (size_t)i * f.value_ld, f.value_ld,
                                kvrows_read(kvrows_at(v, at), numbers, wide), size, now, d);
    }
}

int attention_pack(struct attention_packed *p, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    size_t need = 0;
    int most = 0;
    if (!p->head)
        p->head = mem_new((size_t)hp->n_kv_head, sizeof *p->head);
    for (int h = 0; h < hp->n_kv_head; h++) {
        int n_seg = n_segment(j, h), n_tail = n_of(j, h, 1), blocks = blocks_of(n_seg) + blocks_of(n_tail);
        p->head[h] = need;
        need += words_of(hp, n_seg) + words_of(hp, n_tail);
        most = blocks > most ? blocks : most;
    }
    if (need > p->cap) {
        mem_free(p->words);
        p->words = mem_try_raw(need, sizeof *p->words, "keys and values of a layer, rounded", e);
        p->cap = p->words ? need : 0;
        if (!p->words)
            return -1;
    }
    int n = most * hp->n_kv_head;
#pragma omp parallel for schedule(dynamic, 1) if (kernels_worth_sharing((size_t)n, need))
    for (int i = 0; i < n; i++) {
        int h = i % hp->n_kv_head, b = i / hp->n_kv_head, of_segment = blocks_of(n_segment(j, h));
        int tail = b >= of_segment, from = (b - (tail ? of_segment : 0)) * ATTENTION_KEYS;
        if (from < n_of(j, h, tail))
            pack_block(p, j, h, tail, from);
    }
    return 0;
}

void attention_packed_fini(struct attention_packed *p)
{
    mem_free(p->words);
    mem_free(p->head);
}

float attention_whole(float top)
{
    return ceilf(top);
}
