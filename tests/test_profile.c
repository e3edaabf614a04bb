/* profile.h5: what a study of single layers leaves for allocators. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/report/aggregate.h"
#include "harness/report/profile.h"
#include "harness/stats/permutation.h"
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

#define SINGLE(l, only) "{\"single\":{\"layer\":" #l ",\"only\":" only "}}"
#define LAYER(l) .layer_budget = SINGLE(l, "false")

static void write_profile(const struct rows_fake *f, int n)
{
    struct str s = {0};
    struct aggregate a;
    struct err e;
    for (int i = 0; i < n; i++)
        rows_add_fake(&s, &f[i]);
    rows_write("rows.jsonl", str_c(&s));
    str_free(&s);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_msg(profile_write(dir, &a, &e) == 0, "%s", e.msg);
    aggregate_free(&a);
}

static struct h5 *open_profile(void)
{
    char *path = rows_path("profile.h5");
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert_ptr_nonnull(f);
    mem_free(path);
    return f;
}

static void check_column(const struct h5 *f, const char *path, const double *want, int n)
{
    double got[8];
    ck_assert_msg(h5_read(f, path, H5_TYPE_F64, got, (size_t)n, NULL) == 0, "%s", path);
    for (int i = 0; i < n; i++)
        ck_assert_msg(isnan(want[i]) ? isnan(got[i]) : fabs(got[i] - want[i]) < 1e-12, "%s[%d] is %g, expected %g",
                      path, i, got[i], want[i]);
}

static void check_text(const struct h5 *f, const char *path, const char *name, const char *want)
{
    char *got = h5_get_string(f, path, name, NULL);
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, want);
    mem_free(got);
}

START_TEST(every_layer_has_its_damage_in_the_order_of_layers)
{
    static const struct rows_fake rows[] = {
        {"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL},
        {"f", 0, 1, "c1", "q", "full", "", 1, 0.5, 0, .status = NULL},
        {"b", 1, 0, "c0", "q", "knorm", "0.2", 1, 0.25, 3, LAYER(2), .level = 0.2},
        {"b", 1, 1, "c1", "q", "knorm", "0.2", 1, 0.5, 1, LAYER(2), .level = 0.2},
        {"c", 2, 0, "c0", "q", "knorm", "0.2", 1, 1, 0.5, LAYER(0), .level = 0.2},
        {"c", 2, 1, "c1", "q", "knorm", "0.2", 1, 0.25, 0.5, LAYER(0), .level = 0.2},
        {"d", 3, 0, "c0", "q", "knorm", "0.5", 1, 1, 0.25, LAYER(1), .level = 0.5},
        {"e", 4, 0, "c0", "q", "knorm", "0.2", 1, 0, 9, .layer_budget = SINGLE(1, "true"), .level = 0.2},
        {"u", 5, 0, "c0", "q", "knorm", "0.2", 1, 0, 9, .status = NULL},
    };
    int64_t v, layer[2], n[2];
    double level;
    char **hash;
    size_t n_hash;
    write_profile(rows, 9);
    struct h5 *f = open_profile();
    ck_assert_int_eq(h5_get_int(f, "/", "schema", &v, NULL), 0);
    ck_assert_int_eq(v, 1);
    ck_assert_int_eq(h5_get_int(f, "/", "n_layer", &v, NULL), 0);
    ck_assert_int_eq(v, 2); /* as many as `kept` has entries */
    check_text(f, "/", "model", "m");
    check_text(f, "/", "model_sha256", "");
    check_text(f, "/0", "task", "t");
    check_text(f, "/0", "policy", "knorm");
    check_text(f, "/0", "metric", "f1");
    check_text(f, "/0", "prune_after", "prompt");
    check_text(f, "/0", "params", "{\"window\":32}");
    ck_assert_int_eq(h5_get_double(f, "/0", "level", &level, NULL), 0);
    ck_assert_double_eq(level, 0.2);
    ck_assert_int_eq(h5_get_int(f, "/0", "higher_is_better", &v, NULL), 0);
    ck_assert_int_eq(v, 1);
    ck_assert_int_eq(h5_read(f, "/0/layer", H5_TYPE_I64, layer, 2, NULL), 0);
    ck_assert(layer[0] == 0 && layer[1] == 2);
    ck_assert_int_eq(h5_read(f, "/0/score/n", H5_TYPE_I64, n, 2, NULL), 0);
    ck_assert(n[0] == 2 && n[1] == 2);
    check_column(f, "/0/score/mean", (const double[]){0.625, 0.375}, 2);
    check_column(f, "/0/score/diff", (const double[]){-0.125, -0.375}, 2);
    check_column(f, "/0/score/baseline", (const double[]){0.75, 0.75}, 2);
    check_column(f, "/0/kl/mean", (const double[]){0.5, 2}, 2);
    check_column(f, "/0/kl/se", (const double[]){(double)NAN, 1},
                 2); /* none of equal values; sd of 3 and 1 is sqrt(2), over sqrt(2) */
    check_column(f, "/0/kl/lo", (const double[]){(double)NAN, 1}, 2);
    check_column(f, "/0/kl/hi", (const double[]){(double)NAN, 3}, 2);
    check_column(f, "/0/nll/mean", (const double[]){(double)NAN, (double)NAN}, 2);
    ck_assert_int_eq(h5_read_strings(f, "/0/prompt_sha256", &hash, &n_hash, NULL), 0);
    ck_assert_uint_eq(n_hash, 2);
    ck_assert_str_eq(hash[0], "ab");
    h5_free_strings(hash, n_hash);
    /* another level, and the study the other way round, are studies of their own */
    ck_assert_int_eq(h5_read(f, "/1/layer", H5_TYPE_I64, layer, 1, NULL), 0);
    ck_assert_int_eq(layer[0], 1);
    check_column(f, "/1/kl/mean", (const double[]){0.25}, 1);
    ck_assert_int_eq(h5_get_int(f, "/2", "only", &v, NULL), 0);
    ck_assert_int_eq(v, 1);
    check_column(f, "/2/kl/mean", (const double[]){9}, 1);
    ck_assert(!h5_exists(f, "/3"));
    h5_close(f, NULL);
}
END_TEST

