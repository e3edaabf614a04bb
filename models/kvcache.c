#include "models/kvcache.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "models/kvcache_int.h"

struct pool_entry {
    int layer, kv_head, packed;
    uint64_t hash;
    size_t words;
    uint64_t *bits;
    struct kv_segment *segment;
};

struct kvcache_pool {
    struct pool_entry *entry;
    size_t n, cap;
};

/* One allocation for many arrays of keys and values: large enough for huge pages, of which few must be cleared, and
 * whose addresses are found without waiting when a step reads all of them once. */
struct kv_block {
    int refs;
    void *data;
};

/* Bytes that all caches hold: of the process, or of the job whose team the thread belongs to. */
static atomic_size_t of_all;
static _Thread_local atomic_size_t *of_job;
#define resident (of_job ? of_job : &of_all)

void kvcache_count_in(atomic_size_t *bytes)
{
    of_job = bytes;
}

static size_t bytes_of(int head_dim, enum model_dtype held_as)
{
    return 2 * (size_t)head_dim * kvrows_size(held_as);
}

size_t kvcache_entry_bytes(const struct hparams *hp, enum model_dtype held_as)
{
    return bytes_of(hp->head_dim, held_as);
}

static size_t entry_bytes(const struct kvcache *c)
{
    return bytes_of(c->head_dim, c->held_as);
}

size_t kvcache_index(const struct kvcache *c, int layer, int kv_head)
{
    assert(layer >= 0 && layer < c->n_layer && kv_head >= 0 && kv_head < c->n_kv_head);
    return (size_t)layer * (size_t)c->n_kv_head + (size_t)kv_head;
}

/* Entries of a segment or a tail, and the block if they were its last ones. */
static void free_arrays(int32_t *pos, struct kv_rows k, struct kv_rows v, struct kv_block *block, int capacity,
                        int head_dim)
{
    if (kvrows_memory(k))
        atomic_fetch_sub(resident, (size_t)capacity * bytes_of(head_dim, k.bf16 ? MODEL_BF16 : MODEL_F32));
    mem_free(pos);
    if (!block) {
        mem_free(kvrows_memory(k));
        mem_free(kvrows_memory(v));
    } else if (--block->refs == 0) {
        mem_free(block->data);
        mem_free(block);
    }
}

static void segment_release(struct kv_segment *s)
{
    if (!s || --s->refs > 0)
        return;
    free_arrays(s->pos, s->k, s->v, s->block, s->n, s->head_dim);
    mem_free(s);
}

/* Arrays for `cap` entries, all or none. */
static int alloc_arrays(const struct kvcache *c, int cap, struct kv_tail *t, struct err *e)
{
    size_t bytes = (size_t)c->head_dim * kvrows_size(c->held_as);
    int32_t *pos = mem_try((size_t)cap, sizeof *pos, "cache positions", e);
    void *k = mem_try_raw((size_t)cap, bytes, "cached keys", e);
    void *v = mem_try_raw((size_t)cap, bytes, "cached values", e);
    if (!pos || !k || !v) {
        mem_free(pos);
        mem_free(k);
        mem_free(v);
        return -1;
    }
    atomic_fetch_add(resident, (size_t)cap * entry_bytes(c));
    *t = (struct kv_tail){.cap = cap, .pos = pos, .k = kvrows_in(k, c->held_as), .v = kvrows_in(v, c->held_as)};
    return 0;
}

int kvcache_alloc_tail(struct kvcache *c, size_t index, int cap, struct err *e)
{
    c->tail[index] = (struct kv_tail){0};
    return cap ? alloc_arrays(c, cap, &c->tail[index], e) : 0;
}

enum { BLOCK_BYTES = 28 << 20 }; /* below what the allocator would give back to the system when it is freed */

/* A block of keys and values for `refs` segments or tails of `entries` together. */
static struct kv_block *block_create(const struct kvcache *c, int refs, size_t entries, struct err *e)
{
    void *data = mem_try_raw(entries, entry_bytes(c), "cached keys and values", e);
    if (!data)
        return NULL;
    struct kv_block *block = mem_new(1, sizeof *block);
    *block = (struct kv_block){.refs = refs, .data = data};
    atomic_fetch_add(resident, entries * entry_bytes(c));
    return block;
}

