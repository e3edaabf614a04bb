/* Experiments on a model of which some layers have a window: which layers are all of them, what a number or a list of
 * layers may say, and what rows, profiles and `check` make of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/experiment.h"
#include "harness/experiment/layers.h"
#include "harness/report/report.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static char *path;

/* windows.h5: layers 1 and 3 of four have a window of SUPPORT_WINDOW. all.h5: every layer has one. */
static void setup(void)
{
    rows_enter();
    path = rows_path("x.yaml");
    char *model = rows_path("windows.h5"), *all = rows_path("all.h5");
    size_t n;
    support_window_model_file(model);
    char *bytes = fs_read(model, &n, NULL);
    ck_assert_int_eq(fs_write_atomic(all, bytes, n, NULL), 0);
    struct h5 *f = h5_open(all, H5_MODE_APPEND, NULL);
    ck_assert_int_eq(h5_set_string(f, "/", "layer_kinds", "wwww", NULL), 0);
    ck_assert_int_eq(h5_close(f, NULL), 0);
    mem_free(bytes);
    mem_free(model);
    mem_free(all);
}

static void teardown(void)
{
    mem_free(path);
    rows_leave();
}

static char *yaml(const char *model, const char *rest)
{
    struct str s = {0};
    str_addf(&s,
             "schema: 1\nexperiment: x\nmodel: %s\ntasks: [passkey: {length: 300}]\nsamples: 1\nmax_new_tokens: 2\n"
             "measure: [score, kl]\n%s",
             model, rest);
    return str_take(&s);
}

static void load(const char *model, const char *rest, struct experiment *x)
{
    char *text = yaml(model, rest);
    struct str errors = {0};
    rows_write("x.yaml", text);
    int rc = experiment_load(path, NULL, 0, 0, x, &errors, NULL);
    ck_assert_msg(rc == 0, "%s", str_c(&errors));
    mem_free(text);
    str_free(&errors);
}

/* All that is said, without the folder. */
static void refuses(const char *model, const char *rest, const char *message)
{
    char *text = yaml(model, rest);
    struct experiment x;
    struct str errors = {0};
    rows_write("x.yaml", text);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, &errors, NULL) == -1, "accepted: %s", rest);
    const char *from = strstr(errors.p, "x.yaml:");
    ck_assert_str_eq(from ? from : errors.p, message);
    mem_free(text);
    str_free(&errors);
}

#define SINGLE(layers, more) \
    "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {single: {layer: " layers "}}" more "}\n"

START_TEST(all_layers_are_those_that_are_pruned)
{
    struct experiment x;
    load("windows.h5", SINGLE("all", ""), &x);
    ck_assert_int_eq(x.n_cell, 3);
    ck_assert_str_eq(x.cell[1].layer_budget, "{\"single\":{\"layer\":0,\"only\":false}}");
    ck_assert_str_eq(x.cell[2].layer_budget, "{\"single\":{\"layer\":2,\"only\":false}}");
    experiment_fini(&x);
    load("windows.h5", SINGLE("all", ", windows: prune"), &x);
    ck_assert_int_eq(x.n_cell, 5);
    ck_assert_str_eq(x.cell[2].layer_budget, "{\"single\":{\"layer\":1,\"only\":false}}");
    experiment_fini(&x);
    refuses("windows.h5", SINGLE("all", ", windows: [keep, prune]"),
            "x.yaml:9: layer: all: the layers that are pruned with windows: keep are others than with windows: prune; "
            "give each a block of its own\n");
    refuses("[windows.h5, tiny.h5]", SINGLE("all", ""),
            "x.yaml:9: layer: all: the models have different numbers of layers; run them one by one\n");
}
END_TEST

START_TEST(layers_are_called_as_the_model_calls_them)
{
    struct experiment x;
    load("windows.h5", SINGLE("[0, 2]", ""), &x);
    ck_assert_int_eq(x.n_cell, 3);
    experiment_fini(&x);
    load("windows.h5", SINGLE("3", ", windows: prune"), &x);
    ck_assert_int_eq(x.n_cell, 2);
    experiment_fini(&x);
    refuses("windows.h5", SINGLE("3", ""),
            "x.yaml:9: layer_budget: single: layer 3 has a window and is not pruned (windows: keep); the layers that "
            "are: 0, 2 (model windows)\n");
    refuses("windows.h5", SINGLE("4", ", windows: prune"),
            "x.yaml:9: layer_budget: single: layer 4 of a model with layers 0 to 3 (model windows, windows: prune)\n");
}
END_TEST

#define VECTOR(list, windows) "sweep:\n  - {policy: knorm, layer_budget: {vector: [" list "]}, windows: " windows "}\n"

