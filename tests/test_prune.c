/* Budgets, protection, heads, ties: from scores to a keep set. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/prune.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { L = 4, H = 2, N = 100 };

struct fixture {
    float score[L][H][N];
    const float *head[L][H];
    const float *const *layer[L];
    int available[L], entries[L];
    struct prune_request r;
    struct prune_result out;
    struct keepset *keep;
};

static void fill_scores(struct fixture *f, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, "scores");
    memset(f, 0, sizeof *f);
    for (int l = 0; l < L; l++) {
        for (int h = 0; h < H; h++) {
            support_random(&r, f->score[l][h], N);
            f->head[l][h] = f->score[l][h];
        }
        f->layer[l] = f->head[l];
        f->available[l] = N;
    }
    f->out.entries = f->entries;
    f->r = (struct prune_request){.n_layer = L,
                                  .n_kv_head = H,
                                  .n = N,
                                  .available = f->available,
                                  .policy = policy_find("knorm"),
                                  .budget = {BUDGET_KEEP, {2, 10}, 0, 0},
                                  .bytes_per_entry = 32,
                                  .allocator = allocator_find("uniform"),
                                  .protect = {.compensate = 1},
                                  .score = (const float *const *const *)f->layer};
}

static int cut(struct fixture *f, struct err *e)
{
    keepset_destroy(f->keep);
    f->keep = keepset_create(L, H, N, NULL);
    return prune_cut(&f->r, f->keep, &f->out, e);
}

START_TEST(the_best_scores_stay_and_ties_go_to_the_later_position)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 1);
    for (int j = 0; j < N; j++)
        f->score[2][1][j] = j < 30 ? 2 : 1;
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_int_eq(f->out.m, 20);
    for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++) {
            float worst = 9, best = -9;
            ck_assert_int_eq(keepset_count(f->keep, l, h), 20);
            for (int j = 0; j < N; j++)
                if (keepset_has(f->keep, l, h, j))
                    worst = f->score[l][h][j] < worst ? f->score[l][h][j] : worst;
                else
                    best = f->score[l][h][j] > best ? f->score[l][h][j] : best;
            ck_assert(worst >= best);
        }
    for (int j = 0; j < N; j++)
        ck_assert_int_eq(keepset_has(f->keep, 2, 1, j), j >= 10 && j < 30);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(shared_heads_keep_the_best_mean)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 2);
    f->r.heads = head_find("shared");
    f->score[0][0][7] = f->score[0][1][7] = 1.5f; /* best mean */
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_int_eq(keepset_has(f->keep, 0, 0, 7), 1);
    for (int l = 0; l < L; l++)
        ck_assert_mem_eq(keepset_bits(f->keep, l, 0), keepset_bits(f->keep, l, 1), f->keep->words * 8);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(protection_comes_first_and_is_flagged_when_it_does_not_fit)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 3);
    f->r.protect = (struct protect){.sinks = 4, .recent = 5, .question = 1, .compensate = 1};
    f->r.question_begin = 50;
    f->r.question_end = 56;
    ck_assert_int_eq(cut(f, NULL), 0);
    for (int j = 0; j < N; j++)
        if (j < 4 || (j >= 50 && j < 56) || j >= 95)
            ck_assert_int_eq(keepset_has(f->keep, 1, 0, j), 1);
    ck_assert_int_eq(f->out.protection_cut, 0);
    f->r.budget = (struct budget){.kind = BUDGET_TOKENS, .tokens = 12};
    ck_assert_int_eq(cut(f, NULL), 0); /* 4 + 6 + 2 newest */
    ck_assert_int_eq(f->out.protection_cut, 1);
    ck_assert_int_eq(keepset_has(f->keep, 0, 0, 97), 0);
    ck_assert_int_eq(keepset_has(f->keep, 0, 0, 98), 1);
    ck_assert_int_eq(keepset_count(f->keep, 0, 0), 12);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(streaming_keeps_sinks_and_the_suffix)
{
    struct fixture *f = mem_new(1, sizeof *f);
    int64_t sinks = 4;
    fill_scores(f, 4);
    f->r.policy = policy_find("streaming");
    f->r.policy_config = &sinks;
    ck_assert_int_eq(cut(f, NULL), 0);
    for (int j = 0; j < N; j++)
        ck_assert_int_eq(keepset_has(f->keep, 3, 1, j), j < 4 || j >= 84);
    sinks = 0;
    ck_assert_int_eq(cut(f, NULL), 0);
    for (int j = 0; j < N; j++)
        ck_assert_int_eq(keepset_has(f->keep, 3, 1, j), j >= 80);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(whole_first_layers_are_paid_by_the_rest_or_refused)
{
    struct fixture *f = mem_new(1, sizeof *f);
    struct err e;
    fill_scores(f, 5);
    f->r.protect.first_layers = 1;
    f->r.budget.keep = (struct decimal){4, 10}; /* 160 in all: 100 + 3 x 20 */
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){100, 20, 20, 20}), sizeof f->entries);
    f->r.budget.keep = (struct decimal){2, 10}; /* 80 in all: can't pay 100 */
    ck_assert_int_eq(cut(f, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "100"));
    ck_assert_ptr_nonnull(strstr(e.msg, "80"));
    f->r.protect.compensate = 0;
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){100, 20, 20, 20}), sizeof f->entries);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(single_prunes_one_layer_or_all_but_one)
{
    struct fixture *f = mem_new(1, sizeof *f);
    struct {
        int64_t layer;
        int only;
    } config = {2, 0};
    fill_scores(f, 6);
    f->r.allocator = allocator_find("single");
    f->r.allocator_self = &config;
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){100, 100, 20, 100}), sizeof f->entries);
    config.only = 1;
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){20, 20, 100, 20}), sizeof f->entries);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(budgets_are_exact_and_impossible_ones_refused)
{
    static const struct {
        struct budget b;
        int n, m;
    } c[] = {
        {{BUDGET_KEEP, {8, 10}, 0, 0}, 1000, 800},
        {{BUDGET_KEEP, {2, 10}, 0, 0}, 900, 180},
        {{BUDGET_KEEP, {1, 1000}, 0, 0}, 10, 1},
        {{BUDGET_TOKENS, {0, 1}, 512, 0}, 100, 100},
        {{BUDGET_BYTES, {0, 1}, 0, 4 * 2 * 32 * 17 + 5}, 100, 17},
        {{BUDGET_BYTES, {0, 1}, 0, 255}, 100, -1},
        {{BUDGET_KEEP, {11, 10}, 0, 0}, 10, -1},
        {{BUDGET_TOKENS, {0, 1}, 0, 0}, 10, -1},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        int m = -1;
        struct err e;
        budget_entries(&c[i].b, c[i].n, 4, 2, 32, &m, &e);
        ck_assert_msg(m == c[i].m, "case %zu: %d", i, m);
    }
}
END_TEST

