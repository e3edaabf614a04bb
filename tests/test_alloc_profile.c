/* Layer allocators that read a profile: what they take from the file, their formulas by hand, and what they refuse. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/experiment/experiment.h"
#include "harness/report/aggregate.h"
#include "harness/report/profile.h"
#include "harness/run/feasible.h"
#include "policies/allocator_profile.h"
#include "tests/lib/allocators.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

static void write_profile(const char *sha, int n_layer, const struct allocators_study *s, int n)
{
    char *path = rows_path("p.h5");
    allocators_profile(path, sha, n_layer, s, n);
    mem_free(path);
}

#define PARAMS(...) ((const char *const[]){"profile=p.h5", __VA_ARGS__, NULL})

static void check_entries(const char *name, const char *const *params, int n_layer, int n, int m, const int *want)
{
    struct allocators_ready a;
    struct err e = {0};
    int entries[ALLOCATORS_MOST_LAYERS];
    ck_assert_msg(allocators_make(&a, name, dir, n_layer, params, &e) == 0, "%s: %s", name, e.msg);
    ck_assert_msg(allocators_spread(&a, n, m, NULL, entries, NULL, &e) == 0, "%s: %s", name, e.msg);
    for (int l = 0; l < n_layer; l++)
        ck_assert_msg(entries[l] == want[l], "%s: layer %d got %d, expected %d", name, l, entries[l], want[l]);
    allocators_fini(&a);
}

static void check_refused(const char *name, const char *const *params, int n_layer, enum err_code code,
                          const char *what)
{
    struct allocators_ready a;
    struct err e;
    memset(&e, 0xFF, sizeof e);
    ck_assert_msg(allocators_make(&a, name, dir, n_layer, params, &e) == -1, "%s was accepted: %s", name, what);
    ck_assert_int_eq(e.code, code);
    ck_assert_msg(strstr(e.msg, what) != NULL, "'%s' is not in: %s", what, e.msg);
    ck_assert_ptr_nonnull(strstr(e.msg, "p.h5"));
    allocators_fini(&a);
}

/* Damages 1 2 3 4 of 4 layers at keep 0.1, none at 0.5, and studies that others are told from. */
static const double LOW[] = {1, 2, 3, 4}, HIGH[] = {0, 0, 0, 0}, OTHER[] = {8, 1, 1, 1}, SCORE[] = {1, 0.5, 0.75, 0.75};

START_TEST(sensitivity_spreads_by_damage_above_its_floor)
{
    write_profile(
        NULL, 4, (const struct allocators_study[]){{"t", "p", 0.1, 0, LOW, SCORE}, {"t", "p", 0.1, 1, OTHER, NULL}}, 2);
    /* m 100: floor 20 each, 320 by tenths */
    check_entries("sensitivity", PARAMS("floor=0.2"), 4, 1000, 100, (const int[]){52, 84, 116, 148});
    check_entries("sensitivity", PARAMS("floor=0"), 4, 1000, 100, (const int[]){40, 80, 120, 160});
    check_entries("sensitivity", PARAMS("floor=1"), 4, 1000, 100, (const int[]){100, 100, 100, 100});
    /* losses of score 0, 0.5, 0.25, 0.25 */
    check_entries("sensitivity", PARAMS("floor=0", "measure=score"), 4, 1000, 100, (const int[]){1, 199, 100, 100});
    /* what the last layer can't hold goes to the others, 1 : 2 : 3 */
    check_entries("sensitivity", PARAMS("floor=0"), 4, 130, 100, (const int[]){47, 93, 130, 130});
}
END_TEST

START_TEST(studies_are_chosen_by_task_policy_and_level_and_pooled)
{
    const struct allocators_study s[] = {{"t", "p", 0.1, 0, LOW, NULL},
                                         {"t", "p", 0.5, 0, HIGH, NULL},
                                         {"u", "p", 0.1, 0, OTHER, NULL},
                                         {"u", "q", 0.1, 0, OTHER, NULL}};
    static const struct {
        const char *task, *policy, *level;
        double mean[4];
        int n_level;
    } c[] = {{"t", "all", "0.1", {1, 2, 3, 4}, 1},
             {"t", "p", "all", {0.5, 1, 1.5, 2}, 2}, /* the mean over levels */
             {"all", "p", "0.1", {4.5, 1.5, 2, 2.5}, 1},
             {"u", "q", "all", {8, 1, 1, 1}, 1},
             {"all", "all", "0.1", {17 / 3.0, 4 / 3.0, 5 / 3.0, 2}, 1}};
    write_profile(NULL, 4, s, 4);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char task[16], policy[16], path[] = "p.h5";
        snprintf(task, sizeof task, "%s", c[i].task);
        snprintf(policy, sizeof policy, "%s", c[i].policy);
        struct allocator_profile_choice choice = {
            .path = path, .task = task, .policy = policy, .level = -1, .measure = 2};
        struct allocator_setup of = {.n_layer = 4, .model = "m", .model_sha256 = allocators_sha, .dir = dir};
        struct err e = {0};
        if (strcmp(c[i].level, "all") != 0)
            ck_assert_int_eq(str_to_double(c[i].level, &choice.level), 0);
        struct allocator_profile *p = allocator_profile_read(&choice, &of, 0, &e);
        ck_assert_msg(p != NULL, "case %zu: %s", i, e.msg);
        ck_assert_int_eq(p->n_level, c[i].n_level);
        for (int l = 0; l < 4; l++)
            ck_assert_double_eq_tol(p->mean[l], c[i].mean[l], 1e-15);
        allocator_profile_free(p);
    }
}
END_TEST

