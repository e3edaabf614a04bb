/* config.json: every key is used, harmless, refused by name, or told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "models/import_hf_config.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

#define SIZES \
    "\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":16,\"num_attention_heads\":2," \
    "\"num_key_value_heads\":1,\"intermediate_size\":6,\"vocab_size\":5,\"max_position_embeddings\":128"

/* keys: what stands beside the sizes, with a comma in front, or "". */
static int read_config(const char *keys, struct hparams *hp, struct str *notes, struct err *e)
{
    struct str text = {0};
    memset(hp, 0, sizeof *hp);
    str_addf(&text, "{" SIZES "%s}", keys);
    struct json *c = json_parse("config.json", text.p, text.n, e);
    ck_assert_ptr_nonnull(c);
    int rc = import_hf_config_read(c, "config.json", hp, notes, e);
    json_free(c);
    str_free(&text);
    return rc;
}

static int zeros(void *ctx, const char *name, float *dst, size_t n, struct err *e)
{
    (void)ctx;
    (void)name;
    (void)e;
    memset(dst, 0, n * sizeof *dst);
    return 0;
}

START_TEST(rotation_is_read_as_transformers_reads_it_or_refused)
{
    struct json *all = support_json("tests/vectors/rope.json");
    int n_read = 0, n_refused = 0;
    for (const struct json *c = json_first(all); c; c = json_next(c)) {
        struct str notes = {0};
        struct err e = {0};
        struct hparams hp;
        const struct json *want = json_next(json_first(c));
        char *keys = json_print(json_first(c));
        keys[0] = ','; /* of {...}: what is within, behind a comma */
        keys[strlen(keys) - 1] = 0;
        int rc = read_config(keys[1] ? keys : "", &hp, &notes, &e);
        ck_assert_msg(notes.n == 0, "%s: %s", keys, str_c(&notes));
        if (rc) {
            n_refused++;
            ck_assert_msg(strstr(e.msg, "config.json") && (strstr(e.msg, "rope_") || strstr(e.msg, "original_max")),
                          "%s: %s", keys, e.msg);
        } else {
            n_read++;
            ck_assert_msg(json_is_array(want), "%s was accepted; transformers: %s", keys, json_string(want));
            struct model *m = model_build(&hp, zeros, NULL, NULL);
            int i = 0;
            for (const struct json *f = json_first(want); f; f = json_next(f), i++)
                ck_assert_msg(fabs(m->rope_freq[i] / json_number(f, 0) - 1) < 1e-6,
                              "%s: frequency %d is %g, expected %g", keys, i, m->rope_freq[i], json_number(f, 0));
            ck_assert_int_eq(i, hp.head_dim / 2);
            model_close(m);
        }
        mem_free(keys);
        str_free(&notes);
    }
    /* the rest contradicts itself, or is of a sort that is not computed here */
    ck_assert_msg(n_read >= 190 && n_read + n_refused == json_size(all), "%d read, %d refused", n_read, n_refused);
    json_free(all);
}
END_TEST

