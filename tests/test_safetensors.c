/* Hugging Face folders made here: good ones are imported (both forms of config.json, one file and shards, all three
 * element types); every way of being wrong ends with an error that names the thing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/half.h"
#include "models/import.h"
#include "models/import_hf_tokenizer.h"
#include "models/model.h"
#include "models/safetensors.h"
#include "tests/lib/hf.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

START_TEST(a_folder_becomes_a_model_with_its_values)
{
    hf_write_folder();
    struct model *m = hf_import_and_open();
    ck_assert_int_eq(m->hp.tied, 0);
    ck_assert_int_eq(m->hp.head_dim, 4);
    ck_assert_int_eq(m->hp.rope_scaling, MODEL_ROPE_LLAMA3);
    ck_assert(m->hp.rope_base == 500000 && m->hp.rope_factor == 8 && m->hp.rope_original_context == 64);
    for (int i = 0; i < 64; i++) {
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(i)) == hf_value_at(9, i));
        ck_assert(support_at(&m->layer[0].attn_out, (size_t)(i)) == hf_value_at(8, i));
    }
    for (int i = 0; i < 32; i++) {
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(64 + i)) == hf_value_at(7, i));
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(96 + i)) == hf_value_at(10, i));
    }
    for (int i = 0; i < 48; i++) {
        ck_assert(support_at(&m->layer[0].gate_up, (size_t)(i)) == hf_value_at(4, i));
        ck_assert(support_at(&m->layer[0].gate_up, (size_t)(48 + i)) == hf_value_at(5, i));
        ck_assert(support_at(&m->layer[0].down, (size_t)(i)) == hf_value_at(3, i));
    }
    for (int i = 0; i < 40; i++) {
        ck_assert(support_at(&m->output, (size_t)(i)) == hf_value_at(0, i));
        ck_assert(support_at(&m->embedding, (size_t)(i)) == hf_value_at(1, i));
    }
    ck_assert_int_eq(tokenizer_n_token(m->tokenizer), 5);
    ck_assert_int_eq(tokenizer_is_end(m->tokenizer, 3), 1);
    ck_assert_int_eq(tokenizer_find(m->tokenizer, "<x>"), 4);
    model_close(m);
}
END_TEST

START_TEST(both_forms_of_config_and_of_merges_give_the_same_model)
{
    static const char *const config[] = {HF_V4, HF_V5};
    static const char *const merges[] = {HF_TOKENIZER("[\"a b\"]"), HF_TOKENIZER("[[\"a\",\"b\"]]")};
    char sha256[HASH_HEX] = "";
    for (int i = 0; i < 4; i++) {
        hf_write_folder();
        hf_write_text("config.json", config[i % 2]);
        hf_write_text("tokenizer.json", merges[i / 2]);
        struct model *m = hf_import_and_open();
        struct token_ids ids = {0};
        ck_assert_int_eq(tokenizer_encode(m->tokenizer, "aab", 3, &ids, NULL), 0);
        ck_assert_int_eq(ids.n, 2);
        ck_assert_int_eq(ids.id[1], 2);
        if (i)
            ck_assert_str_eq(m->sha256, sha256);
        memcpy(sha256, m->sha256, sizeof sha256);
        token_ids_free(&ids);
        model_close(m);
    }
}
END_TEST

static void write_shards(const char *last_file)
{
    struct str s = {0}, index = {0};
    hf_write_folder();
    char *single = fs_join(hf_folder, "model.safetensors");
    unlink(single);
    mem_free(single);
    hf_build(&s, 0, 5, NULL);
    hf_write("a.safetensors", s.p, s.n);
    str_clear(&s);
    hf_build(&s, 5, HF_N_ROW, NULL);
    hf_write("b.safetensors", s.p, s.n);
    str_add(&index, "{\"metadata\":{},\"weight_map\":{");
    for (int r = 0; r < HF_N_ROW; r++)
        str_addf(&index, "%s\"%s\":\"%s\"", r ? "," : "", hf_row_name(r),
                 r == HF_N_ROW - 1 ? last_file
                 : r < 5           ? "a.safetensors"
                                   : "b.safetensors");
    str_add(&index, "}}");
    hf_write_text("model.safetensors.index.json", index.p);
    str_free(&index);
    str_free(&s);
}

START_TEST(shards_give_the_model_of_one_file)
{
    hf_write_folder();
    struct model *one = hf_import_and_open();
    write_shards("b.safetensors");
    struct model *two = hf_import_and_open();
    ck_assert_str_eq(one->sha256, two->sha256);
    ck_assert_str_ne(one->source_sha256, two->source_sha256);
    model_close(two);
    model_close(one);
}
END_TEST

START_TEST(an_index_that_lies_is_refused)
{
    static const struct {
        const char *file, *says;
    } c[] = {{"a.safetensors", "'model.norm.weight' is not in 'a.safetensors'"},
             {"../a.safetensors", "no file name"},
             {"", "no file name"},
             {"..", "no file name"},
             {"c.safetensors", "c.safetensors: No such file"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        write_shards(c[i].file);
        const char *says = hf_import_says();
        ck_assert_msg(strstr(says, c[i].says), "case %zu: '%s' does not say '%s'", i, says, c[i].says);
    }
}
END_TEST

/* A file of the folder replaced by another text. */
static const struct {
    const char *file, *text, *says;
} wrong[] = {
    {"config.json", "", "config.json"},
    {"config.json", "[]", "no JSON object"},
    {"config.json", "{\"model_type\":\"llama\",\"model_type\":\"llama\"}", "'model_type' appears twice"},
    {"config.json", "{\"model_type\":\"gpt2\"}", "model_type is 'gpt2'; known: llama"},
    {"config.json", "{\"model_type\":\"llama\"}", "'num_hidden_layers' missing"},
    {"config.json", "{\"model_type\":\"llama\",\"num_hidden_layers\":1.5}", "'num_hidden_layers' is no integer"},
    {"config.json", "{\"model_type\":\"llama\",\"num_hidden_layers\":1e300}", "'num_hidden_layers' is no integer"},
    {"config.json", "{" HF_SIZES ",\"attention_bias\":true}", "attention_bias is true"},
    {"config.json", "{" HF_SIZES ",\"head_dim\":2}", "shape (8,8), expected (4,8) from n_head"},
    {"config.json", "{" HF_SIZES ",\"head_dim\":3}", "head_dim is 3"},
    {"config.json", "{" HF_SIZES ",\"quantization_config\":{}}", "quantised"},
    {"config.json", "{" HF_SIZES ",\"rope_scaling\":{\"rope_type\":\"yarn\"}}", "rope_type 'yarn'"},
    {"config.json", "{" HF_SIZES ",\"rope_scaling\":{\"rope_type\":\"linear\"}}", "'rope_scaling.factor' missing"},
    {"config.json", "{" HF_SIZES ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}",
     "partial_rotary_factor is 0.5"},
    {"config.json", "{" HF_SIZES ",\"rope_parameters\":7}", "'rope_parameters' is no object"},
    {"tokenizer.json", "{", "tokenizer.json:1:2: expected a key"},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", "model type 'Unigram'"},
    {"tokenizer.json",
     "{" HF_SMOLLM_PRE ",\"normalizer\":{\"type\":\"NFKC\"},\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
     "normalizer {\"type\":\"NFKC\"}; known: none, or NFC"},
    {"tokenizer.json", "{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
     "Whitespace"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
     "id 0 belongs to 'a' and to 'b'"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":5},\"merges\":[]}}",
     "has id 5, but vocab_size is 5"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
     "has no id below"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e18},\"merges\":[]}}",
     "has no id below"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[3]}}",
     "merge 0 is neither"},
    {"tokenizer.json", "{" HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a z\"]}}",
     "merge 0"},
    {"tokenizer_config.json", "nonsense", "tokenizer_config.json:1:1"},
    {"model.safetensors", "short", "truncated, or no safetensors"},
};

