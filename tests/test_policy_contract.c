/* What every policy of the registry promises, whatever its formula; and that the start-up check refuses broken ones. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "policies/policy.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { GUARD = 8 };
static const float UNTOUCHED = -12345.5f;

struct shape {
    int n_layer, layer, n_kv, n_group, d, n, gap; /* positions are gap apart: 1 unless a chunk was pruned before */
};
static const struct shape shapes[] = {
    {1, 0, 1, 1, 1, 1, 1},   {1, 0, 1, 3, 2, 6, 1},  {30, 29, 3, 3, 16, 33, 1},
    {2, 1, 2, 1, 8, 100, 1}, {4, 0, 2, 2, 4, 40, 3}, {4, 3, 2, 4, 4, 2, 7},
};
enum { N_SHAPE = sizeof shapes / sizeof *shapes };

struct layer {
    struct policy_view view;
    struct policy_head *head;
    struct policy_attention *stat;
    int32_t *pos;
    const float **answer;
    float *pool; /* every statistic, one after the other */
    size_t used;
};

/* k numbers, the same for the same seed; NULL when nobody asked. */
static const float *numbers(struct layer *x, struct rng *r, unsigned asked, size_t k, int nan)
{
    float *p = x->pool + x->used;
    if (!asked)
        return NULL;
    x->used += k;
    for (size_t i = 0; i < k; i++)
        p[i] = nan ? NAN : (float)rng_double(r);
    return p;
}

static struct layer *build(const struct policy_ops *p, const void *config, const struct shape *s, int nan)
{
    unsigned needs = policy_needs_of(p, config);
    size_t n = (size_t)s->n, d = (size_t)s->d, heads = (size_t)(s->n_kv * s->n_group), seen = n * (size_t)s->gap;
    struct layer *x = mem_new(1, sizeof *x);
    struct rng r;
    rng_init(&r, 7, "contract");
    int n_row = !(needs & STATISTIC_ROWS) ? 0 : p->rows(config) < (int)seen ? p->rows(config) : (int)seen;
    x->head = mem_new((size_t)s->n_kv, sizeof *x->head);
    x->stat = mem_new(heads, sizeof *x->stat);
    x->pos = mem_new(n, sizeof *x->pos);
    x->pool =
        mem_new(2 * (size_t)s->n_kv * n * d + heads * (3 * n + (size_t)n_row * n + seen + seen * d) + seen * heads * d,
                sizeof *x->pool);
    for (int j = 0; j < s->n; j++)
        x->pos[j] = j * s->gap;
    for (int h = 0; h < s->n_kv; h++)
        x->head[h] = (struct policy_head){.n_entry = s->n,
                                          .pos = x->pos,
                                          .keys = numbers(x, &r, needs & STATISTIC_KEYS, n * d, nan),
                                          .values = numbers(x, &r, needs & STATISTIC_VALUES, n * d, nan)};
    for (size_t q = 0; q < heads; q++)
        x->stat[q] = (struct policy_attention){.off_diagonal = numbers(x, &r, needs & STATISTIC_COLUMNS, n, nan),
                                               .diagonal = numbers(x, &r, needs & STATISTIC_COLUMNS, n, nan),
                                               .rows = numbers(x, &r, needs & STATISTIC_ROWS, (size_t)n_row * n, nan),
                                               .entropy = numbers(x, &r, needs & STATISTIC_ENTROPY, seen, nan),
                                               .queries = numbers(x, &r, needs & STATISTIC_QUERIES, seen * d, nan)};
    x->view = (struct policy_view){.layer = s->layer,
                                   .n_layer = s->n_layer,
                                   .n_head = (int)heads,
                                   .n_kv_head = s->n_kv,
                                   .n_group = s->n_group,
                                   .head_dim = s->d,
                                   .d_model = (int)(heads * d),
                                   .n_seen = (int)seen,
                                   .n_query = (int)seen,
                                   .n_row = n_row,
                                   .head = x->head,
                                   .attention = x->stat,
                                   .policy_seed = 3,
                                   .sample = 11};
    x->answer = mem_new((size_t)s->n_kv, sizeof *x->answer);
    for (int h = 0; h < s->n_kv; h++)
        x->answer[h] = numbers(x, &r, needs & STATISTIC_ANSWER, n, nan);
    x->view.answer = needs & STATISTIC_ANSWER ? x->answer : NULL;
    x->view.hidden = numbers(x, &r, needs & STATISTIC_HIDDEN, seen * heads * d, nan);
    return x;
}

