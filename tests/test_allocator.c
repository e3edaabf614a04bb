/* Layer allocators: the spreading rule against its definition over random cases, and each allocator's contract. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "policies/allocator.h"
#include "tests/lib/allocators.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

enum { MOST = 12 };

struct spread {
    int n, available[MOST], out[MOST];
    double weight[MOST];
    int64_t total, want;
};

static void draw(struct rng *r, struct spread *s)
{
    int64_t most = 0;
    s->n = 1 + (int)rng_below(r, MOST);
    s->total = (int64_t)rng_below(r, 400);
    int whole = (int)rng_below(r, 2);
    for (int i = 0; i < s->n; i++) {
        s->available[i] = 1 + (int)rng_below(r, 60);
        double x = whole ? 1 + (double)rng_below(r, 6) : rng_double(r) * pow(10, (double)rng_below(r, 8));
        s->weight[i] = rng_below(r, 5) ? x : 0;
        most += s->available[i];
    }
    s->want = s->total < s->n ? s->n : s->total > most ? most : s->total;
    ck_assert_int_eq(allocator_spread(s->weight, s->available, s->n, s->total, s->out, NULL), 0);
}

START_TEST(spreading_conserves_the_total_within_the_bounds)
{
    struct rng r;
    struct spread s;
    rng_init(&r, 1, "spread");
    for (int t = 0; t < 20000; t++) {
        int64_t sum = 0;
        draw(&r, &s);
        for (int i = 0; i < s.n; i++) {
            ck_assert_msg(s.out[i] >= 1 && s.out[i] <= s.available[i], "case %d", t);
            sum += s.out[i];
        }
        ck_assert_msg(sum == s.want, "case %d: %d", t, (int)sum);
    }
}
END_TEST

/* One factor f explains all layers: each lies within one entry of clamp(f weight, 1, available). */
START_TEST(spreading_is_in_one_proportion_between_the_bounds)
{
    struct rng r;
    struct spread s;
    rng_init(&r, 2, "spread");
    for (int t = 0; t < 20000; t++) {
        double lo = 0, hi = INFINITY;
        draw(&r, &s);
        for (int i = 0; i < s.n; i++) {
            if (s.weight[i] == 0) /* takes more than one entry only when the others are full */
                continue;
            if (s.out[i] > 1)
                lo = fmax(lo, (s.out[i] - 1) / s.weight[i]);
            if (s.out[i] < s.available[i])
                hi = fmin(hi, (s.out[i] + 1) / s.weight[i]);
        }
        ck_assert_msg(lo < hi * (1 + 1e-9), "case %d: %g, %g", t, lo, hi);
    }
}
END_TEST

START_TEST(layers_without_weight_get_one_entry_until_the_others_are_full)
{
    struct rng r;
    struct spread s;
    rng_init(&r, 3, "spread");
    for (int t = 0; t < 20000; t++) {
        int spare = 0, any = 0;
        draw(&r, &s);
        for (int i = 0; i < s.n; i++) {
            any |= s.weight[i] > 0;
            spare |= s.weight[i] > 0 && s.out[i] < s.available[i];
        }
        for (int i = 0; i < s.n && any && spare; i++)
            ck_assert_msg(s.weight[i] > 0 || s.out[i] == 1, "case %d", t);
    }
}
END_TEST

/* Fractions of whole weights are compared as integers, so rounding in the code under test can't hide. */
START_TEST(the_last_entries_go_by_fraction_and_ties_downward)
{
    struct rng r;
    rng_init(&r, 4, "ties");
    for (int t = 0; t < 20000; t++) {
        int n = 2 + (int)rng_below(&r, 8), available[MOST], out[MOST], scaled_out[MOST], clamped = 0;
        int64_t weight[MOST], sum = 0, total = n + (int64_t)rng_below(&r, 300);
        double w[MOST], scaled[MOST], by = (1 + (double)rng_below(&r, 9)) / 10;
        for (int i = 0; i < n; i++) {
            sum += weight[i] = 1 + (int64_t)rng_below(&r, 6);
            w[i] = (double)weight[i];
            scaled[i] = w[i] * by;
            available[i] = 1000;
        }
        ck_assert_int_eq(allocator_spread(w, available, n, total, out, NULL), 0);
        ck_assert_int_eq(allocator_spread(scaled, available, n, total, scaled_out, NULL), 0);
        ck_assert_mem_eq(out, scaled_out, (size_t)n * sizeof *out);
        for (int i = 0; i < n; i++)
            clamped |= total * weight[i] < sum;
        for (int i = 0; i < n && !clamped; i++)
            for (int j = i + 1; j < n; j++) {
                int64_t fi = total * weight[i] % sum, fj = total * weight[j] % sum;
                int up_i = out[i] > total * weight[i] / sum, up_j = out[j] > total * weight[j] / sum;
                ck_assert_msg(fi >= fj ? up_i >= up_j : up_i <= up_j, "case %d: layers %d and %d", t, i, j);
            }
    }
}
END_TEST

