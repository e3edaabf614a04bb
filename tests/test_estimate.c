/* Time and memory of an experiment, against sums done by hand. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/run/estimate.h"
#include "harness/run/trial.h"
#include "models/kvcache.h"
#include "tests/lib/allocators.h"
#include "tests/suites.h"

/* 2 layers, width 4, 2 query heads, 1 KV head of dimension 2, FFN 3, 10 tokens, tied. Weights of a layer:
 * Q 16, K 8, V 8, O 16, three of 12: 84. A position of the cache: 2 layers x 1 head x 2 x (key, value) x 4 bytes = 32.
 */
static struct exp_model model = {.hp = {.n_layer = 2,
                                        .d_model = 4,
                                        .n_head = 2,
                                        .n_kv_head = 1,
                                        .n_group = 2,
                                        .head_dim = 2,
                                        .d_ff = 3,
                                        .n_vocab = 10,
                                        .context_length = 64,
                                        .tied = 1}};
static struct exp_task task = {.length = 24, .n_sample = 5};
static struct cell cell[3];
static struct experiment x = {
    .model = &model, .n_model = 1, .task = &task, .n_task = 1, .cell = cell, .samples = 5, .measure = MEASURE_SCORE};

static char none[] = "", half[] = "0.5";

static void set_cells(void)
{
    for (int i = 0; i < 3; i++)
        cell[i] = (struct cell){.policy = policy_find(i ? "knorm" : "full"),
                                .allocator = allocator_find("uniform"),
                                .max_new_tokens = 4,
                                .budget_text = none};
    cell[1].budget = (struct budget){.kind = BUDGET_KEEP, .keep = {1, 2}};
    cell[2].budget = (struct budget){.kind = BUDGET_TOKENS, .tokens = 5};
}

/* A row with `entries` visible: 2 layers x (2 x 84 + 4 x entries x 2 heads x 2), and 2 x 10 x 4 for logits. */
static double row(double entries, int logits)
{
    return 2 * (168 + 16 * entries) + (logits ? 80 : 0);
}

START_TEST(a_group_prefills_once_and_every_cell_decodes)
{
    struct estimate e;
    set_cells();
    x.n_cell = 3;
    x.measure = MEASURE_SCORE;
    estimate_model(&x, 0, 1e9, 2, &e);
    ck_assert_int_eq(e.groups, 5);
    ck_assert_double_eq(e.weights, 4 * (2 * 84 + 40));
    ck_assert_double_eq(e.full_cache, 20 * 32); /* 24 less 4 new tokens */
    ck_assert_double_eq(e.cut_caches, (10 + 5) * 32);
    double flop = 20 * row(10, 0) + 8 * row(20, 1) + 4 * row(10, 1) + 4 * row(5, 1);
    ck_assert_double_eq_tol(e.flop, 5 * flop, 1e-6);
    double step = 4 * row(20, 1) + 4 * row(10, 1) + 4 * row(5, 1), seconds = 5 * ((flop - step) / 3e9 + step / 2e8);
    ck_assert_double_eq_tol(estimate_seconds(&e.work, &(struct estimate_rates){3e9, 2e8}), seconds, 1e-15);
    x.measure = MEASURE_NLL | MEASURE_KL;
    estimate_model(&x, 0, 100, 1, &e);
    flop = 20 * row(10, 0) + 24 * row(20, 1) + 24 * row(10, 1) + 24 * row(5, 1); /* 4 + 4 forced + an answer of 16 */
    ck_assert_double_eq_tol(e.flop, 5 * flop, 1e-6);
    ck_assert_double_eq(e.cut_caches, 100); /* --memory */
    struct estimate_group g;
    estimate_group(&x, 0, 0, 1, &g);
    double cells = g.largest > 100 ? g.largest : 100; /* one cell decodes at least */
    ck_assert_double_eq(e.peak, estimate_base(&g) + cells);
    ck_assert_double_eq(estimate_peak(&g, 1e9), estimate_base(&g) + g.cells);
}
END_TEST

