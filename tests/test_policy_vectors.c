/* Scores and keep sets against kvpress and NumPy (tests/vectors/make_policies.py). */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/engine/prune.h"
#include "tests/suites.h"

/* Statistics are float32 sums of at most 20 terms, the vectors float64: a few units of 2^-24. */
static const double TOLERANCE = 2e-6;

struct layer {
    int n, d, n_kv, n_group, n_head;
    int32_t *pos;
    float **keys, **values, **attention; /* attention[q]: [n][n], zero above the diagonal */
    float **off, **diagonal;
    struct policy_head *head;
    struct policy_attention *stat;
    float **score;
};

static int integer(const struct json *object, const char *key)
{
    int64_t x = -1;
    ck_assert_msg(json_int64(json_get(object, key), &x) == 0, "%s", key);
    return (int)x;
}

static float **arrays(const struct json *list, int n, size_t size)
{
    float **a = mem_new((size_t)n, sizeof *a);
    const struct json *one = json_first(list);
    for (int i = 0; i < n; i++, one = list ? json_next(one) : NULL) {
        size_t k = 0;
        a[i] = mem_new(size, sizeof **a);
        for (const struct json *x = json_first(one); x && k < size; x = json_next(x))
            a[i][k++] = (float)json_number(x, NAN);
    }
    return a;
}

static void release(float **a, int n)
{
    for (int i = 0; i < n; i++)
        mem_free(a[i]);
    mem_free(a);
}

static struct layer *load(const struct json *c)
{
    struct layer *x = mem_new(1, sizeof *x);
    x->n = integer(c, "n");
    x->d = integer(c, "head_dim");
    x->n_kv = integer(c, "n_kv_head");
    x->n_group = integer(c, "n_group");
    x->n_head = x->n_kv * x->n_group;
    size_t n = (size_t)x->n, d = (size_t)x->d;
    x->keys = arrays(json_get(c, "keys"), x->n_kv, n * d);
    x->values = arrays(json_get(c, "values"), x->n_kv, n * d);
    float **triangle = arrays(json_get(c, "attention"), x->n_head, n * (n + 1) / 2);
    x->attention = arrays(NULL, x->n_head, n * n);
    x->off = arrays(NULL, x->n_head, n);
    x->diagonal = arrays(NULL, x->n_head, n);
    x->score = arrays(NULL, x->n_kv, n);
    x->pos = mem_new(n, sizeof *x->pos);
    x->head = mem_new((size_t)x->n_kv, sizeof *x->head);
    x->stat = mem_new((size_t)x->n_head, sizeof *x->stat);
    for (int j = 0; j < x->n; j++)
        x->pos[j] = j;
    for (int h = 0; h < x->n_kv; h++)
        x->head[h] = (struct policy_head){.n_entry = x->n, .pos = x->pos, .keys = x->keys[h], .values = x->values[h]};
    for (int q = 0; q < x->n_head; q++) {
        const float *from = triangle[q];
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                x->attention[q][i * n + j] = *from;
                if (i == j)
                    x->diagonal[q][j] = *from++;
                else
                    x->off[q][j] += *from++;
            }
    }
    release(triangle, x->n_head);
    return x;
}

static void drop(struct layer *x)
{
    release(x->keys, x->n_kv);
    release(x->values, x->n_kv);
    release(x->score, x->n_kv);
    release(x->attention, x->n_head);
    release(x->off, x->n_head);
    release(x->diagonal, x->n_head);
    mem_free(x->pos);
    mem_free(x->head);
    mem_free(x->stat);
    mem_free(x);
}

static void compare_scores(const struct layer *x, const struct json *want, int compared, const char *what)
{
    int h = 0;
    for (const struct json *s = json_first(want); s; s = json_next(s), h++) {
        int j = 0;
        for (const struct json *v = json_first(s); v; v = json_next(v), j++) {
            double w = json_number(v, NAN), got = (double)x->score[h][j];
            if (j < compared)
                ck_assert_msg(fabs(got - w) <= TOLERANCE * (1 + fabs(w)), "%s, head %d, entry %d: %.9g, expected %.9g",
                              what, h, j, got, w);
        }
        ck_assert_int_eq(j, x->n);
    }
    ck_assert_int_eq(h, x->n_kv);
}