START_TEST(a_shuffled_profile_has_the_same_numbers_at_other_layers)
{
    const struct allocators_study s[] = {{"t", "p", 0.1, 0, LOW, NULL}, {"t", "p", 0.5, 0, OTHER, NULL}};
    int moved = 0;
    write_profile(NULL, 4, s, 2);
    for (int64_t seed = 0; seed < 20; seed++) {
        char path[] = "p.h5", task[] = "all", policy[] = "all";
        struct allocator_profile_choice choice = {
            .path = path, .task = task, .policy = policy, .level = -1, .measure = 2, .shuffle = seed};
        struct allocator_setup of = {.n_layer = 4, .model = "m", .model_sha256 = allocators_sha, .dir = dir};
        for (int first = 0; first < 2; first++) {
            struct allocator_profile *p = allocator_profile_read(&choice, &of, first, NULL),
                                     *again = allocator_profile_read(&choice, &of, first, NULL);
            double sum = 0;
            ck_assert_mem_eq(p->damage, again->damage, 8 * sizeof *p->damage);
            for (int l = 0; l < 4; l++) {
                int from = (int)p->damage[l] - 1;                   /* LOW numbers its layers */
                ck_assert_double_eq(p->damage[4 + l], OTHER[from]); /* levels stay together */
                moved += from != l;
                sum += p->damage[l];
            }
            ck_assert_double_eq(sum, 10);
            if (first || seed == 0)
                ck_assert_double_eq(p->damage[0], LOW[0]);
            allocator_profile_free(p);
            allocator_profile_free(again);
        }
    }
    ck_assert_int_gt(moved, 40);
}
END_TEST

START_TEST(a_profile_that_does_not_fit_is_refused_with_its_numbers)
{
    static const char other[] = "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const double nan_at_2[] = {1, 2, (double)NAN, 4}, same[] = {0.25, 0.25, 0.25, 0.25}, harmless[] = {0, -1, 0, -2};
    const struct allocators_study good = {"t", "p", 0.1, 0, LOW, NULL};
    write_profile(NULL, 4, &good, 1);
    check_refused("sensitivity", PARAMS("shuffle=0"), 5, ERR_CONFIG, "a profile of 4 layers for a model of 5 layers");
    check_refused("sensitivity", PARAMS("level=0.2"), 4, ERR_CONFIG,
                  "level 0.2; there are (task policy level): t p 0.1");
    check_refused("sensitivity", PARAMS("task=u"), 4, ERR_CONFIG, "no study of task u");
    check_refused("sensitivity", PARAMS("policy=q"), 4, ERR_CONFIG, "policy q");
    check_refused("sensitivity", PARAMS("measure=score"), 4, ERR_CONFIG, "layer 0 at level 0.1 has no score (NaN)");
    write_profile(other, 4, &good, 1);
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_CONFIG,
                  "another model: sha256 ffff456789ab... (m), expected 0123456789ab... (m)");
    write_profile(NULL, 4, &(struct allocators_study){"t", "p", 0.1, 0, nan_at_2, NULL}, 1);
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_CONFIG, "layer 2 at level 0.1 has no kl (NaN)");
    write_profile(NULL, 4, &(struct allocators_study){"t", "p", 0.1, 0, same, NULL}, 1);
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_CONFIG,
                  "a constant profile: the damage by kl of all 4 layers is 0.25");
    write_profile(NULL, 4, &(struct allocators_study){"t", "p", 0.1, 0, harmless, NULL}, 1);
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_CONFIG, "no layer's pruning did any harm");
    write_profile(NULL, 4, &good, 0);
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_CONFIG, "there are (task policy level): none");
    static const struct {
        int64_t layer[4];
        const char *says;
    } order[] = {{{0, 1, 2, 4}, "p.h5:/0/layer: entry 3 is 4; expected ascending layers of a model with 4 layers"},
                 {{0, 2, 1, 3}, "p.h5:/0/layer: entry 2 is 1"},
                 {{-1, 0, 1, 2}, "p.h5:/0/layer: entry 0 is -1"}};
    for (int i = 0; i < 4; i++) {
        char *path = rows_path("p.h5");
        struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
        int bad = h5_set_int(f, "/", "schema", 1, NULL) || h5_set_int(f, "/", "n_layer", 4, NULL) ||
                  h5_set_string(f, "/", "model", "m", NULL) || h5_set_string(f, "/", "model_sha256", "", NULL) ||
                  h5_make_group(f, "/0", NULL) || h5_set_string(f, "/0", "task", "t", NULL) ||
                  h5_set_string(f, "/0", "policy", "p", NULL) || h5_set_double(f, "/0", "level", 0.1, NULL) ||
                  h5_set_int(f, "/0", "only", 0, NULL) || (i < 3 && h5_set_int(f, "/0", "higher_is_better", 1, NULL)) ||
                  h5_write(f, "/0/layer", H5_TYPE_I64, 1, (const uint64_t[]){4}, order[i % 3].layer, NULL) ||
                  h5_close(f, NULL);
        ck_assert_int_eq(bad, 0);
        check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_FORMAT,
                      i < 3 ? order[i].says : "p.h5:/0: attribute 'higher_is_better' missing");
        mem_free(path);
    }
    rows_write("p.h5", "no HDF5");
    check_refused("sensitivity", PARAMS("shuffle=0"), 4, ERR_FORMAT, "");
}
END_TEST

