/* Policies: examples computed by hand from the formulas. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/policy.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { KV = 2, GROUP = 2, HEADS = 4, DIM = 4, MAX_N = 40 };

/* A layer with random keys, values and a random causal attention matrix, statistics computed by definition. */
struct layer {
    int n, n_row;
    int32_t pos[MAX_N];
    float keys[KV][MAX_N * DIM], values[KV][MAX_N * DIM];
    float a[HEADS][MAX_N][MAX_N];
    float off[HEADS][MAX_N], diag[HEADS][MAX_N], rows[HEADS][MAX_N * MAX_N], entropy[HEADS][MAX_N];
    struct policy_head head[KV];
    struct policy_attention attention[HEADS];
    struct policy_view view;
};

static void derive(struct layer *x, int n_row)
{
    int n = x->n;
    x->n_row = n_row < n ? n_row : n;
    for (int q = 0; q < HEADS; q++) {
        for (int j = 0; j < n; j++) {
            x->diag[q][j] = x->a[q][j][j];
            x->off[q][j] = 0;
            for (int i = j + 1; i < n; i++)
                x->off[q][j] += x->a[q][i][j];
        }
        for (int r = 0; r < x->n_row; r++)
            for (int j = 0; j < n; j++)
                x->rows[q][r * n + j] = x->a[q][n - x->n_row + r][j];
        x->attention[q] = (struct policy_attention){
            .off_diagonal = x->off[q], .diagonal = x->diag[q], .rows = x->rows[q], .entropy = x->entropy[q]};
    }
    for (int h = 0; h < KV; h++)
        x->head[h] = (struct policy_head){.n_entry = n, .pos = x->pos, .keys = x->keys[h], .values = x->values[h]};
    x->view = (struct policy_view){.layer = 1,
                                   .n_layer = 3,
                                   .n_head = HEADS,
                                   .n_kv_head = KV,
                                   .n_group = GROUP,
                                   .head_dim = DIM,
                                   .d_model = HEADS * DIM,
                                   .n_seen = n,
                                   .n_query = n,
                                   .n_row = x->n_row,
                                   .head = x->head,
                                   .attention = x->attention,
                                   .policy_seed = 3,
                                   .sample = 11};
}

static void fill(struct layer *x, int n, int n_row, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, "layer");
    memset(x, 0, sizeof *x);
    x->n = n;
    for (int j = 0; j < n; j++)
        x->pos[j] = j;
    for (int h = 0; h < KV; h++) {
        support_random(&r, x->keys[h], MAX_N * DIM);
        support_random(&r, x->values[h], MAX_N * DIM);
    }
    for (int q = 0; q < HEADS; q++)
        for (int i = 0; i < n; i++) {
            double sum = 0;
            for (int j = 0; j <= i; j++)
                sum += (double)(x->a[q][i][j] = (float)rng_double(&r) + 0.01f);
            for (int j = 0; j <= i; j++)
                x->a[q][i][j] = (float)((double)x->a[q][i][j] / sum);
        }
    derive(x, n_row);
}

static void run(const char *name, const char *param, const char *value, struct layer *x, float (*score)[MAX_N])
{
    const struct policy_ops *p = policy_find(name);
    void *config = mem_new(1, p->config_size + 1);
    float *out[KV] = {score[0], score[1]};
    struct err e = {0};
    param_defaults(p->params, config);
    if (param)
        ck_assert_int_eq(param_set(param_find(p->params, param), config, &value, 1, NULL), 0);
    if (p->rows)
        derive(x, p->rows(config));
    ck_assert_msg(p->score(config, &x->view, out, &e) == 0, "%s", e.msg);
    param_fini(p->params, config);
    mem_free(config);
}

START_TEST(random_scores_depend_on_seed_sample_layer_head_and_position_only)
{
    struct layer *x = mem_new(1, sizeof *x), *y = mem_new(1, sizeof *y);
    float a[KV][MAX_N], b[KV][MAX_N];
    fill(x, 30, 1, 1);
    fill(y, 20, 1, 2); /* other content, fewer entries */
    run("random", NULL, NULL, x, a);
    run("random", NULL, NULL, y, b);
    ck_assert_mem_eq(a[0], b[0], 20 * sizeof(float));
    ck_assert(a[0][0] != a[1][0]);
    y->view.policy_seed++;
    run("random", NULL, NULL, x, a);
    float *out[KV] = {b[0], b[1]};
    policy_find("random")->score(NULL, &y->view, out, NULL);
    ck_assert(a[0][0] != b[0][0]);
    mem_free(x);
    mem_free(y);
}
END_TEST

static void matches(const float *score, const double *want, int n)
{
    for (int j = 0; j < n; j++)
        ck_assert_double_eq_tol((double)score[j], want[j], 1e-5 * (1 + fabs(want[j])));
}