static int compare_kept(const struct layer *x, const struct policy_ops *p, const void *config, int shared,
                        const struct json *row, const char *what)
{
    const float *const *layers[1] = {(const float *const *)x->score};
    int entries, sets = 0;
    struct prune_result out = {.entries = &entries};
    struct prune_request r = {.n_layer = 1,
                              .n_kv_head = x->n_kv,
                              .n = x->n,
                              .available = &x->n,
                              .policy = p,
                              .policy_config = config,
                              .budget = {.kind = BUDGET_TOKENS, .tokens = integer(row, "m")},
                              .bytes_per_entry = 8,
                              .allocator = allocator_find("uniform"),
                              .heads = head_find(shared ? "shared" : "uniform"),
                              .protect = {.compensate = 1},
                              .score = layers};
    struct keepset *keep = keepset_create(1, x->n_kv, x->n, NULL);
    struct err e = {0};
    ck_assert_msg(prune_cut(&r, keep, &out, &e) == 0, "%s: %s", what, e.msg);
    for (const struct json *set = json_first(json_get(row, "entries")); set; set = json_next(set), sets++) {
        ck_assert_msg(keepset_count(keep, 0, sets) == json_size(set), "%s", what);
        for (const struct json *j = json_first(set); j; j = json_next(j))
            ck_assert_msg(keepset_has(keep, 0, sets, (int)json_number(j, 0)), "%s, m %d, head %d: entry %d is missing",
                          what, out.m, sets, (int)json_number(j, 0));
    }
    ck_assert_int_eq(sets, x->n_kv);
    keepset_destroy(keep);
    return sets;
}

/* One expectation: a policy with its parameters on a layer. Returns how many keep sets were compared. */
static int check(struct layer *x, const struct json *want)
{
    const struct policy_ops *p = policy_find(json_string(json_get(want, "policy")));
    void *config = mem_new(1, p->config_size + 1);
    int n_row = 0, sets = 0;
    char *what = json_print(json_get(want, "params"));
    struct err e = {0};
    param_defaults(p->params, config);
    for (const struct json *v = json_first(json_get(want, "params")); v; v = json_next(v)) {
        const char *text = json_string(v);
        ck_assert_msg(param_set(param_find(p->params, json_key(v)), config, &text, 1, &e) == 0, "%s", e.msg);
    }
    unsigned needs = policy_needs_of(p, config);
    if (needs & STATISTIC_ROWS)
        n_row = p->rows(config) < x->n ? p->rows(config) : x->n;
    for (int q = 0; q < x->n_head; q++) /* only what it asked for */
        x->stat[q] = (struct policy_attention){
            .off_diagonal = needs & STATISTIC_COLUMNS ? x->off[q] : NULL,
            .diagonal = needs & STATISTIC_COLUMNS ? x->diagonal[q] : NULL,
            .rows = needs & STATISTIC_ROWS ? x->attention[q] + (size_t)(x->n - n_row) * (size_t)x->n : NULL};
    for (int h = 0; h < x->n_kv; h++) {
        x->head[h].keys = needs & STATISTIC_KEYS ? x->keys[h] : NULL;
        x->head[h].values = needs & STATISTIC_VALUES ? x->values[h] : NULL;
    }
    struct policy_view view = {.n_layer = 1,
                               .n_head = x->n_head,
                               .n_kv_head = x->n_kv,
                               .n_group = x->n_group,
                               .head_dim = x->d,
                               .d_model = x->n_head * x->d,
                               .n_seen = x->n,
                               .n_query = x->n,
                               .n_row = n_row,
                               .head = x->head,
                               .attention = x->stat};
    ck_assert_msg(p->score(config, &view, x->score, &e) == 0, "%s: %s", p->name, e.msg);
    struct str name = {0};
    str_addf(&name, "%s %s", p->name, what);
    compare_scores(x, json_get(want, "score"), integer(want, "compared"), name.p);
    int shared = strcmp(json_string(json_get(want, "heads")), "shared") == 0;
    for (const struct json *row = json_first(json_get(want, "kept")); row; row = json_next(row))
        sets += compare_kept(x, p, config, shared, row, name.p);
    str_free(&name);
    mem_free(what);
    param_fini(p->params, config);
    mem_free(config);
    return sets;
}

START_TEST(scores_and_keep_sets_are_those_of_kvpress_and_numpy)
{
    size_t n;
    struct err e = {0};
    char *text = fs_read("tests/vectors/policies.json", &n, &e);
    ck_assert_msg(text, "%s", e.msg);
    struct json *root = json_parse("policies.json", text, n, &e);
    ck_assert_msg(root, "%s", e.msg);
    int cases = 0, sets = 0;
    for (const struct json *c = json_first(root); c; c = json_next(c), cases++) {
        struct layer *x = load(c);
        for (const struct json *want = json_first(json_get(c, "expect")); want; want = json_next(want))
            sets += check(x, want);
        drop(x);
    }
    ck_assert_int_eq(cases, 3);
    ck_assert_int_ge(sets, 500); /* a file that lost its lists must not pass */
    json_free(root);
    mem_free(text);
}
END_TEST

Suite *make_policy_vectors_suite(void)
{
    Suite *s = suite_create("policy_vectors");
    TCase *t = tcase_create("core");
    tcase_add_test(t, scores_and_keep_sets_are_those_of_kvpress_and_numpy);
    suite_add_tcase(s, t);
    return s;
}