/* The tails of those heads, in as few blocks as may be. */
static int alloc_some_tails(struct kvcache *c, const size_t *head, size_t heads, int capacity, struct err *e)
{
    size_t array = (size_t)capacity * (size_t)c->head_dim;
    size_t most = BLOCK_BYTES / ((size_t)capacity * entry_bytes(c) + 1);
    most = most ? most : 1;
    for (size_t first = 0; capacity && first < heads; first += most) {
        int n = (int)(heads - first < most ? heads - first : most);
        struct kv_block *block = block_create(c, n, (size_t)n * (size_t)capacity, e);
        for (int i = 0; block && i < n; i++) {
            struct kv_rows k = kvrows_at(kvrows_in(block->data, c->held_as), 2 * (size_t)i * array);
            c->tail[head[first + (size_t)i]] =
                (struct kv_tail){.cap = capacity, .k = k, .v = kvrows_at(k, array), .block = block};
        }
        for (int i = 0; block && i < n; i++) {
            struct kv_tail *t = &c->tail[head[first + (size_t)i]];
            t->pos = mem_try((size_t)capacity, sizeof *t->pos, "cache positions", e);
            if (!t->pos)
                return -1;
        }
        if (!block)
            return -1;
    }
    return 0;
}

static int has_window(const struct kvcache *c, size_t head)
{
    return c->kind[head / (size_t)c->n_kv_head] == MODEL_LAYER_WINDOW;
}

/* The tails of all heads. Layers with a window have blocks of their own, which are released when a long prompt is
 * sealed. */
static int alloc_tails(struct kvcache *c, int capacity, struct err *e)
{
    size_t heads = (size_t)c->n_layer * (size_t)c->n_kv_head, *head = mem_new(heads, sizeof *head);
    int rc = 0;
    for (int window = 0; window < 2 && rc == 0; window++) {
        size_t n = 0;
        for (size_t i = 0; i < heads; i++)
            if (has_window(c, i) == window)
                head[n++] = i;
        rc = alloc_some_tails(c, head, n, capacity, e);
    }
    mem_free(head);
    return rc;
}

/* Without entries, of that shape. */
static struct kvcache *create_shape(struct kvcache shape)
{
    struct kvcache *c = mem_new(1, sizeof *c);
    size_t heads = (size_t)shape.n_layer * (size_t)shape.n_kv_head;
    *c = shape;
    c->kind = mem_new((size_t)c->n_layer, sizeof *c->kind);
    c->origin = mem_new(heads, sizeof *c->origin);
    c->segment = mem_new(heads, sizeof(struct kv_segment *));
    c->tail = mem_new(heads, sizeof *c->tail);
    return c;
}

static struct kvcache *create_empty(const struct hparams *hp, enum model_dtype held_as)
{
    struct kvcache *c = create_shape((struct kvcache){.n_layer = hp->n_layer,
                                                      .n_kv_head = hp->n_kv_head,
                                                      .head_dim = hp->head_dim,
                                                      .held_as = held_as,
                                                      .window = hp->window});
    for (int l = 0; l < c->n_layer; l++)
        c->kind[l] = model_layer_kind(hp, l);
    return c;
}

struct kvcache *kvcache_create_like(const struct kvcache *other)
{
    struct kvcache *c = create_shape((struct kvcache){.n_layer = other->n_layer,
                                                      .n_kv_head = other->n_kv_head,
                                                      .head_dim = other->head_dim,
                                                      .held_as = other->held_as,
                                                      .window = other->window,
                                                      .is_long = other->is_long});
    memcpy(c->kind, other->kind, (size_t)c->n_layer * sizeof *c->kind);
    return c;
}

enum model_dtype kvcache_held_as(const struct kvcache *c)
{
    return c->held_as;
}

void kvcache_set_longest(struct kvcache *c, const struct hparams *hp, int longest)
{
    assert(c->n_seen == 0);
    c->is_long = model_rope_long(hp, longest);
}

int kvcache_is_long(const struct kvcache *c)
{
    return c->is_long;
}