START_TEST(other_forms_of_prune_after_are_groups_of_their_own)
{
    struct estimate e;
    set_cells();
    x.n_cell = 3;
    x.measure = MEASURE_SCORE;
    cell[1].prune_after = PRUNE_AFTER_PROMPT;
    cell[2].max_new_tokens = 14;
    cell[2].budget = (struct budget){.kind = BUDGET_BYTES, .bytes = 64}; /* 2 positions */
    estimate_model(&x, 0, 1e9, 1, &e);
    ck_assert_int_eq(e.groups, 15);
    ck_assert_double_eq(e.full_cache, 20 * 32);
    ck_assert_double_eq(e.cut_caches, 10 * 32); /* the larger of two groups that run one after the other */
    double flop = 20 * row(10, 0) + 8 * row(20, 1) + 20 * row(10, 0) + 4 * row(10, 1) + 10 * row(5, 0) + 14 * row(2, 1);
    ck_assert_double_eq_tol(e.flop, 5 * flop, 1e-6);
}
END_TEST

START_TEST(a_task_without_length_may_fill_the_context)
{
    struct estimate e;
    set_cells();
    x.n_cell = 1;
    x.measure = MEASURE_SCORE;
    task.length = 0;
    estimate_model(&x, 0, 1e9, 1, &e);
    ck_assert_double_eq(e.full_cache, 64 * 32);
    ck_assert_double_eq(e.cut_caches, 0);
    task.length = 24;
}
END_TEST

START_TEST(a_group_holds_weights_the_full_cache_and_what_its_cells_keep)
{
    struct estimate_group g;
    set_cells();
    x.n_cell = 3;
    x.measure = MEASURE_SCORE;
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_int_eq(g.n_cell, 3);
    ck_assert_int_eq(g.prompt, 20);
    ck_assert_double_eq(g.weights, 4 * (2 * 84 + 40));
    ck_assert_double_eq(g.full_cache, 20 * 32);
    ck_assert_double_eq(g.scores, 4 * 20 * 2); /* knorm once: its two cells share a scorer */
    ck_assert_double_eq(g.cells, (3 * (4 + 64) + 10 + 5) * 32);
    ck_assert_int_eq(g.largest_cell, 1);
    ck_assert_double_eq(g.largest, (4 + 64 + 10) * 32);
    ck_assert_double_eq(estimate_base(&g), g.weights + g.activations + g.full_cache + g.scores);
    estimate_group(&x, 0, 40, 1, &g); /* the prompt is longer than its task says */
    ck_assert_double_eq(g.full_cache, 40 * 32);
    cell[1].weight_dtype = MODEL_BF16;
    ck_assert_int_eq(estimate_opens_group(&x, 1), 1);
    estimate_group(&x, 1, 0, 1, &g);
    ck_assert_int_eq(g.n_cell, 1);
    ck_assert_double_eq(g.weights, 2 * (2 * 84 + 40));
    cell[1].weight_dtype = MODEL_F32;
    cell[2].cache_dtype = MODEL_BF16; /* a group of its own too, whose caches take half */
    ck_assert_int_eq(estimate_opens_group(&x, 2), 1);
    estimate_group(&x, 0, 0, 1, &g);
    double cells = g.cells, activations = g.activations;
    estimate_group(&x, 2, 0, 1, &g);
    ck_assert_int_eq(g.n_cell, 1);
    ck_assert_double_eq(g.weights, 4 * (2 * 84 + 40));
    ck_assert_double_eq(g.activations, activations);
    ck_assert_double_eq(g.full_cache, 20 * 16);
    ck_assert_double_eq(cells + 2 * g.cells, (3 * (4 + 64) + 10 + 5) * 32);
}
END_TEST

