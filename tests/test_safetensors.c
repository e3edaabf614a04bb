/* Hugging Face folders made here: good ones are imported (both forms of config.json, one file and shards, all three
 * element types); every way of being wrong ends with an error that names the thing. */
#include <dirent.h>
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
#include "tests/suites.h"
#include "tests/support.h"

static char folder[64], output[96];

static void setup(void)
{
    strcpy(folder, "/tmp/depthkv-hf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(output, sizeof output, "%s/out.h5", folder);
}

static void teardown(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.') {
            char *path = fs_join(folder, f->d_name);
            unlink(path);
            mem_free(path);
        }
    closedir(d);
    rmdir(folder);
}

static void write_file(const char *name, const char *data, size_t n)
{
    char *path = fs_join(folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, n, f), n);
    fclose(f);
    mem_free(path);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* ---- a tiny model: 1 layer, width 8, 2 query heads of 4, 1 KV head, feed-forward 6, 5 tokens, untied ---- */

static const struct row {
    const char *name;
    int rank, dim[2];
} rows[] = {
    {"lm_head.weight", 2, {5, 8}},
    {"model.embed_tokens.weight", 2, {5, 8}},
    {"model.layers.0.input_layernorm.weight", 1, {8, 1}},
    {"model.layers.0.mlp.down_proj.weight", 2, {8, 6}},
    {"model.layers.0.mlp.gate_proj.weight", 2, {6, 8}},
    {"model.layers.0.mlp.up_proj.weight", 2, {6, 8}},
    {"model.layers.0.post_attention_layernorm.weight", 1, {8, 1}},
    {"model.layers.0.self_attn.k_proj.weight", 2, {4, 8}},
    {"model.layers.0.self_attn.o_proj.weight", 2, {8, 8}},
    {"model.layers.0.self_attn.q_proj.weight", 2, {8, 8}},
    {"model.layers.0.self_attn.v_proj.weight", 2, {4, 8}},
    {"model.norm.weight", 1, {8, 1}},
};
enum { N_ROW = sizeof rows / sizeof *rows };

static float value_at(int tensor, int i)
{
    return (float)((tensor * 11 + i * 3) % 64) * 0.125f - 4; /* exact in 16 bits too */
}

/* Rows first .. end - 1 as one safetensors file; element type by row: F32, F16, BF16 in turn. */
static void build(struct str *out, int first, int end)
{
    static const char *const type[] = {"F32", "F16", "BF16"};
    struct str head = {0}, data = {0};
    str_add(&head, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int r = first; r < end; r++) {
        int n = rows[r].dim[0] * rows[r].dim[1];
        size_t begin = data.n;
        for (int i = 0; i < n; i++) {
            float x = value_at(r, i);
            uint16_t h = r % 3 == 1 ? half_to_f16(x) : half_to_bf16(x);
            str_addn(&data, r % 3 == 0 ? (const char *)&x : (const char *)&h, r % 3 == 0 ? 4 : 2);
        }
        str_addf(&head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%d", rows[r].name, type[r % 3], rows[r].dim[0]);
        if (rows[r].rank == 2)
            str_addf(&head, ",%d", rows[r].dim[1]);
        str_addf(&head, "],\"data_offsets\":[%zu,%zu]}", begin, data.n);
    }
    str_addc(&head, '}');
    for (int i = 0; i < 8; i++)
        str_addc(out, (char)((uint64_t)head.n >> 8 * i & 255));
    str_addn(out, head.p, head.n);
    str_addn(out, data.p, data.n);
    str_free(&head);
    str_free(&data);
}

#define SIZES                                                                                                  \
    "\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,\"num_attention_heads\":2,"            \
    "\"num_key_value_heads\":1,\"intermediate_size\":6,\"vocab_size\":5,\"max_position_embeddings\":128,"      \
    "\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":false,\"eos_token_id\":3"
#define LLAMA3 \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64," \
    "\"rope_type\":\"llama3\""
#define V4 "{" SIZES ",\"rope_theta\":500000.0,\"rope_scaling\":{" LLAMA3 "}}"
#define V5 "{" SIZES ",\"rope_parameters\":{\"rope_theta\":500000.0," LLAMA3 "}}"

#define SMOLLM_PRE                                                                                          \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":" \
    "true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}"
#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define ADDED \
    "\"added_tokens\":[{\"id\":3,\"content\":\"<|im_end|>\",\"special\":true}," \
    "{\"id\":4,\"content\":\"<x>\",\"special\":false}]"
#define TOKENIZER(merges) \
    "{" ADDED ",\"normalizer\":null," SMOLLM_PRE ",\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":" merges "}}"

