/* Head rules: what every one of the registry promises, and each by hand. */
#include <math.h>
#include <string.h>

#include "harness/base/rng.h"
#include "policies/head.h"
#include "tests/suites.h"

enum { H = 4, N = 40 };

struct layer {
    float score[H][N], before[H][N], room[N];
    int32_t pos[H][N];
    int n[H];
    const float *scores[H], *rank[H];
    const int32_t *at[H];
    struct head_input in;
};

/* The same entries in all heads, so that every rule can rank them. */
static void fill(struct layer *x, struct rng *r, int n, int gaps)
{
    for (int h = 0; h < H; h++) {
        for (int j = 0; j < N; j++) {
            x->score[h][j] = x->before[h][j] = (float)(rng_double(r) - 0.5);
            x->pos[h][j] = gaps ? 3 * j : j;
        }
        x->n[h] = n;
        x->scores[h] = x->rank[h] = x->score[h];
        x->at[h] = gaps ? x->pos[h] : NULL;
    }
    for (int j = 0; j < N; j++)
        x->room[j] = NAN;
    x->in = (struct head_input){
        .policy = "p", .layer = 2, .n_kv_head = H, .n = x->n, .pos = x->at, .score = x->scores, .room = x->room};
}

static void rank(const struct head_ops *rule, struct layer *x)
{
    struct err e = {0};
    if (rule->rank)
        ck_assert_msg(rule->rank(&x->in, x->rank, &e) == 0, "%s: %s", rule->name, e.msg);
}

/* Also says which rule failed when one more is in the list. */
START_TEST(every_rule_ranks_all_entries_alike_twice_and_leaves_the_scores_alone)
{
    struct err e = {0};
    struct rng r;
    rng_init(&r, 1, "heads");
    for (int i = 0; i < head_count(); i++) {
        const struct head_ops *rule = head_at(i);
        ck_assert_msg(head_validate(rule, &e) == 0, "%s", e.msg);
        ck_assert_ptr_eq(head_find(rule->name), rule);
        ck_assert_str_eq(head_names()[i], rule->name);
        for (int t = 0; t < 40; t++) {
            struct layer x;
            float first[H][N];
            int n = 1 + (int)rng_below(&r, N);
            fill(&x, &r, n, t % 2);
            rank(rule, &x);
            for (int h = 0; h < H; h++)
                for (int j = 0; j < n; j++) {
                    first[h][j] = x.rank[h][j];
                    ck_assert_msg(!isnan(first[h][j]), "%s: head %d, entry %d is not ranked", rule->name, h, j);
                }
            rank(rule, &x);
            for (int h = 0; h < H; h++)
                ck_assert_msg(!memcmp(x.rank[h], first[h], (size_t)n * sizeof(float)), "%s: ranks differ", rule->name);
            ck_assert_msg(!memcmp(x.score, x.before, sizeof x.score), "%s writes into the scores", rule->name);
        }
    }
    ck_assert_ptr_null(head_names()[head_count()]);
    ck_assert_ptr_null(head_find("no such rule"));
}
END_TEST

START_TEST(uniform_heads_go_by_their_own_scores)
{
    ck_assert(!head_find("uniform")->rank);
}
END_TEST

START_TEST(shared_heads_go_by_the_mean)
{
    struct layer x;
    struct rng r;
    rng_init(&r, 2, "heads");
    fill(&x, &r, 3, 1);
    const float score[H][3] = {{1, 0, 4}, {2, 0, -4}, {3, 8, 0}, {2, 0, 2}};
    for (int h = 0; h < H; h++)
        memcpy(x.score[h], score[h], sizeof score[h]);
    rank(head_find("shared"), &x);
    for (int h = 0; h < H; h++) {
        ck_assert_double_eq((double)x.rank[h][0], (double)2.0f);
        ck_assert_double_eq((double)x.rank[h][1], (double)2.0f);
        ck_assert_double_eq((double)x.rank[h][2], (double)0.5f);
    }
}
END_TEST

START_TEST(shared_heads_need_the_same_entries_and_finite_means)
{
    struct layer x;
    struct err e = {0};
    struct rng r;
    rng_init(&r, 3, "heads");
    fill(&x, &r, 5, 1);
    x.pos[3][4]++;
    ck_assert_int_eq(head_find("shared")->rank(&x.in, x.rank, &e), -1);
    ck_assert_str_eq(e.msg, "layer 2: heads 0 and 3 hold different entries, which shared heads can't");
    fill(&x, &r, 5, 0);
    x.n[1] = 4;
    ck_assert_int_eq(head_find("shared")->rank(&x.in, x.rank, &e), -1);
    fill(&x, &r, 5, 1);
    x.score[0][3] = INFINITY;
    x.score[2][3] = -INFINITY;
    ck_assert_int_eq(head_find("shared")->rank(&x.in, x.rank, &e), -1);
    ck_assert_str_eq(e.msg, "policy 'p': the mean score of layer 2, position 9 is not a number");
}
END_TEST

START_TEST(broken_rules_are_refused_with_the_reason)
{
    const struct {
        struct head_ops rule;
        const char *why;
    } c[] = {
        {{.abi = 99, .name = "x", .summary = "s", .paper = "p"}, "ABI 99"},
        {{.abi = HEAD_ABI, .name = "Ada KV", .summary = "s", .paper = "p"}, "name 'Ada KV'"},
        {{.abi = HEAD_ABI, .name = "x", .paper = "p"}, "summary or paper"},
        {{.abi = HEAD_ABI, .name = "x", .summary = "s"}, "summary or paper"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {0};
        ck_assert_int_eq(head_validate(&c[i].rule, &e), -1);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_msg(strstr(e.msg, c[i].why) != NULL, "%s", e.msg);
    }
}
END_TEST

Suite *make_head_suite(void)
{
    Suite *s = suite_create("head");
    TCase *t = tcase_create("head");
    tcase_add_test(t, every_rule_ranks_all_entries_alike_twice_and_leaves_the_scores_alone);
    tcase_add_test(t, uniform_heads_go_by_their_own_scores);
    tcase_add_test(t, shared_heads_go_by_the_mean);
    tcase_add_test(t, shared_heads_need_the_same_entries_and_finite_means);
    tcase_add_test(t, broken_rules_are_refused_with_the_reason);
    suite_add_tcase(s, t);
    return s;
}
