/* The cache against lists: random operations on many caches that come from one another, each with a plain list of its
 * entries beside it, which is changed by what models/kvcache.h says of every call. In both forms. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "models/half.h"
#include "models/kvcache.h"
#include "tests/suites.h"

enum { LAYERS = 4, KV_HEADS = 2, HEADS = LAYERS * KV_HEADS, DIM = 8, MOST = 96 /* tokens */, CACHES = 10, WINDOW = 14 };

/* The second layer has a window, and frequencies of its own; the last one does not rotate. */
static const struct hparams hp = {
    .n_layer = LAYERS, .n_kv_head = KV_HEADS, .head_dim = DIM, .window = WINDOW, .layer_kinds = "fwfn"};
static double freq[2][DIM / 2]; /* of layers in general, of those with a window */
static struct rope_set rope;
static enum model_dtype held_as;

struct entry {
    int token, stands; /* its own position; where its key stands: elsewhere when the cache is packed */
};

struct list {
    struct entry entry[MOST];
    int n, n_segment;
    int origin; /* where the first of a packed list stands */
};

struct twin {
    struct kvcache *c; /* NULL: the place is free */
    struct list list[HEADS];
    int n_seen, packed, sealed;
    int scrambled; /* 1: entries were evicted, slots are not in the order of positions */
};

struct world {
    struct rng r;
    struct twin twin[CACHES];
    struct kvcache_pool *pool; /* of segments of twin[pool_of] */
    int pool_of;
    const struct kv_segment *pooled[4096];
    int n_pooled;
};

/* ---- what a token's key and value are --------------------------------------------------------- */

static double raw_key[MOST][HEADS][DIM], raw_value[MOST][HEADS][DIM]; /* not turned */
static double cosine[2][MOST + 1][DIM / 2], sine[2][MOST + 1][DIM / 2];

static char kind_of(int head)
{
    return hp.layer_kinds[head / KV_HEADS];
}

/* The oldest position that a head of a cache holds. */
static int oldest(int head, int n_seen)
{
    return kind_of(head) == 'w' && n_seen > WINDOW ? n_seen - WINDOW : 0;
}

static void make_tokens(void)
{
    struct rng r;
    rng_init(&r, 1, "tokens");
    for (int t = 0; t < MOST; t++)
        for (int i = 0; i < HEADS * DIM; i++) {
            raw_key[t][i / DIM][i % DIM] = 2 * rng_double(&r) - 1;
            raw_value[t][i / DIM][i % DIM] = 2 * rng_double(&r) - 1;
        }
    for (int i = 0; i < DIM; i++)
        freq[i % 2][i / 2] = pow(i % 2 ? 100 : 10000, -2.0 * (i / 2) / DIM);
    for (int p = 0; p <= MOST; p++)
        for (int i = 0; i < DIM; i++) {
            cosine[i % 2][p][i / 2] = cos(p * freq[i % 2][i / 2]);
            sine[i % 2][p][i / 2] = sin(p * freq[i % 2][i / 2]);
        }
    ck_assert_int_eq(rope_reserve(&rope.full, freq[0], DIM / 2, MOST + 1, NULL), 0);
    ck_assert_int_eq(rope_reserve(&rope.local, freq[1], DIM / 2, MOST + 1, NULL), 0);
}

static float key(const struct entry *e, int head, int i)
{
    const double *x = raw_key[e->token][head];
    int half = DIM / 2, k = i % half, local = kind_of(head) == 'w', still = kind_of(head) == 'n';
    double c = still ? 1 : cosine[local][e->stands][k], s = still ? 0 : sine[local][e->stands][k];
    return (float)(i < half ? x[k] * c - x[k + half] * s : x[k + half] * c + x[k] * s);
}

static float value(const struct entry *e, int head, int i)
{
    return (float)raw_value[e->token][head][i];
}

static float as_held(float x)
{
    return held_as == MODEL_BF16 ? half_round_bf16(x) : x;
}

static size_t entry_bytes(void)
{
    return 2 * DIM * (held_as == MODEL_BF16 ? 2 : 4);
}

