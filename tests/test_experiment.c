/* Experiment files: expansion to cells, every mistake with its file and line, all of them in one go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/experiment.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
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

static const char head[] =
    "# Why?\nschema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 3\n";

static int load_set(const char *yaml, const char *const *set, int n_set, int limit, struct experiment *x,
                    struct str *errors)
{
    char *path = rows_path("x.yaml");
    struct err e = {0};
    rows_write("x.yaml", yaml);
    int rc = experiment_load(path, set, n_set, limit, x, errors, &e);
    size_t first = strcspn(str_c(errors), "\n"); /* e holds the first of them */
    ck_assert(rc == 0 || (strncmp(e.msg, str_c(errors), first) == 0 && strlen(e.msg) == first && e.code == ERR_CONFIG));
    mem_free(path);
    return rc;
}

static void load(const char *yaml, struct experiment *x)
{
    struct str errors = {0};
    ck_assert_msg(load_set(yaml, NULL, 0, 0, x, &errors) == 0, "%s", str_c(&errors));
    str_free(&errors);
}

/* One cell a line: everything that its sweep can vary. */
static char *cells_of(const struct experiment *x)
{
    struct str s = {0};
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        str_addf(&s, "%s%s %s %s %s %s after %s seed %d new %d\n", c->policy->name,
                 strcmp(c->params, "{}") ? c->params : "", *c->budget_text ? c->budget_text : "-", c->layer_budget,
                 c->heads->name, c->protect_json, experiment_prune_after_names[c->prune_after], (int)c->policy_seed,
                 c->max_new_tokens);
    }
    return str_take(&s);
}

static void expands(const char *sweep, const char *want)
{
    struct experiment x;
    struct str y = {0};
    str_addf(&y, "%ssweep:\n%s", head, sweep);
    load(y.p, &x);
    char *got = cells_of(&x);
    ck_assert_str_eq(got, want);
    mem_free(got);
    experiment_fini(&x);
    str_free(&y);
}

START_TEST(a_template_may_be_spelled_out)
{
    struct experiment x, again;
    struct template_pieces p;
    struct str y = {0}, resolved = {0};
    str_addf(&y,
             "%stemplate: {begin: \"<s>\", user: [\"<u>\\n\", \"</u>\"], assistant: \"<a \\\"x\\\">\"}\nsweep: "
             "[{policy: full}]\n",
             head);
    load(y.p, &x);
    ck_assert_int_eq(experiment_pieces(&x, NULL, &p, NULL), 0);
    ck_assert_str_eq(p.prefix, "<s><u>\n");
    ck_assert_str_eq(p.suffix, "</u><a \"x\">");
    ck_assert_int_eq(p.whole, 1);
    ck_assert_str_eq(
        x.template_name,
        "{\"begin\":\"<s>\",\"system\":\"\",\"user\":[\"<u>\\n\",\"</u>\"],\"assistant\":\"<a \\\"x\\\">\"}");
    experiment_print(&x, ".", &resolved); /* what the run writes reads back as the same cells */
    load(str_c(&resolved), &again);
    ck_assert_str_eq(again.template_name, x.template_name);
    ck_assert_str_eq(again.cell[0].id, x.cell[0].id);
    experiment_fini(&again);
    str_clear(&y);
    str_addf(&y, "%ssweep: [{policy: full}]\n", head);
    load(y.p, &again);
    ck_assert_str_ne(again.cell[0].id, x.cell[0].id);
    experiment_fini(&again);
    experiment_fini(&x);
    str_free(&resolved);
    str_free(&y);
}
END_TEST

/* What a template of a model makes of `template:`, or the message. */
static const char *around(const char *text, const char *source)
{
    static char out[1200];
    char *token[] = {(char[]){"a"}, (char[]){"<|im_start|>"}, (char[]){"<|im_end|>"}};
    uint8_t type[] = {TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL};
    struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                               .pre = (char[]){"gpt2"},
                               .n_token = 3,
                               .token = token,
                               .type = type,
                               .bos = -1,
                               .eos = -1,
                               .pad = -1,
                               .unk = -1};
    struct experiment x;
    struct template_pieces p;
    struct err e = {0};
    d.chat_template = mem_strdup(source);
    struct tokenizer *t = tokenizer_create(&d, "m", &e);
    ck_assert_msg(t && experiment_template_of(text, &x, &e) == 0, "%s", e.msg);
    if (experiment_pieces(&x, t, &p, &e))
        snprintf(out, sizeof out, "%s", e.msg);
    else
        snprintf(out, sizeof out, "%s|%.*s|%s|%s", p.prefix, (int)p.n_system, p.system, p.between, p.suffix);
    experiment_fini(&x);
    tokenizer_destroy(t);
    mem_free(d.chat_template);
    return out;
}