struct kvcache *kvcache_create_forgetful(const struct hparams *hp, enum model_dtype held_as, int n, struct err *e)
{
    struct kvcache *c = create_empty(hp, held_as);
    size_t heads = (size_t)c->n_layer * (size_t)c->n_kv_head, *head = mem_new(heads, sizeof *head), now = 0;
    kvcache_set_longest(c, hp, n);
    for (size_t i = 0; i < heads; i++)
        if (has_window(c, i))
            c->tail[i].cap = n; /* kvcache_reach allocates it */
        else
            head[now++] = i;
    int rc = alloc_some_tails(c, head, now, n, e);
    mem_free(head);
    if (rc) {
        kvcache_destroy(c);
        return NULL;
    }
    return c;
}

int kvcache_reach(struct kvcache *c, int layer, struct err *e)
{
    for (int h = 0; h < c->n_kv_head; h++) {
        struct kv_tail *t = kvcache_tail(c, layer, h);
        if (t->cap && !kvrows_memory(t->k) && kvcache_alloc_tail(c, kvcache_index(c, layer, h), t->cap, e))
            return -1;
    }
    return 0;
}

struct kvcache *kvcache_create(const struct hparams *hp, int tail_capacity, struct err *e)
{
    return kvcache_create_held(hp, MODEL_F32, tail_capacity, e);
}

struct kvcache *kvcache_create_held(const struct hparams *hp, enum model_dtype held_as, int tail_capacity,
                                    struct err *e)
{
    struct kvcache *c = create_empty(hp, held_as);
    kvcache_set_longest(c, hp, tail_capacity);
    if (alloc_tails(c, tail_capacity, e)) {
        kvcache_destroy(c);
        return NULL;
    }
    return c;
}

void kvcache_destroy(struct kvcache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++) {
        segment_release(c->segment[i]);
        free_arrays(c->tail[i].pos, c->tail[i].k, c->tail[i].v, c->tail[i].block, c->tail[i].cap, c->head_dim);
    }
    mem_free(c->kind);
    mem_free(c->origin);
    mem_free(c->segment);
    mem_free(c->tail);
    mem_free(c);
}

/* A segment that is still to be filled with entries of `full`. */
struct job {
    struct kv_segment *to;
    const struct kv_segment *full;
    int first;                     /* slot of full that it begins with */
    size_t head;                   /* index */
    int32_t origin;                /* packed: where its first entry stands ... */
    const struct rope_table *rope; /* ... and what turns keys to there; NULL: they stay as they are */
};

/* keep NULL: all. */
static void gather(const struct job *j, const struct keepset *keep)
{
    struct kv_segment *s = j->to;
    size_t d = (size_t)s->head_dim;
    int n = 0;
    for (int slot = j->first; slot < j->full->n; slot++) {
        int pos = j->full->pos[slot];
        if (keep && !keepset_has(keep, (int)j->head / keep->n_kv_head, (int)j->head % keep->n_kv_head, pos))
            continue;
        s->pos[n] = pos;
        kvrows_move(kvrows_at(s->k, (size_t)n * d), kvrows_at(j->full->k, (size_t)slot * d), d, j->rope,
                    j->rope ? pos - (j->origin + n) : 0);
        kvrows_copy(kvrows_at(s->v, (size_t)n * d), kvrows_at(j->full->v, (size_t)slot * d), d);
        n++;
    }
}

/* A block for jobs [0, n). */
static int place_block(const struct kvcache *c, const struct job *job, int n, size_t entries, struct err *e)
{
    size_t d = (size_t)c->head_dim, at = 0;
    struct kv_block *block = block_create(c, n, entries, e);
    if (!block)
        return -1;
    for (int i = 0; i < n; i++) {
        struct kv_segment *s = job[i].to;
        s->block = block;
        s->k = kvrows_at(kvrows_in(block->data, c->held_as), at);
        s->v = kvrows_at(s->k, (size_t)s->n * d);
        at += 2 * (size_t)s->n * d;
    }
    return 0;
}

