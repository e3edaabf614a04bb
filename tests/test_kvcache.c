/* Keep sets, and caches against a naive list of entries. */
#include <string.h>

#include "harness/base/mem.h"
#include "models/kvcache.h"
#include "tests/suites.h"
#include "tests/support.h"

enum { L = 2, H = 3, D = 4, MAX = 200 };

static const struct hparams hp = {.n_layer = L, .n_kv_head = H, .head_dim = D};
static const size_t ENTRY = 2 * D * sizeof(float);

/* What an entry holds is a function of its birth, so that a list of numbers says all about a cache. */
struct naive {
    int n_segment[L][H], n_tail, n_seen, birth[L][H][MAX];
};

static float value(int layer, int head, int birth, int i)
{
    return (float)(((birth * L + layer) * H + head) * 2 * D + i);
}

static void append(struct kvcache *c, struct naive *v, int n, int *birth)
{
    for (int i = 0; i < n; i++, (*birth)++)
        for (int l = 0; l < L; l++)
            for (int h = 0; h < H; h++) {
                struct kv_tail *t = kvcache_tail(c, l, h);
                for (int x = 0; x < D; x++) {
                    t->k[t->n * D + x] = value(l, h, *birth, x);
                    t->v[t->n * D + x] = value(l, h, *birth, D + x);
                }
                t->pos[t->n++] = *birth;
                v->birth[l][h][v->n_segment[l][h] + v->n_tail + i] = *birth;
            }
    v->n_tail += n;
    v->n_seen += n;
    kvcache_set_seen(c, kvcache_n_seen(c) + n);
}

static void rewind_both(struct kvcache *c, struct naive *v, int n_tail)
{
    kvcache_rewind(c, n_tail);
    v->n_seen -= v->n_tail - n_tail;
    v->n_tail = n_tail;
}

static void same(struct kvcache *c, const struct naive *v, uint64_t seed)
{
    size_t bytes = 0;
    for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++) {
            const struct kv_segment *s = kvcache_segment(c, l, h);
            const struct kv_tail *t = kvcache_tail(c, l, h);
            int n_segment = s ? s->n : 0;
            ck_assert_msg(n_segment == v->n_segment[l][h] && t->n == v->n_tail, "seed %d", (int)seed);
            ck_assert_int_eq(kvcache_n_entry(c, l, h), n_segment + t->n);
            for (int i = 0; i < n_segment + t->n; i++) {
                int in_tail = i >= n_segment, at = in_tail ? i - n_segment : i, birth = v->birth[l][h][i];
                ck_assert_msg((in_tail ? t->pos : s->pos)[at] == birth, "seed %d", (int)seed);
                for (int x = 0; x < D; x++) {
                    ck_assert((in_tail ? t->k : s->k)[at * D + x] == value(l, h, birth, x));
                    ck_assert((in_tail ? t->v : s->v)[at * D + x] == value(l, h, birth, D + x));
                }
            }
            bytes += (size_t)(n_segment + t->n) * ENTRY;
        }
    ck_assert_uint_eq(kvcache_bytes(c), bytes);
    ck_assert_int_eq(kvcache_n_seen(c), v->n_seen);
    ck_assert_int_eq(kvcache_n_tail(c), v->n_tail);
}

/* A random keep set, and the list that it makes of `full`. */
static struct keepset *random_keep(struct rng *r, const struct naive *full, struct naive *out)
{
    int n = full->n_segment[0][0];
    struct keepset *k = keepset_create(L, H, n, NULL);
    *out = (struct naive){.n_seen = full->n_seen};
    for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++) {
            uint64_t share = rng_below(r, 5); /* 4: everything */
            for (int j = 0; j < n; j++)
                if (rng_below(r, 4) < share) {
                    keepset_add(k, l, h, j);
                    out->birth[l][h][out->n_segment[l][h]++] = full->birth[l][h][j];
                }
        }
    return k;
}