/* What `depthkv check` and `run` say, with file and line. */
START_TEST(an_experiment_names_the_line_of_a_profile_that_does_not_fit)
{
    static const char yaml[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                               "1\nsweep:\n  - policy: knorm\n    keep: 0.5\n"
                               "    layer_budget:\n      - sensitivity: {profile: p.h5}\n";
    struct experiment x;
    struct err e = {0};
    char *path = rows_path("x.yaml");
    rows_write("x.yaml", yaml);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), -1);
    ck_assert_msg(strstr(e.msg, "x.yaml:10: sensitivity: parameter 'profile': no file") != NULL, "%s", e.msg);
    write_profile("", 4, &(struct allocators_study){"t", "p", 0.1, 0, LOW, NULL}, 1);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), -1);
    ck_assert_msg(strstr(e.msg, "x.yaml:10: layer_budget: sensitivity: ") &&
                      strstr(e.msg, "a profile of 4 layers for a model of 3 layers"),
                  "%s", e.msg);
    write_profile("", 3, &(struct allocators_study){"t", "p", 0.1, 0, LOW, NULL}, 1);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), -1);
    ck_assert_msg(strstr(e.msg, "a profile of model 'm' for model 'tiny'") != NULL, "%s", e.msg);
    mem_free(path);
}
END_TEST

/* `profile` at the top of a file stands in where a layer budget names none; its cells are those of the same path in
 * full. */
START_TEST(a_profile_of_the_file_serves_the_budgets_that_name_none)
{
    static const char top[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\n";
    static const char *const forms[] = {
        "profile: p.h5\nsweep:\n  - {policy: knorm, keep: 0.5, layer_budget: [uniform, sensitivity, {mga: {shuffle: "
        "[1, 2]}}, {knapsack: {profile: q.h5}}]}\n",
        "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: [uniform, {sensitivity: {profile: p.h5}}, {mga: "
        "{shuffle: [1, 2], profile: p.h5}}, {knapsack: {profile: q.h5}}]}\n"};
    char *model = rows_path("tiny.h5"), *path = rows_path("x.yaml"), sha[HASH_HEX] = "";
    struct hparams hp;
    struct experiment x[2];
    struct err e = {0};
    ck_assert_int_eq(model_open_hparams(model, &hp, sha, NULL), 0);
    write_profile(sha, 3, &(struct allocators_study){"t", "p", 0.1, 0, (const double[]){1, 2, 3}, NULL}, 1);
    char *p = rows_path("p.h5"), *q = rows_path("q.h5");
    size_t size;
    char *bytes = fs_read(p, &size, NULL);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(fs_write_atomic(q, bytes, size, NULL), 0);
    for (int i = 0; i < 2; i++) {
        char text[700];
        snprintf(text, sizeof text, "%s%s", top, forms[i]);
        rows_write("x.yaml", text);
        ck_assert_msg(experiment_load(path, NULL, 0, 0, &x[i], NULL, &e) == 0, "%s", e.msg);
    }
    ck_assert_int_eq(x[0].n_cell, x[1].n_cell);
    ck_assert_int_eq(x[0].n_cell, 6);
    for (int c = 0; c < x[0].n_cell; c++)
        ck_assert_str_eq(x[0].cell[c].id, x[1].cell[c].id);
    experiment_fini(&x[0]);
    experiment_fini(&x[1]);
    mem_free(bytes);
    mem_free(p);
    mem_free(q);
    mem_free(model);
    mem_free(path);
}
END_TEST

static void check_infeasible(const char *name, const char *const *params, int n_layer, int n, int m, const char *what)
{
    struct allocators_ready a;
    struct err e;
    int entries[ALLOCATORS_MOST_LAYERS];
    ck_assert_int_eq(allocators_make(&a, name, dir, n_layer, params, NULL), 0);
    memset(&e, 0xFF, sizeof e);
    ck_assert_int_eq(allocators_spread(&a, n, m, NULL, entries, NULL, &e), -1);
    ck_assert_int_eq(e.code, ERR_INFEASIBLE);
    ck_assert_msg(strstr(e.msg, what) != NULL, "'%s' is not in: %s", what, e.msg);
    allocators_fini(&a);
}

START_TEST(free_most_keeps_the_layers_whole_that_suffer_most)
{
    write_profile(NULL, 4,
                  (const struct allocators_study[]){{"t", "p", 0.1, 0, LOW, NULL}, {"t", "p", 0.1, 1, OTHER, NULL}}, 2);
    check_entries("free_most", PARAMS("shuffle=0"), 4, 100, 40, (const int[]){20, 20, 20, 100});
    check_entries("free_most", PARAMS("layers=2"), 4, 100, 60, (const int[]){20, 20, 100, 100});
    check_infeasible("free_most", PARAMS("layers=1"), 4, 100, 25, "1 whole layers need 100 entries of a total of 100");
    write_profile(NULL, 4, &(struct allocators_study){"t", "p", 0.1, 0, OTHER, NULL}, 1);
    /* of three that suffer alike the lowest goes second */
    check_entries("free_most", PARAMS("layers=2"), 4, 100, 60, (const int[]){100, 100, 20, 20});
}
END_TEST

START_TEST(a_run_computes_anew_when_the_profile_has_changed)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\nmax_new_tokens: 2\n"
        "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {sensitivity: {profile: p.h5, floor: 0}}}\n";
    struct runner_summary sum;
    struct rows r;
    char *model = rows_path("tiny.h5"), sha[HASH_HEX] = "";
    struct hparams hp;
    ck_assert_int_eq(model_open_hparams(model, &hp, sha, NULL), 0);
    write_profile(sha, 3, &(struct allocators_study){"t", "p", 0.1, 0, (const double[]){1, 2, 3}, NULL}, 1);
    rows_run(yaml, "out", 0, &sum);
    ck_assert_int_eq(sum.rows, 2);
    rows_run(yaml, "out", 0, &sum);
    ck_assert_int_eq(sum.rows, 0);
    ck_assert_int_eq(sum.reused, 2);
    write_profile(sha, 3, &(struct allocators_study){"t", "p", 0.1, 0, (const double[]){3, 2, 1}, NULL}, 1);
    rows_run(yaml, "out", 0, &sum);
    ck_assert_int_eq(sum.rows, 1); /* full does not read it */
    rows_load("out", &r);
    ck_assert_int_eq(r.n, 3);
    ck_assert_str_eq(rows_text(r.v[1], "kept"), "[99,198,297]");
    ck_assert_str_eq(rows_text(r.v[2], "kept"), "[297,198,99]");
    rows_free(&r);
    mem_free(model);
}
END_TEST