static void write_folder(void)
{
    struct str s = {0};
    build(&s, 0, N_ROW);
    write_file("model.safetensors", s.p, s.n);
    write_text("config.json", V4);
    write_text("tokenizer.json", TOKENIZER("[\"a b\"]"));
    str_free(&s);
}

static int import(struct err *e)
{
    struct import_source s;
    if (import_open(folder, &s, e))
        return -1;
    int rc = import_write(&s, output, &(struct import_options){.dtype = MODEL_F32}, e);
    import_close(&s);
    return rc;
}

/* "" when it works, otherwise the message; there must be no output then. */
static const char *import_says(void)
{
    static struct err e;
    memset(&e, 0, sizeof e);
    int rc = import(&e);
    ck_assert_int_eq(fs_exists(output), rc == 0);
    return e.msg;
}

static struct model *import_and_open(void)
{
    struct err e = {0};
    ck_assert_msg(import(&e) == 0, "%s", e.msg);
    struct model *m = model_open(output, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    return m;
}

START_TEST(a_folder_becomes_a_model_with_its_values)
{
    write_folder();
    struct model *m = import_and_open();
    ck_assert_int_eq(m->hp.tied, 0);
    ck_assert_int_eq(m->hp.head_dim, 4);
    ck_assert_int_eq(m->hp.rope_scaling, MODEL_ROPE_LLAMA3);
    ck_assert(m->hp.rope_base == 500000 && m->hp.rope_factor == 8 && m->hp.rope_original_context == 64);
    for (int i = 0; i < 64; i++) {
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(i)) == value_at(9, i));
        ck_assert(support_at(&m->layer[0].attn_out, (size_t)(i)) == value_at(8, i));
    }
    for (int i = 0; i < 32; i++) {
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(64 + i)) == value_at(7, i));
        ck_assert(support_at(&m->layer[0].qkv, (size_t)(96 + i)) == value_at(10, i));
    }
    for (int i = 0; i < 48; i++) {
        ck_assert(support_at(&m->layer[0].gate_up, (size_t)(i)) == value_at(4, i));
        ck_assert(support_at(&m->layer[0].gate_up, (size_t)(48 + i)) == value_at(5, i));
        ck_assert(support_at(&m->layer[0].down, (size_t)(i)) == value_at(3, i));
    }
    for (int i = 0; i < 40; i++) {
        ck_assert(support_at(&m->output, (size_t)(i)) == value_at(0, i));
        ck_assert(support_at(&m->embedding, (size_t)(i)) == value_at(1, i));
    }
    ck_assert_int_eq(tokenizer_n_token(m->tokenizer), 5);
    ck_assert_int_eq(tokenizer_is_end(m->tokenizer, 3), 1);
    ck_assert_int_eq(tokenizer_find(m->tokenizer, "<x>"), 4);
    model_close(m);
}
END_TEST