START_TEST(a_nan_score_is_refused_with_its_place)
{
    struct fixture *f = mem_new(1, sizeof *f);
    struct err e;
    fill_scores(f, 7);
    f->score[3][1][42] = NAN;
    ck_assert_int_eq(cut(f, &e), -1);
    ck_assert_int_eq(e.code, ERR_POLICY);
    ck_assert_ptr_nonnull(strstr(e.msg, "layer 3, head 1, position 42"));
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(any_keep_set_has_exactly_its_counts_its_protection_and_the_best_of_the_rest)
{
    struct fixture *f = mem_new(1, sizeof *f);
    struct rng r;
    rng_init(&r, 8, "cuts");
    for (int t = 0; t < 150; t++) {
        fill_scores(f, (uint64_t)t);
        for (int j = 0; j < N; j++) /* many ties */
            f->score[1][0][j] = (float)rng_below(&r, 4);
        f->r.budget = (struct budget){.kind = BUDGET_TOKENS, .tokens = 1 + (int64_t)rng_below(&r, N + 5)};
        f->r.heads = head_find(rng_below(&r, 2) ? "shared" : "uniform");
        f->r.protect = (struct protect){
            .sinks = (int)rng_below(&r, 9), .recent = (int)rng_below(&r, 30), .question = t % 2, .compensate = 1};
        f->r.question_begin = 80 + (int)rng_below(&r, 10);
        f->r.question_end = f->r.question_begin + (int)rng_below(&r, 30); /* may lie beyond what is cached */
        ck_assert_int_eq(cut(f, NULL), 0);
        int m = f->out.m, last = f->r.question_end < N ? f->r.question_end : N;
        for (int l = 0; l < L; l++)
            for (int h = 0; h < H; h++) {
                uint64_t worst = UINT64_MAX, best = 0;
                ck_assert_msg(keepset_count(f->keep, l, h) == m && f->entries[l] == m, "case %d", t);
                for (int j = 0; j < N; j++) {
                    int safe = j < f->r.protect.sinks || j >= N - f->r.protect.recent ||
                               (f->r.protect.question && j >= f->r.question_begin && j < last);
                    double mean = ((double)f->score[l][0][j] + (double)f->score[l][1][j]) / 2;
                    float s = strcmp(f->r.heads->name, "shared") == 0 ? (float)mean : f->score[l][h][j];
                    uint64_t rank = (uint64_t)((double)(s + 2) * 1e9) << 8 | (uint64_t)j;
                    int kept = keepset_has(f->keep, l, h, j);
                    if (safe) {
                        ck_assert_msg(kept || f->out.protection_cut, "case %d: %d", t, j);
                    } else if (kept) {
                        worst = rank < worst ? rank : worst;
                    } else {
                        best = rank > best ? rank : best;
                    }
                }
                ck_assert_msg(worst >= best, "case %d, layer %d, head %d", t, l, h);
            }
        keepset_destroy(f->keep); /* fill_scores starts from a zeroed fixture */
        f->keep = NULL;
    }
    mem_free(f);
}
END_TEST

START_TEST(tied_scores_of_either_zero_keep_the_later_position)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 9);
    for (int j = 0; j < N; j++)
        f->score[0][0][j] = j % 2 ? -0.0f : 0.0f;
    ck_assert_int_eq(cut(f, NULL), 0);
    for (int j = 0; j < N; j++)
        ck_assert_int_eq(keepset_has(f->keep, 0, 0, j), j >= 80);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