#define NONE ((const char *const[]){NULL})

START_TEST(free_first_and_mlp_let_the_others_pay_for_whole_layers)
{
    check_entries("free_first", NONE, 4, 100, 40, (const int[]){100, 20, 20, 20});
    check_entries("free_first", (const char *const[]){"layers=2", NULL}, 4, 100, 60, (const int[]){100, 100, 20, 20});
    check_entries("mlp", NONE, 6, 100, 60, (const int[]){100, 20, 20, 100, 100, 20}); /* floor(6/2) = 3 and 4 */
    check_entries("mlp", (const char *const[]){"layers=4", NULL}, 8, 100, 70,
                  (const int[]){100, 20, 20, 100, 100, 100, 100, 20});
    check_infeasible("free_first", NONE, 4, 100, 25,
                     "1 whole layers need 100 entries of a total of 100, which leaves 0 for 3 others");
    check_infeasible("mlp", NONE, 6, 100, 50, "leaves 0 for 3 others");
}
END_TEST

/* Layer 0 is whole and its number never read. */
static const double RISING[] = {(double)NAN, 1, 2, 3, 4}, UNEVEN[] = {9, 0, 0, 1, 3};

START_TEST(mga_prunes_layers_as_they_tolerate_it)
{
    const struct allocators_study rising = {"t", "p", 0.1, 0, RISING, NULL}, uneven = {"t", "p", 0.1, 0, UNEVEN, NULL};
    write_profile(NULL, 5, &rising, 1);
    /* of 4 x 100 entries 150 go; s 1, 2/3, 1/3, 0: 75, 50, 25, 0; the 5 above 70 go by 2 : 1 : 0 */
    check_entries("mga", PARAMS("shuffle=0"), 5, 100, 70, (const int[]){100, 30, 47, 73, 100});
    check_entries("mga", PARAMS("redistribution=equal"), 5, 100, 70,
                  (const int[]){100, 30, 49, 73, 98}); /* or 5/3 each */
    check_entries("mga", PARAMS("rho_max=1"), 5, 100, 70, (const int[]){100, 25, 50, 75, 100});
    check_entries("mga", PARAMS("transform=rank"), 5, 100, 70, (const int[]){100, 40, 55, 70, 85}); /* s 4 3 2 1 */
    /* 250 go: three reach the cap, the last one takes the rest although its s is 0 */
    check_entries("mga", PARAMS("shuffle=0"), 5, 100, 50, (const int[]){100, 30, 30, 30, 60});
    check_infeasible("mga", PARAMS("shuffle=0"), 5, 100, 30,
                     "keeping 150 of 500 entries with 1 of 5 layers whole needs a mean pruning ratio of 0.875 in the "
                     "others, above rho_max 0.7");
    write_profile(NULL, 5, &uneven, 1);
    check_entries("mga", PARAMS("transform=raw"), 5, 100, 70, (const int[]){100, 44, 44, 62, 100}); /* s 3 3 2 0 */
    check_entries("mga", PARAMS("transform=rank"), 5, 100, 70, (const int[]){100, 48, 47, 70, 85}); /* s 3.5 3.5 2 1 */
}
END_TEST

