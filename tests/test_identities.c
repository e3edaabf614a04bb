/* End to end, through rows: what must be the same is the same, to the last bit. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/kernels.h"
#include "models/transformer.h"
#include "policies/policy.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const char head[] = "# The same?\nschema: 1\nexperiment: x\nmodel: tiny.h5\ntasks:\n  - passkey: {length: 400}\n"
                           "samples: 2\nmeasure: [score, nll, kl]\nmax_new_tokens: 6\nsweep:\n";

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* The tiny model, and one with windows and unrotated layers whose windows stay whole, or are pruned. */
static const struct {
    const char *model, *rest, *proportional, *attention_lost;
    int positions;
} wholes[] = {
    {"tiny.h5", "", "[3, 1, 2]", "[0,0,0]", 1},
    {"windows.h5", "windows: keep\n", "[3, 1]", "[0,null,0,null]", 2},
    {"windows.h5", "windows: prune\n", "[3, 1, 2, 2]", "[0,0,0,0]", 2},
    {"tiny.h5", "cache_dtype: bf16\n", "[3, 1, 2]", "[0,0,0]", 2},
};
enum { N_WHOLE = sizeof wholes / sizeof *wholes };

START_TEST(every_policy_that_keeps_all_gives_the_bits_of_full)
{
    struct str y = {0};
    struct rows r;
    char *windows = rows_path("windows.h5");
    support_window_model_file(windows);
    mem_free(windows);
    const char *sweep = strstr(head, "sweep:"), *model = strstr(head, "tiny.h5");
    str_addf(&y, "%.*s%s%.*s%s%s", (int)(model - head), head, wholes[_i].model, (int)(sweep - model - 7), model + 7,
             wholes[_i].rest, sweep);
    str_add(&y, "  - policy: [");
    rows_add_policies(&y);
    str_addf(&y,
             "]\n    keep: 1.0\n    head_budget: [uniform, shared]\n    layer_budget: [uniform, {proportional: %s}]\n"
             "    prune_after: [context, question, all_but_last, prompt]\n    positions: %s\n",
             wholes[_i].proportional, wholes[_i].positions == 2 ? "[original, packed]" : "original");
    rows_run_and_load(y.p, "out", &r);
    ck_assert_int_eq(rows_check_keeps_all(&r), (policy_count() - 1) * 2 * 2 * 4 * 2 * wholes[_i].positions);
    for (int i = 0; i < r.n; i++) {
        /* of a window that has moved on from the prompt nothing is known */
        int full = strcmp(rows_text(r.v[i], "policy"), "full") == 0;
        const char *lost = rows_text(r.v[i], "attention_lost"),
                   *least = strstr(wholes[_i].model, "windows") ? "[0,null,0,null]" : "[0,0,0]";
        ck_assert_msg(!strcmp(lost, least) || (!full && !strcmp(lost, wholes[_i].attention_lost)), "%s", lost);
    }
    rows_free(&r);
    str_free(&y);
}
END_TEST

/* Tiny models that differ as the families do; every other field is the first one's. */
static const struct hparams families[] = {
    {.architecture = "qwen2", .qkv_bias = 1, .rope_base = 1e6},
    {.architecture = "qwen3", .qk_norm = MODEL_QK_NORM_HEAD, .head_dim = 12},
    {.architecture = "gemma", .activation = MODEL_GELU_TANH, .embedding_scale = 4},
    {.architecture = "gemma2",
     .activation = MODEL_GELU_TANH,
     .norms = MODEL_NORMS_AROUND,
     .attention_cap = 5,
     .logit_cap = 8,
     .query_scalar = 12,
     .window = 50,
     .layer_kinds = "wfw"},
    {.architecture = "gemma3",
     .norms = MODEL_NORMS_AROUND,
     .qk_norm = MODEL_QK_NORM_HEAD,
     .rope_local_base = 1000,
     .window = 64,
     .layer_kinds = "wwf"},
    {.architecture = "gemma3", .window = 1, .layer_kinds = "fwf"},
    {.architecture = "olmo2", .norms = MODEL_NORMS_AFTER, .qk_norm = MODEL_QK_NORM_WHOLE},
    {.architecture = "smollm3", .layer_kinds = "fnf"},
};
enum { N_FAMILY = sizeof families / sizeof *families };

