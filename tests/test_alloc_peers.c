/* Layer allocators that look at the prefill: their statistics of one small layer and their shares, by hand. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment.h"
#include "tests/lib/allocators.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

/* One query head, four entries, the last two queries. */
static const float ROWS[] = {0.5f, 0.25f, 0.25f, 0, 0.1f, 0.2f, 0.3f, 0.4f}, OFF[] = {1, 2, 3, 0},
                   DIAGONAL[] = {1, 0, 0, 0}, VALUES[] = {3, -2, 1, 1};

static void observe(const char *name, const char *const *params, double *stat)
{
    static const int32_t pos[] = {0, 1, 2, 3};
    struct policy_head head = {.n_entry = 4, .pos = pos, .keys = VALUES, .values = VALUES};
    struct policy_attention att = {.off_diagonal = OFF, .diagonal = DIAGONAL, .rows = ROWS};
    struct policy_view v = {.n_layer = 1,
                            .n_head = 1,
                            .n_kv_head = 1,
                            .n_group = 1,
                            .head_dim = 1,
                            .d_model = 1,
                            .n_seen = 4,
                            .n_query = 4,
                            .n_row = 2,
                            .head = &head,
                            .attention = &att};
    struct allocators_ready a;
    struct err e = {0};
    ck_assert_int_eq(allocators_make(&a, name, "", 1, params, &e), 0);
    ck_assert_msg(a.ops->observe(a.self, &v, stat, &e) == 0, "%s: %s", name, e.msg);
    allocators_fini(&a);
}

/* stat: [n_layer][n_stat]; cosine: [n_layer] */
static void check(const char *name, const char *const *params, int n_layer, int n_stat, const double *stat,
                  int n_kv_head, int n, int m, const int *want)
{
    const double *layer[8];
    int available[8], entries[8];
    struct allocators_ready a;
    struct err e = {0};
    for (int l = 0; l < n_layer; l++) {
        layer[l] = stat + (size_t)l * (size_t)n_stat;
        available[l] = n;
    }
    struct allocator_input in = {.n_layer = n_layer,
                                 .n_kv_head = n_kv_head,
                                 .n = n,
                                 .m = m,
                                 .total = (int64_t)m * n_layer,
                                 .available = available,
                                 .stat = layer,
                                 .cosine = stat};
    ck_assert_int_eq(allocators_make(&a, name, "", n_layer, params, &e), 0);
    ck_assert_msg(a.ops->allocate(a.self, &in, entries, &e) == 0, "%s: %s", name, e.msg);
    for (int l = 0; l < n_layer; l++)
        ck_assert_msg(entries[l] == want[l], "%s: layer %d got %d, expected %d", name, l, entries[l], want[l]);
    allocators_fini(&a);
}

START_TEST(zigzagkv_counts_the_entries_that_hold_the_mass)
{
    double stat;
    observe("zigzagkv", SET("mass=0.9"), &stat); /* sums 0.6 0.55 0.45 0.4 of 2: 1.6 falls short of 1.8 */
    ck_assert_double_eq(stat, 4);
    observe("zigzagkv", SET("mass=0.7"), &stat);
    ck_assert_double_eq(stat, 3);
    check("zigzagkv", SET("bound=0.2"), 2, 1, (const double[]){1, 3}, 1, 1000, 100,
          (const int[]){60, 140}); /* 20 + 160 / 4 */
}
END_TEST

START_TEST(cake_multiplies_entropy_and_variance)
{
    double stat[2];
    observe("cake", SET("window=2"), stat); /* the two entries before the window */
    ck_assert_double_eq_tol(stat[0], (0.5 * log(2) + 0.25 * log(4) + 0.1 * log(10) + 0.2 * log(5)) / 2, 1e-7);
    ck_assert_double_eq_tol(stat[1], 0.2 * 0.2 + 0.025 * 0.025, 1e-7);
    const double s[] = {1, 4, 1, 1};
    check("cake", SET("window=10"), 2, 2, s, 1, 1000, 60, (const int[]){90, 30});           /* 10 + 100 by 4 : 1 */
    check("cake", SET("window=10", "tau2=2"), 2, 2, s, 1, 1000, 60, (const int[]){77, 43}); /* by 2 : 1 */
    check("cake", SET("window=60"), 2, 2, s, 1, 1000, 60, (const int[]){60, 60});
}
END_TEST