START_TEST(spreading_follows_the_weights)
{
    static const struct {
        double weight[4];
        int available[4], want[4];
        int64_t total;
    } c[] = {
        {{4, 2, 2, 1}, {100, 100, 100, 100}, {40, 20, 20, 10}, 90},
        {{1, 1, 1, 1}, {100, 100, 100, 100}, {11, 11, 10, 10}, 42},
        {{4, 2, 2, 1}, {10, 100, 100, 100}, {10, 32, 32, 16}, 90}, /* the first can take 10 of its 40 */
        {{0, 0, 0, 0}, {100, 100, 100, 100}, {3, 3, 2, 2}, 10},
        {{9, 0, 0, 0}, {100, 100, 100, 100}, {7, 1, 1, 1}, 10},
        {{9, 0, 0, 0}, {4, 100, 100, 100}, {4, 2, 2, 2}, 10},
        {{1e308, 1e308, 1e308, 1e308}, {9, 9, 9, 9}, {2, 2, 2, 2}, 8},
        {{5e-324, 5e-324, 0, 0}, {9, 9, 9, 9}, {4, 4, 1, 1}, 10},
        {{1, 2, 3, 4}, {5, 5, 5, 5}, {5, 5, 5, 5}, 99},
        {{1, 2, 3, 4}, {5, 5, 5, 5}, {1, 1, 1, 1}, 0},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        int out[4];
        ck_assert_int_eq(allocator_spread(c[i].weight, c[i].available, 4, c[i].total, out, NULL), 0);
        ck_assert_msg(memcmp(out, c[i].want, sizeof out) == 0, "case %zu: %d %d %d %d", i, out[0], out[1], out[2],
                      out[3]);
    }
}
END_TEST

START_TEST(impossible_weights_are_refused_with_their_layer)
{
    static const double bad[] = {NAN, INFINITY, -1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int out[3], available[3] = {9, 9, 9};
        struct err e;
        memset(&e, 0xFF, sizeof e);
        ck_assert_int_eq(allocator_spread((const double[]){1, 1, bad[i]}, available, 3, 9, out, &e), -1);
        ck_assert_int_eq(e.code, ERR_POLICY);
        ck_assert_ptr_nonnull(strstr(e.msg, "layer 2"));
    }
}
END_TEST

START_TEST(every_allocator_keeps_the_rules_of_the_abi)
{
    const struct allocator_ops *a = allocator_at(_i);
    struct err e;
    ck_assert_msg(allocator_validate(a, &e) == 0, "%s", e.msg);
    for (int i = 0; i < _i; i++)
        ck_assert_str_ne(allocator_at(i)->name, a->name);
    ck_assert_ptr_eq(allocator_find(a->name), a);
    ck_assert_ptr_null(allocator_find("pyramid_of_cards"));
}
END_TEST

/* Sets every parameter that has no default to `text` (lists: n times). */
static void *config_of(const struct allocator_ops *a, const char *text, int n)
{
    void *config = mem_new(1, a->config_size + 1);
    const char *item[MOST];
    for (int i = 0; i < MOST; i++)
        item[i] = text;
    param_defaults(a->params, config);
    for (const struct param *p = a->params; p && p->name; p++)
        if (!p->dflt)
            ck_assert_int_eq(param_set(p, config, item, param_is_list(p) ? n : 1, NULL), 0);
    return config;
}

/* Random models, prompts, budgets, profiles and attention: every allocator's answer lies within bounds and is exact, or
 * it says that there is none. In some only every other layer is pruned, in some layers with a window are pruned too,
 * which hold fewer entries. */
