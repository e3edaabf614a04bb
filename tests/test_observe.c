/* The observer alone: what policies and layer allocators are shown of a pass, against plain sums over the attention
 * rows of a second, slow pass; each statistic asked for by itself, and all of them by several at once. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/prefill.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { LAYERS = 2, HEADS = 4, KV_HEADS = 2, GROUP = HEADS / KV_HEADS, DIM = 8, WIDTH = HEADS * DIM, VOCAB = 64 };
enum { T = 45, FIRST = 28 /* tokens of the first of two passes */, SAMPLE = 5, MOST_ROWS = 30 };
static const double tolerance = 3e-5; /* sums of up to T single-precision weights, which are at most 1 */

/* ---- the truth ---------------------------------------------------------------------------------- */

static struct {
    double a[LAYERS][HEADS][T][T];                            /* A(i, j), 0 where j > i */
    double before[LAYERS][T][WIDTH], after[LAYERS][T][WIDTH]; /* the stream around the attention block */
    struct kvcache *cache;
} truth;

static struct model *model;
static struct workspace *work;
static int32_t token[T];

static int on_weight(void *ctx, int layer, int head, int row, const float *weight, int n_key, struct err *e)
{
    (void)ctx;
    (void)e;
    for (int j = 0; j < n_key; j++)
        truth.a[layer][head][row][j] = (double)weight[j];
    return 0;
}

static int on_stage(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    (void)ctx;
    (void)e;
    for (int i = 0; i < n_row * WIDTH; i++)
        (stage == TAP_PRE ? truth.before : truth.after)[layer][i / WIDTH][i % WIDTH] = (double)x[i];
    return 0;
}

static void setup(void)
{
    struct tap tap = {.weights = on_weight, .stages = 1u << TAP_PRE | 1u << TAP_RES, .stage = on_stage};
    model = support_tiny_model(LAYERS, HEADS, KV_HEADS, DIM, 24, VOCAB, 1, 3);
    work = workspace_create();
    for (int i = 0; i < T; i++)
        token[i] = i * 17 % VOCAB;
    truth.cache = kvcache_create(&model->hp, T, NULL);
    ck_assert_int_eq(support_feed(model, work, FORWARD_REFERENCE, truth.cache, token, 0, T, &tap, NULL, NULL), 0);
}

static void teardown(void)
{
    kvcache_destroy(truth.cache);
    workspace_destroy(work);
    model_close(model);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
}

static void near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= tolerance))
        ck_abort_msg("%s is %.9g, not %.9g", what, found, expected);
}

/* ---- a policy that looks ------------------------------------------------------------------------ */

struct spy {
    unsigned needs;
    int rows;
    int fails;                /* 1: the score fails in layer 1 */
    int n_query, first_query; /* what it has to be shown */
    int n_row;
    int calls;
};

static unsigned spy_needs(const void *config)
{
    return ((const struct spy *)config)->needs;
}

static int spy_rows(const void *config)
{
    return ((const struct spy *)config)->rows;
}

static void look_at_entries(const struct spy *spy, const struct policy_view *v, int n)
{
    for (int h = 0; h < KV_HEADS; h++) {
        const struct kv_tail *t = kvcache_tail(truth.cache, v->layer, h);
        ck_assert_int_eq(v->head[h].n_entry, n);
        ck_assert_int_eq(v->head[h].keys != NULL, (spy->needs & STATISTIC_KEYS) != 0);
        ck_assert_int_eq(v->head[h].values != NULL, (spy->needs & STATISTIC_VALUES) != 0);
        for (int j = 0; j < n; j++)
            ck_assert_int_eq(v->head[h].pos[j], j);
        for (int i = 0; i < n * DIM; i++) {
            if (v->head[h].keys)
                near("a key", (double)v->head[h].keys[i], (double)t->k.f32[i]);
            if (v->head[h].values)
                near("a value", (double)v->head[h].values[i], (double)t->v.f32[i]);
        }
    }
}

static void look_at_columns(const struct spy *spy, const struct policy_attention *at, double a[T][T], int n)
{
    ck_assert_int_eq(at->off_diagonal != NULL, (spy->needs & STATISTIC_COLUMNS) != 0);
    ck_assert_int_eq(at->diagonal != NULL, (spy->needs & STATISTIC_COLUMNS) != 0);
    for (int j = 0; at->diagonal && j < n; j++) {
        double sum = 0;
        for (int i = spy->first_query; i < n; i++)
            sum += i > j ? a[i][j] : 0;
        near("a column's sum", (double)at->off_diagonal[j], sum);
        near("a diagonal", (double)at->diagonal[j], j >= spy->first_query ? a[j][j] : 0);
    }
}