static const struct {
    const char *keys, *says; /* NULL: read, and nothing told; otherwise the error, or with '+' in front what is told */
} keys[] = {
    {"", NULL},
    {",\"rope_parameters\":null,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}", NULL},
    {",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000},\"rope_theta\":10000", NULL},
    {",\"rope_theta\":20000,\"rope_parameters\":{\"rope_theta\":10000}",
     "rope_theta is 10000, but rope_theta is 20000"},
    {",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0},\"rope_parameters\":{\"rope_theta\":5e5}",
     "rope_theta is 10000, but rope_parameters.rope_theta is 500000"},
    {",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0},\"rope_parameters\":{\"rope_type\":\"llama3\"}",
     "rope_scaling says 'linear', and rope_parameters says 'llama3'"},
    {",\"rope_scaling\":{\"type\":\"linear\",\"rope_type\":\"default\"}", "rope_scaling.rope_type is 'default', and"},
    {",\"rope_scaling\":{\"factor\":4.0}", "rope_scaling.factor is 4, which has no part in rope_type 'default'"},
    {",\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":4.0}",
     "rope_type 'longrope'; known: default, linear, llama3"},
    {",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0,\"attention_factor\":1.2}",
     "rope_scaling.attention_factor"},
    {",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":\"4\"}", "'rope_scaling.factor' is no number"},
    {",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4,\"factor\":2}",
     "rope_scaling: key 'factor' appears twice"},
    {",\"rope_scaling\":{\"rope_type\":3}", "'rope_scaling.rope_type' is no text"},
    {",\"rope_scaling\":\"linear\"", "'rope_scaling' is no object"},
    {",\"rope_scaling\":[]", "'rope_scaling' is no object"},
    {",\"rope_theta\":null", "'rope_theta' is no number"},
    {",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}",
     "rope_parameters.full_attention: one rotation"},
    {",\"partial_rotary_factor\":0.5", "partial_rotary_factor is 0.5"},
    {",\"hidden_act\":\"swish\"", NULL},
    {",\"hidden_act\":\"gelu\"", "hidden_act is \"gelu\", expected 'silu'"},
    {",\"hidden_act\":null", "hidden_act is null, expected 'silu'"},
    {",\"attention_bias\":1", "attention_bias is 1, expected nothing"},
    {",\"mlp_bias\":true", "mlp_bias is true"},
    {",\"sliding_window\":4096", "sliding_window is 4096, expected null"},
    {",\"sliding_window\":4096,\"use_sliding_window\":false,\"max_window_layers\":3", NULL},
    {",\"use_sliding_window\":true", "use_sliding_window is true"},
    {",\"layer_types\":[\"full_attention\"]", NULL},
    {",\"layer_types\":[\"full_attention\",\"sliding_attention\"]", "layer_types is"},
    {",\"attn_logit_softcapping\":50.0", "attn_logit_softcapping is 50"},
    {",\"query_pre_attn_scalar\":256", "query_pre_attn_scalar is 256"},
    {",\"residual_multiplier\":0.22", "residual_multiplier is 0.22, expected 1"},
    {",\"embedding_multiplier\":1,\"logits_scaling\":1.0", NULL},
    {",\"logits_scaling\":8", "logits_scaling is 8"},
    {",\"attention_multiplier\":0.0078125", "attention_multiplier is"},
    {",\"tie_word_embeddings\":\"yes\"", "'tie_word_embeddings' is neither true nor false"},
    {",\"quantization_config\":{\"bits\":4}", "quantization_config"},
    {",\"quantization_config\":null", NULL},
    {",\"num_local_experts\":8", "num_local_experts is 8"},
    {",\"pruned_heads\":{},\"is_encoder_decoder\":false,\"use_cache\":true,\"torch_dtype\":\"bfloat16\"", NULL},
    {",\"pruned_heads\":{\"0\":[1]}", "pruned_heads is"},
    {",\"head_dim\":null", NULL},
    {",\"wobble\":2.5", "+key \"wobble\" (2.5) is not known"},
    {",\"wobble\":null", NULL},
    {",\"a\\u001bb\":1", "+key \"a\\u001bb\""},
};

START_TEST(every_key_is_used_harmless_refused_or_told)
{
    struct str notes = {0};
    struct err e = {0};
    struct hparams hp;
    const char *says = keys[_i].says;
    int rc = read_config(keys[_i].keys, &hp, &notes, &e);
    ck_assert_msg(rc == (says && *says != '+' ? -1 : 0), "%s: %d, %s", keys[_i].keys, rc, e.msg);
    if (rc)
        ck_assert_msg(strstr(e.msg, says) != NULL, "%s: '%s' does not say '%s'", keys[_i].keys, e.msg, says);
    else
        ck_assert_msg(says ? strstr(str_c(&notes), says + 1) != NULL : notes.n == 0, "%s: told '%s'", keys[_i].keys,
                      str_c(&notes));
    str_free(&notes);
}
END_TEST

/* ---- architectures --------------------------------------------------------------------------- */

#define OF(type) \
    "{\"model_type\":\"" type "\",\"num_hidden_layers\":6,\"hidden_size\":16,\"num_attention_heads\":2," \
    "\"num_key_value_heads\":1,\"intermediate_size\":6,\"vocab_size\":5,\"max_position_embeddings\":128"

#define LONG(longs, shorts, more) \
    OF("phi3") \
    ",\"rope_scaling\":{\"type\":\"longrope\",\"long_factor\":" longs ",\"short_factor\":" shorts "}" more "}"