START_TEST(every_allocator_stays_within_bounds_and_spreads_exactly)
{
    const struct allocator_ops *a = allocator_at(_i);
    struct rng r;
    int answered = 0, cases = param_find(a->params, "profile") || a->observe ? 100 : 300;
    const char *dir = rows_enter();
    char *path = rows_path("1"); /* what config_of gives for a path */
    rng_init(&r, 5, "contract");
    for (int t = 0; t < cases; t++) {
        int L = 4 + (int)rng_below(&r, MOST - 3), available[MOST], entries[MOST], n = 1 + (int)rng_below(&r, 500);
        int64_t sum = 0, most = 0, own_total = 0, called[MOST];
        int number[MOST], own_n[MOST], own_m[MOST], some = t % 3 == 1, windows = t % 5 == 2;
        double kl[2][MOST];
        struct allocators_ready ready = {.ops = a, .config = config_of(a, "1", L), .n_layer = L};
        struct allocators_stats stats;
        for (int l = 0; l < L; l++)
            called[l] = number[l] = some ? 2 * l + 1 : l;
        struct allocator_setup setup = {.n_layer = L,
                                        .number = number,
                                        .n_model_layer = number[L - 1] + 1,
                                        .model = "m",
                                        .model_sha256 = allocators_sha,
                                        .dir = dir};
        struct err e = {0};
        for (int l = 0; l < L; l++) {
            kl[0][l] = rng_double(&r) - (t % 3 ? 0 : 0.2);
            kl[1][l] = kl[0][l] * rng_double(&r);
            own_n[l] = windows && l % 2 ? (n + 3) / 4 : n;
            most += available[l] = t % 2 ? own_n[l] : 1 + (int)rng_below(&r, (uint64_t)own_n[l]);
        }
        if (param_find(a->params, "profile"))
            allocators_profile_of(
                path, NULL, &(struct allocators_layers){setup.n_model_layer, L, called, NULL},
                (const struct allocators_study[]){{"t", "p", 0.1, 0, kl[0], NULL}, {"t", "p", 0.5, 0, kl[1], NULL}}, 2);
        ready.self = ready.config;
        ck_assert_msg(!a->check || a->check(ready.config, &setup, &e) == 0, "case %d: %s", t, e.msg);
        if (a->create)
            ck_assert_msg(a->create(&ready.self, ready.config, &setup, &e) == 0, "case %d: %s", t, e.msg);
        allocators_observe(&ready, &r, 2, n, &stats);
        struct allocator_input in = {.n_layer = L,
                                     .n_kv_head = 2,
                                     .n = n,
                                     .m = 1 + (int)rng_below(&r, (uint64_t)n),
                                     .available = available,
                                     .number = number,
                                     .own_n = own_n,
                                     .own_m = own_m,
                                     .stat = a->observe ? stats.layer : NULL,
                                     .cosine = stats.cosine};
        for (int l = 0; l < L; l++) {
            own_m[l] = a->budget == ALLOCATOR_ABSOLUTE ? 0 : (int)((int64_t)in.m * own_n[l] / n);
            own_m[l] += a->budget != ALLOCATOR_ABSOLUTE && own_m[l] == 0;
            own_total += own_m[l];
        }
        in.total = a->budget == ALLOCATOR_SPREADS ? own_total : 0;
        in.m = a->budget == ALLOCATOR_ABSOLUTE ? 0 : in.m;
        int bad = a->allocate(ready.self, &in, entries, &e);
        ck_assert_msg(!bad || e.code == ERR_INFEASIBLE, "case %d: %s", t, e.msg);
        for (int l = 0; l < L && !bad; l++) {
            ck_assert_msg(entries[l] >= 1 && entries[l] <= available[l], "case %d: layer %d of %d got %d of %d", t, l,
                          L, entries[l], available[l]);
            sum += entries[l];
        }
        if (a->budget == ALLOCATOR_SPREADS && !bad)
            ck_assert_msg(sum == (in.total < most ? in.total : most), "case %d: %d entries of %d, at most %d", t,
                          (int)sum, (int)in.total, (int)most);
        answered += !bad;
        allocators_stats_fini(&stats);
        allocators_fini(&ready);
    }
    ck_assert_int_gt(answered, cases / 8);
    mem_free(path);
    rows_leave();
}
END_TEST

static void check_entries(const char *name, const char *const *params, int m, const int *want)
{
    struct allocators_ready a;
    int entries[4];
    ck_assert_int_eq(allocators_make(&a, name, ".", 4, params, NULL), 0);
    ck_assert_int_eq(allocators_spread(&a, 100, m, NULL, entries, NULL, NULL), 0);
    ck_assert_mem_eq(entries, want, sizeof entries);
    allocators_fini(&a);
}