START_TEST(lists_and_budgets_are_of_the_layers_that_are_pruned)
{
    struct experiment x;
    load("windows.h5", VECTOR("0.5, 0.2", "keep"), &x);
    experiment_fini(&x);
    load("windows.h5", VECTOR("0.5, 0.2, 1, 1", "prune"), &x);
    experiment_fini(&x);
    refuses("windows.h5", VECTOR("0.5, 0.2, 1, 1", "keep"),
            "x.yaml:9: layer_budget: vector: 4 fractions for the 2 layers that are pruned of a model of 4 (model "
            "windows)\n");
    refuses("windows.h5", VECTOR("0.5, 0.2", "[keep, prune]"),
            "x.yaml:9: layer_budget: vector: 2 fractions for a model of 4 layers (model windows, windows: prune)\n");
    refuses("windows.h5", "sweep:\n  - {policy: knorm, keep: 0.5, protect: {first_layers: 3}}\n",
            "x.yaml:9: protect: first_layers 3 of a model with 2 layers that are pruned; windows: keep counts the 2 "
            "layers of 4 that have no window (model windows)\n");
    /* an entry of 2 layers and 2 heads of 8 has 256 bytes */
    load("windows.h5", "sweep:\n  - {policy: knorm, keep_bytes: 256}\n", &x);
    experiment_fini(&x);
    refuses("windows.h5", "sweep:\n  - {policy: knorm, keep_bytes: 256, windows: prune}\n",
            "x.yaml:9: keep_bytes 256 is below one entry of 4 layers with 2 KV heads of 64 bytes each (512 bytes); "
            "windows: prune counts all 4 layers, 2 of them with a window (model windows)\n");
}
END_TEST

START_TEST(a_model_of_windows_alone_has_nothing_to_prune)
{
    struct experiment x;
    refuses("all.h5", "sweep:\n  - {policy: knorm, keep: 0.5}\n",
            "x.yaml:9: model 'all': every layer has a window, so that windows: keep leaves none to prune; windows: "
            "prune does\n");
    load("all.h5", "sweep:\n  - {policy: [full, knorm], keep: 0.5, windows: prune}\n", &x);
    ck_assert_int_eq(x.n_cell, 2);
    experiment_fini(&x);
}
END_TEST

START_TEST(a_sweep_over_windows_has_both_where_there_are_any)
{
    struct experiment x, plain;
    load("[windows.h5, tiny.h5]", "sweep:\n  - {policy: knorm, keep: 0.5, windows: [keep, prune]}\n", &x);
    load("windows.h5", "sweep:\n  - {policy: knorm, keep: 0.5}\n", &plain);
    ck_assert_int_eq(x.n_cell, 5); /* full, keep, prune; full, keep */
    ck_assert_int_eq(x.cell[2].windows, WINDOWS_PRUNE);
    ck_assert_int_eq(x.cell[4].windows, WINDOWS_KEEP);
    ck_assert_str_eq(x.cell[1].id, plain.cell[1].id); /* what was published says nothing of windows */
    ck_assert_str_ne(x.cell[2].id, plain.cell[1].id);
    ck_assert_int_eq(axes_same_group(&x.cell[1], &x.cell[2]), 1);
    experiment_fini(&x);
    experiment_fini(&plain);
    refuses("[windows.h5, tiny.h5]", "sweep:\n  - {policy: knorm, keep: 0.5, windows: prune}\n",
            "x.yaml:9: windows: model 'tiny' has no layer with a window, and so only cells of windows: keep, which is "
            "not asked for; leave windows out, or add keep to its list\n");
}
END_TEST

/* ---- rows ------------------------------------------------------------------------------------- */

static double value(const struct json *row, const char *column)
{
    return json_number(json_get(row, column), (double)NAN);
}

START_TEST(rows_have_the_share_of_what_can_be_pruned_and_of_all)
{
    struct rows r;
    char *text = yaml("windows.h5", "sweep:\n  - {policy: knorm, keep: 0.5, windows: [keep, prune]}\n");
    rows_run_and_load(text, "out", &r);
    ck_assert_int_eq(r.n, 3);
    double n = value(r.v[0], "n"), m = floor(n / 2), w = SUPPORT_WINDOW, all = 2 * n + 2 * w;
    ck_assert_double_eq(value(r.v[0], "keep"), 1);
    ck_assert_double_eq(value(r.v[0], "cache_share"), 1);
    ck_assert_double_eq(value(r.v[1], "keep"), m / n);
    ck_assert_double_eq(value(r.v[1], "cache_share"), (2 * m + 2 * w) / all);
    ck_assert_double_eq(value(r.v[2], "keep"), value(r.v[2], "cache_share"));
    ck_assert_double_eq(value(r.v[2], "cache_share"), (2 * m + 2 * floor(w / 2)) / all);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(value(r.v[i], "cache_share"),
                                value(r.v[i], "cache_bytes") / value(r.v[0], "cache_bytes"), 1e-12);
    rows_free(&r);
    mem_free(text);
}
END_TEST