static struct hparams family_of(int i)
{
    const struct hparams *f = &families[i];
    struct hparams hp = support_hparams(3, 2);
    strcpy(hp.architecture, f->architecture);
    strcpy(hp.layer_kinds, f->layer_kinds);
    hp.qkv_bias = f->qkv_bias;
    hp.qk_norm = f->qk_norm;
    hp.norms = f->norms;
    hp.activation = f->activation;
    hp.window = f->window;
    hp.attention_cap = f->attention_cap;
    hp.logit_cap = f->logit_cap;
    hp.query_scalar = f->query_scalar;
    hp.rope_local_base = f->rope_local_base;
    hp.rope_base = f->rope_base > 0 ? f->rope_base : hp.rope_base;
    hp.head_dim = f->head_dim ? f->head_dim : hp.head_dim;
    hp.embedding_scale = f->embedding_scale > 0 ? f->embedding_scale : hp.embedding_scale;
    return hp;
}

START_TEST(so_it_does_in_every_family_of_models)
{
    struct str y = {0};
    struct rows r;
    char *path = rows_path("tiny.h5");
    int windowed = families[_i].window > 0;
    support_model_file_of(path, family_of(_i));
    str_add(&y, head);
    str_add(&y, "  - policy: [");
    rows_add_policies(&y);
    str_addf(&y, "]\n    keep: 1.0\n    prune_after: [context, all_but_last]\n%s",
             windowed ? "    windows: [keep, prune]\n" : "");
    rows_run_and_load(y.p, "out", &r);
    ck_assert_int_eq(rows_check_keeps_all(&r), (policy_count() - 1) * 2 * 2 * (windowed ? 2 : 1));
    rows_free(&r);
    str_free(&y);
    mem_free(path);
}
END_TEST

/* 20 cells that differ in every axis there is, one a line. */
static const char *const twenty[] = {
    "{policy: streaming, keep: 0.5}",
    "{policy: streaming, keep: 0.1, max_new_tokens: 3}",
    "{policy: {streaming: {sinks: 1}}, keep: 0.3, prune_after: prompt}",
    "{policy: random, keep: 0.5}",
    "{policy: random, keep: 0.5, policy_seed: 2}",
    "{policy: random, keep: 0.25, policy_seed: 2, head_budget: shared}",
    "{policy: knorm, keep_tokens: 50}",
    "{policy: knorm, keep_tokens: 200, prune_after: context, max_new_tokens: 9}",
    "{policy: keydiff, keep: 0.2, prune_after: question}",
    "{policy: keydiff, keep_bytes: 32KiB}",
    "{policy: tova, keep: 0.4}",
    "{policy: tova, keep: 0.4, prune_after: prompt, max_new_tokens: 3}",
    "{policy: {snapkv: {window: 16, kernel: 3}}, keep: 0.3}",
    "{policy: {snapkv: {window: 16, kernel: 3}}, keep: 0.3, protect: {sinks: 4, recent: 30}}",
    "{policy: h2o, keep: 0.3}",
    "{policy: h2o, keep: 0.3, layer_budget: {single: {layer: 1}}}",
    "{policy: h2o, keep: 0.3, layer_budget: {proportional: [4, 1, 2]}}",
    "{policy: h2o, layer_budget: {vector: [0.1, 1, 0.5]}, prune_after: context}",
    "{policy: depthkv, keep: 0.6, protect: {question: true}, prune_after: question}",
    "{policy: depthkv, keep: 0.6, protect: {first_layers: 1}}",
};
enum { TWENTY = sizeof twenty / sizeof *twenty };

static void sweep_of_twenty(struct str *y, int reversed)
{
    str_add(y, head);
    for (int i = 0; i < TWENTY; i++)
        str_addf(y, "  - %s\n", twenty[reversed ? TWENTY - 1 - i : i]);
}

START_TEST(a_cell_alone_gives_the_row_that_it_gives_among_twenty)
{
    struct str y = {0}, one = {0};
    struct rows all, alone;
    int pruned = 0, differs = 0;
    sweep_of_twenty(&y, 0);
    rows_run_and_load(y.p, "all", &all);
    for (int i = 0; i < TWENTY; i++) {
        char out[24];
        snprintf(out, sizeof out, "alone-%d", i);
        str_clear(&one);
        str_addf(&one, "%s  - %s\n", head, twenty[i]);
        rows_run_and_load(one.p, out, &alone);
        ck_assert_int_eq(alone.n, 4); /* full and the cell, two samples each */
        rows_check_all(&alone, &all, 0, twenty[i]);
        rows_free(&alone);
    }
    for (int i = 0; i < all.n; i++) {
        ck_assert_msg(!strcmp(rows_text(all.v[i], "status"), "ok"), "%s", rows_text(all.v[i], "reason"));
        pruned += strcmp(rows_text(all.v[i], "policy"), "full") != 0;
        differs += json_number(json_get(all.v[i], "kl"), 0) > 1e-3; /* the model feels what is removed */
    }
    ck_assert_int_eq(pruned, 2 * TWENTY);
    ck_assert_int_ge(differs, 2 * TWENTY - 4);
    rows_free(&all);
    str_free(&y);
    str_free(&one);
}
END_TEST