/* ---- the comparison --------------------------------------------------------------------------- */

static void check_entry(const struct twin *t, int head, int j)
{
    const struct list *list = &t->list[head];
    const struct kv_segment *seg = kvcache_segment(t->c, head / KV_HEADS, head % KV_HEADS);
    const struct kv_tail *tail = kvcache_tail(t->c, head / KV_HEADS, head % KV_HEADS);
    int in_segment = j < list->n_segment, at = in_segment ? j : j - list->n_segment;
    struct kv_rows k = in_segment ? seg->k : tail->k, v = in_segment ? seg->v : tail->v;
    /* keys were turned back in single precision, a few times at most, and rounded each time; none is longer than 1.5 */
    float limit = !t->packed ? 0 : held_as == MODEL_BF16 ? 0.03f : 1e-5f;
    int bad = (in_segment ? seg->pos[at] : tail->pos[at]) != list->entry[j].token;
    ck_assert(!k.bf16 == (held_as == MODEL_F32) && !v.bf16 == !k.bf16);
    for (int i = 0; i < DIM; i++) {
        float is = kvrows_number(k, (size_t)(at * DIM + i)), was = as_held(key(&list->entry[j], head, i));
        bad |= fabsf(is - was) > limit;
        bad |= kvrows_number(v, (size_t)(at * DIM + i)) != as_held(value(&list->entry[j], head, i));
    }
    ck_assert_msg(!bad, "entry %d of head %d: token %d, stands at %d", j, head, list->entry[j].token,
                  list->entry[j].stands);
}

static void check_twin(const struct twin *t)
{
    size_t entries = 0;
    int room = MOST;
    for (int h = 0; h < HEADS; h++) {
        const struct list *list = &t->list[h];
        const struct kv_segment *seg = kvcache_segment(t->c, h / KV_HEADS, h % KV_HEADS);
        const struct kv_tail *tail = kvcache_tail(t->c, h / KV_HEADS, h % KV_HEADS);
        ck_assert_int_eq(seg != NULL, t->sealed);
        ck_assert_int_eq(seg ? seg->n : 0, list->n_segment);
        ck_assert_int_eq(tail->n, list->n - list->n_segment);
        ck_assert_int_eq(kvcache_n_entry(t->c, h / KV_HEADS, h % KV_HEADS), list->n);
        int held = 0;
        for (int j = 0; j < list->n; j++) {
            check_entry(t, h, j);
            held += list->entry[j].token >= oldest(h, t->n_seen);
        }
        ck_assert_int_eq(kvcache_n_held(t->c, h / KV_HEADS, h % KV_HEADS), held);
        ck_assert_int_eq(kvcache_oldest(t->c, h / KV_HEADS), oldest(h, t->n_seen));
        ck_assert(!t->packed || kvcache_next_place(t->c, h / KV_HEADS, h % KV_HEADS) == list->origin + list->n);
        entries += (size_t)held;
        room = tail->cap - tail->n < room ? tail->cap - tail->n : room;
    }
    ck_assert_int_eq(kvcache_n_seen(t->c), t->n_seen);
    ck_assert_int_eq(kvcache_is_packed(t->c), t->packed);
    ck_assert_int_eq(kvcache_tail_room(t->c), room);
    ck_assert_int_eq(kvcache_n_tail(t->c), t->list[0].n - t->list[0].n_segment);
    ck_assert_int_eq(kvcache_held_as(t->c), held_as);
    ck_assert_uint_eq(kvcache_entry_bytes(&hp, held_as), entry_bytes());
    ck_assert_uint_eq(kvcache_bytes(t->c), entries * entry_bytes());
}