START_TEST(mlma_keeps_the_middle_and_says_when_the_cap_forbids_it)
{
    static const double d[] = {(double)NAN, 1, 2, 9, 9, 3, 4};
    write_profile(NULL, 7, &(struct allocators_study){"t", "p", 0.1, 0, d, NULL}, 1);
    check_entries("mlma", PARAMS("layers=2"), 7, 100, 70, (const int[]){100, 30, 30, 100, 100, 30, 100});
    check_entries("mlma", PARAMS("layers=2", "relax_cap=true"), 7, 100, 70,
                  (const int[]){100, 1, 26, 100, 100, 63, 100});
    check_entries("mlma", PARAMS("fraction=0.57"), 7, 100, 80,
                  (const int[]){100, 30, 100, 100, 100, 100, 30}); /* 4 layers: just at the cap */
    check_infeasible("mlma", PARAMS("layers=4"), 7, 100, 79, "above rho_max 0.7");
    check_entries("mlma", PARAMS("layers=4", "relax_cap=true"), 7, 100, 79,
                  (const int[]){100, 1, 100, 100, 100, 100, 52});
}
END_TEST

/* At 60 % pruning of 28 layers the paper's MLMA-4L and -6L need 0.730 and 0.800 in the layers that they prune; mga
 * needs 0.622 and -2L 0.672. */
START_TEST(the_papers_own_cells_are_feasible_or_not_as_its_numbers_say)
{
    static const struct {
        const char *name, *layers, *needed;
    } c[] = {
        {"mga", NULL, NULL}, {"mlma", "layers=2", NULL}, {"mlma", "layers=4", "0.730"}, {"mlma", "layers=6", "0.800"}};
    double d[28];
    char *path = rows_path("p.h5");
    for (int l = 0; l < 28; l++)
        d[l] = l % 5;
    struct allocators_study s = {"t", "p", 0.4, 0, d, NULL};
    allocators_profile(path, NULL, 28, &s, 1);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        const char *params[] = {"profile=p.h5", c[i].layers, NULL};
        struct allocators_ready a;
        struct err e = {0};
        int entries[28], bad;
        ck_assert_int_eq(allocators_make(&a, c[i].name, dir, 28, params, &e), 0);
        bad = allocators_spread(&a, 7000, 2800, NULL, entries, NULL, &e);
        ck_assert_int_eq(bad, c[i].needed ? -1 : 0);
        if (bad)
            ck_assert_msg(e.code == ERR_INFEASIBLE && strstr(e.msg, c[i].needed), "%s", e.msg);
        allocators_fini(&a);
    }
    mem_free(path);
}
END_TEST

START_TEST(a_metric_of_the_profile_can_stand_in_for_damage)
{
    const uint64_t dim[1] = {5};
    char *path = rows_path("p.h5");
    write_profile(NULL, 5, NULL, 0);
    struct h5 *f = h5_open(path, H5_MODE_APPEND, NULL);
    ck_assert_int_eq(h5_write(f, "/metrics/x", H5_TYPE_F64, 1, dim, RISING, NULL), 0);
    ck_assert_int_eq(h5_write(f, "/metrics/short", H5_TYPE_F64, 1, (const uint64_t[]){4}, RISING, NULL), 0);
    ck_assert_int_eq(h5_close(f, NULL), 0);
    /* high tolerates: layer 4 is pruned most */
    check_entries("mga", PARAMS("metric=/metrics/x"), 5, 100, 70, (const int[]){100, 100, 73, 47, 30});
    check_entries("mga", PARAMS("metric=/metrics/x", "transform=raw"), 5, 100, 70, (const int[]){100, 85, 70, 55, 40});
    check_entries("mga", PARAMS("metric=/metrics/x", "high=suffers"), 5, 100, 70, (const int[]){100, 30, 47, 73, 100});
    check_refused("mga", PARAMS("metric=/metrics/y"), 5, ERR_CONFIG, "no dataset '/metrics/y'");
    check_refused("mga", PARAMS("metric=x"), 5, ERR_CONFIG, "the path of a dataset is expected");
    check_refused("mga", PARAMS("metric=/metrics/short"), 5, ERR_CONFIG, "4 numbers of type");
    mem_free(path);
}
END_TEST

static const char study[] =
    "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: %d\nseed: "
    "%d\nmax_new_tokens: 2\n"
    "measure: [kl]\nsweep:\n  - {policy: knorm, keep: 0.1, layer_budget: {single: {layer: all}}}\n";
static const char use[] =
    "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: %d\nseed: "
    "%d\nmax_new_tokens: 2\n"
    "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {sensitivity: {profile: study/profile.h5}}}\n";