static void drop(struct layer *x)
{
    mem_free(x->head);
    mem_free(x->stat);
    mem_free(x->pos);
    mem_free(x->answer);
    mem_free(x->pool);
    mem_free(x);
}

/* Scores of all heads, GUARD words after each; created, scored and destroyed as the harness does. */
static int score_all(const struct policy_ops *p, void *config, const struct layer *x, float *out, struct err *e)
{
    size_t stride = (size_t)x->head[0].n_entry + GUARD;
    float *row[8];
    void *self = config;
    for (size_t i = 0; i < stride * (size_t)x->view.n_kv_head; i++)
        out[i] = UNTOUCHED;
    for (int h = 0; h < x->view.n_kv_head; h++)
        row[h] = out + (size_t)h * stride;
    if (p->create && p->create(&self, config, &x->view, e))
        return -1;
    int rc = p->score(self, &x->view, row, e);
    if (p->destroy)
        p->destroy(self);
    return rc;
}

/* Calls fn with the defaults, then with every word of every parameter and the smallest number that it takes. */
static void each_config(const struct policy_ops *p, void (*fn)(const struct policy_ops *, void *, const char *))
{
    void *config = mem_new(1, p->config_size + 1);
    param_defaults(p->params, config);
    fn(p, config, "defaults");
    for (const struct param *q = p->params; q && q->name; q++) {
        struct str least = {0};
        const char *text[9];
        int n = 0;
        for (; q->words && q->words[n] && n < 8; n++)
            text[n] = q->words[n];
        str_add_double(&least, q->min);
        if (q->type == PARAM_INT || q->type == PARAM_FLOAT)
            text[n++] = least.p;
        for (int i = 0; i < n; i++) {
            ck_assert_int_eq(param_set(q, config, &text[i], 1, NULL), 0);
            fn(p, config, q->name);
        }
        str_free(&least);
        param_fini(p->params, config);
        param_defaults(p->params, config);
    }
    param_fini(p->params, config);
    mem_free(config);
}

static void scores_are_sound(const struct policy_ops *p, void *config, const char *what)
{
    for (int i = 0; i < N_SHAPE; i++) {
        const struct shape *s = &shapes[i];
        size_t stride = (size_t)s->n + GUARD, all = stride * (size_t)s->n_kv;
        float *a = mem_new(all, sizeof *a), *b = mem_new(all, sizeof *b);
        struct layer *x = build(p, config, s, 0);
        struct err e = {0};
        size_t live = mem_live();
        ck_assert_msg(score_all(p, config, x, a, &e) == 0, "%s, %s, shape %d: %s", p->name, what, i, e.msg);
        ck_assert_int_eq(score_all(p, config, x, b, &e), 0);
        ck_assert_msg(mem_live() == live, "%s, %s: memory outlives the call", p->name, what);
        ck_assert_msg(memcmp(a, b, all * sizeof *a) == 0, "%s, %s, shape %d: two calls differ", p->name, what, i);
        for (size_t k = 0; k < all; k++)
            if (k % stride < (size_t)s->n)
                ck_assert_msg(!isnan(a[k]) && a[k] != UNTOUCHED, "%s, %s, shape %d: score %zu", p->name, what, i, k);
            else
                ck_assert_msg(a[k] == UNTOUCHED, "%s, %s, shape %d: wrote behind its scores", p->name, what, i);
        drop(x);
        mem_free(a);
        mem_free(b);
    }
}

START_TEST(every_policy_fills_its_scores_alike_twice_with_any_parameters_and_shape)
{
    const struct policy_ops *p = policy_at(_i);
    if (!p->keeps_all)
        each_config(p, scores_are_sound);
}
END_TEST