START_TEST(without_single_layers_there_is_no_profile)
{
    static const struct rows_fake rows[] = {{"u", 5, 0, "c0", "q", "knorm", "0.2", 1, 0, 9, .status = NULL}};
    char *path = rows_path("profile.h5"), *tmp = rows_path("profile.h5.tmp");
    write_profile(rows, 1);
    ck_assert(!fs_exists(path) && !fs_exists(tmp));
    mem_free(path);
    mem_free(tmp);
}
END_TEST

START_TEST(a_study_that_runs_knows_its_model_and_agrees_with_its_rows)
{
    static const char yaml[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                               "2\nmax_new_tokens: 4\nmeasure: [kl]\n"
                               "sweep:\n  - {policy: knorm, keep: 0.1, layer_budget: {single: {layer: all}}}\n";
    struct rows r;
    struct aggregate a;
    int64_t layer[3], v;
    double kl[3];
    char *out = rows_path("out"), *file = rows_path("out/profile.h5");
    rows_run_and_load(yaml, "out", &r);
    ck_assert_int_eq(aggregate_load(out, &a, NULL), 0);
    ck_assert_int_eq(profile_write(out, &a, NULL), 0);
    struct h5 *f = h5_open(file, H5_MODE_READ, NULL);
    char *sha = h5_get_string(f, "/", "model_sha256", NULL);
    ck_assert_uint_eq(strspn(sha, "0123456789abcdef"), 64);
    ck_assert_int_eq(h5_get_int(f, "/", "n_layer", &v, NULL), 0);
    ck_assert_int_eq(v, 3);
    ck_assert_int_eq(h5_read(f, "/0/layer", H5_TYPE_I64, layer, 3, NULL), 0);
    ck_assert_int_eq(h5_read(f, "/0/kl/mean", H5_TYPE_F64, kl, 3, NULL), 0);
    double x[3][2], p, half; /* [layer][sample] */
    for (int l = 0; l < 3; l++) {
        struct str axis = {0};
        double sum = 0;
        int n = 0;
        str_addf(&axis, "{\"single\":{\"layer\":%d,\"only\":false}}", l);
        for (int i = 0; i < r.n; i++)
            if (strcmp(rows_text(r.v[i], "layer_budget"), axis.p) == 0) {
                static const char *const kept[] = {"[39,395,395]", "[395,39,395]", "[395,395,39]"};
                ck_assert_str_eq(rows_text(r.v[i], "kept"),
                                 kept[l]); /* 0.1 of 395; the last of 396 tokens is fed afterwards */
                ck_assert_str_eq(rows_text(r.v[i], "level"), "0.1");
                ck_assert_int_lt(n, 2);
                sum += x[l][n] = json_number(json_get(r.v[i], "kl"), (double)NAN);
                n++;
            }
        ck_assert_int_eq(layer[l], l);
        ck_assert_int_eq(n, 2);
        ck_assert_double_eq_tol(kl[l], sum / 2, 1e-12);
        ck_assert_double_gt(kl[l], 0);
        str_free(&axis);
    }
    struct permutation_test t = permutation_layers(x[0], 3, 2);
    ck_assert_int_eq(h5_get_double(f, "/0/kl", "permutation_p", &p, NULL), 0);
    ck_assert_double_eq_tol(p, t.p, 0.02); /* the file has its samples in another order */
    ck_assert_int_eq(h5_get_double(f, "/0/kl", "variance", &p, NULL), 0);
    ck_assert_double_eq_tol(p, t.variance, 1e-12);
    ck_assert_int_eq(h5_get_int(f, "/0/kl", "n_sample", &v, NULL), 0);
    ck_assert_int_eq(v, 2);
    char *prefill = h5_get_string(f, "/0", "prefill", NULL);
    ck_assert_pstr_eq(prefill, "\"full\"");
    mem_free(prefill);
    ck_assert_int_eq(h5_get_double(f, "/0/kl", "split_half", &half, NULL), 0);
    ck_assert(isnan(half));
    ck_assert_int_eq(h5_get_double(f, "/0/kl", "split_half_rank", &half, NULL), 0);
    ck_assert(isnan(half)); /* two samples have no halves that could be compared */
    h5_close(f, NULL);
    aggregate_free(&a);
    rows_free(&r);
    mem_free(sha);
    mem_free(out);
    mem_free(file);
}
END_TEST

Suite *make_profile_suite(void)
{
    Suite *s = suite_create("profile");
    TCase *t = tcase_create("profile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_layer_has_its_damage_in_the_order_of_layers);
    tcase_add_test(t, without_single_layers_there_is_no_profile);
    tcase_add_test(t, a_study_that_runs_knows_its_model_and_agrees_with_its_rows);
    suite_add_tcase(s, t);
    return s;
}