/* Gives every job's segment its place in a block, and fills them all. */
static int gather_all(const struct kvcache *c, const struct job *job, int n_job, const struct keepset *keep,
                      struct err *e)
{
    size_t all = 0;
    for (int begin = 0, end; begin < n_job; begin = end) {
        size_t entries = 0;
        for (end = begin;
             end < n_job && (end == begin || (entries + (size_t)job[end].to->n) * entry_bytes(c) <= BLOCK_BYTES); end++)
            entries += (size_t)job[end].to->n;
        if (place_block(c, job + begin, end - begin, entries, e))
            return -1;
        all += entries;
    }
#pragma omp parallel for schedule(dynamic, 1) if (all * (size_t)c->head_dim > 1 << 16)
    for (int i = 0; i < n_job; i++)
        gather(&job[i], keep);
    return 0;
}

int kvcache_oldest(const struct kvcache *c, int layer)
{
    int windowed = c->kind[layer] == MODEL_LAYER_WINDOW && c->n_seen > c->window;
    return windowed ? c->n_seen - c->window : 0;
}

/* How many of these positions lie before the oldest one that the head's layer holds. */
static int n_left(const struct kvcache *c, size_t head, const int32_t *pos, int n)
{
    int left = 0, oldest = kvcache_oldest(c, (int)(head / (size_t)c->n_kv_head));
    for (int i = 0; oldest && i < n; i++) /* tails of which entries were evicted are in no order */
        left += pos[i] < oldest;
    return left;
}

int kvcache_n_left(const struct kvcache *c, size_t head)
{
    const struct kv_segment *s = c->segment[head];
    return (s ? n_left(c, head, s->pos, s->n) : 0) + n_left(c, head, c->tail[head].pos, c->tail[head].n);
}

int kvcache_forget(struct kvcache *c, int layer, int n_fed, struct err *e)
{
    size_t d = (size_t)c->head_dim;
    int gone = c->kind[layer] == MODEL_LAYER_WINDOW && n_fed > c->window ? n_fed - c->window : 0;
    for (int h = 0; h < c->n_kv_head && gone; h++) {
        size_t i = kvcache_index(c, layer, h);
        struct kv_tail old = c->tail[i];
        struct kv_tail *t = &c->tail[i];
        assert(!c->segment[i] && !old.mark && old.n == n_fed);
        if (kvcache_alloc_tail(c, i, old.cap - gone, e)) {
            *t = old;
            return -1;
        }
        t->n = old.n - gone;
        memcpy(t->pos, old.pos + gone, (size_t)t->n * sizeof *t->pos);
        kvrows_copy(t->k, kvrows_at(old.k, (size_t)gone * d), (size_t)t->n * d);
        kvrows_copy(t->v, kvrows_at(old.v, (size_t)gone * d), (size_t)t->n * d);
        free_arrays(old.pos, old.k, old.v, old.block, old.cap, c->head_dim);
        c->origin[i] += gone;
    }
    return 0;
}

/* What is still to be sealed goes into segments of its own where entries have left the window. */
static int drop_left(struct kvcache *c, struct err *e)
{
    size_t heads = (size_t)c->n_layer * (size_t)c->n_kv_head;
    struct job *job = mem_new(heads, sizeof *job);
    struct kv_segment *from = mem_new(heads, sizeof *from);
    int n_job = 0;
    for (size_t i = 0; i < heads; i++) {
        const struct kv_tail *t = &c->tail[i];
        int left = kvcache_n_left(c, i);
        if (!left)
            continue;
        from[n_job] = (struct kv_segment){.n = t->n, .pos = t->pos, .k = t->k, .v = t->v};
        struct kv_segment *s = c->segment[i] = mem_new(1, sizeof *s);
        *s = (struct kv_segment){.refs = 1, .n = t->n - left, .head_dim = c->head_dim};
        s->pos = mem_new((size_t)s->n + 1, sizeof *s->pos);
        job[n_job] = (struct job){.to = s, .full = &from[n_job], .first = left, .head = i};
        n_job++;
    }
    int rc = gather_all(c, job, n_job, NULL, e);
    for (int i = 0; i < n_job && rc == 0; i++) {
        struct kv_tail *t = &c->tail[job[i].head];
        c->origin[job[i].head] += job[i].first;
        free_arrays(t->pos, t->k, t->v, t->block, t->cap, c->head_dim);
        *t = (struct kv_tail){0};
    }
    mem_free(from);
    mem_free(job);
    return rc;
}