START_TEST(dynamickv_counts_where_the_best_entries_of_all_layers_lie)
{
    double stat[4];
    observe("dynamickv", SET("window=2", "kernel=1"), stat);
    ck_assert_double_eq_tol(stat[0], 0.3, 1e-7);
    ck_assert_double_eq_tol(stat[1], 0.225, 1e-7);
    ck_assert_double_eq(stat[2], -1); /* the window takes no part */
    observe("dynamickv", SET("window=2", "kernel=3"), stat);
    ck_assert_double_eq_tol(stat[0], (0.3 + 0.225) / 3, 1e-7);
    ck_assert_double_eq_tol(stat[1], (0.3 + 0.225 + 0.275) / 3, 1e-7);
    const double s[] = {0.9, 0.8, 0.7, -1, 0.6, 0.1, 0.05, -1};
    /* the best (3 - 1) x 2 of all: three in layer 0, one in layer 1 */
    check("dynamickv", SET("window=1"), 2, 4, s, 1, 4, 3, (const int[]){4, 2});
    check("dynamickv", SET("window=1", "r_max=1"), 2, 4, s, 1, 4, 3, (const int[]){3, 3}); /* two candidates each */
}
END_TEST

START_TEST(lava_takes_the_entropy_of_normalised_scores)
{
    double stat, p = 4 / 7.0;
    observe("lava", SET("window=2", "kernel=1"), &stat); /* 0.3 and 0.225, times 3 */
    ck_assert_double_eq_tol(stat, -(p * log(p) + (1 - p) * log(1 - p)) / log(2), 1e-7);
    check("lava", SET("window=10"), 2, 1, (const double[]){0.5, 1}, 1, 1000, 40, (const int[]){30, 50});
}
END_TEST

START_TEST(d2o_gives_less_where_columns_vary)
{
    double stat;
    observe("d2o", SET("exempt=true"), &stat);
    ck_assert_double_eq_tol(stat, 1.1875, 1e-12); /* of 2 2 3 0 */
    check("d2o", SET("exempt=false"), 2, 1, (const double[]){0, 5}, 1, 1000, 50, (const int[]){73, 27}); /* 1 : 1/e */
    /* layers 0, 1, 4 whole; 100 are left, 1 : exp(-1/9) */
    check("d2o", SET("exempt=true"), 5, 1, (const double[]){9, 9, 0, 1, 9}, 1, 100, 80,
          (const int[]){100, 100, 53, 47, 100});
}
END_TEST

START_TEST(simlayerkv_cuts_lazy_layers_to_their_ends)
{
    double stat;
    observe("simlayerkv", SET("sinks=1", "recent=1"), &stat);
    ck_assert_double_eq_tol(stat, 0.5, 1e-7);
    const double s[] = {0.95, 0.5, 0.95}, all[] = {0.95, 0.95, 0.95};
    check("simlayerkv", SET("sinks=4", "recent=16"), 3, 1, s, 1, 1000, 50, (const int[]){20, 110, 20});
    check("simlayerkv", SET("sinks=4", "recent=16"), 3, 1, all, 1, 1000, 50, (const int[]){50, 50, 50});
    check("simlayerkv", SET("recent=1024"), 3, 1, s, 1, 1000, 50,
          (const int[]){50, 50, 50}); /* a lazy layer needs more than m */
}
END_TEST

START_TEST(squeezeattention_starves_the_group_of_largest_cosines)
{
    check("squeezeattention", SET("p=0.5"), 4, 1, (const double[]){0.1, 0.5, 0.9, 0.92}, 1, 1000, 100,
          (const int[]){150, 150, 50, 50});
    check("squeezeattention", SET("p=0.5"), 3, 1, (const double[]){0.7, 0.7, 0.7}, 1, 1000, 100,
          (const int[]){100, 100, 100});
}
END_TEST

