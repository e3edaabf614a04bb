/* Statistics: every one of the list shows itself, nothing else, and uses the room that it asked for; and a cache whose
 * slots lie in another order shows the same in the order of positions. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/statistic.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N_LAYER = 2, N_HEAD = 4, N_KV_HEAD = 2, N = 12, N_ROW = 3 };

/* What is set in a view, as STATISTIC_* bits. */
static unsigned shown(const struct policy_view *v)
{
    unsigned bits = v->hidden ? STATISTIC_HIDDEN : 0;
    bits |= v->answer ? STATISTIC_ANSWER : 0;
    for (int h = 0; h < N_KV_HEAD; h++) {
        bits |= v->head[h].keys ? STATISTIC_KEYS : 0;
        bits |= v->head[h].values ? STATISTIC_VALUES : 0;
    }
    for (int q = 0; q < N_HEAD; q++) {
        const struct policy_attention *a = &v->attention[q];
        bits |= a->off_diagonal || a->diagonal ? STATISTIC_COLUMNS : 0;
        bits |= a->rows ? STATISTIC_ROWS : 0;
        bits |= a->entropy ? STATISTIC_ENTROPY : 0;
        bits |= a->queries ? STATISTIC_QUERIES : 0;
    }
    return bits;
}

struct look {
    struct policy_view view;
    struct policy_head head[N_KV_HEAD];
    struct policy_attention attention[N_HEAD];
    const float *answer[N_KV_HEAD];
    float *room;
};

static void look(unsigned needs, struct statistic_source from, struct look *w)
{
    size_t n = statistic_room(needs, &from);
    *w = (struct look){.room = mem_new(n + 1, sizeof *w->room)};
    from.room = w->room;
    statistic_show(
        needs, &from,
        &(struct statistic_sight){.view = &w->view, .head = w->head, .attention = w->attention, .answer = w->answer});
    ck_assert_msg(from.room == w->room + n, "%zu floats asked for, %td used", n, from.room - w->room);
}

struct bench {
    struct model *m;
    struct kvcache *cache;
    struct tally *held; /* the pass, as entries keep it */
    float answer[N_KV_HEAD * N];
    int layers;
};

/* In another order of slots: order[j] is the slot of the j-th entry. */
static void compare(const float *straight, const float *turned, const int32_t *order, size_t width)
{
    for (size_t j = 0; j < N; j++)
        ck_assert_mem_eq(turned + j * width, straight + (size_t)order[j] * width, width * sizeof *turned);
}

static void compare_in_order(const struct bench *b, const struct attention_stats *st)
{
    const unsigned needs = STATISTIC_KEYS | STATISTIC_VALUES | STATISTIC_COLUMNS | STATISTIC_ROWS;
    int32_t order[N];
    const int32_t *orders[N_KV_HEAD] = {order, order};
    struct look straight, held, turned;
    size_t d = (size_t)b->m->hp.head_dim;
    for (int j = 0; j < N; j++)
        order[j] = (5 * j + 3) % N;
    struct statistic_source from = {
        .hp = &b->m->hp, .layer = st->layer, .cache = b->cache, .n = st->n_key, .pass = st, .n_row = N_ROW};
    look(needs, from, &straight);
    from.held = b->held;
    from.rows_held = 1;
    from.pass = NULL;
    look(needs, from, &held);
    from.order = orders;
    look(needs, from, &turned);
    for (int h = 0; h < N_KV_HEAD; h++) {
        const struct kv_tail *tail = kvcache_tail(b->cache, st->layer, h);
        for (size_t i = 0; i < N * d; i++) { /* what is held, rounded or not, is what is shown */
            ck_assert_double_eq((double)straight.head[h].keys[i], (double)kvrows_number(tail->k, i));
            ck_assert_double_eq((double)straight.head[h].values[i], (double)kvrows_number(tail->v, i));
        }
        ck_assert(!tail->k.f32 || straight.head[h].keys == held.head[h].keys);
        ck_assert_mem_eq(straight.head[h].keys, held.head[h].keys, N * d * sizeof(float));
        compare(straight.head[h].keys, turned.head[h].keys, order, d);
        compare(straight.head[h].values, turned.head[h].values, order, d);
    }
    for (int q = 0; q < N_HEAD; q++) {
        const struct policy_attention *a = &straight.attention[q], *k = &held.attention[q], *t = &turned.attention[q];
        ck_assert_mem_eq(a->off_diagonal, k->off_diagonal, N * sizeof(float));
        ck_assert_mem_eq(a->diagonal, k->diagonal, N * sizeof(float));
        ck_assert_mem_eq(a->rows, k->rows, N_ROW * N * sizeof(float));
        compare(a->off_diagonal, t->off_diagonal, order, 1);
        compare(a->diagonal, t->diagonal, order, 1);
        for (int r = 0; r < N_ROW; r++)
            compare(a->rows + r * N, t->rows + r * N, order, 1);
    }
    mem_free(straight.room);
    mem_free(held.room);
    mem_free(turned.room);
}