/* Calibration and evaluation share one prompt of several: the run says which, whatever the cell. */
START_TEST(a_profile_measured_on_an_evaluation_prompt_is_refused)
{
    struct runner_summary sum;
    struct aggregate a;
    struct experiment x;
    struct err e = {0};
    char text[600], *path = rows_path("x.yaml"), *out = rows_path("study"), *to = rows_path("use");
    snprintf(text, sizeof text, study, 3, 1);
    rows_run(text, "study", 0, &sum);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_int_eq(profile_write(out, &a, NULL), 0);
    aggregate_free(&a);
    snprintf(text, sizeof text, use, 3, 2);
    rows_run(text, "other", 0, &sum); /* other samples */
    ck_assert_int_eq(sum.rows, 6);
    snprintf(text, sizeof text, use, 8, 1); /* the first of eight is shared, as are the next two */
    rows_write("x.yaml", text);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, NULL, &e) == 0, "%s", e.msg);
    struct runner_options o = {.dir = to, .quiet = 1};
    ck_assert_int_eq(runner_run(&x, &o, &sum, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_msg(
        strstr(e.msg, "x.yaml:9: ") &&
            strstr(e.msg, "study/profile.h5 was calibrated on a prompt of this evaluation: task 'passkey', sample 0"),
        "%s", e.msg);
    ck_assert_int_eq(sum.rows, 0);
    experiment_fini(&x);
    mem_free(path);
    mem_free(out);
    mem_free(to);
}
END_TEST

/* Its file still states the hash of the weights that it was imported with. */
START_TEST(a_profile_of_an_edited_model_is_of_its_weights)
{
    struct aggregate a;
    struct experiment x;
    struct err e = {0};
    char text[600], *path = rows_path("x.yaml"), *out = rows_path("study"), *file = rows_path("tiny.h5");
    struct model *m = model_open(file, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    float norm[2];
    size_t size;
    memcpy(norm, m->output_norm, sizeof norm);
    char *bytes = fs_read(file, &size, NULL), *at = memmem(bytes, size, norm, sizeof norm);
    ck_assert_ptr_nonnull(at);
    norm[0] *= 3;
    memcpy(at, norm, sizeof norm);
    model_close(m);
    snprintf(text, sizeof text, study, 1, 1);
    rows_run(text, "study", 0, NULL);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_int_eq(profile_write(out, &a, NULL), 0);
    aggregate_free(&a);
    ck_assert_int_eq(fs_write_atomic(file, bytes, size, NULL), 0);
    snprintf(text, sizeof text, use, 1, 2);
    rows_write("x.yaml", text);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), -1);
    ck_assert_msg(strstr(e.msg, "a profile of another model") != NULL, "%s", e.msg);
    snprintf(text, sizeof text, study, 1, 3);
    rows_run(text, "study", 0, NULL);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_int_eq(profile_write(out, &a, NULL), 0);
    aggregate_free(&a);
    snprintf(text, sizeof text, use, 1, 2);
    rows_write("x.yaml", text);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, NULL, &e) == 0, "%s", e.msg);
    experiment_fini(&x);
    mem_free(bytes);
    mem_free(path);
    mem_free(out);
    mem_free(file);
}
END_TEST

START_TEST(a_cell_whose_total_can_not_be_spread_is_not_applicable_and_the_run_goes_on)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\nmax_new_tokens: 2\n"
        "sweep:\n  - {policy: knorm, keep: [0.3, 0.5], layer_budget: free_first}\n";
    struct runner_summary sum;
    struct rows r;
    rows_run(yaml, "out", 0, &sum);
    ck_assert_int_eq(sum.rows, 3);
    ck_assert_int_eq(sum.failed, 0);
    ck_assert_int_eq(sum.skipped, 1);
    ck_assert_ptr_nonnull(strstr(sum.first_skip, "x.yaml:8: layer_budget 'free_first': 1 whole layers need"));
    rows_load("out", &r);
    ck_assert_str_eq(rows_text(r.v[1], "status"), "skipped");
    ck_assert_str_eq(rows_text(r.v[2], "status"), "ok");
    rows_free(&r);
    rows_run(yaml, "out", 0, &sum);
    ck_assert_int_eq(sum.reused, 3); /* it would be n/a again */
    ck_assert_int_eq(sum.rows, 0);
}
END_TEST

static const double AT_10[] = {10, 4}, AT_50[] = {1, 3};

START_TEST(knapsack_chooses_levels_and_predicts_their_damage)
{
    static const struct {
        int m, want[2];
        double predicted;
    } c[] = {{30, {50, 10}, 5},     /* 10 + 50 would do 13 */
             {35, {50, 20}, 4.75},  /* 10 left: 1/40 an entry in layer 1, 1/50 in layer 0 */
             {60, {100, 20}, 3.75}, /* 100 + 10 does 4 as 50 + 50 does; 10 left */
             {100, {100, 100}, 0}};
    write_profile(NULL, 2,
                  (const struct allocators_study[]){{"t", "p", 0.5, 0, AT_50, NULL}, {"t", "p", 0.1, 0, AT_10, NULL}},
                  2);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct allocators_ready a;
        int entries[2];
        double predicted = (double)NAN;
        struct err e = {0};
        ck_assert_msg(allocators_make(&a, "knapsack", dir, 2, PARAMS("shuffle=0"), &e) == 0, "%s", e.msg);
        ck_assert_msg(allocators_spread(&a, 100, c[i].m, NULL, entries, &predicted, &e) == 0, "%s", e.msg);
        ck_assert_msg(entries[0] == c[i].want[0] && entries[1] == c[i].want[1], "case %zu: %d %d", i, entries[0],
                      entries[1]);
        ck_assert_double_eq_tol(predicted, c[i].predicted, 1e-12);
        allocators_fini(&a);
    }
    check_infeasible("knapsack", PARAMS("shuffle=0"), 2, 100, 5,
                     "lowest level, 0.1, takes 20 entries in all layers; the total is 10");
}
END_TEST