/* ---- a layer study ---------------------------------------------------------------------------- */

/* The study of out/, and what reads its profile. */
static void study(const char *windows)
{
    struct message_list messages = {0};
    struct str rest = {0};
    str_addf(&rest, SINGLE("all", ", windows: %s"), windows);
    char *text = yaml("windows.h5", rest.p), *dir = rows_path("out");
    rows_run(text, "out", 0, NULL);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    message_list_free(&messages);
    mem_free(text);
    mem_free(dir);
    str_free(&rest);
}

#define GUIDED(windows) \
    "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {sensitivity: {profile: out/profile.h5}}, windows: " windows \
    "}\n"

START_TEST(a_profile_has_the_models_numbers_and_guides_the_cells_that_prune_its_layers)
{
    struct experiment x;
    int64_t layer[2], n;
    char *profile = rows_path("out/profile.h5"), *windows;
    study("keep");
    struct h5 *f = h5_open(profile, H5_MODE_READ, NULL);
    ck_assert_int_eq(h5_get_int(f, "/", "n_layer", &n, NULL), 0);
    ck_assert_int_eq(n, 4);
    ck_assert_int_eq(h5_read(f, "/0/layer", H5_TYPE_I64, layer, 2, NULL), 0);
    ck_assert(layer[0] == 0 && layer[1] == 2);
    windows = h5_get_string(f, "/0", "windows", NULL);
    ck_assert_str_eq(windows, "keep");
    h5_close(f, NULL);
    load("windows.h5", GUIDED("keep"), &x);
    experiment_fini(&x);
    char *text = yaml("windows.h5", GUIDED("prune"));
    struct str errors = {0};
    rows_write("x.yaml", text);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, NULL), -1);
    ck_assert_msg(strstr(errors.p, "x.yaml:9: layer_budget: sensitivity: ") &&
                      strstr(errors.p, "no study of task all, policy all, level all, windows: prune"),
                  "%s", errors.p);
    mem_free(text);
    mem_free(profile);
    mem_free(windows);
    str_free(&errors);
}
END_TEST

/* The same tokens are another share of a layer that holds fewer. */
START_TEST(what_can_not_be_paid_says_which_layers_count)
{
    static const char *const says[] = {"windows: keep counts the 2 layers of 4 that have no window",
                                       "windows: prune counts all 4 layers, 2 of them with a window"};
    struct rows r;
    char *text =
        yaml("windows.h5", "sweep:\n  - {policy: knorm, keep: 0.1, protect: {first_layers: 1}, windows: [keep, "
                           "prune]}\n");
    struct runner_summary sum;
    rows_run(text, "out", 0, &sum);
    rows_load("out", &r);
    ck_assert_int_eq(r.n, 3);
    for (int i = 0; i < 2; i++) {
        const char *why = rows_text(r.v[i + 1], "reason");
        ck_assert_msg(strstr(why, "protect: first_layers 1 need ") && strstr(why, says[i]), "%s", why);
    }
    rows_free(&r);
    mem_free(text);
}
END_TEST

START_TEST(a_level_is_of_what_the_studied_layer_holds)
{
    static const struct {
        const char *budget;
        int tokens; /* of a layer; 0: the fraction 0.1 */
    } budgets[] = {{"keep: 0.1", 0}, {"keep_tokens: 100", 100}, {"keep_tokens: 10", 10}, {"keep_bytes: 5120", 10}};
    for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
        struct rows r;
        struct str rest = {0}, dir = {0};
        str_addf(&rest, "sweep:\n  - {policy: knorm, %s, layer_budget: {single: {layer: all}}, windows: prune}\n",
                 budgets[b].budget);
        str_addf(&dir, "out%d", (int)b);
        char *text = yaml("windows.h5", rest.p);
        rows_run_and_load(text, dir.p, &r);
        ck_assert_int_eq(r.n, 5);
        for (int l = 0; l < 4; l++) {
            const struct json *row = r.v[l + 1], *kept = json_first(json_get(row, "kept"));
            double holds = l % 2 ? SUPPORT_WINDOW : value(row, "n");
            double level = budgets[b].tokens ? fmin(budgets[b].tokens, holds) / holds : 0.1;
            for (int i = 0; i < l; i++)
                kept = json_next(kept);
            ck_assert_msg(fabs(value(row, "level") - level) < 1e-12, "%s, layer %d: level %g, not %g",
                          budgets[b].budget, l, value(row, "level"), level);
            ck_assert_double_eq(json_number(kept, -1), floor(level * holds + 1e-9));
        }
        rows_free(&r);
        mem_free(text);
        str_free(&rest);
        str_free(&dir);
    }
}
END_TEST