int kvcache_seal(struct kvcache *c, int tail_capacity, struct err *e)
{
    if (drop_left(c, e))
        return -1;
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++) {
        if (c->segment[i])
            continue;
        struct kv_tail *t = &c->tail[i];
        struct kv_segment *s = mem_new(1, sizeof *s);
        *s = (struct kv_segment){
            .refs = 1, .n = t->n, .head_dim = c->head_dim, .pos = t->pos, .k = t->k, .v = t->v, .block = t->block};
        /* the segment accounts for n entries; the unused rest of the tail's room is no longer counted */
        atomic_fetch_sub(resident, (size_t)(t->cap - t->n) * entry_bytes(c));
        c->segment[i] = s;
        *t = (struct kv_tail){0};
    }
    return alloc_tails(c, tail_capacity, e);
}

struct kvcache_pool *kvcache_pool_create(void)
{
    return mem_new(1, sizeof(struct kvcache_pool));
}

void kvcache_pool_destroy(struct kvcache_pool *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        segment_release(p->entry[i].segment);
        mem_free(p->entry[i].bits);
    }
    mem_free(p->entry);
    mem_free(p);
}

/* A reference to the segment of this keep set in the pool; NULL when it has none. */
static struct kv_segment *find_pooled(const struct kvcache_pool *p, const struct keepset *keep, int layer, int kv_head,
                                      int packed)
{
    const uint64_t *bits = keepset_bits(keep, layer, kv_head);
    size_t size = keep->words * sizeof *bits;
    uint64_t hash = hash_fnv1a(bits, size);
    for (size_t i = 0; p && i < p->n; i++) {
        const struct pool_entry *q = &p->entry[i];
        if (q->layer == layer && q->kv_head == kv_head && q->packed == packed && q->hash == hash &&
            q->words == keep->words && memcmp(q->bits, bits, size) == 0) {
            q->segment->refs++;
            return q->segment;
        }
    }
    return NULL;
}

static void put_pooled(struct kvcache_pool *p, const struct keepset *keep, int layer, int kv_head, int packed,
                       struct kv_segment *s)
{
    const uint64_t *bits = keepset_bits(keep, layer, kv_head);
    size_t size = keep->words * sizeof *bits;
    mem_grow(&p->entry, &p->cap, p->n + 1, sizeof *p->entry);
    struct pool_entry q = {
        layer, kv_head, packed, hash_fnv1a(bits, size), keep->words, mem_new(keep->words, sizeof *bits), s};
    memcpy(q.bits, bits, size);
    p->entry[p->n++] = q;
    s->refs++;
}

/* Entries of a head's segment that are in the keep set. */
static int count_kept(const struct kv_segment *s, const struct keepset *keep, int layer, int kv_head)
{
    int n = 0;
    for (int j = 0; j < s->n; j++)
        n += !keep || keepset_has(keep, layer, kv_head, s->pos[j]);
    return n;
}

static struct kvcache *derive(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                              struct kvcache_pool *pool, const struct rope_set *rope, struct err *e)
{
    struct kvcache *c = kvcache_create_like(full);
    struct job *job = mem_new((size_t)c->n_layer * (size_t)c->n_kv_head, sizeof *job);
    int n_job = 0, bad;
    c->n_seen = full->n_seen;
    c->packed = full->packed || rope;
    for (int l = 0; l < c->n_layer; l++)
        for (int h = 0; h < c->n_kv_head; h++) {
            size_t i = kvcache_index(c, l, h);
            struct kv_segment *s = full->segment[i];
            int kept = count_kept(s, keep, l, h);
            c->origin[i] = rope && has_window(c, i) && s->n ? s->pos[0] : full->origin[i];
            if (kept == s->n) {
                s->refs++;
            } else if (!(s = find_pooled(pool, keep, l, h, rope != NULL))) {
                s = mem_new(1, sizeof *s);
                *s = (struct kv_segment){.refs = 1, .n = kept, .head_dim = c->head_dim};
                s->pos = mem_new((size_t)s->n + 1, sizeof *s->pos);
                job[n_job++] = (struct job){.to = s,
                                            .full = full->segment[i],
                                            .head = i,
                                            .origin = c->origin[i],
                                            .rope = rope ? rope_set_of(rope, c->kind[l], c->is_long) : NULL};
            }
            c->segment[i] = s;
        }
    bad = gather_all(c, job, n_job, keep, e);
    for (int i = 0; i < n_job && !bad && pool; i++)
        put_pooled(pool, keep, (int)job[i].head / c->n_kv_head, (int)job[i].head % c->n_kv_head, rope != NULL,
                   job[i].to);
    mem_free(job);
    if (bad || alloc_tails(c, tail_capacity, e)) {
        kvcache_destroy(c);
        return NULL;
    }
    return c;
}

