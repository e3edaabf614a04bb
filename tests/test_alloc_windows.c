/* Layer allocators where only some of a model's layers are pruned: they see these alone, and users call them as the
 * model does. */
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "policies/allocator_profile.h"
#include "tests/lib/allocators.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

/* Three of twelve layers, as every fourth has no window. */
enum { ALL = 12, L = 3 };
static const int number[L] = {3, 7, 11};
static const int64_t studied[L] = {3, 7, 11};
static const double DAMAGE[] = {1, 2, 5};

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

static struct allocator_setup setup_of(const char *windows)
{
    return (struct allocator_setup){.n_layer = L,
                                    .number = number,
                                    .n_model_layer = ALL,
                                    .windows = windows,
                                    .model = "m",
                                    .model_sha256 = allocators_sha,
                                    .dir = dir};
}

static void *config_of(const struct allocator_ops *a, const char *key, const char *const *value, int n)
{
    void *config = mem_new(1, a->config_size + 1);
    struct err e;
    param_defaults(a->params, config);
    ck_assert_msg(param_set(param_find(a->params, key), config, value, n, &e) == 0, "%s", e.msg);
    return config;
}

static void free_config(const struct allocator_ops *a, void *config)
{
    param_fini(a->params, config);
    mem_free(config);
}

static void check_single(const char *layer, int only, const int *want, const char *refused)
{
    const struct allocator_ops *a = allocator_find("single");
    const struct allocator_setup s = setup_of(NULL);
    const int available[L] = {90, 90, 90};
    const struct allocator_input in = {
        .n_layer = L, .n_kv_head = 1, .n = 90, .m = 9, .available = available, .number = number};
    void *config = config_of(a, "layer", &layer, 1);
    int entries[L];
    struct err e = {0};
    ck_assert_int_eq(param_set(param_find(a->params, "only"), config, &(const char *){only ? "true" : "false"}, 1, &e),
                     0);
    ck_assert_int_eq(a->check(config, &s, &e), refused ? -1 : 0);
    if (refused)
        ck_assert_str_eq(e.msg, refused);
    ck_assert_int_eq(a->allocate(config, &in, entries, &e), refused ? -1 : 0);
    for (int l = 0; l < L && !refused; l++)
        ck_assert_int_eq(entries[l], want[l]);
    free_config(a, config);
}

START_TEST(single_goes_by_the_models_numbers)
{
    check_single("7", 0, (const int[]){90, 9, 90}, NULL);
    check_single("11", 1, (const int[]){9, 9, 90}, NULL);
    check_single("4", 0, NULL,
                 "single: layer 4 has a window and is not pruned (windows: keep); the layers that are: 3, 7, 11");
    check_single("12", 0, NULL, "single: layer 12 of a model with layers 0 to 11");
}
END_TEST

START_TEST(lists_have_one_number_for_each_layer_that_is_pruned)
{
    static const struct {
        const char *name, *key, *says;
    } c[] = {{"vector", "keep", "vector: 12 fractions for the 3 layers that are pruned of a model of 12"},
             {"proportional", "weights", "proportional: 12 weights for the 3 layers that are pruned of a model of 12"},
             {"free_first", "layers",
              "3 whole layers of the 3 layers that are pruned of a model of 12 leave "
              "none to prune"}};
    const struct allocator_setup s = setup_of(NULL);
    for (int i = 0; i < 3; i++) {
        const struct allocator_ops *a = allocator_find(c[i].name);
        const char *value[ALL];
        struct err e = {0};
        for (int l = 0; l < ALL; l++)
            value[l] = i == 2 ? "3" : "1";
        void *bad = config_of(a, c[i].key, value, i == 2 ? 1 : ALL);
        value[0] = i == 2 ? "2" : "1";
        void *good = config_of(a, c[i].key, value, i == 2 ? 1 : L);
        ck_assert_int_eq(a->check(good, &s, &e), 0);
        ck_assert_int_eq(a->check(bad, &s, &e), -1);
        ck_assert_str_eq(e.msg, c[i].says);
        free_config(a, good);
        free_config(a, bad);
    }
}
END_TEST

/* Under windows: prune a layer with a window has fewer entries, and its budget is of these. */
START_TEST(layers_that_hold_fewer_entries_have_budgets_of_their_own)
{
    const int own_n[L] = {1000, 64, 1000}, own_m[L] = {200, 12, 200};
    const struct allocator_input in = {.n_layer = L,
                                       .n_kv_head = 1,
                                       .n = 1000,
                                       .m = 200,
                                       .total = 412,
                                       .available = own_n,
                                       .own_n = own_n,
                                       .own_m = own_m};
    const struct allocator_ops *vector = allocator_find("vector"), *single = allocator_find("single"),
                               *first = allocator_find("free_first");
    void *half = config_of(vector, "keep", (const char *const[]){"0.5", "0.5", "0.25"}, 3),
         *one = config_of(single, "layer", (const char *const[]){"1"}, 1),
         *none = config_of(first, "layers", (const char *const[]){"1"}, 1);
    int entries[L];
    ck_assert_int_eq(allocator_find("uniform")->allocate(NULL, &in, entries, NULL), 0);
    ck_assert_mem_eq(entries, own_m, sizeof entries);
    ck_assert_int_eq(vector->allocate(half, &in, entries, NULL), 0);
    ck_assert_mem_eq(entries, ((const int[]){500, 32, 250}), sizeof entries);
    ck_assert_int_eq(single->allocate(one, &in, entries, NULL), 0);
    ck_assert_mem_eq(entries, ((const int[]){1000, 12, 1000}), sizeof entries);
    struct allocator_input more = in;
    more.total = 1106; /* the first whole, 106 left for 12 : 200 */
    ck_assert_int_eq(first->allocate(none, &more, entries, NULL), 0);
    ck_assert_mem_eq(entries, ((const int[]){1000, 6, 100}), sizeof entries);
    free_config(vector, half);
    free_config(single, one);
    free_config(first, none);
}
END_TEST