START_TEST(wrong_files_of_a_folder_are_refused_by_name)
{
    hf_write_folder();
    hf_write_text(wrong[_i].file, wrong[_i].text);
    const char *says = hf_import_says();
    ck_assert_msg(strstr(says, wrong[_i].says), "case %d: '%s' does not say '%s'", _i, says, wrong[_i].says);
}
END_TEST

/* Headers of one tensor "t" over four bytes of data; every one is wrong but the first. */
static const struct {
    const char *header, *says;
} header[] = {
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", ""},
    {"{\"t\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype 'F99' unknown"},
    {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype '(none)'"},
    {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "shape missing"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "shape missing, or no list"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", "shape missing, or no"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "shape missing, or no"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", "data_offsets missing"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", "data_offsets missing"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "bytes 4 to 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "bytes 4 to 8, but there are 4"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9007199254740991]}}", "but there are 4"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "4 bytes for 2 values"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", "2 bytes after the last tensor"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]}}", "begins at byte 2, expected 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     "overlap or gap"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
     "'t' appears twice"},
    {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "a key twice"},
    {"{\"t\":[]}", "no small object"},
    {"[]", "no JSON object"},
    {"{\"t\"", "model.safetensors:1:5: expected ':'"},
};

START_TEST(wrong_headers_are_refused_by_name)
{
    struct str s = {0};
    struct err e = {0};
    for (int i = 0; i < 8; i++)
        str_addc(&s, (char)(strlen(header[_i].header) >> 8 * i & 255));
    str_add(&s, header[_i].header);
    str_addn(&s, "\0\0\0\0", 4);
    hf_write("model.safetensors", s.p, s.n);
    struct safetensors *t = safetensors_open(hf_folder, &e);
    ck_assert_int_eq(t != NULL, header[_i].says[0] == '\0');
    ck_assert_msg(strstr(e.msg, header[_i].says), "case %d: '%s' does not say '%s'", _i, e.msg, header[_i].says);
    safetensors_close(t);
    str_free(&s);
}
END_TEST