START_TEST(both_forms_of_config_and_of_merges_give_the_same_model)
{
    static const char *const config[] = {V4, V5};
    static const char *const merges[] = {TOKENIZER("[\"a b\"]"), TOKENIZER("[[\"a\",\"b\"]]")};
    char sha256[HASH_HEX] = "";
    for (int i = 0; i < 4; i++) {
        write_folder();
        write_text("config.json", config[i % 2]);
        write_text("tokenizer.json", merges[i / 2]);
        struct model *m = import_and_open();
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
    write_folder();
    char *single = fs_join(folder, "model.safetensors");
    unlink(single);
    mem_free(single);
    build(&s, 0, 5);
    write_file("a.safetensors", s.p, s.n);
    str_clear(&s);
    build(&s, 5, N_ROW);
    write_file("b.safetensors", s.p, s.n);
    str_add(&index, "{\"metadata\":{},\"weight_map\":{");
    for (int r = 0; r < N_ROW; r++)
        str_addf(&index, "%s\"%s\":\"%s\"", r ? "," : "", rows[r].name,
                 r == N_ROW - 1 ? last_file : r < 5 ? "a.safetensors" : "b.safetensors");
    str_add(&index, "}}");
    write_text("model.safetensors.index.json", index.p);
    str_free(&index);
    str_free(&s);
}

START_TEST(shards_give_the_model_of_one_file)
{
    write_folder();
    struct model *one = import_and_open();
    write_shards("b.safetensors");
    struct model *two = import_and_open();
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
        const char *says = import_says();
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
    {"config.json", "{\"model_type\":\"gpt2\"}", "model_type is 'gpt2', expected 'llama'"},
    {"config.json", "{\"model_type\":\"llama\"}", "'num_hidden_layers' missing"},
    {"config.json", "{\"model_type\":\"llama\",\"num_hidden_layers\":1.5}", "'num_hidden_layers' is no integer"},
    {"config.json", "{\"model_type\":\"llama\",\"num_hidden_layers\":1e300}", "'num_hidden_layers' is no integer"},
    {"config.json", "{" SIZES ",\"attention_bias\":true}", "attention_bias is true"},
    {"config.json", "{" SIZES ",\"head_dim\":2}", "shape (8,8), expected (4,8) from n_head"},
    {"config.json", "{" SIZES ",\"head_dim\":3}", "head_dim is 3"},
    {"config.json", "{" SIZES ",\"quantization_config\":{}}", "quantised"},
    {"config.json", "{" SIZES ",\"rope_scaling\":{\"rope_type\":\"yarn\"}}", "rope_type 'yarn'"},
    {"config.json", "{" SIZES ",\"rope_scaling\":{\"rope_type\":\"linear\"}}", "rope_factor is -1"},
    {"config.json", "{" SIZES ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}", "partial_rotary_factor is 0.5"},
    {"config.json", "{" SIZES ",\"rope_parameters\":7}", "'rope_parameters' is no object"},
    {"tokenizer.json", "{", "not valid JSON"},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", "model type 'Unigram'"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"normalizer\":{\"type\":\"NFC\"},\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
     "normalizer 'NFC'"},
    {"tokenizer.json", "{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
     "Whitespace"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
     "id 0 belongs to 'a' and to 'b'"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":5},\"merges\":[]}}",
     "has id 5, but vocab_size is 5"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
     "has no id below"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e18},\"merges\":[]}}",
     "has no id below"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[3]}}",
     "merge 0 is neither"},
    {"tokenizer.json", "{" SMOLLM_PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a z\"]}}",
     "merge 0"},
    {"tokenizer_config.json", "nonsense", "tokenizer_config.json:1:1"},
    {"model.safetensors", "short", "truncated, or no safetensors"},
};

START_TEST(wrong_files_of_a_folder_are_refused_by_name)
{
    write_folder();
    write_text(wrong[_i].file, wrong[_i].text);
    const char *says = import_says();
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
    {"{\"t\"", "not valid JSON"},
};

START_TEST(wrong_headers_are_refused_by_name)
{
    struct str s = {0};
    struct err e = {0};
    for (int i = 0; i < 8; i++)
        str_addc(&s, (char)(strlen(header[_i].header) >> 8 * i & 255));
    str_add(&s, header[_i].header);
    str_addn(&s, "\0\0\0\0", 4);
    write_file("model.safetensors", s.p, s.n);
    struct safetensors *t = safetensors_open(folder, &e);
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
        write_file("model.safetensors", data, sizeof data);
        ck_assert_ptr_null(safetensors_open(folder, &e));
        ck_assert_msg(strstr(e.msg, "truncated, or no safetensors"), "case %d: %s", i, e.msg);
    }
}
END_TEST

START_TEST(missing_parts_of_a_folder_are_named)
{
    char *weights = fs_join(folder, "model.safetensors"), *tokenizer = fs_join(folder, "tokenizer.json");
    write_folder();
    unlink(weights);
    ck_assert_ptr_nonnull(strstr(import_says(), "neither model.safetensors nor"));
    write_folder();
    unlink(tokenizer); /* a model without tokenizer is a model */
    struct model *m = import_and_open();
    ck_assert_ptr_null(m->tokenizer);
    model_close(m);
    mem_free(tokenizer);
    mem_free(weights);
}
END_TEST