START_TEST(h2o_sums_columns_with_the_diagonal_over_the_group)
{
    struct layer *x = mem_new(1, sizeof *x);
    float s[KV][MAX_N];
    fill(x, 6, 6, 9);
    for (int visible = 0; visible < 2; visible++) {
        run("h2o", "normalise", visible ? "visible" : "none", x, s);
        for (int h = 0; h < KV; h++) {
            double want[6] = {0};
            for (int j = 0; j < 6; j++)
                for (int i = j; i < 6; i++)
                    want[j] += ((double)x->a[2 * h][i][j] + (double)x->a[2 * h + 1][i][j]) / 2 / (visible ? 6 - j : 1);
            matches(s[h], want, 6);
        }
    }
    mem_free(x);
}
END_TEST

START_TEST(depthkv_leaves_the_diagonal_out_and_weights_by_value_norms)
{
    static const char *const form[] = {"none", "l1", "l2"};
    struct layer *x = mem_new(1, sizeof *x);
    float s[KV][MAX_N];
    fill(x, 6, 6, 10);
    for (int f = 0; f < 3; f++) {
        double want[6] = {0};
        run("depthkv", "value", form[f], x, s);
        for (int j = 0; j < 6; j++)
            for (int q = 0; q < HEADS; q++) {
                const float *v = x->values[q / GROUP] + j * DIM;
                double l1 = 0, l2 = 0;
                for (int d = 0; d < DIM; d++) {
                    l1 += fabs((double)v[d]);
                    l2 += (double)v[d] * (double)v[d];
                }
                for (int i = j + 1; i < 6; i++)
                    want[j] += (double)x->a[q][i][j] * (f == 0 ? 1 : f == 1 ? l1 : sqrt(l2));
            }
        matches(s[0], want, 6);
        matches(s[1], want, 6);
    }
    mem_free(x);
}
END_TEST

START_TEST(tova_is_the_mean_last_row_of_all_heads)
{
    struct layer *x = mem_new(1, sizeof *x);
    float s[KV][MAX_N];
    double want[6] = {0};
    fill(x, 6, 1, 11);
    run("tova", NULL, NULL, x, s);
    for (int j = 0; j < 6; j++)
        for (int q = 0; q < HEADS; q++)
            want[j] += (double)x->a[q][5][j] / HEADS;
    matches(s[0], want, 6);
    matches(s[1], want, 6);
    mem_free(x);
}
END_TEST

START_TEST(snapkv_pools_the_windows_mean_and_keeps_out_of_the_window)
{
    /* one window row per head, the same everywhere: 0 .6 0 .3 0 | window; kernel 3 */
    struct layer *x = mem_new(1, sizeof *x);
    const struct policy_ops *p = policy_find("snapkv");
    struct {
        int64_t window, kernel;
        int pooling;
    } config = {1, 3, 0};
    float s[KV][MAX_N], *out[KV] = {s[0], s[1]};
    fill(x, 6, 1, 12);
    for (int q = 0; q < HEADS; q++)
        for (int j = 0; j < 6; j++)
            x->a[q][5][j] = (const float[]){0, 0.6f, 0, 0.3f, 0, 0.1f}[j];
    derive(x, 1);
    ck_assert_int_eq(p->score(&config, &x->view, out, NULL), 0);
    matches(s[0], (const double[]){0.2, 0.2, 0.3, 0.1, 0.1, 1.3}, 6);
    config.pooling = 1;
    ck_assert_int_eq(p->score(&config, &x->view, out, NULL), 0);
    matches(s[1], (const double[]){0.6, 0.6, 0.6, 0.3, 0.3, 1.6}, 6);
    mem_free(x);
}
END_TEST

START_TEST(knorm_and_keydiff_follow_their_formulas)
{
    struct layer *x = mem_new(1, sizeof *x);
    static const float k[3 * DIM] = {3, 4, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0};
    float s[KV][MAX_N];
    fill(x, 3, 1, 13);
    memcpy(x->keys[0], k, sizeof k);
    run("knorm", NULL, NULL, x, s);
    matches(s[0], (const double[]){-5, -1, -2}, 3);
    run("keydiff", NULL, NULL, x, s);
    /* anchor = ((.6, .8) + (1, 0) + (0, 1)) / 3 = (1.6, 1.8) / 3 */
    double len = sqrt(1.6 * 1.6 + 1.8 * 1.8);
    matches(s[0], (const double[]){-(0.6 * 1.6 + 0.8 * 1.8) / len, -1.6 / len, -1.8 / len}, 3);
    mem_free(x);
}
END_TEST

/* Six tokens, every query head spreads its attention evenly over what it sees: row i is 1/(i+1) six times over.
 *   column sums   2.45  1.45  0.95  0.61667  0.36667  0.16667      with the diagonal
 *   diagonal      1     0.5   0.33333  0.25  0.2      0.16667 */