static void look_at_rows(const struct spy *spy, const struct policy_view *v, const struct policy_attention *at,
                         double a[T][T], int n)
{
    ck_assert_int_eq(at->rows != NULL, (spy->needs & STATISTIC_ROWS) != 0);
    for (int r = 0; at->rows && r < v->n_row; r++)
        for (int j = 0; j < n; j++)
            near("a row", (double)at->rows[r * n + j], a[n - v->n_row + r][j]);
    ck_assert_int_eq(at->entropy != NULL, (spy->needs & STATISTIC_ENTROPY) != 0);
    for (int r = 0; at->entropy && r < v->n_query; r++) {
        double sum = 0;
        for (int j = 0; j < n; j++) {
            double p = a[n - v->n_query + r][j];
            sum -= p > 0 ? p * log(p) : 0;
        }
        near("an entropy", (double)at->entropy[r], sum);
    }
}

/* A query is right when its products with the keys give the row. */
static void look_at_queries(const struct spy *spy, const struct policy_view *v, int q, double a[T][T], int n)
{
    const float *queries = v->attention[q].queries, *keys = kvcache_tail(truth.cache, v->layer, q / GROUP)->k.f32;
    ck_assert_int_eq(queries != NULL, (spy->needs & STATISTIC_QUERIES) != 0);
    for (int r = 0; queries && r < v->n_query; r++) {
        int i = n - v->n_query + r;
        double w[T], sum = 0;
        for (int j = 0; j <= i; j++) {
            double product = 0;
            for (int d = 0; d < DIM; d++)
                product += (double)queries[r * DIM + d] * (double)keys[j * DIM + d];
            sum += w[j] = exp(product / sqrt(DIM));
        }
        for (int j = 0; j <= i; j++)
            near("a query's weight", w[j] / sum, a[i][j]);
    }
}

static void look(struct spy *spy, const struct policy_view *v)
{
    int n = v->n_seen;
    spy->calls++;
    ck_assert_int_eq(v->n_query, spy->n_query);
    ck_assert_int_eq(v->first_query, spy->first_query);
    ck_assert_int_eq(v->n_layer, LAYERS);
    ck_assert_int_eq(v->n_group, GROUP);
    ck_assert_uint_eq(v->sample, SAMPLE);
    if (spy->needs & STATISTIC_ROWS)
        ck_assert_int_eq(v->n_row, spy->n_row);
    look_at_entries(spy, v, n);
    for (int q = 0; q < HEADS; q++) {
        look_at_columns(spy, &v->attention[q], truth.a[v->layer][q], n);
        look_at_rows(spy, v, &v->attention[q], truth.a[v->layer][q], n);
        look_at_queries(spy, v, q, truth.a[v->layer][q], n);
    }
    ck_assert_int_eq(v->hidden != NULL, (spy->needs & STATISTIC_HIDDEN) != 0);
    for (int i = 0; v->hidden && i < v->n_query * WIDTH; i++)
        near("a hidden state", (double)v->hidden[i], truth.before[v->layer][n - v->n_query + i / WIDTH][i % WIDTH]);
}

static int spy_score(void *self, const struct policy_view *v, float *const *score, struct err *e)
{
    struct spy *spy = self;
    if (!(spy->needs & STATISTIC_ANSWER))
        look(spy, v);
    else
        spy->calls++;
    for (int h = 0; h < KV_HEADS; h++)
        for (int j = 0; j < v->head[h].n_entry; j++)
            score[h][j] = v->answer ? v->answer[h][j] : (float)(v->layer * 1000 + h * 100 + j);
    return spy->fails && v->layer == 1 ? err_set(e, ERR_POLICY, "on purpose") : 0;
}

static const struct policy_ops spying = {
    .abi = POLICY_ABI, .name = "spy", .needs_of = spy_needs, .rows = spy_rows, .score = spy_score};

/* ---- cells -------------------------------------------------------------------------------------- */