START_TEST(bos_is_added_only_where_the_folder_says_so)
{
    static const struct {
        const char *config, *post;
        int want;
    } c[] = {{"{\"bos_token\":\"<x>\"}", "null", 0},
             {"{\"bos_token\":\"<x>\",\"add_bos_token\":true}", "null", 1},
             {"{\"bos_token\":{\"content\":\"<x>\"},\"add_bos_token\":true}", "null", 1},
             {"{\"bos_token\":\"<x>\",\"add_bos_token\":false}",
              "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<x>\"}}]}", 0},
             {"{\"bos_token\":\"<x>\"}",
              "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\","
              "\"single\":[{\"SpecialToken\":{\"id\":\"<x>\"}},{\"Sequence\":{\"id\":\"A\"}}]}]}",
              1},
             {"{\"add_bos_token\":true}", "null", 0}}; /* and which token would that be */
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        write_folder();
        str_addf(&s, "{" ADDED "," SMOLLM_PRE ",\"post_processor\":%s,\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[]}}",
                 c[i].post);
        write_text("tokenizer.json", s.p);
        write_text("tokenizer_config.json", c[i].config);
        struct model *m = import_and_open();
        ck_assert_msg(tokenizer_add_bos(m->tokenizer) == c[i].want, "case %zu", i);
        model_close(m);
        str_free(&s);
    }
}
END_TEST

/* tokenizer.json of the 256 bytes, of which the first two may have changed places, and an end token. */
static void write_bytes_tokenizer(int swapped)
{
    struct str s = {0};
    int fresh = 0x100;
    str_add(&s, "{\"added_tokens\":[{\"id\":256,\"content\":\"<eos>\",\"special\":true}],\"pre_tokenizer\":{\"type\":"
                "\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"merges\":[],"
                "\"vocab\":{");
    for (int b = 0; b < 256; b++) {
        int printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        str_addf(&s, "%s\"\\u%04x\":%d", b ? "," : "", printable ? b : fresh++, swapped && b < 2 ? 1 - b : b);
    }
    str_add(&s, "}}}");
    write_text("tokenizer.json", s.p);
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
        ck_assert_msg(import_hf_tokenizer_read(folder, config, 260, &d, &e) == 1, "%s", e.msg);
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
    write_folder();
    build(&s, 0, N_ROW);
    for (size_t n = 0; n < s.n; n += 13) {
        write_file("model.safetensors", s.p, n);
        ck_assert_int_eq(import(&e), -1);
        ck_assert(!fs_exists(output));
    }
    for (size_t i = 0; i < s.n && i < 1400; i++) {
        char was = s.p[i];
        s.p[i] = (char)(was ^ flip[i % 4]);
        write_file("model.safetensors", s.p, s.n);
        int rc = import(&e);
        ck_assert_int_eq(fs_exists(output), rc == 0);
        unlink(output);
        s.p[i] = was;
    }
    str_free(&s);
}
END_TEST

START_TEST(flips_of_the_json_files_never_crash)
{
    static const char *const file[] = {"config.json", "tokenizer.json"};
    static const char *const text[] = {V5, TOKENIZER("[\"a b\"]")};
    struct err e;
    write_folder();
    for (int k = 0; k < 2; k++) {
        char *copy = mem_strdup(text[k]);
        for (size_t i = 0; copy[i]; i++) {
            char was = copy[i];
            copy[i] = (char)(was ^ (i % 2 ? 1 : 0x14));
            write_text(file[k], copy);
            int rc = import(&e);
            ck_assert_int_eq(fs_exists(output), rc == 0);
            unlink(output);
            copy[i] = was;
        }
        write_text(file[k], copy);
        mem_free(copy);
    }
}
END_TEST

Suite *make_safetensors_suite(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_folder_becomes_a_model_with_its_values);
    tcase_add_test(t, both_forms_of_config_and_of_merges_give_the_same_model);
    tcase_add_test(t, shards_give_the_model_of_one_file);
    tcase_add_test(t, an_index_that_lies_is_refused);
    tcase_add_loop_test(t, wrong_files_of_a_folder_are_refused_by_name, 0, sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(t, wrong_headers_are_refused_by_name, 0, sizeof header / sizeof *header);
    tcase_add_test(t, a_header_longer_than_the_file_is_refused);
    tcase_add_test(t, missing_parts_of_a_folder_are_named);
    tcase_add_test(t, bos_is_added_only_where_the_folder_says_so);
    tcase_add_test(t, byte_level_bpe_without_merges_is_kept_as_bytes);
    tcase_add_test(t, flips_and_truncations_of_the_weights_never_crash);
    tcase_add_test(t, flips_of_the_json_files_never_crash);
    suite_add_tcase(s, t);
    return s;
}