START_TEST(random_histories_agree_with_a_naive_list)
{
    struct rng r;
    struct naive full = {0}, cut;
    uint64_t seed = (uint64_t)_i;
    int birth = 0;
    rng_init(&r, seed, "kvcache");
    size_t before = mem_live();
    struct kvcache *c = kvcache_create(&hp, MAX / 2, NULL);
    for (int i = 0; i < 6; i++) {
        append(c, &full, (int)rng_below(&r, (uint64_t)(MAX / 2 - full.n_tail + 1)), &birth);
        same(c, &full, seed);
        if (rng_below(&r, 2))
            rewind_both(c, &full, (int)rng_below(&r, (uint64_t)full.n_tail + 1));
        same(c, &full, seed);
    }
    ck_assert_int_eq(kvcache_seal(c, 7, NULL), 0);
    for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++)
            full.n_segment[l][h] = full.n_tail;
    full.n_tail = 0;
    append(c, &full, 7, &birth);
    same(c, &full, seed);
    rewind_both(c, &full, 0);
    struct kvcache_pool *pool = rng_below(&r, 2) ? kvcache_pool_create() : NULL;
    for (int i = 0; i < 4; i++) {
        struct keepset *k = random_keep(&r, &full, &cut);
        struct kvcache *d = kvcache_derive(c, k, 20, pool, NULL);
        keepset_destroy(k);
        for (int j = 0; j < 4; j++) {
            same(d, &cut, seed);
            append(d, &cut, (int)rng_below(&r, (uint64_t)(20 - cut.n_tail + 1)), &birth);
            same(d, &cut, seed);
            rewind_both(d, &cut, (int)rng_below(&r, (uint64_t)cut.n_tail + 1));
        }
        same(c, &full, seed); /* nothing that is done to a cell reaches what it came from */
        kvcache_destroy(d);
    }
    kvcache_destroy(c);
    kvcache_pool_destroy(pool);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
    ck_assert_uint_eq(mem_live(), before);
}
END_TEST

/* A sealed cache of n entries. */
static struct kvcache *sealed(int n)
{
    struct naive v = {0};
    int birth = 0;
    struct kvcache *c = kvcache_create(&hp, n, NULL);
    append(c, &v, n, &birth);
    ck_assert_int_eq(kvcache_seal(c, 0, NULL), 0);
    return c;
}

/* Everything but `gone` entries of one layer. */
static struct keepset *all_but(int n, int layer, int gone)
{
    struct keepset *k = keepset_create(L, H, n, NULL);
    for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++)
            if (l != layer)
                keepset_fill(k, l, h);
            else
                for (int j = gone; j < n; j++)
                    keepset_add(k, l, h, j);
    return k;
}

START_TEST(equal_keep_sets_share_memory_and_whole_layers_are_never_copied)
{
    enum { N = 30, GONE = 10 };
    struct kvcache *full = sealed(N);
    size_t whole = (size_t)(L * H * N) * ENTRY, layer = (size_t)(H * (N - GONE)) * ENTRY;
    ck_assert_uint_eq(kvcache_resident_bytes(), whole);
    struct kvcache_pool *pool = kvcache_pool_create();
    struct keepset *first = all_but(N, 0, GONE), *again = all_but(N, 0, GONE), *other = all_but(N, 1, GONE);
    struct kvcache *a = kvcache_derive(full, first, 2, pool, NULL), *b = kvcache_derive(full, again, 2, pool, NULL);
    size_t tails = (size_t)(L * H * 2) * ENTRY;
    ck_assert_uint_eq(kvcache_resident_bytes(), whole + layer + 2 * tails);
    ck_assert_uint_eq(kvcache_bytes(a), whole - (size_t)(H * GONE) * ENTRY);
    struct kvcache *c = kvcache_derive(full, other, 0, pool, NULL), *d = kvcache_derive(full, NULL, 0, NULL, NULL);
    ck_assert_uint_eq(kvcache_resident_bytes(), whole + 2 * layer + 2 * tails);
    struct kvcache *e = kvcache_derive(full, first, 0, NULL, NULL); /* no pool: a copy of its own */
    ck_assert_uint_eq(kvcache_resident_bytes(), whole + 3 * layer + 2 * tails);
    for (int h = 0; h < H; h++) {
        ck_assert_ptr_eq(kvcache_segment(a, 0, h), kvcache_segment(b, 0, h));
        ck_assert_ptr_ne(kvcache_segment(a, 0, h), kvcache_segment(full, 0, h));
        ck_assert_ptr_ne(kvcache_segment(a, 0, h), kvcache_segment(e, 0, h));
        ck_assert_ptr_eq(kvcache_segment(a, 1, h), kvcache_segment(full, 1, h));
        ck_assert_ptr_eq(kvcache_segment(c, 0, h), kvcache_segment(full, 0, h));
        ck_assert_ptr_eq(kvcache_segment(d, 1, h), kvcache_segment(full, 1, h));
        for (int g = 0; g < H; g++) /* the same bitmap in another place is not the same segment */
            ck_assert(g == h || kvcache_segment(a, 0, g) != kvcache_segment(a, 0, h));
    }
    kvcache_destroy(full); /* its layers live on in those who share them */
    kvcache_pool_destroy(pool);
    kvcache_destroy(b);
    ck_assert(kvcache_segment(a, 1, 0)->k[0] == value(1, 0, 0, 0));
    kvcache_destroy(a);
    kvcache_destroy(c);
    kvcache_destroy(d);
    ck_assert_uint_eq(kvcache_resident_bytes(), layer + (size_t)(H * N) * ENTRY);
    kvcache_destroy(e);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
    keepset_destroy(first);
    keepset_destroy(again);
    keepset_destroy(other);
}
END_TEST