START_TEST(a_header_longer_than_the_file_is_refused)
{
    static const unsigned char length[][8] = {{255, 255, 255, 255, 255, 255, 255, 255}, {0}, {9}, {0, 0, 0, 0, 1}};
    for (int i = 0; i < 4; i++) {
        struct err e = {0};
        char data[16] = "";
        memcpy(data, length[i], 8);
        hf_write("model.safetensors", data, sizeof data);
        ck_assert_ptr_null(safetensors_open(hf_folder, &e));
        ck_assert_msg(strstr(e.msg, "truncated, or no safetensors"), "case %d: %s", i, e.msg);
    }
}
END_TEST

START_TEST(missing_parts_of_a_folder_are_named)
{
    char *weights = fs_join(hf_folder, "model.safetensors"), *tokenizer = fs_join(hf_folder, "tokenizer.json");
    hf_write_folder();
    unlink(weights);
    ck_assert_ptr_nonnull(strstr(hf_import_says(), "neither model.safetensors nor"));
    hf_write_folder();
    unlink(tokenizer); /* a model without tokenizer is a model */
    struct model *m = hf_import_and_open();
    ck_assert_ptr_null(m->tokenizer);
    model_close(m);
    mem_free(tokenizer);
    mem_free(weights);
}
END_TEST