/* Every segment that somebody holds once, and the whole room of every tail. */
static size_t resident(struct world *w)
{
    static const struct kv_segment *seen[4096];
    size_t n = 0, entries = 0;
    for (int i = 0; i < CACHES * HEADS + w->n_pooled; i++) {
        const struct twin *t = i < CACHES * HEADS ? &w->twin[i / HEADS] : NULL;
        int h = i % HEADS, is_new = 1;
        if (t && !t->c)
            continue;
        if (t)
            entries += (size_t)kvcache_tail(t->c, h / KV_HEADS, h % KV_HEADS)->cap;
        const struct kv_segment *seg =
            t ? kvcache_segment(t->c, h / KV_HEADS, h % KV_HEADS) : w->pooled[i - CACHES * HEADS];
        for (size_t k = 0; k < n && is_new; k++)
            is_new = seen[k] != seg;
        if (seg && is_new) {
            seen[n++] = seg;
            entries += (size_t)seg->n;
        }
    }
    return entries * entry_bytes();
}

/* ---- operations ------------------------------------------------------------------------------- */

static int below(struct world *w, int n)
{
    return (int)rng_below(&w->r, (uint64_t)n);
}

static struct twin *free_place(struct world *w)
{
    for (int i = 0; i < CACHES; i++)
        if (!w->twin[i].c)
            return &w->twin[i];
    return NULL;
}

static void drop_pool(struct world *w)
{
    kvcache_pool_destroy(w->pool);
    w->pool = NULL;
    w->n_pooled = 0;
}

static void create(struct world *w)
{
    struct twin *t = free_place(w);
    if (!t)
        return;
    *t = (struct twin){.c = kvcache_create_held(&hp, held_as, below(w, 40), NULL)};
    ck_assert_ptr_nonnull(t->c);
}

static void destroy(struct world *w, struct twin *t)
{
    kvcache_destroy(t->c); /* its segments live on where others, or the pool, share them */
    t->c = NULL;
    if (w->pool && t == &w->twin[w->pool_of])
        drop_pool(w);
}

/* What has left the window goes, and ranks count on from behind it. */
static void leave(struct list *list, int from)
{
    int left = 0;
    for (int j = 0; j < list->n; j++)
        if (list->entry[j].token >= from)
            list->entry[left++] = list->entry[j];
    list->origin += list->n - left;
    list->n = left;
}

/* What a forward pass does: one entry a head for each token, and only then are they seen. */
static void append(struct world *w, struct twin *t, int most)
{
    int room = kvcache_tail_room(t->c), n = below(w, (room < most ? room : most) + 1), fails = below(w, 4) == 0;
    int forgets = t->n_seen == 0 && !t->sealed && below(w, 2); /* a whole prompt */
    kvcache_mark(t->c);
    for (int r = 0; r < n && t->n_seen + r < MOST; r++)
        for (int h = 0; h < HEADS; h++) {
            struct kv_tail *tail = kvcache_tail(t->c, h / KV_HEADS, h % KV_HEADS);
            struct list *list = &t->list[h];
            struct entry e = {.token = t->n_seen + r, .stands = t->packed ? list->origin + list->n : t->n_seen + r};
            list->entry[list->n++] = e;
            tail->pos[tail->n] = e.token;
            float k[DIM], v[DIM];
            for (int i = 0; i < DIM; i++) {
                k[i] = key(&e, h, i);
                v[i] = value(&e, h, i);
            }
            kvrows_put(kvrows_at(tail->k, (size_t)tail->n * DIM), k, DIM);
            kvrows_put(kvrows_at(tail->v, (size_t)tail->n * DIM), v, DIM);
            tail->n++;
        }
    n = n < MOST - t->n_seen ? n : MOST - t->n_seen;
    if (fails) {
        kvcache_undo(t->c);
        for (int h = 0; h < HEADS; h++)
            t->list[h].n -= n;
    } else {
        for (int l = 0; l < LAYERS && forgets; l++)
            ck_assert_int_eq(kvcache_forget(t->c, l, n, NULL), 0);
        kvcache_set_seen(t->c, t->n_seen += n);
        for (int h = 0; h < HEADS && forgets; h++)
            leave(&t->list[h], oldest(h, n));
    }
}