/* Entries before the window, so that snapkv's constant does not stand alone. */
static void nan_shows(const struct policy_ops *p, void *config, const char *what)
{
    const struct shape *s = &shapes[3];
    float out[2 * (100 + GUARD)];
    struct layer *x = build(p, config, s, 1);
    int seen = 0;
    ck_assert_int_eq(score_all(p, config, x, out, NULL), 0);
    for (int j = 0; j < s->n; j++)
        seen |= isnan(out[j]);
    ck_assert_msg(seen, "%s, %s: statistics that are not numbers gave clean scores", p->name, what);
    drop(x);
}

START_TEST(no_policy_hides_statistics_that_are_not_numbers)
{
    const struct policy_ops *p = policy_at(_i);
    if (p->needs)
        each_config(p, nan_shows);
}
END_TEST

static void protection_is_sound(const struct policy_ops *p, void *config, const char *what)
{
    static const int m[] = {1, 2, 5, 64, 100000};
    for (size_t i = 0; p->protect && i < sizeof m / sizeof *m; i++) {
        struct policy_protection a = {0, 0};
        p->protect(config, m[i], &a);
        ck_assert_msg(a.sinks >= 0 && a.recent >= 0, "%s, %s, m %d", p->name, what, m[i]);
    }
}

START_TEST(no_policy_protects_a_negative_number)
{
    each_config(policy_at(_i), protection_is_sound);
}
END_TEST

START_TEST(refused_memory_is_an_error_and_leaks_nothing)
{
    const struct policy_ops *p = policy_at(_i);
    void *config = mem_new(1, p->config_size + 1);
    float out[2 * (100 + GUARD)];
    param_defaults(p->params, config);
    if (!p->keeps_all) {
        struct layer *x = build(p, config, &shapes[3], 0);
        size_t live = mem_live();
        for (int nth = 1, failed = 1; failed; nth++) {
            struct err e = {0};
            mem_fail_at(nth);
            failed = score_all(p, config, x, out, &e) != 0;
            mem_fail_at(0);
            ck_assert_int_eq(e.code, failed ? ERR_NOMEM : ERR_OK);
            ck_assert_uint_eq(mem_live(), live);
        }
        drop(x);
    }
    param_fini(p->params, config);
    mem_free(config);
}
END_TEST

START_TEST(one_score_per_layer_needs_heads_with_the_same_entries)
{
    static const char *const name[] = {"tova", "depthkv"};
    for (int i = 0; i < 2; i++) {
        const struct policy_ops *p = policy_find(name[i]);
        void *config = mem_new(1, p->config_size + 1);
        param_defaults(p->params, config);
        struct layer *x = build(p, config, &shapes[3], 0);
        int32_t other[100];
        float out[2 * (100 + GUARD)];
        struct err e = {0};
        memcpy(other, x->pos, sizeof other);
        x->head[1].pos = other;
        ck_assert_int_eq(score_all(p, config, x, out, &e), 0);
        other[99] = 120;
        ck_assert_int_eq(score_all(p, config, x, out, &e), -1);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_ptr_nonnull(strstr(e.msg, "slot 99 is position 120 in head 1, 99 in head 0"));
        x->head[1].n_entry = 99;
        ck_assert_int_eq(score_all(p, config, x, out, &e), -1);
        ck_assert_ptr_nonnull(strstr(e.msg, "head 1 holds 99, head 0 100"));
        drop(x);
        mem_free(config);
    }
}
END_TEST

START_TEST(every_policy_keeps_the_rules_of_the_abi)
{
    const struct policy_ops *p = policy_at(_i);
    struct err e;
    ck_assert_msg(policy_validate(p, &e) == 0, "%s", e.msg);
    for (int i = 0; i < _i; i++)
        ck_assert_str_ne(policy_at(i)->name, p->name);
    ck_assert_ptr_eq(policy_find(p->name), p);
    ck_assert_ptr_null(policy_find("h20"));
}
END_TEST

struct two {
    int64_t window;
    int pooling;
};
static const char *const words[] = {"avg", "max", NULL};
static const char *const no_words[] = {NULL};