static int on_attention(void *ctx, const struct attention_stats *st, struct err *e)
{
    struct bench *b = ctx;
    (void)e;
    tally_take(b->held, NULL, st);
    for (int i = 0; i < STATISTIC_N; i++) {
        struct look w;
        unsigned mine = 1u << i, gathered = mine & (STATISTIC_OF_VIEW | STATISTIC_ANSWER);
        look(mine,
             (struct statistic_source){.hp = &b->m->hp,
                                       .layer = st->layer,
                                       .cache = b->cache,
                                       .n = st->n_key,
                                       .pass = st,
                                       .n_row = N_ROW,
                                       .answer = b->answer},
             &w);
        ck_assert_msg(shown(&w.view) == gathered, "%s shows %#x", statistic_words[i].name, shown(&w.view));
        mem_free(w.room);
    }
    compare_in_order(b, st);
    b->layers++;
    return 0;
}

START_TEST(every_statistic_shows_itself_alone_in_the_order_of_positions)
{
    struct bench b = {.m = support_tiny_model(N_LAYER, N_HEAD, N_KV_HEAD, 8, 32, 50, 1, 3)};
    struct workspace *w = workspace_create();
    int32_t token[N];
    struct tap tap = {
        .ctx = &b, .stats = statistic_tap((1u << STATISTIC_N) - 1), .last_rows = N_ROW, .attention = on_attention};
    struct err e = {0};
    for (int i = 0; i < N; i++)
        token[i] = (7 * i + 1) % 50;
    b.cache = kvcache_create_held(&b.m->hp, _i ? MODEL_BF16 : MODEL_F32, N, &e);
    b.held = tally_create(&b.m->hp, b.cache, N, &(struct tally_of){.columns = 1, .window = N_ROW}, &e);
    ck_assert_msg(support_feed(b.m, w, FORWARD_PREFILL, b.cache, token, 0, N, &tap, NULL, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(b.layers, N_LAYER);
    tally_destroy(b.held);
    kvcache_destroy(b.cache);
    workspace_destroy(w);
    model_close(b.m);
}
END_TEST

START_TEST(the_first_of_a_kind_is_named)
{
    ck_assert_str_eq(statistic_first(STATISTIC_KEYS | STATISTIC_QUERIES | STATISTIC_HIDDEN, STATISTIC_OF_PASS),
                     "queries");
    ck_assert_ptr_null(statistic_first(STATISTIC_KEYS | STATISTIC_ROWS, STATISTIC_OF_PASS));
    ck_assert_str_eq(statistic_first(STATISTIC_COSINE, STATISTIC_OF_PROMPT), "the residual stream");
}
END_TEST

Suite *make_statistic_suite(void)
{
    Suite *s = suite_create("statistic");
    TCase *t = tcase_create("statistic");
    tcase_add_loop_test(t, every_statistic_shows_itself_alone_in_the_order_of_positions, 0, 2);
    tcase_add_test(t, the_first_of_a_kind_is_named);
    suite_add_tcase(s, t);
    return s;
}