START_TEST(cells_that_are_cut_again_hold_two_caches_and_chunks_a_branch)
{
    struct estimate_group g;
    set_cells();
    x.n_cell = 2;
    cell[1].policy = policy_find("tova");
    cell[1].cut_every = 1;
    estimate_group(&x, 0, 400, 1, &g);
    /* kept once shared, and twice with the entry in flight; one row of 2 heads in 2 layers for each */
    ck_assert_double_eq(g.largest, 200 * 32 + 2 * 201 * (32 + 16));
    cell[1].packed = 1;
    estimate_group(&x, 0, 400, 1, &g);
    ck_assert_double_eq(g.largest, 200 * 32 + 2 * 201 * (48 + 16));
    cell[1].cut_every = 0;
    cell[1].chunk = (struct chunking){.size = 300, .carry = 1};
    estimate_group(&x, 0, 400, 1, &g);
    ck_assert_double_eq(g.largest, (4 + 64 + 200) * 32);
    ck_assert_double_eq(g.full_cache,
                        2 * (200 + 300) * 32 + 200 * 16); /* more than the full cache, which is gone by then */
}
END_TEST

/* Layers alike, or one of the two with a window, or without rotation. */
enum kind_of_layer { ALIKE, WINDOW, NO_ROTATION, N_KIND };

static void set_layers(enum kind_of_layer k)
{
    static const char *const kinds[N_KIND] = {"", "wf", "nf"};
    snprintf(model.hp.layer_kinds, sizeof model.hp.layer_kinds, "%s", kinds[k]);
    model.hp.window = k == WINDOW ? 6 : 0;
}

/* Layer 0 holds the last 6 of 20 tokens; a position of one layer takes 16 bytes. */
START_TEST(a_cell_shares_the_layers_that_it_leaves_whole)
{
    struct estimate_group g;
    set_cells();
    x.n_cell = 2;
    x.measure = MEASURE_SCORE;
    set_layers(WINDOW);
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_double_eq(g.full_cache, (6 + 20 + 20) * 16); /* while it is read, the layer with a window is whole */
    ck_assert_double_eq(g.largest, (4 + 64) * 32 + 10 * 16);
    cell[1].windows = WINDOWS_PRUNE;
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_double_eq(g.largest, (4 + 64) * 32 + 13 * 16);
    set_layers(ALIKE);
}
END_TEST

START_TEST(cells_that_prune_windows_are_scored_apart_from_those_that_keep_them)
{
    struct estimate_group one, two;
    set_cells();
    x.n_cell = 3;
    x.measure = MEASURE_SCORE;
    set_layers(WINDOW);
    estimate_group(&x, 0, 0, 1, &one);
    cell[2].windows = WINDOWS_PRUNE;
    estimate_group(&x, 0, 0, 1, &two);
    ck_assert_double_eq(one.scores, 4 * 20 * 2); /* a float for each entry of the two layers' only KV head */
    ck_assert_double_eq(two.scores, 2 * one.scores);
    set_layers(ALIKE);
}
END_TEST

/* In a study of layers one layer of the two keeps the budget, and the other one is whole and shared. */
START_TEST(a_study_of_layers_keeps_whole_layers_whole)
{
    static const char *const layer[][3] = {{"layer=0"}, {"layer=1", "only=true"}, {"keep=0.5,1"}, {"layer=1"}};
    struct err err = {0};
    struct estimate e;
    struct estimate_group g;
    struct trial t = {0};
    set_cells();
    x.n_cell = 2;
    x.measure = MEASURE_SCORE;
    for (int i = 0; i < 5; i++) {
        struct allocators_ready a;
        int windows = i == 4; /* layer 0 has one and is whole as it is */
        set_layers(windows ? WINDOW : ALIKE);
        ck_assert_msg(allocators_make(&a, i == 2 ? "vector" : "single", ".", 2, layer[i < 4 ? i : 3], &err) == 0, "%s",
                      err.msg);
        cell[1].allocator = a.ops;
        cell[1].allocator_self = a.self;
        cell[1].budget = (struct budget){.kind = i == 2 ? BUDGET_NONE : BUDGET_KEEP, .keep = {1, 2}};
        estimate_group(&x, 0, 0, 1, &g);
        ck_assert_msg(fabs(g.largest - ((4 + 64) * 32 + 10 * 16)) < 1e-9, "case %d: %g bytes", i, g.largest);
        estimate_model(&x, 0, 1e9, 1, &e);
        ck_assert_msg(fabs(e.cut_caches - 10 * 16) < 1e-9, "case %d: %g bytes", i, e.cut_caches);
        if (!windows) /* each of the four steps sees 20 entries of one layer and 10 of the other */
            ck_assert_msg(fabs(e.flop - 5 * (20 * row(10, 0) + 8 * row(20, 1) + 4 * row(15, 1))) < 1e-6, "case %d: %g",
                          i, e.flop);
        model.hp.norm_eps = 1e-5f;
        model.hp.rope_base = 1e4;
        ck_assert_msg(trial_time(&x, 0, &t, &err) == 0 && t.decode > 0, "%s", err.msg);
        allocators_fini(&a);
    }
    set_layers(ALIKE);
}
END_TEST