START_TEST(broken_parameter_tables_are_refused_with_the_reason)
{
    static const struct {
        struct param p;
        const char *why;
    } c[] = {
        {{"window", PARAM_INT, sizeof(struct two), "1", 0, 9, NULL, ""}, "do not fit a config of"},
        {{"window", PARAM_INTS, offsetof(struct two, pooling), "1", 0, 9, NULL, ""}, "do not fit"},
        {{"window", PARAM_INT, offsetof(struct two, window) + 4, "1", 0, 9, NULL, ""}, "do not fit"},
        {{"window", PARAM_INT, 0, "10", 0, 9, NULL, ""},
         "default: parameter 'window': expected integer in [0, 9], found '10'"},
        {{"window", PARAM_INT, 0, "half", 0, 9, words, ""}, "found 'half'"},
        {{"window", PARAM_INT, 0, "1", -1, 9, words, ""}, "words need bounds from 0"},
        {{"window", PARAM_INT, 0, "1", 9, 0, NULL, ""}, "bounds 9 to 0"},
        {{"Window", PARAM_INT, 0, "1", 0, 9, NULL, ""}, "lower-case"},
        {{"window", PARAM_INT, 0, "1", 0, 9, NULL, NULL}, "no help"},
        {{"pooling", PARAM_ENUM, offsetof(struct two, pooling), "avg", 0, 0, no_words, ""}, "no words"},
        {{"pooling", PARAM_ENUM, offsetof(struct two, pooling), "mean", 0, 0, words, ""}, "found 'mean'"},
        {{"again", PARAM_INT, 0, "1", 0, 9, NULL, ""}, "'again' stands twice"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct param table[] = {c[i].p, {"again", PARAM_INT, 0, NULL, 0, 0, NULL, ""}, {0}};
        struct policy_ops bad = *policy_find("h2o");
        struct err e;
        memset(&e, 0xFF, sizeof e);
        bad.params = table;
        bad.config_size = sizeof(struct two);
        ck_assert_msg(policy_validate(&bad, &e) == -1, "case %zu", i);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_msg(strncmp(e.msg, "policy 'h2o': ", 14) == 0 && strstr(e.msg, c[i].why), "case %zu: %s", i, e.msg);
    }
}
END_TEST

START_TEST(broken_policies_are_refused_with_the_reason)
{
    const struct policy_ops good = *policy_find("tova"), full = *policy_find("full");
    struct policy_ops c[11];
    static const char *const why[11] = {"ABI 99",   "name 'H2O'", "summary", "head_budget", "no score",     "how many",
                                        "only one", "keeps all",  "name ''", "summary",     "no other need"};
    for (int i = 0; i < 11; i++)
        c[i] = i == 7 ? full : good;
    c[0].abi = 99;
    c[1].name = "H2O";
    c[2].summary = NULL;
    c[3].head_budget = "adakv";
    c[4].score = NULL;
    c[5].rows = NULL;
    c[6].create = (int (*)(void **, const void *, const struct policy_view *, struct err *))1;
    c[7].needs = STATISTIC_KEYS;
    c[8].name = "";
    c[9].paper = NULL;
    c[10].needs |= STATISTIC_ANSWER;
    for (int i = 0; i < 11; i++) {
        struct err e;
        memset(&e, 0xFF, sizeof e);
        ck_assert_msg(policy_validate(&c[i], &e) == -1, "case %d", i);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_msg(strstr(e.msg, why[i]) != NULL, "case %d: %s", i, e.msg);
    }
}
END_TEST

Suite *make_policy_contract_suite(void)
{
    Suite *s = suite_create("policy_contract");
    TCase *t = tcase_create("core");
    tcase_add_loop_test(t, every_policy_keeps_the_rules_of_the_abi, 0, policy_count());
    tcase_add_test(t, broken_policies_are_refused_with_the_reason);
    tcase_add_test(t, broken_parameter_tables_are_refused_with_the_reason);
    tcase_add_loop_test(t, every_policy_fills_its_scores_alike_twice_with_any_parameters_and_shape, 0, policy_count());
    tcase_add_loop_test(t, no_policy_hides_statistics_that_are_not_numbers, 0, policy_count());
    tcase_add_loop_test(t, no_policy_protects_a_negative_number, 0, policy_count());
    tcase_add_loop_test(t, refused_memory_is_an_error_and_leaks_nothing, 0, policy_count());
    tcase_add_test(t, one_score_per_layer_needs_heads_with_the_same_entries);
    suite_add_tcase(s, t);
    return s;
}