START_TEST(the_models_own_template_takes_a_system_message)
{
    static const char chatml[] =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
        "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\n' }}{% endif %}";
    ck_assert_str_eq(around("chat", chatml), "<|im_start|>user\n|||<|im_end|>\n<|im_start|>assistant\n");
    ck_assert_str_eq(
        around("{chat: {system: \"Be brief.\"}}", chatml),
        "<|im_start|>system\n|Be brief.|<|im_end|>\n<|im_start|>user\n|<|im_end|>\n<|im_start|>assistant\n");
    ck_assert_str_eq(around("{chat: {system: \"\"}}", chatml),
                     "<|im_start|>system\n||<|im_end|>\n<|im_start|>user\n|<|im_end|>\n<|im_start|>assistant\n");
    ck_assert_ptr_nonnull(strstr(around("{chat: {system: x}}", "{{ unknown }}"), "none of those known here"));
    ck_assert_ptr_nonnull(strstr(around("{chat: {system: x}}", NULL), "no chat template"));
}
END_TEST

START_TEST(defaults_are_those_that_are_documented)
{
    struct experiment x;
    struct str y = {0};
    str_addf(&y, "%ssweep:\n  - {policy: knorm, keep: 0.5}\n", head);
    load(y.p, &x);
    ck_assert_str_eq(x.name, "x");
    ck_assert_str_eq(x.question, "Why?");
    ck_assert_int_eq(x.samples, 3);
    ck_assert_uint_eq(x.seed, 1);
    ck_assert_str_eq(x.template_name, "raw");
    ck_assert_uint_eq(x.measure, MEASURE_SCORE);
    ck_assert_str_eq(x.baseline, "{policy: full}");
    ck_assert_int_eq(x.record_kept, 0);
    ck_assert_int_eq(x.n_model, 1);
    ck_assert_str_eq(x.model[0].name, "tiny");
    ck_assert_int_eq(x.model[0].hp.n_layer, 3);
    ck_assert_int_eq(x.task[0].length, 400);
    ck_assert_str_eq(x.task[0].metric[0]->name, "string_match_all");
    ck_assert_str_eq(x.cell[1].prefill, "\"full\"");
    ck_assert_str_eq(x.cell[1].decode, "\"frozen\"");
    ck_assert_int_eq(x.cell[1].packed, 0);
    ck_assert_int_eq(x.cell[1].weight_dtype, MODEL_F32);
    experiment_fini(&x);
    str_free(&y);
    expands("  - {policy: knorm, keep: 0.5}\n", "full - \"uniform\" uniform {} after all_but_last seed 1 new 16\n"
                                                "knorm 0.5 \"uniform\" uniform {} after all_but_last seed 1 new 16\n");
}
END_TEST

/* prefill, decode, positions, weight_dtype and, where they are not float, arithmetic and cache of every cell, a line
 * each; as JSON, which the cells' ids are made of. */