/* The head is tensor 0, the embedding tensor 1. */
START_TEST(a_tied_model_uses_the_output_matrix_that_the_file_has)
{
    static const struct {
        struct hf_change change;
        int says_tied, tied, embedding, output; /* what the model has, and whose values */
    } c[] = {{{0}, 1, 0, 1, 0},                 /* two different ones: not tied, whatever the config says */
             {{.head_is_embedding = 1}, 1, 1, 1, 1},
             {{.skip = "lm_head.weight"}, 1, 1, 1, 1},
             {{.skip = "model.embed_tokens.weight"}, 1, 1, 0, 0},
             {{.head_is_embedding = 1}, 0, 0, 1, 1},
             {{.bare = 1}, 0, 0, 1, 0},
             {{.bare = 1, .skip = "lm_head.weight"}, 1, 1, 1, 1},
             {{.tensor = 0, .at = 39, .value = 3, .head_is_embedding = 1}, 1, 0, 1, 0}}; /* the last value differs */
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        hf_write_folder();
        hf_build(&s, 0, HF_N_ROW, &c[i].change);
        hf_write("model.safetensors", s.p, s.n);
        if (c[i].says_tied)
            hf_write_text("config.json", "{" HF_SIZES_TIED("true") "}");
        struct model *m = hf_import_and_open();
        ck_assert_msg(m->hp.tied == c[i].tied, "case %zu", i);
        for (int k = 0; k < 40; k++) {
            float in = hf_value_at(c[i].embedding, k), out = hf_value_at(c[i].output ? 1 : 0, k);
            if (c[i].change.value != 0)
                out = k == 39 ? 3 : in;
            ck_assert_msg(support_at(&m->embedding, (size_t)k) == in, "case %zu: embedding %d", i, k);
            ck_assert_msg(support_at(&m->output, (size_t)k) == out, "case %zu: output %d", i, k);
        }
        model_close(m);
        str_free(&s);
    }
}
END_TEST

START_TEST(a_model_with_neither_output_matrix_nor_tie_is_refused)
{
    struct str s = {0};
    hf_write_folder();
    hf_build(&s, 0, HF_N_ROW, &(struct hf_change){.skip = "lm_head.weight"});
    hf_write("model.safetensors", s.p, s.n);
    ck_assert_ptr_nonnull(strstr(hf_import_says(), "tensor 'lm_head.weight' missing"));
    str_free(&s);
}
END_TEST

START_TEST(weights_that_are_no_numbers_are_refused_with_their_place)
{
    static const struct {
        struct hf_change change;
        const char *says;
    } c[] = {
        {{.tensor = 0, .at = 39, .value = NAN}, "model.safetensors: tensor 'lm_head.weight': value (4,7) is "},
        {{.tensor = 1, .at = 8, .value = INFINITY}, "tensor 'model.embed_tokens.weight': value (1,0) is inf"},
        {{.tensor = 11, .at = 5, .value = -INFINITY}, "tensor 'model.norm.weight': value 5 is -inf"},
        {{.tensor = 9, .at = 63, .value = NAN}, "tensor 'model.layers.0.self_attn.q_proj.weight': value (7,7) is "}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        hf_write_folder();
        hf_build(&s, 0, HF_N_ROW, &c[i].change);
        hf_write("model.safetensors", s.p, s.n);
        const char *says = hf_import_says();
        ck_assert_msg(strstr(says, c[i].says), "case %zu: '%s' does not say '%s'", i, says, c[i].says);
        str_free(&s);
    }
}
END_TEST

START_TEST(a_weight_too_large_for_the_type_asked_for_is_refused)
{
    struct import_source s;
    struct err e = {0};
    struct str bytes = {0};
    hf_write_folder();
    hf_build(&bytes, 0, HF_N_ROW, &(struct hf_change){.tensor = 3, .at = 6, .value = 70000});
    hf_write("model.safetensors", bytes.p, bytes.n);
    ck_assert_int_eq(import_open(hf_folder, &s, &e), 0);
    ck_assert_int_eq(import_write(&s, hf_output, &(struct import_options){.dtype = MODEL_F16}, &e), -1);
    ck_assert_msg(strstr(e.msg, "tensor 'layers/0/down': value (1,0) is too large for f16"), "%s", e.msg);
    ck_assert(!fs_exists(hf_output));
    ck_assert_int_eq(import_write(&s, hf_output, &(struct import_options){.dtype = MODEL_BF16}, &e), 0);
    import_close(&s);
    str_free(&bytes);
}
END_TEST