#define READER(name, windows) \
    "sweep:\n  - {policy: knorm, keep: 0.5, layer_budget: {" name ": {profile: out/profile.h5}}, windows: " windows \
    "}\n"

/* Damages of one budget can be compared; a level to go back to they do not have. */
START_TEST(a_study_of_unequal_shares_has_no_level)
{
    struct experiment x;
    struct message_list messages = {0};
    struct str errors = {0};
    double level;
    char *dir = rows_path("out"), *profile = rows_path("out/profile.h5");
    char *text =
        yaml("windows.h5", "sweep:\n  - {policy: knorm, keep_tokens: 100, layer_budget: {single: {layer: all}}, "
                           "windows: prune}\n");
    rows_run(text, "out", 0, NULL);
    mem_free(text);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    struct h5 *f = h5_open(profile, H5_MODE_READ, NULL);
    ck_assert_int_eq(h5_get_double(f, "/0", "level", &level, NULL), 0);
    h5_close(f, NULL);
    ck_assert(isnan(level));
    text = rows_read("out/studies.csv");
    ck_assert_msg(strstr(text, "\n\"windows\",\"passkey\",\"knorm\",,0,kl,4,"), "%s", text);
    mem_free(text);
    text = rows_read("out/table.md");
    ck_assert_msg(strstr(text, "\n### One layer pruned at a time: knorm, keep_tokens 100"), "%s", text);
    mem_free(text);
    load("windows.h5", READER("sensitivity", "prune"), &x);
    experiment_fini(&x);
    text = yaml("windows.h5", READER("knapsack", "prune"));
    rows_write("x.yaml", text);
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, NULL), -1);
    ck_assert_msg(strstr(errors.p,
                         "x.yaml:9: layer_budget: knapsack: out/profile.h5: a study whose layers kept different "
                         "shares of what they have"),
                  "%s", errors.p);
    message_list_free(&messages);
    mem_free(text);
    mem_free(dir);
    mem_free(profile);
    str_free(&errors);
}
END_TEST

START_TEST(check_says_which_layers_there_are)
{
    int status;
    char *text = yaml("[windows.h5, tiny.h5]", "sweep:\n  - {policy: knorm, keep: 0.5, windows: [keep, prune]}\n");
    rows_write("x.yaml", text);
    char *told = rows_command(cmd_check, (const char *const[]){"check", path, NULL}, &status);
    ck_assert_int_eq(status, CLI_OK);
    ck_assert_msg(strstr(told, "windows: 4 layers, 2 of them with a window of 23 (not pruned), but in 1 cell with "
                               "windows: prune; about ") != NULL,
                  "%s", told);
    ck_assert_msg(strstr(told, "tiny: 3 layers; about ") != NULL, "%s", told);
    mem_free(told);
    told = rows_command(cmd_check, (const char *const[]){"check", path, "--json", NULL}, &status);
    ck_assert_msg(strstr(told, ",\"layers\":4,\"layers_with_window\":2,\"window\":23}\n") != NULL, "%s", told);
    ck_assert_msg(strstr(told, ",\"layers\":3,\"layers_with_window\":0,\"window\":0}\n") != NULL, "%s", told);
    mem_free(told);
    mem_free(text);
}
END_TEST

Suite *make_windows_suite(void)
{
    Suite *s = suite_create("windows");
    TCase *t = tcase_create("windows");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, all_layers_are_those_that_are_pruned);
    tcase_add_test(t, layers_are_called_as_the_model_calls_them);
    tcase_add_test(t, lists_and_budgets_are_of_the_layers_that_are_pruned);
    tcase_add_test(t, a_model_of_windows_alone_has_nothing_to_prune);
    tcase_add_test(t, a_sweep_over_windows_has_both_where_there_are_any);
    tcase_add_test(t, rows_have_the_share_of_what_can_be_pruned_and_of_all);
    tcase_add_test(t, a_profile_has_the_models_numbers_and_guides_the_cells_that_prune_its_layers);
    tcase_add_test(t, what_can_not_be_paid_says_which_layers_count);
    tcase_add_test(t, a_level_is_of_what_the_studied_layer_holds);
    tcase_add_test(t, a_study_of_unequal_shares_has_no_level);
    tcase_add_test(t, check_says_which_layers_there_are);
    suite_add_tcase(s, t);
    return s;
}