static const struct {
    const char *config;
    const char *says; /* the error; NULL: read as what follows */
    const char *kinds;
    int window, head_dim, tied;
    double base, local, cap, scalar;
} of_kind[] = {
    {OF("llama") "}", NULL, "", 0, 8, 0, 1e4, 0, 0, 0},
    {OF("mistral") ",\"sliding_window\":9}", NULL, "wwwwww", 9, 8, 0, 1e4, 0, 0, 0},
    {OF("mistral") ",\"sliding_window\":null}", NULL, "", 0, 8, 0, 1e4, 0, 0, 0},
    {OF("mistral") "}", NULL, "", 0, 8, 0, 1e4, 0, 0, 0}, /* 4096, which no text of 128 outgrows */
    {OF("mistral") ",\"sliding_window\":9,\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\","
                   "\"full_attention\",\"full_attention\",\"full_attention\"]}",
     "layers of this architecture are alike", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("mistral") ",\"attention_bias\":true}", "attention_bias is true", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("mistral") ",\"sliding_window\":0}", "sliding_window is 0, expected an integer of at least 1", NULL, 0, 0, 0, 0,
     0, 0, 0},
    {OF("qwen2") ",\"sliding_window\":9,\"use_sliding_window\":false,\"rope_theta\":1e6}", NULL, "", 0, 8, 0, 1e6, 0, 0,
     0},
    {OF("qwen2") ",\"sliding_window\":9}", NULL, "", 0, 8, 0, 1e4, 0, 0, 0},
    {OF("qwen2") ",\"sliding_window\":9,\"use_sliding_window\":true,\"max_window_layers\":4}", NULL, "ffffww", 9, 8, 0,
     1e4, 0, 0, 0},
    {OF("qwen2") ",\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
                 "\"full_attention\",\"full_attention\"]}",
     "since there is no sliding_window", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("qwen2") ",\"layer_types\":[\"full_attention\"]}", "layer_types has 1 entries, expected num_hidden_layers (6)",
     NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("qwen2") ",\"layer_types\":[\"linear_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
                 "\"full_attention\",\"full_attention\"]}",
     "full_attention and sliding_attention alone", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("qwen3") ",\"tie_word_embeddings\":true}", NULL, "", 0, 128, 1, 1e4, 0, 0, 0},
    {OF("qwen3") ",\"attention_bias\":true}", "attention_bias is true", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma") ",\"hidden_act\":\"gelu_pytorch_tanh\"}", NULL, "", 0, 256, 1, 1e4, 0, 0, 0},
    {OF("gemma") ",\"hidden_act\":\"gelu\"}", "hidden_act is \"gelu\", expected 'gelu_pytorch_tanh'", NULL, 0, 0, 0, 0,
     0, 0, 0},
    {OF("gemma") ",\"hidden_act\":\"silu\"}", "hidden_act is \"silu\"", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma2") ",\"sliding_window\":16}", NULL, "wfwfwf", 16, 256, 1, 1e4, 0, 50, 0},
    {OF("gemma2") ",\"sliding_window\":16,\"attn_logit_softcapping\":null,\"query_pre_attn_scalar\":144}", NULL,
     "wfwfwf", 16, 256, 1, 1e4, 0, 0, 144},
    {OF("gemma2") ",\"hidden_activation\":\"gelu\"}", "hidden_activation is \"gelu\"", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma2") ",\"rope_local_base_freq\":1e4}", "rope_local_base_freq is 10000", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma3_text") ",\"sliding_window\":16}", NULL, "wwwwwf", 16, 256, 1, 1e6, 1e4, 0, 0},
    {OF("gemma3_text") ",\"sliding_window\":16,\"sliding_window_pattern\":3,\"rope_theta\":5e5,"
                       "\"rope_local_base_freq\":3000,\"head_dim\":8}",
     NULL, "wwfwwf", 16, 8, 1, 5e5, 3000, 0, 256},
    {OF("gemma3_text") ",\"sliding_window\":16,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8},"
                       "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8}}}",
     NULL, "wwwwwf", 16, 256, 1, 1e6, 1e4, 0, 0},
    {OF("gemma3_text") ",\"rope_parameters\":{\"rope_theta\":1e6}}", "rope_parameters.rope_theta: expected the objects",
     NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma3_text") ",\"rope_parameters\":{\"sliding_attention\":{\"rope_type\":\"default\"}}}",
     "rope_parameters.full_attention missing", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma3_text") ",\"rope_parameters\":{\"full_attention\":{},\"sliding_attention\":{\"rope_type\":\"linear\","
                       "\"factor\":2}}}",
     "rope_parameters.sliding_attention: rope_type 'linear', expected default", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma3_text") ",\"rope_local_base_freq\":5000,\"rope_parameters\":{\"full_attention\":{},"
                       "\"sliding_attention\":{\"rope_theta\":1e4}}}",
     "rope_local_base_freq is 5000, but", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("gemma3_text") ",\"sliding_window_pattern\":0,\"sliding_window\":16}", "every 0-th layer", NULL, 0, 0, 0, 0, 0,
     0, 0},
    {OF("gemma3_text") ",\"use_bidirectional_attention\":true}", "use_bidirectional_attention is true", NULL, 0, 0, 0,
     0, 0, 0, 0},
    {OF("gemma3") "}", "model_type is 'gemma3'; known: llama, mistral", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("phi3") ",\"sliding_window\":9,\"partial_rotary_factor\":0.75}", NULL, "wwwwww", 9, 8, 0, 1e4, 0, 0, 0},
    {OF("phi3") ",\"sliding_window\":null,\"partial_rotary_factor\":0.7}", "rope_dim is 5, expected an even number",
     NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("phi3") ",\"partial_rotary_factor\":1.5}", "partial_rotary_factor is 1.5", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1]", "[1,1,1,1]", ""), "rope_scaling.long_factor has 2 factors, expected 4", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,1]", "[1,1,1,1,1]", ""), "rope_scaling.short_factor has 5 factors, expected 4", NULL, 0, 0, 0, 0, 0,
     0, 0},
    {LONG("[1,1,1,1]", "[1,0,1,1]", ""), "short_factor: factor 1 is no number above zero", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,-1]", "[1,1,1,1]", ""), "long_factor: factor 3 is no number above zero", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,1]", "[1,1,\"1\",1]", ""), "short_factor: factor 2 is no number above zero", NULL, 0, 0, 0, 0, 0, 0,
     0},
    {LONG("[1,1,1,1]", "[1,1,1e60,1]", ""), "short_factor: factor 2 is no number above zero", NULL, 0, 0, 0, 0, 0, 0,
     0},
    {LONG("[1,1,1,1]", "null", ""), "short_factor missing", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("3", "[1,1,1,1]", ""), "long_factor is no list", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,1]", "[1,1,1,1]", ",\"original_max_position_embeddings\":0"),
     "original_max_position_embeddings is 0, expected an integer", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,1]", "[1,1,1,1]", ",\"rope_parameters\":{\"rope_type\":\"longrope\",\"short_factor\":[1,1,2,1]}"),
     "rope_scaling.short_factor and rope_parameters.short_factor differ", NULL, 0, 0, 0, 0, 0, 0, 0},
    {LONG("[1,1,1,1]", "[1,1,1,1]", ",\"partial_rotary_factor\":0.75"), "long_factor has 4 factors, expected 3", NULL,
     0, 0, 0, 0, 0, 0, 0},
    {OF("olmo2") "}", NULL, "", 0, 8, 0, 1e4, 0, 0, 0},
    {OF("smollm3") "}", NULL, "fffnff", 0, 8, 1, 2e6, 0, 0, 0},
    {OF("smollm3") ",\"no_rope_layers\":[1,0,1,1,1,1]}", NULL, "fnffff", 0, 8, 1, 2e6, 0, 0, 0},
    {OF("smollm3") ",\"no_rope_layers\":[1,2,1,1,1,1]}", "0 and 1 alone", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("smollm3") ",\"no_rope_layers\":[1]}", "no_rope_layers has 1 entries", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("smollm3") ",\"use_sliding_window\":true}", "use_sliding_window is true", NULL, 0, 0, 0, 0, 0, 0, 0},
    {OF("granite") ",\"attention_multiplier\":0.5,\"logits_scaling\":4}", NULL, "", 0, 8, 0, 1e4, 0, 0, 4},
    {OF("qwen3_moe") "}", "model_type is 'qwen3_moe'; known: ", NULL, 0, 0, 0, 0, 0, 0, 0},
};