START_TEST(every_cell_is_compared_with_the_full_cache_of_its_own_number_of_new_tokens)
{
    struct rows r;
    struct str y = {0};
    str_add(&y, head);
    str_add(&y, "  - {policy: knorm, keep: 0.5, max_new_tokens: [6, 1, 3]}\n");
    rows_run_and_load(y.p, "out", &r);
    ck_assert_int_eq(r.n, 12);
    for (int i = 0; i < r.n; i++) {
        ck_assert_str_eq(rows_text(r.v[i], "output_tokens"), rows_text(r.v[i], "max_new_tokens"));
        /* length counts the prompt and what this very cell may generate */
        ck_assert_int_eq((int)json_number(json_get(r.v[i], "prompt_tokens"), 0) +
                             (int)json_number(json_get(r.v[i], "max_new_tokens"), 0),
                         400);
        /* the share of one step is 0 or 1, of three a multiple of a third */
        double steps = json_number(json_get(r.v[i], "max_new_tokens"), 0),
               hits = steps * json_number(json_get(r.v[i], "top1"), 0);
        ck_assert_double_eq_tol(hits, round(hits), 1e-9);
        if (!strcmp(rows_text(r.v[i], "policy"), "full"))
            ck_assert_str_eq(rows_text(r.v[i], "kl"), "0");
    }
    rows_free(&r);
    str_free(&y);
}
END_TEST

START_TEST(threads_order_memory_and_repetition_change_no_bit)
{
    struct str y = {0}, reversed = {0};
    struct rows first, other;
    struct runner_summary sum;
    sweep_of_twenty(&y, 0);
    sweep_of_twenty(&reversed, 1);
    kernels_share_from(0); /* tiny work too */
    transformer_set_threads(2);
    rows_run_and_load(y.p, "two", &first);
    rows_run_and_load(y.p, "again", &other);
    rows_check_all(&first, &other, 1, "the same run twice");
    rows_free(&other);
    transformer_set_threads(1);
    rows_run_and_load(y.p, "one", &other);
    rows_check_all(&first, &other, 1, "one thread and two");
    rows_free(&other);
    transformer_set_threads(3);
    rows_run_and_load(y.p, "three", &other);
    rows_check_all(&first, &other, 1, "three threads and two");
    rows_free(&other);
    transformer_set_threads(2);
    rows_run_and_load(reversed.p, "reversed", &other);
    ck_assert_int_eq(other.n, first.n);
    rows_check_all(&first, &other, 0, "cells in reversed order");
    rows_free(&other);
    rows_run(y.p, "small", 1, &sum); /* one byte: every cell is a sub-batch of its own */
    ck_assert_int_eq((int)sum.rows, first.n);
    rows_load("small", &other);
    rows_check_all(&first, &other, 1, "the least memory");
    rows_free(&other);
    rows_free(&first);
    str_free(&y);
    str_free(&reversed);
}
END_TEST

/* Every line of the journal but those whose number `keep` refuses; then half a line more. */
static void tear(const char *out, int (*keep)(int line))
{
    char *name = fs_join(out, "rows.jsonl"), *text = rows_read(name);
    struct str left = {0};
    int line = 0;
    for (char *p = text, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        if (keep(line++))
            str_addn(&left, p, (size_t)(end + 1 - p));
    }
    str_addn(&left, text, 100);
    rows_write(name, left.p);
    str_free(&left);
    mem_free(text);
    mem_free(name);
}

static int every_third_is_lost(int line)
{
    return line % 3 != 1;
}

static int the_first_seven(int line)
{
    return line < 7;
}

static int none(int line)
{
    (void)line;
    return 0;
}

START_TEST(what_was_resumed_is_what_would_have_been)
{
    static int (*const keep[])(int) = {every_third_is_lost, the_first_seven, none};
    static const int there[] = {0, 7, 0};
    struct str y = {0};
    struct rows whole, other;
    struct runner_summary sum;
    sweep_of_twenty(&y, 0);
    rows_run_and_load(y.p, "out", &whole);
    for (int k = 0; k < 3; k++) {
        tear("out", keep[k]);
        rows_run(y.p, "out", 0, &sum);
        ck_assert_int_eq((int)(sum.rows + sum.reused), whole.n);
        ck_assert(k == 0 ? sum.rows > 0 && sum.reused > sum.rows : sum.reused == there[k]);
        rows_load("out", &other);
        ck_assert_int_eq(other.n, whole.n);
        rows_check_all(&whole, &other, 1, "resumed");
        rows_free(&other);
    }
    rows_run(y.p, "out", 0, &sum);
    ck_assert_int_eq((int)sum.rows, 0);
    ck_assert_int_eq((int)sum.reused, whole.n);
    rows_free(&whole);
    str_free(&y);
}
END_TEST