static void seal(struct world *w, struct twin *t)
{
    if (t->sealed || t->scrambled)
        return;
    ck_assert_int_eq(kvcache_seal(t->c, below(w, 20), NULL), 0);
    t->sealed = 1;
    for (int h = 0; h < HEADS; h++) {
        leave(&t->list[h], oldest(h, t->n_seen));
        t->list[h].n_segment = t->list[h].n;
    }
}

static void rewind_tails(struct world *w, struct twin *t)
{
    int tail = t->list[0].n - t->list[0].n_segment, to = below(w, tail + 1);
    for (int h = 1; h < HEADS; h++)
        if (t->list[h].n - t->list[h].n_segment != tail)
            return; /* only caches whose heads were fed alike */
    if (t->scrambled)
        return;
    kvcache_rewind(t->c, to);
    for (int h = 0; h < HEADS; h++)
        t->list[h].n -= tail - to;
    t->n_seen -= tail - to;
}

/* A share of the tokens so far, in each head others; now and then all of a head, so that its segment is shared whole.
 * What has left a window can't be kept. */
static struct keepset *random_keep(struct world *w, const struct twin *of)
{
    int n = of->n_seen;
    struct keepset *k = keepset_create(LAYERS, KV_HEADS, n, NULL);
    for (int h = 0; h < HEADS; h++) {
        int whole = below(w, 5) == 0, share = below(w, 5);
        for (int j = oldest(h, n); j < n; j++)
            if (whole || below(w, 4) < share)
                keepset_add(k, h / KV_HEADS, h % KV_HEADS, j);
    }
    return k;
}

/* Entries of `from` that are in `keep`, by position, in their order; packed: numbered anew from `origin`. */
static void take(const struct twin *from, const struct keepset *keep, int n_of_head[HEADS], int packed, struct twin *to)
{
    for (int h = 0; h < HEADS; h++) {
        to->list[h].n = 0;
        for (int j = 0; j < n_of_head[h]; j++) {
            struct entry e = from->list[h].entry[j];
            if (keep && !keepset_has(keep, h / KV_HEADS, h % KV_HEADS, e.token))
                continue;
            e.stands = packed ? to->list[h].origin + to->list[h].n : e.stands;
            to->list[h].entry[to->list[h].n++] = e;
        }
    }
}

/* 1 when the segment holds positions 0 .. n - 1 in every head, as a whole prompt does, or the last ones of them where
 * the layer has a window. */
static int is_whole_prompt(const struct twin *t)
{
    int whole = 1, n = t->list[0].n_segment;
    for (int h = 0; h < HEADS; h++) {
        whole &= t->list[h].n_segment == n - oldest(h, n);
        for (int j = 0; j < t->list[h].n_segment; j++)
            whole &= t->list[h].entry[j].token == oldest(h, n) + j;
    }
    return whole;
}

/* Entries of a head's segment that are in the keep set. */
static int count_kept(const struct twin *t, const struct keepset *keep, int head)
{
    int n = 0;
    for (int j = 0; j < t->list[head].n_segment; j++)
        n += !keep || keepset_has(keep, head / KV_HEADS, head % KV_HEADS, t->list[head].entry[j].token);
    return n;
}

static void remember_pooled(struct world *w, const struct twin *from, const struct kvcache *c,
                            const struct keepset *keep)
{
    for (int h = 0; h < HEADS; h++)
        if (count_kept(from, keep, h) != from->list[h].n_segment) {
            ck_assert_int_lt(w->n_pooled, 4096);
            w->pooled[w->n_pooled++] = kvcache_segment(c, h / KV_HEADS, h % KV_HEADS);
        }
}

static struct kvcache *derive_one(const struct twin *from, const struct keepset *keep, int packs,
                                  struct kvcache_pool *pool, int room)
{
    struct kvcache *c = packs ? kvcache_derive_packed(from->c, keep, room, pool, &rope, NULL)
                              : kvcache_derive(from->c, keep, room, pool, NULL);
    ck_assert_ptr_nonnull(c);
    return c;
}

/* Whole segments are the parent's; others are those of the same keep set in the same pool, but packed ones and those
 * that are not hold different keys. */