START_TEST(every_architecture_means_what_its_row_says)
{
    struct str notes = {0};
    struct err e = {0};
    struct hparams hp = {0};
    const char *text = of_kind[_i].config, *says = of_kind[_i].says;
    struct json *c = json_parse("config.json", text, strlen(text), &e);
    ck_assert_msg(c != NULL, "%s: %s", text, e.msg);
    int rc = import_hf_config_read(c, "config.json", &hp, &notes, &e);
    ck_assert_msg(rc == (says ? -1 : 0), "%s: %s", text, e.msg);
    if (says) {
        ck_assert_msg(strstr(e.msg, says) != NULL, "%s: '%s' does not say '%s'", text, e.msg, says);
    } else {
        ck_assert_msg(notes.n == 0, "%s: %s", text, str_c(&notes));
        ck_assert_str_eq(hp.layer_kinds, of_kind[_i].kinds);
        ck_assert_int_eq(hp.window, of_kind[_i].window);
        ck_assert_int_eq(hp.head_dim, of_kind[_i].head_dim);
        ck_assert_int_eq(hp.tied, of_kind[_i].tied);
        ck_assert(hp.rope_base == of_kind[_i].base && hp.rope_local_base == of_kind[_i].local);
        ck_assert(hp.attention_cap == of_kind[_i].cap && hp.query_scalar == of_kind[_i].scalar);
    }
    str_free(&notes);
    json_free(c);
}
END_TEST