START_TEST(uniform_gives_every_layer_the_same)
{
    static const char *const none[] = {NULL};
    check_entries("uniform", none, 40, (const int[]){40, 40, 40, 40});
    check_entries("uniform", none, 1, (const int[]){1, 1, 1, 1});
    check_entries("uniform", none, 100, (const int[]){100, 100, 100, 100});
}
END_TEST

START_TEST(proportional_follows_its_weights_within_what_a_layer_has)
{
    static const char *const weights[] = {"weights=4,2,1,1", NULL};
    check_entries("proportional", weights, 40, (const int[]){80, 40, 20, 20});
    check_entries("proportional", weights, 60, (const int[]){100, 70, 35, 35});
}
END_TEST

START_TEST(a_list_of_another_length_is_refused_with_both_numbers)
{
    static const char *const name[] = {"vector", "proportional"};
    for (int i = 0; i < 2; i++) {
        const struct allocator_ops *a = allocator_find(name[i]);
        void *config = config_of(a, "1", 7);
        struct err e;
        memset(&e, 0xFF, sizeof e);
        ck_assert_int_eq(a->check(config, &(struct allocator_setup){.n_layer = 7}, &e), 0);
        ck_assert_int_eq(a->check(config, &(struct allocator_setup){.n_layer = 30}, &e), -1);
        ck_assert_int_eq(e.code, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(e.msg, "7 "));
        ck_assert_ptr_nonnull(strstr(e.msg, "30 layers"));
        param_fini(a->params, config);
        mem_free(config);
    }
}
END_TEST

START_TEST(vector_takes_exact_fractions_and_at_least_one_entry)
{
    const struct allocator_ops *a = allocator_find("vector");
    static const char *const text[] = {"0.8", "0.29", "1", "0.0001"};
    int available[4] = {1000, 1000, 1000, 1000}, entries[4];
    struct allocator_input in = {.n_layer = 4, .n_kv_head = 1, .n = 1000, .available = available};
    void *config = mem_new(1, a->config_size);
    ck_assert_int_eq(param_set(a->params, config, text, 4, NULL), 0);
    ck_assert_int_eq(a->allocate(config, &in, entries, NULL), 0);
    ck_assert_mem_eq(entries, ((int[]){800, 290, 1000, 1}), sizeof entries);
    param_fini(a->params, config);
    mem_free(config);
}
END_TEST

START_TEST(single_takes_all_as_a_word_that_must_be_expanded_first)
{
    const struct allocator_ops *a = allocator_find("single");
    void *config = config_of(a, "all", 1);
    int available[2] = {9, 9}, entries[2];
    struct allocator_input in = {.n_layer = 2, .n_kv_head = 1, .n = 9, .m = 3, .available = available};
    struct err e;
    ck_assert_int_eq(a->check(config, &(struct allocator_setup){.n_layer = 2}, &e), 0);
    ck_assert_int_eq(a->allocate(config, &in, entries, &e), -1);
    ck_assert_int_eq(e.code, ERR_POLICY);
    ck_assert_int_eq(param_set(a->params, config, &(const char *){"2"}, 1, NULL), 0);
    ck_assert_int_eq(a->check(config, &(struct allocator_setup){.n_layer = 2}, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "layer 2"));
    mem_free(config);
}
END_TEST

Suite *make_allocator_suite(void)
{
    Suite *s = suite_create("allocator");
    TCase *t = tcase_create("core");
    tcase_add_loop_test(t, every_allocator_keeps_the_rules_of_the_abi, 0, allocator_count());
    tcase_add_loop_test(t, every_allocator_stays_within_bounds_and_spreads_exactly, 0, allocator_count());
    tcase_add_test(t, spreading_conserves_the_total_within_the_bounds);
    tcase_add_test(t, spreading_is_in_one_proportion_between_the_bounds);
    tcase_add_test(t, layers_without_weight_get_one_entry_until_the_others_are_full);
    tcase_add_test(t, the_last_entries_go_by_fraction_and_ties_downward);
    tcase_add_test(t, spreading_follows_the_weights);
    tcase_add_test(t, impossible_weights_are_refused_with_their_layer);
    tcase_add_test(t, uniform_gives_every_layer_the_same);
    tcase_add_test(t, proportional_follows_its_weights_within_what_a_layer_has);
    tcase_add_test(t, a_list_of_another_length_is_refused_with_both_numbers);
    tcase_add_test(t, vector_takes_exact_fractions_and_at_least_one_entry);
    tcase_add_test(t, single_takes_all_as_a_word_that_must_be_expanded_first);
    suite_add_tcase(s, t);
    return s;
}