/* With longrope, whose long factors the longest of the questions below needs, and that alone. */
static void write_longrope_model(void)
{
    struct hparams hp = support_hparams(3, 2);
    char *path = rows_path("tiny.h5");
    hp.rope_scaling = MODEL_ROPE_LONGROPE;
    hp.rope_original_context = 210;
    hp.rope_attention_factor = 1.1;
    for (int i = 0; i < hp.head_dim / 2; i++) {
        hp.rope_divisor[i] = 1 + 0.5F * (float)i;
        hp.rope_long_divisor[i] = 3 + 2 * (float)i;
    }
    support_model_file_of(path, hp);
    mem_free(path);
}

START_TEST(questions_that_share_a_context_get_the_rows_that_each_gets_alone)
{
    static const char *const record[] = {
        "{\"group\":\"g\",\"id\":\"one\",\"context\":\"%s\",\"question\":\"Who came first?\",\"answers\":[\"the "
        "hare\"]}\n",
        "{\"group\":\"g\",\"id\":\"two\",\"context\":\"%s\",\"question\":\"And who was last of them "
        "all?\",\"answers\":[\"a snail\",\"x\"]}\n",
        "{\"group\":\"g\",\"id\":\"three\",\"context\":\"%s\",\"question\":\"Where?\",\"answers\":[\"on the "
        "hill\"],\"answer_prefix\":\"It was \",\"max_new_tokens\":2}\n"};
    static const char context[] =
        "The hare ran up the hill, the fox ran after the hare, and the hound after the fox; the snail, who had "
        "seen many such races, went on eating the lettuce and was last, as always.";
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: ../tiny.h5\ntasks:\n  - jsonl: {file: qa.jsonl}\nsamples: 5\n"
        "measure: [score, nll, kl]\nmax_new_tokens: 5\nprune_after: [context, all_but_last]\nsweep:\n"
        "  - {policy: [snapkv, h2o, random, knorm], keep: [0.2, 0.6]}\n";
    struct rows all, alone;
    struct experiment x;
    struct str records = {0};
    struct err e;
    if (_i)
        write_longrope_model();
    for (int k = 0; k < 4; k++) {
        struct runner_summary sum;
        char name[40], out[40];
        str_clear(&records);
        for (int i = 0; i < 3; i++)
            if (k == 3 || i == k)
                str_addf(&records, record[i], context);
        snprintf(name, sizeof name, "d%d/qa.jsonl", k);
        rows_write(name, records.p);
        snprintf(name, sizeof name, "d%d/x.yaml", k);
        rows_write(name, yaml);
        snprintf(out, sizeof out, "d%d/out", k);
        char *path = rows_path(name), *dir = rows_path(out);
        ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, NULL, &e) == 0, "%s", e.msg);
        struct runner_options o = {.dir = dir, .quiet = 1};
        ck_assert_msg(runner_run(&x, &o, &sum, &e) == 0, "%s", e.msg);
        ck_assert_int_eq((int)sum.rows, (k == 3 ? 3 : 1) * 2 * 9);
        experiment_fini(&x);
        mem_free(path);
        mem_free(dir);
    }
    rows_load("d3/out", &all);
    for (int i = 0; i < all.n; i++) /* a record's own number of new tokens goes before the experiment's */
        ck_assert_str_eq(rows_text(all.v[i], "output_tokens"),
                         !strcmp(rows_text(all.v[i], "question_id"), "three") ? "2" : "5");
    for (int k = 0; k < 3; k++) {
        char out[40];
        snprintf(out, sizeof out, "d%d/out", k);
        rows_load(out, &alone);
        rows_check_all(&alone, &all, 1, "a question alone");
        rows_free(&alone);
    }
    rows_free(&all);
    str_free(&records);
}
END_TEST

Suite *make_identities_suite(void)
{
    Suite *s = suite_create("identities");
    TCase *t = tcase_create("rows");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, every_policy_that_keeps_all_gives_the_bits_of_full, 0, N_WHOLE);
    tcase_add_loop_test(t, so_it_does_in_every_family_of_models, 0, N_FAMILY);
    tcase_add_test(t, a_cell_alone_gives_the_row_that_it_gives_among_twenty);
    tcase_add_test(t, every_cell_is_compared_with_the_full_cache_of_its_own_number_of_new_tokens);
    tcase_add_test(t, threads_order_memory_and_repetition_change_no_bit);
    tcase_add_test(t, what_was_resumed_is_what_would_have_been);
    tcase_add_loop_test(t, questions_that_share_a_context_get_the_rows_that_each_gets_alone, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