/* base^(-2 i / d) / factor, and sqrt(1 + ln(context / original) / ln(original)) or what the file says. */
static const struct {
    const char *more, *type;
    int original;
    double attention;
} longropes[] = {
    {"", "longrope", 4096, 1},
    {",\"original_max_position_embeddings\":32", "longrope", 32, 1.1832159566199232},
    {",\"original_max_position_embeddings\":32", "su", 32, 1.1832159566199232},
    {",\"original_max_position_embeddings\":200", "longrope", 200, 1},
    {",\"original_max_position_embeddings\":32", "longrope", 32, 0}, /* the file's own: 1.5 */
};

START_TEST(longrope_has_long_factors_where_a_sequence_can_be_long)
{
    struct str notes = {0}, text = {0};
    struct err e = {0};
    struct hparams hp = {0}, again = {0};
    double attention = longropes[_i].attention;
    str_addf(&text,
             OF("phi3") ",\"rope_scaling\":{\"type\":\"%s\",\"long_factor\":[9,8,7.5,6],"
                        "\"short_factor\":[1,1.5,2.25,4]%s}%s}",
             longropes[_i].type, attention == 0 ? ",\"attention_factor\":1.5" : "", longropes[_i].more);
    struct json *c = json_parse("config.json", text.p, text.n, &e);
    ck_assert_msg(c != NULL, "%s", e.msg);
    ck_assert_msg(import_hf_config_read(c, "config.json", &hp, &notes, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(hp.rope_scaling, MODEL_ROPE_LONGROPE);
    ck_assert_int_eq(hp.rope_original_context, longropes[_i].original);
    ck_assert_int_eq(hp.context_length, 128);
    ck_assert_int_eq(notes.n, 0);
    int longs = longropes[_i].original < 128;
    ck_assert_int_eq(model_rope_long(&hp, longropes[_i].original), 0);
    ck_assert_int_eq(model_rope_long(&hp, longropes[_i].original + 1), 1);
    ck_assert_double_eq_tol(hp.rope_attention_factor, attention == 0 ? 1.5 : attention, 1e-7);
    for (int i = 0; i < 4; i++) {
        const double factor[] = {1, 1.5, 2.25, 4}, of_long[] = {9, 8, 7.5, 6}, plain = pow(1e4, -i / 4.0);
        ck_assert_double_eq_tol(model_rope_frequency(&hp, i, 0), plain / factor[i], 1e-12);
        if (longs)
            ck_assert_double_eq_tol(model_rope_frequency(&hp, i, 1), plain / of_long[i], 1e-12);
    }
    /* what no file may say */
    again = hp;
    again.context_length = longs ? hp.rope_original_context : hp.rope_original_context + 1;
    ck_assert(hparams_check(&again, &e) && strstr(e.msg, longs ? "rope_long_divisor has a factor for pair 0, expected "
                                                                 "one for each of 0 pairs"
                                                               : "rope_long_divisor: factor 0 of 4 is 0"));
    again = hp;
    again.rope_divisor[2] = 0;
    ck_assert(hparams_check(&again, &e) && strstr(e.msg, "rope_divisor: factor 2 of 4 is 0"));
    again = hp;
    again.rope_divisor[4] = 1;
    ck_assert(hparams_check(&again, &e) && strstr(e.msg, "rope_divisor has a factor for pair 4"));
    str_free(&notes);
    str_free(&text);
    json_free(c);
}
END_TEST

Suite *make_import_config_suite(void)
{
    Suite *s = suite_create("import_config");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rotation_is_read_as_transformers_reads_it_or_refused);
    tcase_add_loop_test(t, every_key_is_used_harmless_refused_or_told, 0, sizeof keys / sizeof *keys);
    tcase_add_loop_test(t, longrope_has_long_factors_where_a_sequence_can_be_long, 0,
                        sizeof longropes / sizeof *longropes);
    tcase_add_loop_test(t, every_architecture_means_what_its_row_says, 0, sizeof of_kind / sizeof *of_kind);
    suite_add_tcase(s, t);
    return s;
}