/* snapkv keeps its window, streaming its sinks and recents, unless the experiment says that none has its own. */
START_TEST(protection_of_its_own_gives_way_to_one_that_all_share)
{
    static const char *const name[] = {"snapkv", "streaming", "knorm", "h2o"};
    struct fixture *f = mem_new(1, sizeof *f);
    unsigned char mark[4][100];
    struct prune_head head = {100, NULL};
    fill_scores(f, 3);
    for (int own = 1; own >= 0; own--)
        for (int i = 0; i < 4; i++) {
            const struct policy_ops *p = policy_find(name[i]);
            void *config = mem_new(1, p->config_size + 1);
            int cut = 0, used;
            param_defaults(p->params, config);
            f->r.policy = p;
            f->r.policy_config = config;
            f->r.protect =
                (struct protect){.sinks = 1, .recent = 3, .boundary = {1, 10}, .alone = !own, .compensate = 1};
            used = prune_protect(&f->r, &head, 40, mark[i], &cut);
            if (own) {
                ck_assert_int_eq(cut, i == 0); /* 64 last ones */
                ck_assert_int_eq(used, i == 2 ? 8 : i == 3 ? 24 : 40);
                param_fini(p->params, config);
                mem_free(config);
                continue;
            }
            ck_assert_int_eq(used, 8); /* a tenth of 40 at either end is more than what else is asked for */
            ck_assert_int_eq(cut, 0);
            for (int j = 0; j < 100; j++)
                ck_assert_int_eq(mark[i][j], j < 4 || j >= 96);
            param_fini(p->params, config);
            mem_free(config);
        }
    mem_free(f);
}
END_TEST