/* No choice of levels within the total is better, over random damages. */
START_TEST(knapsack_is_as_good_as_trying_every_choice)
{
    enum { L = 4, K = 3, N = 40 };
    static const double level[K] = {0.1, 0.3, 0.7};
    struct rng r;
    rng_init(&r, 3, "knapsack");
    for (int t = 0; t < 60; t++) {
        double d[K][L], best = (double)INFINITY, predicted;
        struct allocators_study s[K];
        struct allocators_ready a;
        struct err e = {0};
        int entries[L], m = 4 + (int)rng_below(&r, N - 4);
        for (int k = K - 1; k >= 0; k--) { /* fewer entries do more damage, but for every fourth case */
            for (int l = 0; l < L; l++)
                d[k][l] = rng_double(&r) + (t % 4 && k < K - 1 ? d[k + 1][l] : 0);
            s[k] = (struct allocators_study){"t", "p", level[k], 0, d[k], NULL};
        }
        write_profile(NULL, L, s, K);
        for (int code = 0; code < 256; code++) { /* four levels, 1 with them, in each of four layers */
            int cost = 0;
            double sum = 0;
            for (int l = 0; l < L; l++) {
                int k = code >> 2 * l & 3;
                cost += k < K ? (int)(level[k] * N + 0.5) : N;
                sum += k < K ? d[k][l] : 0;
            }
            best = cost <= m * L && sum < best ? sum : best;
        }
        ck_assert_msg(allocators_make(&a, "knapsack", dir, L, PARAMS("shuffle=0"), &e) == 0, "%s", e.msg);
        ck_assert_msg(allocators_spread(&a, N, m, NULL, entries, &predicted, &e) == 0, "%s", e.msg);
        if (t % 4) /* where more entries may do more damage, the exact total can cost something */
            ck_assert_msg(predicted < best + 1e-9, "case %d: %g, but %g is there", t, predicted, best);
        allocators_fini(&a);
    }
}
END_TEST

START_TEST(pyramidkv_falls_with_depth_around_the_mean)
{
    check_entries("pyramidkv", (const char *const[]){"beta=4", "window=20", NULL}, 3, 1000, 100,
                  (const int[]){160, 100, 40});
    check_entries("pyramidkv", (const char *const[]){"beta=4", "window=20", NULL}, 3, 150, 100,
                  (const int[]){150, 100, 50}); /* n - w bounds it */
    check_entries("pyramidkv", NONE, 3, 1000, 64, (const int[]){64, 64, 64});
}
END_TEST

/* Whole prompts and chunks, fractions and tokens, a protection that can't be paid. */
START_TEST(what_can_not_be_spread_is_known_before_the_run)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\nmax_new_tokens: 2\n"
        "sweep:\n"
        "  - {policy: knorm, keep: [0.3, 0.5, 0.8], layer_budget: [uniform, free_first: {layers: [1, 2]}], "
        "prefill: [full, chunked: {size: 128, budget: [seen, final]}]}\n"
        "  - {policy: knorm, keep_tokens: [120, 160], layer_budget: free_first, prune_after: prompt}\n"
        "  - {policy: knorm, keep: [0.3, 0.5], protect: {first_layers: 1}}\n";
    struct experiment x;
    struct runner_summary sum;
    struct str errors = {0};
    struct rows r;
    int n[3] = {0};
    char *path = rows_path("x.yaml");
    rows_run(yaml, "out", 0, &sum);
    rows_load("out", &r);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, &errors, NULL) == 0, "%s", str_c(&errors));
    for (int c = 0; c < x.n_cell; c++) {
        struct err why = {0};
        const struct json *row = NULL;
        int found = feasible_check(&x, c, &why);
        for (int i = 0; i < r.n; i++)
            row = strcmp(rows_text(r.v[i], "cell"), x.cell[c].id) == 0 ? r.v[i] : row;
        const char *status = rows_text(row, "status"), *foreseen = found == 0                   ? "ok"
                                                                   : why.code == ERR_INFEASIBLE ? "skipped"
                                                                                                : "failed";
        ck_assert_msg(strcmp(status, foreseen) == 0, "cell %s: %s foreseen, %s found; '%s', '%s'", x.cell[c].json,
                      foreseen, status, why.msg, rows_text(row, "reason"));
        if (found)
            ck_assert_msg(strncmp(why.msg, rows_text(row, "reason"), 30) == 0, "'%s', '%s'", why.msg,
                          rows_text(row, "reason"));
        n[found == 0 ? 0 : why.code == ERR_INFEASIBLE ? 1 : 2]++;
    }
    ck_assert_msg(n[0] > 10 && n[1] > 4 && n[2] == 1, "%d, %d, %d", n[0], n[1], n[2]);
    rows_free(&r);
    experiment_fini(&x);
    mem_free(path);
}
END_TEST