static void has_modes(const char *sweep, const char *want)
{
    struct experiment x;
    struct str y = {0}, got = {0};
    str_addf(&y, "%ssweep:\n%s", head, sweep);
    load(y.p, &x);
    for (int i = 0; i < x.n_cell; i++) {
        const struct cell *c = &x.cell[i];
        struct str part = {0};
        str_addf(&part, "\"prefill\":%s,\"decode\":%s,\"positions\":\"%s\"", c->prefill, c->decode,
                 experiment_positions_names[c->packed]);
        ck_assert_ptr_nonnull(strstr(c->json, part.p));
        str_addf(&got, "%s %s %s %s %s%s%s\n", c->policy->name, c->prefill, c->decode,
                 experiment_positions_names[c->packed], experiment_dtype_names[c->weight_dtype == MODEL_BF16],
                 c->arithmetic == MODEL_BF16 ? " by bf16" : "", c->cache_dtype == MODEL_BF16 ? " in bf16" : "");
        ck_assert_int_eq(strstr(c->json, "\"cache_dtype\":\"bf16\"}") != NULL, c->cache_dtype == MODEL_BF16);
        ck_assert(c->cache_dtype == MODEL_BF16 || !strstr(c->json, "cache_dtype"));
        ck_assert_int_eq(strstr(c->json, "\"arithmetic\":\"bf16\"") != NULL, c->arithmetic == MODEL_BF16);
        ck_assert(c->arithmetic == MODEL_BF16 || !strstr(c->json, "arithmetic"));
        str_free(&part);
    }
    ck_assert_str_eq(got.p, want);
    experiment_fini(&x);
    str_free(&y);
    str_free(&got);
}

START_TEST(modes_take_all_their_forms_and_full_ignores_all_but_how_weights_are_held)
{
    has_modes(
        "  - {policy: [full, h2o], keep: 0.5, prefill: [full, chunked, {chunked: {size: [8, 1024], budget: final}}]}\n",
        "full \"full\" \"frozen\" original f32\n"
        "h2o \"full\" \"frozen\" original f32\n"
        "h2o {\"chunked\":{\"size\":1024,\"budget\":\"seen\",\"carry\":true}} \"frozen\" original f32\n"
        "h2o {\"chunked\":{\"size\":8,\"budget\":\"final\",\"carry\":true}} \"frozen\" original f32\n"
        "h2o {\"chunked\":{\"size\":1024,\"budget\":\"final\",\"carry\":true}} \"frozen\" original f32\n");
    /* carry means nothing to a policy without statistics */
    has_modes("  - {policy: [h2o, random], keep: 0.5, prefill: {chunked: {carry: [true, false]}}}\n",
              "full \"full\" \"frozen\" original f32\n"
              "h2o {\"chunked\":{\"size\":1024,\"budget\":\"seen\",\"carry\":true}} \"frozen\" original f32\n"
              "h2o {\"chunked\":{\"size\":1024,\"budget\":\"seen\",\"carry\":false}} \"frozen\" original f32\n"
              "random {\"chunked\":{\"size\":1024,\"budget\":\"seen\",\"carry\":true}} \"frozen\" original f32\n");
    has_modes("  - {policy: h2o, keep: 0.5, positions: [original, packed, original], weight_dtype: [f32, bf16]}\n",
              "full \"full\" \"frozen\" original f32\n"
              "full \"full\" \"frozen\" original bf16\n"
              "h2o \"full\" \"frozen\" original f32\n"
              "h2o \"full\" \"frozen\" original bf16\n"
              "h2o \"full\" \"frozen\" packed f32\n"
              "h2o \"full\" \"frozen\" packed bf16\n");
    /* bf16 arithmetic goes with weights held as bf16, whatever a block says of the others' */
    has_modes("  - {policy: h2o, keep: 0.5, arithmetic: [f32, bf16]}\n",
              "full \"full\" \"frozen\" original f32\n"
              "full \"full\" \"frozen\" original bf16 by bf16\n"
              "h2o \"full\" \"frozen\" original f32\n"
              "h2o \"full\" \"frozen\" original bf16 by bf16\n");
    has_modes("  - {policy: h2o, keep: 0.5, weight_dtype: [f32, bf16], arithmetic: [f32, bf16]}\n",
              "full \"full\" \"frozen\" original f32\n"
              "full \"full\" \"frozen\" original bf16 by bf16\n"
              "full \"full\" \"frozen\" original bf16\n"
              "h2o \"full\" \"frozen\" original f32\n"
              "h2o \"full\" \"frozen\" original bf16 by bf16\n"
              "h2o \"full\" \"frozen\" original bf16\n");
    /* how a cache is held goes with any weights, and takes a full cache of its own */
    has_modes("  - {policy: h2o, keep: 0.5, arithmetic: [f32, bf16], cache_dtype: [bf16, f32]}\n",
              "full \"full\" \"frozen\" original f32 in bf16\n"
              "full \"full\" \"frozen\" original f32\n"
              "full \"full\" \"frozen\" original bf16 by bf16 in bf16\n"
              "full \"full\" \"frozen\" original bf16 by bf16\n"
              "h2o \"full\" \"frozen\" original f32 in bf16\n"
              "h2o \"full\" \"frozen\" original f32\n"
              "h2o \"full\" \"frozen\" original bf16 by bf16 in bf16\n"
              "h2o \"full\" \"frozen\" original bf16 by bf16\n");
}
END_TEST