static const struct allocator_ops blind = {.name = "blind"};
static char names[][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
static char no_budget[] = "blind";

/* Cells of these spies, every one with parameters of its own. */
static void make_cells(struct spy *spy, int n, struct cell *cell, struct cell **list)
{
    for (int i = 0; i < n; i++) {
        cell[i] = (struct cell){.policy = &spying,
                                .policy_config = &spy[i],
                                .params = names[i],
                                .allocator = &blind,
                                .layer_budget = no_budget};
        list[i] = &cell[i];
    }
}

static const unsigned every[] = {STATISTIC_KEYS,    STATISTIC_VALUES,  STATISTIC_COLUMNS, STATISTIC_ROWS,
                                 STATISTIC_ENTROPY, STATISTIC_QUERIES, STATISTIC_HIDDEN};
enum { N_EVERY = sizeof every / sizeof *every };

static unsigned all_of_them(void)
{
    unsigned all = 0;
    for (int i = 0; i < N_EVERY; i++)
        all |= every[i];
    return all;
}

/* Tokens [first, first + n) into the cache, watched. */
static struct observer *watch(struct kvcache *c, int first, int n, struct cell **cell, int n_cell,
                              struct observe_pass *pass)
{
    struct err e = {0};
    struct prefill p = {.model = model, .work = work, .token = token, .first = first, .n = n, .cache = c};
    pass->sample = SAMPLE;
    struct observer *o = prefill_observed(&p, cell, n_cell, pass, &e);
    ck_assert_msg(o != NULL, "%s", e.msg);
    return o;
}

START_TEST(every_statistic_alone_is_the_plain_one)
{
    for (int i = 0; i < N_EVERY; i++) {
        struct spy spy = {.needs = every[i], .rows = 7, .n_query = T, .n_row = 7};
        struct cell cell, *list[1];
        struct observe_pass pass = {0};
        struct kvcache *c = kvcache_create(&model->hp, T, NULL);
        make_cells(&spy, 1, &cell, list);
        observe_destroy(watch(c, 0, T, list, 1, &pass));
        ck_assert_int_eq(spy.calls, LAYERS);
        kvcache_destroy(c);
    }
}
END_TEST

START_TEST(many_that_ask_at_once_are_each_shown_their_own)
{
    struct spy spy[N_EVERY + 3] = {0};
    struct cell cell[N_EVERY + 3], *list[N_EVERY + 3];
    unsigned char skip[N_EVERY + 3] = {0};
    struct observe_pass pass = {.skip = skip};
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    for (int i = 0; i < N_EVERY; i++)
        spy[i] = (struct spy){.needs = every[i], .rows = 4, .n_query = T, .n_row = 4};
    spy[N_EVERY] = (struct spy){.needs = all_of_them(), .rows = 2 * T, .n_query = T, .n_row = T};
    spy[N_EVERY + 1] = (struct spy){.needs = STATISTIC_ROWS, .rows = 1, .n_query = T, .n_row = 1};
    spy[N_EVERY + 2] = (struct spy){.needs = all_of_them()};
    make_cells(spy, N_EVERY + 3, cell, list);
    skip[N_EVERY + 2] = 1;
    struct observer *o = watch(c, 0, T, list, N_EVERY + 3, &pass);
    for (int i = 0; i < N_EVERY + 3; i++)
        ck_assert_int_eq(spy[i].calls, skip[i] ? 0 : LAYERS);
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < KV_HEADS; h++)
            for (int j = 0; j < T; j++)
                ck_assert(observe_scores(o, 0, NULL)[l][h][j] == (float)(l * 1000 + h * 100 + j));
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

START_TEST(cells_with_the_same_policy_and_parameters_are_scored_once)
{
    struct spy spy[2] = {{.needs = STATISTIC_KEYS, .n_query = T}, {.needs = STATISTIC_KEYS, .n_query = T}};
    struct cell cell[2], *list[2];
    struct observe_pass pass = {0};
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    make_cells(spy, 2, cell, list);
    cell[1].params = cell[0].params;
    struct observer *o = watch(c, 0, T, list, 2, &pass);
    ck_assert_int_eq(spy[0].calls, LAYERS);
    ck_assert_int_eq(spy[1].calls, 0);
    ck_assert_ptr_eq(observe_scores(o, 0, NULL), observe_scores(o, 1, NULL));
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

START_TEST(a_scorer_that_fails_fails_alone_and_is_asked_no_more)
{
    struct spy spy[2] = {{.needs = STATISTIC_COLUMNS, .n_query = T, .fails = 1},
                         {.needs = STATISTIC_ROWS, .rows = 3, .n_query = T, .n_row = 3}};
    struct cell cell[2], *list[2];
    struct err e = {0};
    struct observe_pass pass = {0};
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    make_cells(spy, 2, cell, list);
    struct observer *o = watch(c, 0, T, list, 2, &pass);
    ck_assert_ptr_null(observe_scores(o, 0, &e));
    ck_assert_int_eq(e.code, ERR_POLICY);
    ck_assert_str_eq(e.msg, "policy 'spy', layer 1: on purpose");
    ck_assert_ptr_nonnull(observe_scores(o, 1, &e));
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

/* ---- two passes ----------------------------------------------------------------------------------- */

/* A tally of these passes holds the sums of queries [from, n) and the last rows. */
static void check_tally(const struct tally *t, int from, int n, int most)
{
    for (int i = 0; i < LAYERS * HEADS; i++) {
        const struct tally_head *h = &t->head[i];
        double(*a)[T] = truth.a[i / HEADS][i % HEADS];
        ck_assert_int_eq(h->n_row, n - from < most ? n - from : most);
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = from; k < n; k++)
                sum += k > j ? a[k][j] : 0;
            near("a kept column's sum", (double)h->off[j], sum);
            near("a kept diagonal", (double)h->diag[j], j >= from ? a[j][j] : 0);
            for (int r = 0; r < h->n_row; r++)
                near("a kept row", (double)tally_row_at(t, i / HEADS, i % HEADS, r)[j], a[n - h->n_row + r][j]);
        }
    }
}

START_TEST(a_second_pass_is_shown_with_the_first_to_those_who_carry_it)
{
    enum { SECOND = T - FIRST };
    const struct hparams *hp = &model->hp;
    unsigned of_entries = STATISTIC_COLUMNS | STATISTIC_ROWS;
    struct spy first = {.needs = of_entries, .rows = MOST_ROWS, .n_query = FIRST, .n_row = FIRST};
    struct spy spy[4] = {
        {.needs = of_entries, .rows = MOST_ROWS, .n_query = SECOND, .n_row = MOST_ROWS},
        {.needs = all_of_them(), .rows = 5, .n_query = SECOND, .n_row = 5},
        {.needs = of_entries, .rows = MOST_ROWS, .n_query = SECOND, .first_query = FIRST, .n_row = SECOND},
        {.needs = all_of_them(), .rows = 3, .n_query = SECOND, .first_query = FIRST, .n_row = 3}};
    struct cell cell[4], *list[4];
    struct kvcache *c = kvcache_create(hp, T, NULL);
    struct tally *one = tally_create(hp, c, FIRST, &(struct tally_of){.columns = 1, .window = MOST_ROWS}, NULL);
    struct observe_pass pass = {.after = one};
    make_cells(&first, 1, cell, list);
    cell[0].chunk.carry = 1;
    observe_destroy(watch(c, 0, FIRST, list, 1, &pass));
    check_tally(one, 0, FIRST, MOST_ROWS);
    make_cells(spy, 4, cell, list);
    cell[0].chunk.carry = cell[1].chunk.carry = 1;
    cell[2].params = cell[0].params; /* asks for the same, but is shown something else */
    pass = (struct observe_pass){
        .before = one,
        .after = tally_create(hp, c, SECOND, &(struct tally_of){.columns = 1, .window = MOST_ROWS}, NULL),
        .fresh = tally_create(hp, c, SECOND, &(struct tally_of){.columns = 1, .window = MOST_ROWS}, NULL)};
    observe_destroy(watch(c, FIRST, SECOND, list, 4, &pass));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(spy[i].calls, LAYERS);
    check_tally(pass.after, 0, T, MOST_ROWS);
    check_tally(pass.fresh, FIRST, T, MOST_ROWS);
    tally_destroy(one);
    tally_destroy(pass.after);
    tally_destroy(pass.fresh);
    kvcache_destroy(c);
}
END_TEST

/* ---- what is not for policies ------------------------------------------------------------------------ */

START_TEST(the_last_query_is_kept_summed_over_each_group)
{
    struct observe_pass pass = {.last_row = 1};
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    struct cell *none[1] = {NULL};
    struct observer *o = watch(c, 0, T, none, 0, &pass);
    const float *last = observe_last_row(o);
    for (int i = 0; i < LAYERS * KV_HEADS * T; i++) {
        double sum = 0;
        for (int q = 0; q < GROUP; q++)
            sum += truth.a[i / T / KV_HEADS][i / T % KV_HEADS * GROUP + q][T - 1][i % T];
        near("the last query's weight", (double)last[i], sum);
    }
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

START_TEST(nothing_is_watched_where_nobody_asks)
{
    struct observe_pass pass = {0};
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    struct cell *none[1] = {NULL};
    struct observer *o = watch(c, 0, T, none, 0, &pass);
    ck_assert_ptr_null(observe_tap(o));
    ck_assert_ptr_null(observe_last_row(o));
    ck_assert_int_eq(observe_wants_answer(o), 0);
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

static int keen_rows(const void *config)
{
    (void)config;
    return 2;
}

/* An allocator's view is the same as a policy's; the statistic is a sum that tells which layer it was. */
static int keen_observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    struct spy spy = {.needs = all_of_them(), .n_query = T, .n_row = 2};
    (void)self;
    (void)e;
    look(&spy, v);
    *stat = v->layer + 0.5;
    return 0;
}

START_TEST(allocators_are_shown_the_layers_and_the_turn_of_the_stream)
{
    struct allocator_ops keen = {.name = "keen", .rows = keen_rows, .observe = keen_observe};
    struct spy spy[2] = {{.needs = STATISTIC_VALUES, .n_query = T}, {.needs = STATISTIC_VALUES, .n_query = T}};
    struct cell cell[2], *list[2];
    struct observe_pass pass = {0};
    const double *const *stat, *cosine;
    struct kvcache *c = kvcache_create(&model->hp, T, NULL);
    keen.needs = all_of_them() | STATISTIC_COSINE;
    make_cells(spy, 2, cell, list);
    cell[1].allocator = &keen;
    struct observer *o = watch(c, 0, T, list, 2, &pass);
    ck_assert_int_eq(observe_statistics(o, 0, &stat, &cosine, NULL), 0);
    ck_assert_ptr_null(stat);
    ck_assert_int_eq(observe_statistics(o, 1, &stat, &cosine, NULL), 0);
    for (int l = 0; l < LAYERS; l++) {
        double sum = 0;
        for (int i = 0; i < T; i++) {
            double ab = 0, aa = 0, bb = 0;
            for (int d = 0; d < WIDTH; d++) {
                ab += truth.before[l][i][d] * truth.after[l][i][d];
                aa += truth.before[l][i][d] * truth.before[l][i][d];
                bb += truth.after[l][i][d] * truth.after[l][i][d];
            }
            sum += ab / sqrt(aa * bb);
        }
        near("the stream's cosine", cosine[l], sum / T);
        near("what the allocator made of a layer", stat[l][0], l + 0.5);
    }
    observe_destroy(o);
    kvcache_destroy(c);
}
END_TEST

START_TEST(the_answer_reaches_its_scorers_after_the_prompt_or_they_fail)
{
    for (int known = 0; known < 2; known++) {
        struct spy spy[2] = {{.needs = STATISTIC_ANSWER}, {.needs = STATISTIC_KEYS, .n_query = T}};
        struct cell cell[2], *list[2];
        struct err e = {0};
        struct observe_pass pass = {0};
        float answer[LAYERS * KV_HEADS * T];
        struct kvcache *c = kvcache_create(&model->hp, T, NULL);
        for (int i = 0; i < LAYERS * KV_HEADS * T; i++)
            answer[i] = (float)i / 1024;
        make_cells(spy, 2, cell, list);
        struct observer *o = watch(c, 0, T, list, 2, &pass);
        ck_assert_int_eq(observe_wants_answer(o), 1);
        ck_assert_int_eq(spy[0].calls, 0);
        observe_answer(o, known ? answer : NULL);
        ck_assert_int_eq(spy[0].calls, known ? LAYERS : 0);
        const float *const *const *score = observe_scores(o, 0, &e);
        ck_assert_int_eq(score != NULL, known);
        ck_assert_int_eq(e.code, known ? ERR_OK : ERR_CONFIG);
        for (int i = 0; known && i < LAYERS * KV_HEADS * T; i++)
            ck_assert(score[i / T / KV_HEADS][i / T % KV_HEADS][i % T] == answer[i]);
        ck_assert_ptr_nonnull(observe_scores(o, 1, NULL));
        observe_destroy(o);
        kvcache_destroy(c);
    }
}
END_TEST

Suite *make_observe_suite(void)
{
    Suite *s = suite_create("observe");
    TCase *t = tcase_create("observe");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_statistic_alone_is_the_plain_one);
    tcase_add_test(t, many_that_ask_at_once_are_each_shown_their_own);
    tcase_add_test(t, cells_with_the_same_policy_and_parameters_are_scored_once);
    tcase_add_test(t, a_scorer_that_fails_fails_alone_and_is_asked_no_more);
    tcase_add_test(t, a_second_pass_is_shown_with_the_first_to_those_who_carry_it);
    tcase_add_test(t, the_last_query_is_kept_summed_over_each_group);
    tcase_add_test(t, nothing_is_watched_where_nobody_asks);
    tcase_add_test(t, allocators_are_shown_the_layers_and_the_turn_of_the_stream);
    tcase_add_test(t, the_answer_reaches_its_scorers_after_the_prompt_or_they_fail);
    suite_add_tcase(s, t);
    return s;
}