static void set_trial(void)
{
    set_cells();
    x.n_cell = 3;
    model.hp.norm_eps = 1e-5f;
    model.hp.rope_base = 1e4;
}

START_TEST(a_trial_gives_the_time_of_all_samples_of_every_kind_of_layer)
{
    struct err e = {0};
    set_trial();
    for (int i = 0; i < 6; i++) {
        struct trial t = {.prefill = -1, .decode = -1};
        set_layers((enum kind_of_layer)(i / 2));
        x.measure = i % 2 ? MEASURE_SCORE : MEASURE_KL | MEASURE_NLL;
        for (int c = 0; c < 3; c++)
            cell[c].weight_dtype = i % 2 ? MODEL_BF16 : MODEL_F32;
        ck_assert_msg(trial_time(&x, 0, &t, &e) == 0, "%s", e.msg);
        ck_assert(t.prefill > 0 && t.decode > 0);
    }
    set_layers(ALIKE);
}
END_TEST

START_TEST(rates_are_found_for_every_kind_of_layer)
{
    struct err e = {0};
    set_trial();
    for (int i = 0; i < 12; i++) {
        struct estimate_rates r = {-1, -1};
        set_layers((enum kind_of_layer)(i / 4));
        size_t before = kvcache_resident_bytes();
        for (int c = 0; c < 3; c++) {
            cell[c].weight_dtype = i % 2 ? MODEL_BF16 : MODEL_F32;
            cell[c].windows = c && i & 2 && i / 4 == WINDOW ? WINDOWS_PRUNE : WINDOWS_KEEP;
        }
        ck_assert_msg(trial_rates(&x, 0, &r, &e) == 0, "%s", e.msg);
        ck_assert(isfinite(r.read) && isfinite(r.step) && r.read > 0 && r.step > 0);
        ck_assert_uint_eq(kvcache_resident_bytes(), before);
    }
    x.n_cell = 0;
    ck_assert_int_eq(trial_rates(&x, 0, &(struct estimate_rates){0, 0}, &e), -1);
    set_layers(ALIKE);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_by_cell_file_and_line)
{
    struct estimate_group g;
    struct err e = {0};
    set_cells();
    x.n_cell = 3;
    x.path = (char[]){"x.yaml"};
    task.label = (char[]){"needle"};
    cell[1].line = 14;
    cell[1].budget_text = half;
    strcpy(cell[1].id, "0123456789abcdef");
    estimate_group(&x, 0, 0, 1, &g);
    double need = estimate_base(&g) + g.largest;
    ck_assert_int_eq(estimate_check(&x, need, 1, &e), 0);
    ck_assert_int_eq(estimate_check(&x, 0, 1, &e), 0); /* nobody knows what is free */
    ck_assert_int_eq(estimate_check(&x, need - 1, 1, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_msg(strncmp(e.msg, "x.yaml:14: cell 0123456789abcdef (knorm 0.5, task 'needle') needs about ", 72) == 0,
                  "%s", e.msg);
    ck_assert_msg(strstr(e.msg, "; with weight_dtype: bf16 it would be ") != NULL, "%s", e.msg);
    for (int i = 0; i < 3; i++)
        cell[i].weight_dtype = MODEL_BF16;
    estimate_group(&x, 0, 7, 1, &g); /* of 20 tokens that it has now */
    ck_assert_int_eq(estimate_check(&x, estimate_base(&g) + g.largest, 1, &e), -1);
    ck_assert_msg(strstr(e.msg, "; with prompts of at most 7 tokens it would fit") != NULL, "%s", e.msg);
    ck_assert_int_eq(estimate_check(&x, g.weights - 1, 1, &e), -1);
    ck_assert_msg(strstr(e.msg, "; no prompt is short enough, as the weights as bf16 alone take ") != NULL, "%s",
                  e.msg);
    for (int i = 0; i < 3; i++)
        cell[i].weight_dtype = MODEL_F32;
    ck_assert_int_eq(estimate_check(&x, estimate_base(&g) + g.largest, 1, &e), -1);
    ck_assert_msg(strstr(e.msg, "; with weight_dtype: bf16 and prompts of at most 7 tokens it would fit") != NULL, "%s",
                  e.msg);
    estimate_group(&x, 0, 0, 1, &g);
    task.length = 0; /* only the run can tell */
    ck_assert_int_eq(estimate_check(&x, g.weights + 1, 1, &e), 0);
    ck_assert_int_eq(estimate_check(&x, g.weights - 1, 1, &e), -1);
    task.length = 24;
}
END_TEST

START_TEST(prompts_that_were_encoded_stand_for_a_length)
{
    struct exp_sizes sizes = {.n = 2, .longest = 30, .sum = 40, .samples = 2};
    struct estimate e;
    struct estimate_group g;
    set_cells();
    x.n_cell = 1;
    x.measure = MEASURE_SCORE;
    task.length = 0;
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_int_eq(g.prompt, 0);
    model.sizes = &sizes;
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_int_eq(g.prompt, 30);
    estimate_model(&x, 0, 1e9, 1, &e);
    ck_assert_double_eq(e.full_cache, 30 * 32);
    ck_assert_double_eq_tol(e.flop, 5 * (20 * row(10, 0) + 8 * row(20, 1)), 1e-6);
    task.length = 24; /* which is met exactly */
    estimate_group(&x, 0, 0, 1, &g);
    ck_assert_int_eq(g.prompt, 20);
    estimate_model(&x, 0, 1e9, 1, &e);
    ck_assert_double_eq(e.full_cache, 20 * 32);
    model.sizes = NULL;
}
END_TEST

Suite *make_estimate_suite(void)
{
    Suite *s = suite_create("estimate");
    TCase *t = tcase_create("estimate");
    tcase_add_test(t, a_group_prefills_once_and_every_cell_decodes);
    tcase_add_test(t, other_forms_of_prune_after_are_groups_of_their_own);
    tcase_add_test(t, a_task_without_length_may_fill_the_context);
    tcase_add_test(t, a_group_holds_weights_the_full_cache_and_what_its_cells_keep);
    tcase_add_test(t, cells_that_are_cut_again_hold_two_caches_and_chunks_a_branch);
    tcase_add_test(t, a_cell_shares_the_layers_that_it_leaves_whole);
    tcase_add_test(t, cells_that_prune_windows_are_scored_apart_from_those_that_keep_them);
    tcase_add_test(t, a_study_of_layers_keeps_whole_layers_whole);
    tcase_add_test(t, rates_are_found_for_every_kind_of_layer);
    tcase_add_test(t, a_trial_gives_the_time_of_all_samples_of_every_kind_of_layer);
    tcase_add_test(t, what_does_not_fit_is_refused_by_cell_file_and_line);
    tcase_add_test(t, prompts_that_were_encoded_stand_for_a_length);
    suite_add_tcase(s, t);
    return s;
}