START_TEST(h2o_protects_half_of_each_layers_own_budget)
{
    struct fixture *f = mem_new(1, sizeof *f);
    const struct policy_ops *p = policy_find("h2o");
    struct decimal keep[L] = {{1, 10}, {25, 100}, {5, 10}, {1, 1000}};
    struct param_decimals vector = {keep, L};
    void *config = mem_new(1, p->config_size);
    param_defaults(p->params, config);
    fill_scores(f, 10);
    for (int l = 0; l < L; l++)
        for (int j = 0; j < N; j++)
            f->score[l][0][j] = (float)-j; /* the earliest win */
    f->r.policy = p;
    f->r.policy_config = config;
    f->r.allocator = allocator_find("vector");
    f->r.allocator_self = &vector;
    f->r.budget = (struct budget){.kind = BUDGET_NONE};
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){10, 25, 50, 1}), sizeof f->entries);
    for (int l = 0; l < L; l++)
        for (int j = 0, m = f->entries[l]; j < N; j++)
            ck_assert_int_eq(keepset_has(f->keep, l, 0, j), j < m - m / 2 || j >= N - m / 2);
    mem_free(config);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(the_full_cache_stays_whole_without_scores_and_so_does_keep_one)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 11);
    for (int one = 0; one < 2; one++) {
        f->r.policy = policy_find(one ? "knorm" : "full");
        f->r.budget = one ? (struct budget){BUDGET_KEEP, {1, 1}, 0, 0} : (struct budget){.kind = BUDGET_NONE};
        f->r.score = NULL;
        ck_assert_int_eq(cut(f, NULL), 0);
        ck_assert_int_eq(f->out.m, N);
        for (int l = 0; l < L; l++)
            ck_assert_int_eq(keepset_count(f->keep, l, 1), N);
    }
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(infinities_of_both_signs_have_no_mean)
{
    struct fixture *f = mem_new(1, sizeof *f);
    struct err e = {0};
    fill_scores(f, 12);
    f->score[2][0][9] = INFINITY;
    f->score[2][1][9] = -INFINITY;
    ck_assert_int_eq(cut(f, &e), 0);
    f->r.heads = head_find("shared");
    ck_assert_int_eq(cut(f, &e), -1);
    ck_assert_int_eq(e.code, ERR_POLICY);
    ck_assert_ptr_nonnull(strstr(e.msg, "layer 2, position 9"));
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(a_refused_allocation_is_an_error_and_leaks_nothing)
{
    struct fixture *f = mem_new(1, sizeof *f);
    size_t live;
    fill_scores(f, 13);
    ck_assert_int_eq(cut(f, NULL), 0);
    live = mem_live();
    for (int nth = 1; nth <= 3; nth++) {
        struct err e = {0};
        struct keepset *keep = keepset_create(L, H, N, NULL);
        mem_fail_at(nth);
        ck_assert_int_eq(prune_cut(&f->r, keep, &f->out, &e), -1);
        ck_assert_int_eq(e.code, ERR_NOMEM);
        mem_fail_at(0);
        keepset_destroy(keep);
    }
    ck_assert_uint_eq(mem_live(), live);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

START_TEST(a_layer_keeps_no_more_than_it_has_and_the_others_take_over)
{
    struct fixture *f = mem_new(1, sizeof *f);
    fill_scores(f, 14);
    f->available[0] = 30;
    f->r.budget.keep = (struct decimal){4, 10}; /* 160 in all */
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){30, 44, 43, 43}), sizeof f->entries);
    f->r.budget.keep = (struct decimal){9, 10}; /* 360 asked, 330 there */
    ck_assert_int_eq(cut(f, NULL), 0);
    ck_assert_mem_eq(f->entries, ((int[]){30, 100, 100, 100}), sizeof f->entries);
    ck_assert_int_eq(keepset_count(f->keep, 0, 1), 30);
    keepset_destroy(f->keep);
    mem_free(f);
}
END_TEST

Suite *make_prune_suite(void)
{
    Suite *s = suite_create("prune");
    TCase *t = tcase_create("core");
    tcase_add_test(t, the_best_scores_stay_and_ties_go_to_the_later_position);
    tcase_add_test(t, shared_heads_keep_the_best_mean);
    tcase_add_test(t, protection_comes_first_and_is_flagged_when_it_does_not_fit);
    tcase_add_test(t, streaming_keeps_sinks_and_the_suffix);
    tcase_add_test(t, whole_first_layers_are_paid_by_the_rest_or_refused);
    tcase_add_test(t, single_prunes_one_layer_or_all_but_one);
    tcase_add_test(t, budgets_are_exact_and_impossible_ones_refused);
    tcase_add_test(t, a_nan_score_is_refused_with_its_place);
    tcase_add_test(t, any_keep_set_has_exactly_its_counts_its_protection_and_the_best_of_the_rest);
    tcase_add_test(t, tied_scores_of_either_zero_keep_the_later_position);
    tcase_add_test(t, protection_of_its_own_gives_way_to_one_that_all_share);
    tcase_add_test(t, h2o_protects_half_of_each_layers_own_budget);
    tcase_add_test(t, the_full_cache_stays_whole_without_scores_and_so_does_keep_one);
    tcase_add_test(t, infinities_of_both_signs_have_no_mean);
    tcase_add_test(t, a_refused_allocation_is_an_error_and_leaks_nothing);
    tcase_add_test(t, a_layer_keeps_no_more_than_it_has_and_the_others_take_over);
    suite_add_tcase(s, t);
    return s;
}