START_TEST(six_tokens_under_even_attention_are_scored_as_computed_by_hand)
{
    struct layer *x = mem_new(1, sizeof *x);
    float s[KV][MAX_N];
    fill(x, 6, 6, 14);
    for (int q = 0; q < HEADS; q++)
        for (int i = 0; i < 6; i++)
            for (int j = 0; j <= i; j++)
                x->a[q][i][j] = 1.0f / (float)(i + 1);
    for (int j = 0; j < 6; j++)
        for (int d = 0; d < DIM; d++) { /* value norms: l1 = 7 and 14, l2 = 5 and 10 */
            x->values[0][j * DIM + d] = (const float[]){3, 0, -4, 0}[d];
            x->values[1][j * DIM + d] = (const float[]){0, 8, 0, 6}[d];
        }
    derive(x, 6);
    run("h2o", NULL, NULL, x, s);
    matches(s[0], (const double[]){2.45, 1.45, 0.95, 37.0 / 60, 11.0 / 30, 1.0 / 6}, 6);
    run("h2o", "normalise", "visible", x, s);
    matches(s[1], (const double[]){2.45 / 6, 0.29, 0.2375, 37.0 / 180, 11.0 / 60, 1.0 / 6}, 6);
    run("depthkv", NULL, NULL, x, s); /* four heads, no diagonal */
    matches(s[0], (const double[]){5.8, 3.8, 37.0 / 15, 22.0 / 15, 2.0 / 3, 0}, 6);
    run("depthkv", "value", "l1", x, s); /* two heads times 7 and two times 14 */
    matches(s[1], (const double[]){60.9, 39.9, 25.9, 15.4, 7, 0}, 6);
    run("depthkv", "value", "l2", x, s);
    matches(s[0], (const double[]){43.5, 28.5, 18.5, 11, 5, 0}, 6);
    run("tova", NULL, NULL, x, s);
    matches(s[1], (const double[]){1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6}, 6);
    mem_free(x);
}
END_TEST

START_TEST(full_keeps_everything_and_asks_for_nothing)
{
    const struct policy_ops *p = policy_find("full");
    ck_assert(p->keeps_all && !p->needs && !p->score && !p->protect && !p->config_size);
}
END_TEST

START_TEST(streaming_prefers_later_positions)
{
    struct layer *x = mem_new(1, sizeof *x);
    float s[KV][MAX_N];
    fill(x, 9, 1, 15);
    run("streaming", NULL, NULL, x, s);
    for (int h = 0; h < KV; h++)
        for (int j = 1; j < 9; j++)
            ck_assert_msg(s[h][j] > s[h][j - 1], "entry %d does not score above the one before", j);
    ck_assert_uint_eq(policy_find("streaming")->needs, 0);
    mem_free(x);
}
END_TEST

START_TEST(protection_is_what_each_policy_says_at_a_budget)
{
    static const struct {
        const char *policy, *param, *value;
        int m, sinks, recent;
    } c[] = {
        {"streaming", NULL, NULL, 20, 4, 16},   {"streaming", NULL, NULL, 3, 3, 0},
        {"streaming", "sinks", "0", 20, 0, 20}, {"tova", NULL, NULL, 20, 0, 1},
        {"snapkv", NULL, NULL, 100, 0, 64},     {"snapkv", "window", "8", 100, 0, 8},
        {"h2o", NULL, NULL, 7, 0, 3},           {"h2o", NULL, NULL, 1, 0, 0},
        {"h2o", "recent", "5", 7, 0, 5},        {"h2o", "recent", "5", 3, 0, 3},
        {"h2o", "recent", "0", 7, 0, 0},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        const struct policy_ops *p = policy_find(c[i].policy);
        void *config = mem_new(1, p->config_size + 1);
        struct policy_protection got = {0, 0};
        param_defaults(p->params, config);
        if (c[i].param)
            ck_assert_int_eq(param_set(param_find(p->params, c[i].param), config, &c[i].value, 1, NULL), 0);
        p->protect(config, c[i].m, &got);
        ck_assert_msg(got.sinks == c[i].sinks && got.recent == c[i].recent, "case %zu: %d sinks, %d recents", i,
                      got.sinks, got.recent);
        mem_free(config);
    }
    static const char *const none[] = {"full", "random", "knorm", "keydiff", "depthkv"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(policy_find(none[i])->protect == NULL, "%s", none[i]);
}
END_TEST

Suite *make_policy_suite(void)
{
    Suite *s = suite_create("policy");
    TCase *t = tcase_create("core");
    tcase_add_test(t, random_scores_depend_on_seed_sample_layer_head_and_position_only);
    tcase_add_test(t, h2o_sums_columns_with_the_diagonal_over_the_group);
    tcase_add_test(t, depthkv_leaves_the_diagonal_out_and_weights_by_value_norms);
    tcase_add_test(t, tova_is_the_mean_last_row_of_all_heads);
    tcase_add_test(t, snapkv_pools_the_windows_mean_and_keeps_out_of_the_window);
    tcase_add_test(t, knorm_and_keydiff_follow_their_formulas);
    tcase_add_test(t, six_tokens_under_even_attention_are_scored_as_computed_by_hand);
    tcase_add_test(t, full_keeps_everything_and_asks_for_nothing);
    tcase_add_test(t, streaming_prefers_later_positions);
    tcase_add_test(t, protection_is_what_each_policy_says_at_a_budget);
    suite_add_tcase(s, t);
    return s;
}