struct kvcache *kvcache_derive(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                               struct kvcache_pool *pool, struct err *e)
{
    return derive(full, keep, tail_capacity, pool, NULL, e);
}

struct kvcache *kvcache_derive_packed(const struct kvcache *full, const struct keepset *keep, int tail_capacity,
                                      struct kvcache_pool *pool, const struct rope_set *rope, struct err *e)
{
    assert(!full->packed); /* its keys stand where their tokens stood */
    return derive(full, keep, tail_capacity, pool, rope, e);
}

int kvcache_is_packed(const struct kvcache *c)
{
    return c->packed;
}

const struct kv_segment *kvcache_segment(const struct kvcache *c, int layer, int kv_head)
{
    return c->segment[kvcache_index(c, layer, kv_head)];
}

struct kv_tail *kvcache_tail(struct kvcache *c, int layer, int kv_head)
{
    return &c->tail[kvcache_index(c, layer, kv_head)];
}

int kvcache_n_entry(const struct kvcache *c, int layer, int kv_head)
{
    size_t i = kvcache_index(c, layer, kv_head);
    return (c->segment[i] ? c->segment[i]->n : 0) + c->tail[i].n;
}

int kvcache_n_held(const struct kvcache *c, int layer, int kv_head)
{
    return kvcache_n_entry(c, layer, kv_head) - kvcache_n_left(c, kvcache_index(c, layer, kv_head));
}

int kvcache_next_place(const struct kvcache *c, int layer, int kv_head)
{
    return c->origin[kvcache_index(c, layer, kv_head)] + kvcache_n_entry(c, layer, kv_head);
}

int kvcache_tail_room(const struct kvcache *c)
{
    int room = c->tail[0].cap - c->tail[0].n;
    for (size_t i = 1; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++)
        room = c->tail[i].cap - c->tail[i].n < room ? c->tail[i].cap - c->tail[i].n : room;
    return room;
}

int kvcache_n_seen(const struct kvcache *c)
{
    return c->n_seen;
}

void kvcache_set_seen(struct kvcache *c, int n_seen)
{
    c->n_seen = n_seen;
}

int kvcache_n_tail(const struct kvcache *c)
{
    return c->tail[0].n;
}

void kvcache_mark(struct kvcache *c)
{
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++)
        c->tail[i].mark = c->tail[i].n;
}

void kvcache_undo(struct kvcache *c)
{
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++)
        c->tail[i].n = c->tail[i].mark;
}

void kvcache_rewind(struct kvcache *c, int n_tail)
{
    int gone = c->tail[0].n - n_tail;
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++)
        if (c->tail[i].n > n_tail)
            c->tail[i].n = n_tail;
    if (gone > 0)
        c->n_seen -= gone;
}

size_t kvcache_bytes(const struct kvcache *c)
{
    size_t entries = 0;
    for (size_t i = 0; i < (size_t)c->n_layer * (size_t)c->n_kv_head; i++)
        entries += (size_t)((c->segment[i] ? c->segment[i]->n : 0) + c->tail[i].n - kvcache_n_left(c, i));
    return entries * entry_bytes(c);
}

size_t kvcache_resident_bytes(void)
{
    return atomic_load(resident);
}