START_TEST(a_pass_that_failed_half_way_is_cut_off_without_touching_what_was_seen)
{
    struct naive v = {0};
    int birth = 0;
    struct kvcache *c = kvcache_create(&hp, 10, NULL);
    append(c, &v, 4, &birth);
    for (int h = 0; h < H; h++) /* only the first layer got its rows */
        kvcache_tail(c, 0, h)->n += 3;
    kvcache_truncate(c, 4);
    same(c, &v, 0);
    kvcache_destroy(c);
}
END_TEST

START_TEST(refused_memory_is_an_error_and_leaves_nothing_behind)
{
    struct kvcache *full = sealed(20);
    struct keepset *k = all_but(20, 1, 3);
    size_t live = mem_live(), resident = kvcache_resident_bytes();
    int done = 0, tries = 0;
    for (; !done; tries++) {
        struct err e = {0};
        mem_fail_at(tries + 1);
        struct kvcache *d = kvcache_derive(full, k, 5, NULL, &e);
        mem_fail_at(0);
        done = d != NULL;
        ck_assert(done || e.code == ERR_NOMEM);
        kvcache_destroy(d);
        ck_assert_uint_eq(mem_live(), live);
        ck_assert_uint_eq(kvcache_resident_bytes(), resident);
    }
    ck_assert_int_eq(tries, 1 + 3 * H + 3 * L * H); /* three arrays a gathered segment, three a tail */
    for (done = 0, tries = 0; !done; tries++) {
        mem_fail_at(tries + 1);
        struct keepset *other = keepset_create(L, H, 100, NULL);
        mem_fail_at(0);
        done = other != NULL;
        keepset_destroy(other);
        ck_assert_uint_eq(mem_live(), live);
    }
    ck_assert_int_eq(tries, 3);
    keepset_destroy(k);
    kvcache_destroy(full);
}
END_TEST

START_TEST(keep_sets_count_and_list_what_was_added)
{
    static const int sizes[] = {1, 63, 64, 65, 130};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s], expected = 0;
        struct keepset *k = keepset_create(L, H, n, NULL);
        int32_t *list = mem_new((size_t)n, sizeof *list);
        for (int j = n - 1; j >= 0; j -= 2) {
            keepset_add(k, 1, 2, j);
            keepset_add(k, 1, 2, j); /* twice is once */
            expected++;
        }
        ck_assert_int_eq(keepset_count(k, 1, 2), expected);
        ck_assert_int_eq(keepset_list(k, 1, 2, list), expected);
        for (int i = 0; i < expected; i++)
            ck_assert_int_eq(list[i], (n - 1) % 2 + 2 * i);
        for (int j = 0; j < n; j++)
            ck_assert_int_eq(keepset_has(k, 1, 2, j), (n - 1 - j) % 2 == 0);
        ck_assert_int_eq(keepset_count(k, 1, 1), 0);
        keepset_fill(k, 1, 2);
        ck_assert_int_eq(keepset_count(k, 1, 2), n);
        keepset_destroy(k);
        mem_free(list);
    }
}
END_TEST

Suite *make_kvcache_suite(void)
{
    Suite *s = suite_create("kvcache");
    TCase *t = tcase_create("core");
    tcase_add_test(t, keep_sets_count_and_list_what_was_added);
    tcase_add_loop_test(t, random_histories_agree_with_a_naive_list, 0, 40);
    tcase_add_test(t, equal_keep_sets_share_memory_and_whole_layers_are_never_copied);
    tcase_add_test(t, a_pass_that_failed_half_way_is_cut_off_without_touching_what_was_seen);
    tcase_add_test(t, refused_memory_is_an_error_and_leaves_nothing_behind);
    suite_add_tcase(s, t);
    return s;
}