/* tiny.h5 has three layers: mlp and mlma leave none of them to prune, mga and free_first do. */
START_TEST(whole_layers_beyond_a_models_are_cells_without_a_budget_and_no_wrong_file)
{
    static const char head[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                               "1\nmax_new_tokens: 2\nsweep:\n";
    static const char mixed[] =
        "  - {policy: knorm, keep: 0.9, layer_budget: [uniform, mlp, mlma: {profile: p.h5}, "
        "mga: {profile: p.h5}, free_first: {layers: 3}, free_most: {profile: p.h5, layers: 4}]}\n";
    static const char *const alone[] = {"mlp", "free_first: {layers: 3}", "mlma: {profile: p.h5}",
                                        "free_most: {profile: p.h5, layers: 3}"};
    struct runner_summary sum;
    struct experiment x;
    struct rows r;
    char *path = rows_path("x.yaml"), *model = rows_path("tiny.h5"), sha[HASH_HEX] = "";
    struct hparams hp;
    struct str y = {0}, errors = {0};
    ck_assert_int_eq(model_open_hparams(model, &hp, sha, NULL), 0);
    ck_assert_int_eq(hp.n_layer, 3);
    write_profile(sha, 3, &(struct allocators_study){"t", "p", 0.1, 0, LOW, NULL}, 1);
    str_addf(&y, "%s%s", head, mixed);
    rows_run(y.p, "out", 0, &sum);
    ck_assert_int_eq((int)sum.failed, 0);
    ck_assert_int_eq((int)sum.skipped, 4);
    ck_assert_ptr_nonnull(strstr(sum.first_skip,
                                 "x.yaml:8: layer_budget 'mlp': 2 middle layers (from layer 1) and layer 0 "
                                 "of 3 layers that are pruned leave none to prune"));
    rows_load("out", &r);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, NULL), 0);
    for (int c = 0; c < x.n_cell; c++) {
        struct err why = {0};
        ck_assert_int_eq(feasible_check(&x, c, &why), x.cell[c].infeasible ? -1 : 0);
        for (int i = 0; i < r.n; i++)
            if (strcmp(rows_text(r.v[i], "cell"), x.cell[c].id) == 0 && x.cell[c].infeasible)
                ck_assert_str_eq(rows_text(r.v[i], "reason"), why.msg);
    }
    experiment_fini(&x);
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) { /* nothing else could run */
        str_clear(&y);
        str_addf(&y, "%s  - {policy: full}\n  - {policy: [knorm, random], keep: [0.5, 0.9], layer_budget: [%s]}\n",
                 head, alone[i]);
        rows_write("x.yaml", y.p);
        ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, NULL), -1);
        ck_assert_msg(strstr(errors.p, "leave none to prune (model tiny); so every cell of the file is n/a") &&
                          strchr(errors.p, '\n')[1] == '\0',
                      "%s", errors.p);
        str_clear(&errors);
    }
    rows_free(&r);
    str_free(&y);
    str_free(&errors);
    mem_free(path);
    mem_free(model);
}
END_TEST

Suite *make_alloc_profile_suite(void)
{
    Suite *s = suite_create("alloc_profile");
    TCase *t = tcase_create("core");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, sensitivity_spreads_by_damage_above_its_floor);
    tcase_add_test(t, whole_layers_beyond_a_models_are_cells_without_a_budget_and_no_wrong_file);
    tcase_add_test(t, studies_are_chosen_by_task_policy_and_level_and_pooled);
    tcase_add_test(t, a_shuffled_profile_has_the_same_numbers_at_other_layers);
    tcase_add_test(t, a_profile_that_does_not_fit_is_refused_with_its_numbers);
    tcase_add_test(t, an_experiment_names_the_line_of_a_profile_that_does_not_fit);
    tcase_add_test(t, a_profile_of_the_file_serves_the_budgets_that_name_none);
    tcase_add_test(t, free_most_keeps_the_layers_whole_that_suffer_most);
    tcase_add_test(t, a_run_computes_anew_when_the_profile_has_changed);
    tcase_add_test(t, free_first_and_mlp_let_the_others_pay_for_whole_layers);
    tcase_add_test(t, mga_prunes_layers_as_they_tolerate_it);
    tcase_add_test(t, mlma_keeps_the_middle_and_says_when_the_cap_forbids_it);
    tcase_add_test(t, the_papers_own_cells_are_feasible_or_not_as_its_numbers_say);
    tcase_add_test(t, knapsack_chooses_levels_and_predicts_their_damage);
    tcase_add_test(t, knapsack_is_as_good_as_trying_every_choice);
    tcase_add_test(t, pyramidkv_falls_with_depth_around_the_mean);
    tcase_add_test(t, a_metric_of_the_profile_can_stand_in_for_damage);
    tcase_add_test(t, a_profile_measured_on_an_evaluation_prompt_is_refused);
    tcase_add_test(t, a_profile_of_an_edited_model_is_of_its_weights);
    tcase_add_test(t, a_cell_whose_total_can_not_be_spread_is_not_applicable_and_the_run_goes_on);
    tcase_add_test(t, what_can_not_be_spread_is_known_before_the_run);
    suite_add_tcase(s, t);
    return s;
}