static void check_sharing(const struct twin *from, const struct keepset *keep, int packs, struct kvcache_pool *pool,
                          const struct kvcache *a)
{
    struct kvcache *same = pool ? derive_one(from, keep, packs, pool, 0) : NULL;
    struct kvcache *other = pool ? derive_one(from, keep, !packs, pool, 0) : NULL;
    for (int h = 0; h < HEADS; h++) {
        int l = h / KV_HEADS, kv = h % KV_HEADS;
        int whole = count_kept(from, keep, h) == from->list[h].n_segment;
        const struct kv_segment *mine = kvcache_segment(a, l, kv);
        ck_assert_int_eq(mine == kvcache_segment(from->c, l, kv), whole);
        ck_assert(!same || mine == kvcache_segment(same, l, kv));
        ck_assert(!other || (mine == kvcache_segment(other, l, kv)) == whole);
    }
    kvcache_destroy(same);
    kvcache_destroy(other);
}

static void derive(struct world *w, struct twin *from)
{
    struct twin *to = free_place(w);
    int n = from->list[0].n_segment, of_head[HEADS], prompt = is_whole_prompt(from) && !from->packed;
    int packs = prompt && below(w, 2), pooled = prompt && below(w, 2), room = below(w, 12);
    if (!to || !from->sealed)
        return;
    for (int h = 0; h < HEADS; h++)
        of_head[h] = from->list[h].n_segment; /* tails are ignored */
    struct keepset *keep = prompt ? random_keep(w, from) : NULL;
    if (pooled && (!w->pool || from != &w->twin[w->pool_of])) {
        drop_pool(w);
        w->pool = kvcache_pool_create();
        w->pool_of = (int)(from - w->twin);
    }
    struct kvcache_pool *pool = pooled ? w->pool : NULL;
    *to = (struct twin){.sealed = 1, .packed = packs || from->packed, .n_seen = from->n_seen};
    to->c = derive_one(from, keep, packs, pool, room);
    for (int h = 0; h < HEADS; h++)
        to->list[h].origin = packs ? oldest(h, n) : from->list[h].origin;
    take(from, keep, of_head, packs, to);
    for (int h = 0; h < HEADS; h++)
        to->list[h].n_segment = to->list[h].n;
    check_sharing(from, keep, packs, pool, to->c);
    if (pooled) {
        struct kvcache *other = derive_one(from, keep, !packs, pool, 0);
        remember_pooled(w, from, to->c, keep);
        remember_pooled(w, from, other, keep);
        kvcache_destroy(other);
    }
    keepset_destroy(keep);
}

/* A keep set by positions: what of it the cache holds no more is not there to keep. */
static void gather(struct world *w, struct twin *from)
{
    struct twin *to = free_place(w);
    int of_head[HEADS], turns = !from->scrambled && below(w, 2), cuts = turns || !from->packed, room = below(w, 12);
    if (!to || !from->n_seen)
        return;
    for (int h = 0; h < HEADS; h++)
        of_head[h] = from->list[h].n;
    struct keepset *keep = cuts && below(w, 4) ? random_keep(w, from) : NULL;
    *to = (struct twin){.packed = turns || from->packed, .scrambled = from->scrambled, .n_seen = from->n_seen};
    to->c = kvcache_gather(from->c, keep, room, room, turns ? &rope : NULL, NULL);
    ck_assert_ptr_nonnull(to->c);
    for (int h = 0; h < HEADS; h++) {
        int gone = 0;
        for (int j = 0; j < from->list[h].n && keep; j++)
            gone += from->list[h].entry[j].token < oldest(h, from->n_seen);
        to->list[h].origin = from->packed ? from->list[h].origin + gone : oldest(h, from->n_seen);
        if (!from->packed && !keep && from->list[h].n && from->list[h].entry[0].token < to->list[h].origin)
            to->list[h].origin = from->list[h].entry[0].token;
    }
    take(from, keep, of_head, turns, to);
    for (int h = 0; h < HEADS; h++) {
        int32_t slot[MOST];
        int n = kvcache_kept_slots(from->c, keep, h / KV_HEADS, h % KV_HEADS, slot);
        ck_assert_int_eq(n, to->list[h].n);
        for (int j = 0; j < n; j++)
            ck_assert_int_eq(from->list[h].entry[slot[j]].token, to->list[h].entry[j].token);
        ck_assert_int_eq(kvcache_tail(to->c, h / KV_HEADS, h % KV_HEADS)->cap, n + room);
    }
    keepset_destroy(keep);
}