START_TEST(a_block_is_the_grid_over_its_lists_the_last_axis_fastest)
{
    expands("  - policy: [knorm, {streaming: {sinks: [1, 4]}}]\n    keep: [0.5, 0.25]\n    prune_after: [prompt, "
            "context]\n",
            "full - \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "full - \"uniform\" uniform {} after context seed 1 new 16\n"
            "knorm 0.5 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "knorm 0.5 \"uniform\" uniform {} after context seed 1 new 16\n"
            "knorm 0.25 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "knorm 0.25 \"uniform\" uniform {} after context seed 1 new 16\n"
            "streaming{\"sinks\":1} 0.5 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "streaming{\"sinks\":1} 0.5 \"uniform\" uniform {} after context seed 1 new 16\n"
            "streaming{\"sinks\":1} 0.25 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "streaming{\"sinks\":1} 0.25 \"uniform\" uniform {} after context seed 1 new 16\n"
            "streaming{\"sinks\":4} 0.5 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "streaming{\"sinks\":4} 0.5 \"uniform\" uniform {} after context seed 1 new 16\n"
            "streaming{\"sinks\":4} 0.25 \"uniform\" uniform {} after prompt seed 1 new 16\n"
            "streaming{\"sinks\":4} 0.25 \"uniform\" uniform {} after context seed 1 new 16\n");
}
END_TEST

START_TEST(axes_that_a_cell_ignores_are_dropped_and_equal_cells_merge)
{
    /* seeds mean nothing to knorm, budgets and protection nothing to full, a budget nothing to absolute fractions */
    expands("  - policy: [full, knorm, random]\n    keep: [0.5, .50, 5e-1]\n    policy_seed: [1, 2]\n    protect: "
            "[none, {sinks: 2}]\n"
            "  - {policy: knorm, keep: 0.5}\n"
            "  - {policy: knorm, layer_budget: {vector: [0.5, 1, 1]}}\n",
            "full - \"uniform\" uniform {} after all_but_last seed 1 new 16\n"
            "knorm 0.5 \"uniform\" uniform {} after all_but_last seed 1 new 16\n"
            "knorm 0.5 \"uniform\" uniform {\"sinks\":2} after all_but_last seed 1 new 16\n"
            "random 0.5 \"uniform\" uniform {} after all_but_last seed 1 new 16\n"
            "random 0.5 \"uniform\" uniform {} after all_but_last seed 2 new 16\n"
            "random 0.5 \"uniform\" uniform {\"sinks\":2} after all_but_last seed 1 new 16\n"
            "random 0.5 \"uniform\" uniform {\"sinks\":2} after all_but_last seed 2 new 16\n"
            "knorm - {\"vector\":{\"keep\":[0.5,1,1]}} uniform {} after all_but_last seed 1 new 16\n");
}
END_TEST

START_TEST(full_runs_once_for_every_form_and_number_of_new_tokens)
{
    expands("  - {policy: knorm, keep: 0.5, prune_after: [context, question], max_new_tokens: [4, 8]}\n",
            "full - \"uniform\" uniform {} after context seed 1 new 4\n"
            "full - \"uniform\" uniform {} after context seed 1 new 8\n"
            "full - \"uniform\" uniform {} after question seed 1 new 4\n"
            "full - \"uniform\" uniform {} after question seed 1 new 8\n"
            "knorm 0.5 \"uniform\" uniform {} after context seed 1 new 4\n"
            "knorm 0.5 \"uniform\" uniform {} after context seed 1 new 8\n"
            "knorm 0.5 \"uniform\" uniform {} after question seed 1 new 4\n"
            "knorm 0.5 \"uniform\" uniform {} after question seed 1 new 8\n");
}
END_TEST

START_TEST(budgets_heads_and_layers_take_all_their_forms)
{
    expands("  - {policy: knorm, keep_tokens: [7, 100000], head_budget: shared}\n"
            "  - {policy: depthkv, keep_bytes: [4KiB, 1.5kB], layer_budget: {proportional: [[3, 2, 1], [1, 1, 2]]}}\n"
            "  - {policy: knorm, keep: 0.5, layer_budget: {single: {layer: all, only: true}}}\n"
            "  - {policy: knorm, keep: 1, protect: {recent: 3, question: true, first_layers: 2, compensate: false}}\n"
            "  - {policy: knorm, keep: 1, protect: [{own: false, boundary: 0.10}, {own: true, boundary: 0}]}\n",
            "full - \"uniform\" uniform {} after all_but_last seed 1 new 16\n"
            "knorm 7 \"uniform\" shared {} after all_but_last seed 1 new 16\n"
            "knorm 100000 \"uniform\" shared {} after all_but_last seed 1 new 16\n"
            "depthkv{\"value\":\"none\"} 4096 {\"proportional\":{\"weights\":[3,2,1]}} shared {} after all_but_last "
            "seed 1 new 16\n"
            "depthkv{\"value\":\"none\"} 4096 {\"proportional\":{\"weights\":[1,1,2]}} shared {} after all_but_last "
            "seed 1 new 16\n"
            "depthkv{\"value\":\"none\"} 1500 {\"proportional\":{\"weights\":[3,2,1]}} shared {} after all_but_last "
            "seed 1 new 16\n"
            "depthkv{\"value\":\"none\"} 1500 {\"proportional\":{\"weights\":[1,1,2]}} shared {} after all_but_last "
            "seed 1 new 16\n"
            "knorm 0.5 {\"single\":{\"layer\":0,\"only\":true}} uniform {} after all_but_last seed 1 new 16\n"
            "knorm 0.5 {\"single\":{\"layer\":1,\"only\":true}} uniform {} after all_but_last seed 1 new 16\n"
            "knorm 0.5 {\"single\":{\"layer\":2,\"only\":true}} uniform {} after all_but_last seed 1 new 16\n"
            "knorm 1 \"uniform\" uniform {\"recent\":3,\"first_layers\":2,\"question\":true,\"compensate\":false} "
            "after all_but_last seed 1 new 16\n"
            "knorm 1 \"uniform\" uniform {\"own\":false,\"boundary\":0.1} after all_but_last seed 1 new 16\n"
            "knorm 1 \"uniform\" uniform {} after all_but_last seed 1 new 16\n");
}
END_TEST

START_TEST(a_budget_in_a_block_replaces_the_default_of_any_unit)
{
    struct experiment x;
    struct str y = {0};
    str_addf(&y,
             "%skeep: [0.1, 0.2]\nmax_new_tokens: 3\nsweep:\n  - {policy: knorm}\n  - {policy: tova, keep_tokens: 9, "
             "max_new_tokens: 3}\n",
             head);
    load(y.p, &x);
    ck_assert_int_eq(x.n_cell, 4);
    ck_assert_str_eq(x.cell[1].budget_text, "0.1");
    ck_assert_str_eq(x.cell[2].budget_text, "0.2");
    ck_assert_str_eq(x.cell[3].budget_text, "9");
    ck_assert_int_eq(x.cell[3].budget.kind, BUDGET_TOKENS);
    ck_assert_int_eq(x.cell[1].max_new_tokens, 3);
    experiment_fini(&x);
    str_free(&y);
}
END_TEST

START_TEST(tasks_and_models_are_axes_and_equal_tasks_merge)
{
    static const char y[] = "schema: 1\nexperiment: x\nmodel: [tiny.h5, other.h5]\nsamples: 1\nmeasure: [nll, "
                            "kl]\nsweep: [{policy: knorm, keep: 0.5}]\n"
                            "tasks:\n  - passkey: {length: [400, 300], digits: [5, 6]}\n  - passkey: {length: 300}\n  "
                            "- text: {length: 200}\n";
    struct experiment x;
    char *other = rows_path("other.h5");
    support_model_file(other, 2, 1);
    mem_free(other);
    load(y, &x);
    ck_assert_int_eq(x.n_model, 2);
    ck_assert_int_eq(x.n_task, 5);
    ck_assert_int_eq(x.n_cell, 2 * 5 * 2);
    ck_assert_uint_eq(x.measure, MEASURE_NLL | MEASURE_KL);
    static const int length[] = {400, 400, 300, 300, 200};
    for (int i = 0; i < x.n_cell; i++) {
        ck_assert_int_eq(x.cell[i].model, i / 10);
        ck_assert_int_eq(x.cell[i].task, i % 10 / 2);
        ck_assert_int_eq(x.task[x.cell[i].task].length, length[i % 10 / 2]);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(x.cell[i].id, x.cell[k].id);
    }
    experiment_fini(&x);
}
END_TEST

START_TEST(an_id_depends_on_what_the_cell_is_and_on_nothing_else)
{
    struct experiment a, b;
    struct str y = {0};
    str_addf(&y, "%ssweep:\n  - {policy: knorm, keep: 0.5}\n", head);
    load(y.p, &a);
    str_clear(&y);
    str_addf(&y, "%smeasure: [kl]\nsweep:\n  - policy: [tova, knorm]\n    keep: [0.1, 0.50]\n", head);
    load(y.p, &b);
    ck_assert_int_eq(b.n_cell, 5);
    ck_assert_str_eq(a.cell[1].id, b.cell[4].id);
    ck_assert_str_eq(a.cell[0].id, b.cell[0].id);
    ck_assert_uint_eq(strspn(a.cell[1].id, "0123456789abcdef"), 16);
    experiment_fini(&a);
    experiment_fini(&b);
    str_free(&y);
}
END_TEST

START_TEST(set_overrides_and_limit_cuts)
{
    static const char *const set[] = {"sweep.0.keep=[0.2, 0.3]", "seed=7", "tasks=[{passkey: {length: 300}}]",
                                      "sweep.0.max_new_tokens=5"};
    struct experiment x;
    struct str y = {0}, errors = {0};
    str_addf(&y, "%ssweep:\n  - {policy: knorm, keep: 0.5}\n", head);
    ck_assert_msg(load_set(y.p, set, 4, 2, &x, &errors) == 0, "%s", str_c(&errors));
    ck_assert_int_eq(x.n_cell, 3);
    ck_assert_str_eq(x.cell[2].budget_text, "0.3");
    ck_assert_uint_eq(x.seed, 7);
    ck_assert_int_eq(x.samples, 2);
    ck_assert_int_eq(x.task[0].length, 300);
    ck_assert_int_eq(x.cell[1].max_new_tokens, 5);
    /* the resolved file says all of it, and gives the same cells */
    struct experiment again;
    load(x.resolved.p, &again);
    char *one = cells_of(&x), *two = cells_of(&again);
    ck_assert_str_eq(one, two);
    ck_assert_str_eq(again.resolved.p, x.resolved.p);
    ck_assert_int_eq(again.samples, 2);
    ck_assert_str_eq(again.question, "Why?");
    mem_free(one);
    mem_free(two);
    experiment_fini(&x);
    experiment_fini(&again);
    str_free(&y);
    str_free(&errors);
}
END_TEST

START_TEST(include_gives_defaults_and_every_line_keeps_its_file)
{
    struct experiment x;
    struct str errors = {0};
    rows_write(
        "base.yaml",
        "schema: 1\nmodel: tiny.h5\nsamples: 9\ntasks: [passkey: {length: 400}]\nrecord: {kept: true, scores: false}\n"
        "sweep: [{policy: tova, keep: 0.1}]\n");
    load("include: base.yaml\nexperiment: x\nsamples: 2\nsweep: [{policy: knorm, keep: 0.5}]\nrecord: {kept: false}\n",
         &x);
    ck_assert_int_eq(x.samples, 2);
    ck_assert_int_eq(x.n_cell, 2); /* lists replace */
    ck_assert_str_eq(x.cell[1].policy->name, "knorm");
    ck_assert_int_eq(x.record_kept, 0);
    ck_assert_ptr_null(strstr(x.resolved.p, "include"));
    experiment_fini(&x);
    rows_write("base.yaml", "schema: 1\nmodel: nosuch.h5\nsamples: 9\ntasks: [passkey: {length: 400}]\nbad: 1\n");
    ck_assert_int_eq(load_set("include: base.yaml\nworse: 1\nexperiment: x\nsweep:\n  - {policy: tova, keep: 2}\n",
                              NULL, 0, 0, &x, &errors),
                     -1);
    struct str want = {0};
    str_addf(&want,
             "%s/base.yaml:5: key 'bad' unknown\n%s/x.yaml:2: key 'worse' unknown\n%s/base.yaml:2: model: no file "
             "'%s/nosuch.h5'\n"
             "%s/x.yaml:5: keep: expected a fraction in (0, 1], found '2'; 2 %% is keep: 0.02, and 2 entries of every "
             "head are keep_tokens: 2\n",
             dir, dir, dir, dir, dir);
    ck_assert_str_eq(errors.p, want.p);
    str_clear(&errors);
    str_clear(&want);
    rows_write("a.yaml", "include: b.yaml\nschema: 1\n");
    rows_write("b.yaml", "\ninclude: a.yaml\n");
    ck_assert_int_eq(load_set("include: a.yaml\n", NULL, 0, 0, &x, &errors), -1);
    ck_assert_ptr_nonnull(strstr(errors.p, "include: a cycle, or more than 8 files deep"));
    str_clear(&errors);
    ck_assert_int_eq(load_set("include: nosuch.yaml\n", NULL, 0, 0, &x, &errors), -1);
    str_addf(&want, "%s/x.yaml:1: include: %s/nosuch.yaml: No such file or directory\n", dir, dir);
    ck_assert_int_eq(strncmp(errors.p, want.p, want.n), 0);
    str_free(&errors);
    str_free(&want);
}
END_TEST

START_TEST(a_bare_model_name_is_sought_in_its_folder)
{
    struct experiment x;
    rows_write("sub/dummy", "");
    char *from = rows_path("tiny.h5"), *to = rows_path("sub/moved.h5"), *sub = rows_path("sub");
    ck_assert_int_eq(rename(from, to), 0);
    setenv("DEPTHKV_MODELS", sub, 1);
    load("schema: 1\nexperiment: x\nmodel: moved.h5\nsamples: 1\nsweep: [{policy: full}]\ntasks: [passkey: {length: "
         "400}]\n",
         &x);
    ck_assert_str_eq(x.model[0].path, to);
    ck_assert_int_eq(x.n_cell, 1);
    experiment_fini(&x);
    mem_free(from);
    mem_free(to);
    mem_free(sub);
}
END_TEST

Suite *make_experiment_suite(void)
{
    Suite *s = suite_create("experiment");
    TCase *t = tcase_create("experiment");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_template_may_be_spelled_out);
    tcase_add_test(t, the_models_own_template_takes_a_system_message);
    tcase_add_test(t, defaults_are_those_that_are_documented);
    tcase_add_test(t, modes_take_all_their_forms_and_full_ignores_all_but_how_weights_are_held);
    tcase_add_test(t, a_block_is_the_grid_over_its_lists_the_last_axis_fastest);
    tcase_add_test(t, axes_that_a_cell_ignores_are_dropped_and_equal_cells_merge);
    tcase_add_test(t, full_runs_once_for_every_form_and_number_of_new_tokens);
    tcase_add_test(t, budgets_heads_and_layers_take_all_their_forms);
    tcase_add_test(t, a_budget_in_a_block_replaces_the_default_of_any_unit);
    tcase_add_test(t, tasks_and_models_are_axes_and_equal_tasks_merge);
    tcase_add_test(t, an_id_depends_on_what_the_cell_is_and_on_nothing_else);
    tcase_add_test(t, set_overrides_and_limit_cuts);
    tcase_add_test(t, include_gives_defaults_and_every_line_keeps_its_file);
    tcase_add_test(t, a_bare_model_name_is_sought_in_its_folder);
    suite_add_tcase(s, t);
    return s;
}