/* Every one of them in a run: exact totals, the same entries from any sweep. */
START_TEST(what_they_see_does_not_depend_on_who_runs_beside_them)
{
    static const char head[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                               "1\nmax_new_tokens: 2\nsweep:\n";
    static const char *const one[] = {"zigzagkv",
                                      "{cake: {window: 8}}",
                                      "{dynamickv: {window: 8}}",
                                      "{lava: {window: 8}}",
                                      "{d2o: {exempt: false}}",
                                      "{simlayerkv: {recent: 40, threshold: 0.5}}",
                                      "squeezeattention"};
    struct str all = {0}, text = {0};
    struct rows a, b;
    str_addf(&all, "%s  - policy: [h2o, random]\n    keep: 0.2\n    layer_budget: [uniform", head);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        str_addf(&all, ", %s", one[i]);
    str_add(&all, "]\n");
    rows_run_and_load(all.p, "all", &a);
    ck_assert_int_eq(a.n, 17);
    for (int i = 1; i < a.n; i++) {
        const struct json *kept = json_get(a.v[i], "kept");
        double sum = 0;
        ck_assert_str_eq(rows_text(a.v[i], "status"), "ok");
        for (const struct json *k = json_first(kept); k; k = json_next(k))
            sum += json_number(k, 0);
        ck_assert_double_eq(sum, 3 * 79); /* 0.2 of 397 */
    }
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        str_clear(&text);
        str_addf(&text, "%s  - {policy: h2o, keep: 0.2, layer_budget: %s}\n", head, one[i]);
        rows_run_and_load(text.p, one[i][0] == '{' ? "one" : one[i], &b);
        for (int k = 1; k < b.n; k++) {
            const struct json *same = rows_find(&a, b.v[k]);
            ck_assert_ptr_nonnull(same);
            ck_assert_str_eq(rows_text(same, "kept"), rows_text(b.v[k], "kept"));
        }
        rows_free(&b);
    }
    rows_free(&a);
    str_free(&all);
    str_free(&text);
}
END_TEST

START_TEST(chunks_can_not_give_their_statistics)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\nsweep:\n"
        "  - policy: h2o\n    keep: 0.2\n    prefill: {chunked: {size: 64}}\n"
        "    layer_budget:\n      - uniform\n      - pyramidkv\n      - cake\n      - squeezeattention\n";
    struct experiment x;
    struct str errors = {0};
    struct err e = {0};
    char *path = rows_path("x.yaml");
    rows_write("x.yaml", yaml);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, &e), -1);
    ck_assert_msg(strstr(errors.p, "x.yaml:13: layer_budget 'cake' reads attention of the whole prompt") != NULL, "%s",
                  errors.p);
    ck_assert_msg(
        strstr(errors.p, "x.yaml:14: layer_budget 'squeezeattention' reads the residual stream of the whole prompt") !=
            NULL,
        "%s", errors.p);
    ck_assert_ptr_null(strstr(errors.p, "pyramidkv"));
    str_free(&errors);
    mem_free(path);
}
END_TEST

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

Suite *make_alloc_peers_suite(void)
{
    Suite *s = suite_create("alloc_peers");
    TCase *t = tcase_create("formulas"), *runs = tcase_create("runs");
    tcase_add_test(t, zigzagkv_counts_the_entries_that_hold_the_mass);
    tcase_add_test(t, cake_multiplies_entropy_and_variance);
    tcase_add_test(t, dynamickv_counts_where_the_best_entries_of_all_layers_lie);
    tcase_add_test(t, lava_takes_the_entropy_of_normalised_scores);
    tcase_add_test(t, d2o_gives_less_where_columns_vary);
    tcase_add_test(t, simlayerkv_cuts_lazy_layers_to_their_ends);
    tcase_add_test(t, squeezeattention_starves_the_group_of_largest_cosines);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(runs, setup, teardown);
    tcase_add_test(runs, what_they_see_does_not_depend_on_who_runs_beside_them);
    tcase_add_test(runs, chunks_can_not_give_their_statistics);
    suite_add_tcase(s, runs);
    return s;
}