START_TEST(a_file_that_becomes_shorter_while_it_is_read_is_refused_by_name)
{
    struct import_source s;
    struct err e = {0};
    char *path = fs_join(hf_folder, "model.safetensors");
    hf_write_folder();
    ck_assert_int_eq(import_open(hf_folder, &s, &e), 0);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(import_write(&s, hf_output, &(struct import_options){.dtype = MODEL_F32}, &e), -1);
    ck_assert_msg(strstr(e.msg, "model.safetensors: became shorter"), "%s", e.msg);
    ck_assert(!fs_exists(hf_output));
    import_close(&s);
    mem_free(path);
}
END_TEST

START_TEST(a_padding_token_beyond_the_rows_is_fine_until_a_text_holds_it)
{
    static const struct {
        const char *config, *added, *says; /* NULL: imported */
    } c[] = {{"{\"pad_token\":\"<pad>\"}", "", NULL},
             {"{\"pad_token\":\"<pad>\"}", ",{\"id\":5,\"content\":\"<pad>\",\"special\":true}", NULL},
             {"{\"eos_token\":\"<pad>\"}", "", "the tokenizer has 6 tokens, the embedding 5 rows"},
             {"{}", ",{\"id\":7,\"content\":\"<pad>\",\"special\":true}", "'<pad>' has id 7, but"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        struct token_ids ids = {0};
        struct err e = {0};
        hf_write_folder();
        str_addf(&s,
                 "{" HF_ADDED_AND("%s") "," HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\"," HF_VOCAB ",\"merges\":[]}}",
                 c[i].added);
        hf_write_text("tokenizer.json", s.p);
        hf_write_text("tokenizer_config.json", c[i].config);
        if (c[i].says) {
            const char *says = hf_import_says();
            ck_assert_msg(strstr(says, c[i].says), "case %zu: %s", i, says);
        } else {
            struct model *m = hf_import_and_open();
            ck_assert_int_eq(tokenizer_encode(m->tokenizer, "ab<x>", 5, &ids, &e), 0);
            ck_assert_int_eq(tokenizer_encode(m->tokenizer, "ab<pad>", 7, &ids, &e), -1);
            ck_assert_msg(strstr(e.msg, "the text holds '<pad>', token 5, but the model's embedding has only 5 rows"),
                          "%s", e.msg);
            model_close(m);
            unlink(hf_output);
        }
        token_ids_free(&ids);
        str_free(&s);
    }
}
END_TEST

/* tokenizer.json of the 256 bytes, of which the first two may have changed places, and an end token. */
static void write_bytes_tokenizer(int swapped)
{
    struct str s = {0};
    int fresh = 0x100;
    str_add(&s,
            "{\"added_tokens\":[{\"id\":256,\"content\":\"<eos>\",\"special\":true}],\"pre_tokenizer\":{\"type\":"
            "\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"merges\":[],"
            "\"vocab\":{");
    for (int b = 0; b < 256; b++) {
        int printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        str_addf(&s, "%s\"\\u%04x\":%d", b ? "," : "", printable ? b : fresh++, swapped && b < 2 ? 1 - b : b);
    }
    str_add(&s, "}}}");
    hf_write_text("tokenizer.json", s.p);
    str_free(&s);
}

START_TEST(byte_level_bpe_without_merges_is_kept_as_bytes)
{
    static const char text[] = "a\0'll\xC3 <eos>";
    static const int32_t want[] = {'a', 0, '\'', 'l', 'l', 0xC3, ' ', 256};
    struct json *config = json_parse("config.json", "{\"eos_token_id\":256}", 20, NULL);
    for (int swapped = 0; swapped < 2; swapped++) {
        struct tokenizer_data d = {0};
        struct token_ids ids = {0};
        struct err e = {0};
        write_bytes_tokenizer(swapped);
        ck_assert_msg(import_hf_tokenizer_read(hf_folder, config, 260, &d, &e) == 1, "%s", e.msg);
        ck_assert_int_eq(d.kind, swapped ? TOKENIZER_BPE : TOKENIZER_BYTES);
        ck_assert_int_eq(d.eos, 256);
        ck_assert_int_eq(d.n_token, 260);
        struct tokenizer *t = tokenizer_create(&d, "test", &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        ck_assert_int_eq(tokenizer_encode(t, text, sizeof text - 1, &ids, NULL), 0);
        ck_assert_int_eq(ids.n, 8);
        for (int i = 0; i < 8; i++)
            ck_assert_int_eq(ids.id[i], swapped && want[i] == 0 ? 1 : want[i]);
        token_ids_free(&ids);
        tokenizer_destroy(t);
        tokenizer_data_fini(&d);
    }
    json_free(config);
}
END_TEST

START_TEST(flips_and_truncations_of_the_weights_never_crash)
{
    static const unsigned char flip[] = {0xFF, 0x80, 0x01, 0x10};
    struct str s = {0};
    struct err e;
    hf_write_folder();
    hf_build(&s, 0, HF_N_ROW, NULL);
    for (size_t n = 0; n < s.n; n += 13) {
        hf_write("model.safetensors", s.p, n);
        ck_assert_int_eq(hf_import(&e), -1);
        ck_assert(!fs_exists(hf_output));
    }
    for (size_t i = 0; i < s.n && i < 1400; i++) {
        char was = s.p[i];
        s.p[i] = (char)(was ^ flip[i % 4]);
        hf_write("model.safetensors", s.p, s.n);
        int rc = hf_import(&e);
        ck_assert_int_eq(fs_exists(hf_output), rc == 0);
        unlink(hf_output);
        s.p[i] = was;
    }
    str_free(&s);
}
END_TEST

START_TEST(flips_of_the_json_files_never_crash)
{
    static const char *const file[] = {"config.json", "tokenizer.json"};
    static const char *const text[] = {HF_V5, HF_TOKENIZER("[\"a b\"]")};
    struct err e;
    hf_write_folder();
    for (int k = 0; k < 2; k++) {
        char *copy = mem_strdup(text[k]);
        for (size_t i = 0; copy[i]; i++) {
            char was = copy[i];
            copy[i] = (char)(was ^ (i % 2 ? 1 : 0x14));
            hf_write_text(file[k], copy);
            int rc = hf_import(&e);
            ck_assert_int_eq(fs_exists(hf_output), rc == 0);
            unlink(hf_output);
            copy[i] = was;
        }
        hf_write_text(file[k], copy);
        mem_free(copy);
    }
}
END_TEST

Suite *make_safetensors_suite(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, hf_setup, hf_teardown);
    tcase_add_test(t, a_folder_becomes_a_model_with_its_values);
    tcase_add_test(t, both_forms_of_config_and_of_merges_give_the_same_model);
    tcase_add_test(t, shards_give_the_model_of_one_file);
    tcase_add_test(t, an_index_that_lies_is_refused);
    tcase_add_loop_test(t, wrong_files_of_a_folder_are_refused_by_name, 0, sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(t, wrong_headers_are_refused_by_name, 0, sizeof header / sizeof *header);
    tcase_add_test(t, a_header_longer_than_the_file_is_refused);
    tcase_add_test(t, missing_parts_of_a_folder_are_named);
    tcase_add_test(t, a_tied_model_uses_the_output_matrix_that_the_file_has);
    tcase_add_test(t, a_model_with_neither_output_matrix_nor_tie_is_refused);
    tcase_add_test(t, weights_that_are_no_numbers_are_refused_with_their_place);
    tcase_add_test(t, a_weight_too_large_for_the_type_asked_for_is_refused);
    tcase_add_test(t, a_file_that_becomes_shorter_while_it_is_read_is_refused_by_name);
    tcase_add_test(t, a_padding_token_beyond_the_rows_is_fine_until_a_text_holds_it);
    tcase_add_test(t, byte_level_bpe_without_merges_is_kept_as_bytes);
    tcase_add_test(t, flips_and_truncations_of_the_weights_never_crash);
    tcase_add_test(t, flips_of_the_json_files_never_crash);
    suite_add_tcase(s, t);
    return s;
}