/* ---- profiles --------------------------------------------------------------------------------- */

static void write_profile(const int64_t *layer, int n, const char *windows, const double *kl)
{
    char *path = rows_path("p.h5");
    allocators_profile_of(path, NULL, &(struct allocators_layers){ALL, n, layer, windows},
                          &(struct allocators_study){"t", "p", 0.5, 0, kl, NULL}, 1);
    mem_free(path);
}

static struct allocator_profile *read_profile(const char *windows, char *metric, struct err *e)
{
    static char path[] = "p.h5", all[] = "all";
    struct allocator_setup s = setup_of(windows);
    const struct allocator_profile_choice c = {.path = path,
                                               .task = all,
                                               .policy = all,
                                               .level = -1,
                                               .measure = ALLOCATOR_STUDY_KL,
                                               .metric = metric,
                                               .high = 1};
    return allocator_profile_read(&c, &s, 0, e);
}

static void check_profile(const char *windows, char *metric, const double *want)
{
    struct err e = {0};
    struct allocator_profile *p = read_profile(windows, metric, &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    ck_assert_int_eq(p->n_layer, L);
    for (int l = 0; l < L; l++)
        ck_assert_double_eq(p->mean[l], want[l]);
    allocator_profile_free(p);
}

static void check_refused(const char *windows, const char *what)
{
    struct err e = {0};
    ck_assert_ptr_null(read_profile(windows, NULL, &e));
    ck_assert_msg(strstr(e.msg, what) != NULL, "'%s' is not in: %s", what, e.msg);
}

START_TEST(a_profile_is_read_by_the_models_numbers)
{
    write_profile(studied, L, "keep", DAMAGE);
    check_profile(NULL, NULL, DAMAGE);
    check_profile("keep", NULL, DAMAGE);
    write_profile(studied, L, NULL, DAMAGE); /* of an older program */
    check_profile("keep", NULL, DAMAGE);
}
END_TEST

START_TEST(a_profile_of_other_layers_is_refused_by_name)
{
    static const int64_t more[] = {3, 4, 7, 11};
    static const double four[] = {1, 2, 3, 4};
    write_profile(more, 4, "keep", four);
    check_refused("keep", "p.h5:/0: a profile of another set of layers: it has layer 4, and those that are pruned here "
                          "are 3, 7, 11");
    write_profile(studied, 2, "keep", DAMAGE);
    check_refused("keep", "layer 11 at level 0.5 has no kl (NaN)");
    write_profile(studied, L, "prune", DAMAGE);
    check_refused("keep", "no study of task all, policy all, level all; there are (task policy level): t p 0.5 "
                          "(windows: prune)");
    check_profile("prune", NULL, DAMAGE);
    write_profile(studied, L, "keep", DAMAGE);
    check_refused("prune", "level all, windows: prune; there are (task policy level): t p 0.5");
}
END_TEST

START_TEST(a_metric_has_a_number_for_each_of_the_models_layers)
{
    static char name[] = "/metrics/m";
    const uint64_t dim[1] = {ALL};
    double v[ALL];
    char *path = rows_path("p.h5");
    for (int l = 0; l < ALL; l++)
        v[l] = 10 * l;
    write_profile(studied, L, "keep", DAMAGE);
    struct h5 *f = h5_open(path, H5_MODE_APPEND, NULL);
    ck_assert_int_eq(h5_write(f, name, H5_TYPE_F64, 1, dim, v, NULL), 0);
    ck_assert_int_eq(h5_close(f, NULL), 0);
    check_profile("keep", name, (const double[]){30, 70, 110});
    mem_free(path);
}
END_TEST

Suite *make_alloc_windows_suite(void)
{
    Suite *s = suite_create("alloc_windows");
    TCase *t = tcase_create("alloc_windows");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, single_goes_by_the_models_numbers);
    tcase_add_test(t, lists_have_one_number_for_each_layer_that_is_pruned);
    tcase_add_test(t, layers_that_hold_fewer_entries_have_budgets_of_their_own);
    tcase_add_test(t, a_profile_is_read_by_the_models_numbers);
    tcase_add_test(t, a_profile_of_other_layers_is_refused_by_name);
    tcase_add_test(t, a_metric_has_a_number_for_each_of_the_models_layers);
    suite_add_tcase(s, t);
    return s;
}