static void evict(struct world *w, struct twin *t)
{
    if (t->sealed)
        return;
    for (int h = 0; h < HEADS; h++) {
        struct list *list = &t->list[h], old = *list;
        unsigned char stay[MOST] = {0};
        int32_t to[MOST];
        int left = 0, went = 0;
        for (int j = 0; j < old.n; j++)
            left += stay[j] = below(w, 4) != 0;
        ck_assert_int_eq(kvcache_evict(t->c, h / KV_HEADS, h % KV_HEADS, stay, to), left);
        list->n = left;
        for (int j = 0; j < old.n; j++) {
            ck_assert_int_eq(to[j] >= 0, stay[j]);
            ck_assert_int_lt(to[j], left);
            ck_assert(!stay[j] || j >= left || to[j] == j); /* only entries from the end move */
            if (stay[j])
                list->entry[to[j]] = old.entry[j];
            went |= !stay[j];
            list->origin += !stay[j] && old.entry[j].token < oldest(h, t->n_seen);
        }
        t->scrambled |= went; /* check_twin finds two that went to one slot: one of them is missing */
    }
}

static void step(struct world *w)
{
    struct twin *t = &w->twin[below(w, CACHES)];
    int dice = below(w, 16);
    if (!t->c) {
        if (dice < 3)
            create(w);
    } else if (dice < 4) {
        append(w, t, 12);
    } else if (dice < 5) {
        seal(w, t);
    } else if (dice < 6) {
        rewind_tails(w, t);
    } else if (dice < 9) {
        derive(w, below(w, 2) ? t : &w->twin[0]);
    } else if (dice < 11) {
        gather(w, t);
    } else if (dice < 13) {
        evict(w, t);
    } else if (t != &w->twin[0]) { /* the prompt that others are cut from */
        destroy(w, t);
    }
}

START_TEST(a_cache_holds_what_a_list_of_its_entries_does)
{
    static struct world w;
    int derived = 0, packed = 0, gathered = 0, evicted = 0, pooled = 0;
    held_as = _i % 2 ? MODEL_BF16 : MODEL_F32;
    make_tokens();
    w = (struct world){.pool_of = -1};
    rng_init(&w.r, (uint64_t)_i, "kvcache"); /* the number that Check prints when this fails */
    w.twin[0].c = kvcache_create_held(&hp, held_as, 30, NULL);
    while (w.twin[0].n_seen < 20)
        append(&w, &w.twin[0], 30);
    seal(&w, &w.twin[0]);
    for (int i = 0; i < 400; i++) {
        step(&w);
        for (int k = 0; k < CACHES; k++) {
            const struct twin *t = &w.twin[k];
            if (!t->c)
                continue;
            check_twin(t);
            derived += t->sealed;
            packed += t->packed;
            gathered += !t->sealed && t->packed;
            evicted += t->scrambled;
        }
        pooled += w.n_pooled;
        ck_assert_uint_eq(kvcache_resident_bytes(), resident(&w));
    }
    ck_assert_msg(derived && packed && gathered && evicted && pooled, "not every way was gone: %d %d %d %d %d", derived,
                  packed, gathered, evicted, pooled);
    for (int k = 0; k < CACHES; k++)
        if (w.twin[k].c)
            destroy(&w, &w.twin[k]);
    drop_pool(&w);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
    rope_set_fini(&rope);
}
END_TEST

Suite *make_kvcache_suite(void)
{
    Suite *s = suite_create("kvcache");
    TCase *t = tcase_create("kvcache");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_cache_holds_what_a_list_of_its_entries_does, 0, 8);
    suite_add_tcase(s, t);
    return s;
}
