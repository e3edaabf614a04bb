/* Every kind of tokenizer that is read from a folder gives the ids of the package that it is made for
 * (tests/vectors/make_tokenizers.py): byte-level BPE under each rule, SentencePiece from its own file and in the forms
 * that tokenizer.json has for it. Parts that are not known, and damaged files, are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"
#include "models/import_gguf_tokenizer.h"
#include "models/import_hf_tokenizer.h"
#include "models/import_sentencepiece.h"
#include "tests/lib/hf.h"
#include "tests/lib/support.h"
#include "tests/lib/tokens.h"
#include "tests/suites.h"

enum { N_VOCAB = 4000 };

static void remove_file(const char *name)
{
    char *path = fs_join(hf_folder, name);
    unlink(path);
    mem_free(path);
}

static int read_folder(struct tokenizer_data *d, struct err *e)
{
    struct json *config = json_parse("config.json", "{}", 2, NULL);
    int found = import_hf_tokenizer_read(hf_folder, config, N_VOCAB, d, e);
    json_free(config);
    return found;
}

static struct tokenizer *import_folder(void)
{
    struct tokenizer_data d = {0};
    struct err e = {0};
    ck_assert_msg(read_folder(&d, &e) == 1, "%s", e.msg);
    struct tokenizer *t = tokenizer_create(&d, "folder", &e);
    ck_assert_msg(t != NULL, "%s", e.msg);
    tokenizer_data_fini(&d);
    return t;
}

/* tokenizer.json of a vocabulary in one of its forms. */
static void write_form(const struct json *all, const struct json *form)
{
    static const char *const parts[] = {"normalizer", "pre_tokenizer"};
    struct str s = {0};
    char *text = json_print(json_get(all, "added_tokens"));
    str_addf(&s, "{\"added_tokens\":%s", text);
    mem_free(text);
    for (int i = 0; i < 2; i++) {
        text = json_print(json_get(form, parts[i]));
        str_addf(&s, ",\"%s\":%s", parts[i], text);
        mem_free(text);
    }
    char *vocab = json_print(json_get(all, "vocab")), *merges = json_print(json_get(all, "merges"));
    text = json_print(json_get(form, "model"));
    text[strlen(text) - 1] = ',';
    str_addf(&s, ",\"model\":%s\"type\":\"BPE\",\"vocab\":%s,\"merges\":%s}}", text, vocab, merges);
    mem_free(text);
    mem_free(vocab);
    mem_free(merges);
    hf_write_text("tokenizer.json", s.p);
    str_free(&s);
}

static void check_forms(const char *kind, int n_form)
{
    struct json *root = support_json("tests/vectors/tokenizers.json");
    const struct json *all = json_get(root, kind);
    int n = 0;
    all = strcmp(kind, "spm") == 0 ? json_get(all, "json") : all;
    for (const struct json *form = json_first(json_get(all, "forms")); form; form = json_next(form), n++) {
        write_form(all, form);
        struct tokenizer *t = import_folder();
        tokens_check(t, json_get(root, "texts"), json_get(form, "ids"), kind);
        tokenizer_destroy(t);
    }
    ck_assert_int_eq(n, n_form);
    json_free(root);
}

START_TEST(byte_level_bpe_gives_the_ids_of_tokenizers_under_every_rule)
{
    check_forms("bpe", 5);
}
END_TEST

START_TEST(sentencepiece_in_tokenizer_json_gives_the_ids_of_tokenizers_in_every_form)
{
    check_forms("spm", 5);
}
END_TEST

static void copy_model(void)
{
    size_t n;
    char *data = fs_read("tests/vectors/spm_small.model", &n, NULL);
    ck_assert_ptr_nonnull(data);
    hf_write("tokenizer.model", data, n);
    mem_free(data);
}

START_TEST(sentencepieces_own_file_gives_its_ids)
{
    struct json *root = support_json("tests/vectors/tokenizers.json");
    remove_file("tokenizer.json");
    copy_model();
    struct tokenizer *t = import_folder();
    const struct json *with = json_first(json_get(json_get(root, "spm"), "model"));
    tokens_check(t, json_get(root, "texts"), json_get(with, "ids"), "a blank in front");
    ck_assert_int_eq(tokenizer_add_bos(t), 1);
    ck_assert_int_eq(tokenizer_bos(t), 1);
    ck_assert_int_eq(tokenizer_is_end(t, 2), 1);
    tokenizer_destroy(t);

    struct tokenizer_data d = {0};
    struct err e = {0};
    ck_assert_int_eq(read_folder(&d, &e), 1);
    d.space = TOKENIZER_SPACE_NONE;
    t = tokenizer_create(&d, "no blank in front", &e);
    tokens_check(t, json_get(root, "texts"), json_get(json_next(with), "ids"), "none in front");
    tokenizer_destroy(t);
    tokenizer_data_fini(&d);
    json_free(root);
}
END_TEST

/* Ids as text, for comparing by eye. */
static const char *encoded(const struct tokenizer *t, const char *text, int bos, int behind)
{
    static char out[200];
    struct token_ids ids = {0};
    struct str s = {0};
    if (bos)
        token_ids_add(&ids, 1);
    ck_assert_int_eq(behind ? tokenizer_encode_behind(t, text, strlen(text), &ids, NULL)
                            : tokenizer_encode(t, text, strlen(text), &ids, NULL),
                     0);
    tokenizer_decode(t, ids.id, ids.n, 1, &s);
    snprintf(out, sizeof out, "%s", str_c(&s));
    str_free(&s);
    token_ids_free(&ids);
    return out;
}

/* d as a GGUF file, read again; NULL and *e when it is refused. */
static struct tokenizer *through_gguf(const char *arch, const char *pre, int blank, const struct tokenizer_data *d,
                                      struct err *e)
{
    char *path = fs_join(hf_folder, "tokens.gguf");
    tokens_write_gguf(path, arch, pre, blank, d);
    struct gguf *g = gguf_open(path, e);
    struct import_source s = {0};
    struct tokenizer *t = NULL;
    if (g && import_gguf_tokenizer_check(g, path, e) == 0 && import_gguf_tokenizer_read(g, path, &s, e) == 0)
        t = tokenizer_create(&s.tokenizer, path, e);
    tokenizer_data_fini(&s.tokenizer);
    gguf_close(g);
    unlink(path);
    mem_free(path);
    return t;
}

START_TEST(byte_level_bpe_of_a_gguf_file_gives_the_same_ids)
{
    static const char *const pre[] = {"llama-bpe", "dbrx", "qwen2", "tekken", "gpt-4o"}; /* of the forms, in order */
    struct json *root = support_json("tests/vectors/tokenizers.json");
    const struct json *all = json_get(root, "bpe"), *form = json_first(json_get(all, "forms"));
    for (int i = 0; i < 5; i++, form = json_next(form)) {
        struct tokenizer_data d = {0};
        struct err e = {0};
        write_form(all, form);
        ck_assert_int_eq(read_folder(&d, &e), 1);
        struct tokenizer *t = through_gguf("llama", pre[i], -1, &d, &e);
        int bos = i == 0 || i == 3; /* what llama.cpp does without the key */
        ck_assert_msg(!bos == (t != NULL) && (t || strstr(e.msg, "tokenizer.ggml.bos_token_id missing")), "%s", e.msg);
        tokenizer_destroy(t);
        d.bos = 0;
        t = through_gguf("llama", pre[i], -1, &d, &e);
        ck_assert_msg(t != NULL, "%s: %s", pre[i], e.msg);
        tokens_check(t, json_get(root, "texts"), json_get(form, "ids"), pre[i]);
        ck_assert_int_eq(tokenizer_add_bos(t), bos);
        tokenizer_destroy(t);
        tokenizer_data_fini(&d);
    }
    json_free(root);
}
END_TEST

/* llama.cpp's names of rules that are the same, and what NFC does: "olmo" is GPT-2's with it. */
START_TEST(names_of_one_rule_in_gguf_files_mean_the_same)
{
    static const struct {
        const char *pre, *text;
        int n;
    } c[] = {{"smollm", "12", 2}, {"refact", "12", 2}, {"starcoder", "12", 2},    {"gpt-2", "12", 1},
             {"olmo", "12", 1},   {"dbrx", "12", 1},   {"gpt-2", "e\xCC\x81", 3}, {"olmo", "e\xCC\x81", 2}};
    char *token[] = {(char[]){"1"}, (char[]){"2"}, (char[]){"12"}, (char[]){"e"},
                     /* the bytes CC 81, C3 A9 */
                     (char[]){"\xC3\x8C"}, (char[]){"\xC4\xA3"}, (char[]){"\xC3\x83"}, (char[]){"\xC2\xA9"}};
    char *merge[] = {(char[]){"1 2"}};
    uint8_t type[8] = {0};
    struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                               .n_token = 8,
                               .token = token,
                               .type = type,
                               .n_merge = 1,
                               .merge = merge,
                               .bos = -1,
                               .eos = -1,
                               .pad = -1,
                               .unk = -1};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {0};
        struct token_ids ids = {0};
        struct tokenizer *t = through_gguf("granite", c[i].pre, -1, &d, &e);
        ck_assert_msg(t != NULL, "%s: %s", c[i].pre, e.msg);
        ck_assert_int_eq(tokenizer_encode(t, c[i].text, strlen(c[i].text), &ids, NULL), 0);
        ck_assert_msg(ids.n == c[i].n, "%s, '%s': %d ids", c[i].pre, c[i].text, ids.n);
        token_ids_free(&ids);
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(sentencepiece_of_a_gguf_file_gives_the_same_ids)
{
    struct json *root = support_json("tests/vectors/tokenizers.json");
    const struct json *with = json_first(json_get(json_get(root, "spm"), "model"));
    struct tokenizer_data d = {0};
    struct err e = {0};
    remove_file("tokenizer.json");
    copy_model();
    ck_assert_int_eq(read_folder(&d, &e), 1);
    struct tokenizer *t = through_gguf("gemma", "default", 0, &d, &e);
    ck_assert_msg(t != NULL, "%s", e.msg);
    tokens_check(t, json_get(root, "texts"), json_get(json_next(with), "ids"), "without a blank");
    tokenizer_destroy(t);
    for (int key = -1; key < 2; key += 2) { /* absent, it means yes */
        t = through_gguf("llama", NULL, key, &d, &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        ck_assert_int_eq(tokenizer_add_bos(t), 1);
        struct token_ids ids = {0};
        struct str back = {0};
        ck_assert_int_eq(tokenizer_encode(t, "a<tool> b", 9, &ids, NULL), 0);
        tokenizer_decode(t, ids.id, ids.n, 1, &back);
        ck_assert_str_eq(str_c(&back), " a<tool>  b"); /* in front of every stretch */
        str_free(&back);
        token_ids_free(&ids);
        tokenizer_destroy(t);
    }
    tokenizer_data_fini(&d);
    json_free(root);
}
END_TEST

/* The file has no place to say so. */
START_TEST(added_tokens_of_phi3_take_the_white_space_behind_them)
{
    static const struct {
        const char *arch, *text, *back;
    } c[] = {
        {"phi3", "a<|im_end|> \n b <tool>\n", " a<|im_end|> b <tool>"},
        {"phi3", "<s> a</s> b", "<s>  a</s> b"},
        {"llama", "a<|im_end|> \n b <tool>\n", " a<|im_end|>  \n b <tool> \n"},
    };
    struct tokenizer_data d = {0};
    struct err e = {0};
    remove_file("tokenizer.json");
    copy_model();
    ck_assert_int_eq(read_folder(&d, &e), 1);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tokenizer *t = through_gguf(c[i].arch, "default", -1, &d, &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        ck_assert_str_eq(encoded(t, c[i].text, 0, 0), c[i].back);
        tokenizer_destroy(t);
    }
    tokenizer_data_fini(&d);
}
END_TEST

START_TEST(a_blank_goes_in_front_of_a_text_alone_or_of_every_stretch)
{
    static const struct {
        enum tokenizer_space space;
        int bos, behind;
        const char *text, *back;
    } c[] = {
        {TOKENIZER_SPACE_NONE, 1, 0, "a", "<s>a"},
        {TOKENIZER_SPACE_FIRST, 0, 0, "a", " a"},
        {TOKENIZER_SPACE_FIRST, 1, 0, "a", "<s> a"},
        {TOKENIZER_SPACE_FIRST, 1, 0, " a", "<s>  a"},
        {TOKENIZER_SPACE_FIRST, 0, 1, "a", "a"},
        {TOKENIZER_SPACE_FIRST, 0, 0, "<s>a", "<s>a"},
        {TOKENIZER_SPACE_FIRST, 0, 0, "<tool>a", " <tool>a"},
        {TOKENIZER_SPACE_EACH, 0, 0, "a<tool>b", " a<tool> b"},
        {TOKENIZER_SPACE_EACH, 0, 0, "<s>a", "<s> a"},
        {TOKENIZER_SPACE_EACH, 0, 1, "a</s>b", "a</s> b"},
        {TOKENIZER_SPACE_EACH_WORD, 0, 0, " a<tool> b<tool>c", " a<tool> b<tool> c"},
        {TOKENIZER_SPACE_FIRST_WORD, 1, 0,
         "\xE2\x96\x81"
         "a<tool>b",
         "<s> a<tool>b"},
        {TOKENIZER_SPACE_FIRST_WORD, 1, 0, "a<tool>b", "<s> a<tool>b"},
    };
    struct tokenizer_data d = {0};
    struct err e = {0};
    remove_file("tokenizer.json");
    copy_model();
    ck_assert_int_eq(read_folder(&d, &e), 1);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        d.space = c[i].space;
        struct tokenizer *t = tokenizer_create(&d, "spaces", &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        const char *back = encoded(t, c[i].text, c[i].bos, c[i].behind);
        ck_assert_msg(strcmp(back, c[i].back) == 0, "case %zu, '%s': '%s', expected '%s'", i, c[i].text, back,
                      c[i].back);
        tokenizer_destroy(t);
    }
    tokenizer_data_fini(&d);
}
END_TEST

START_TEST(sentencepiece_gives_any_bytes_back)
{
    struct tokenizer_data d = {0};
    struct err e = {0};
    struct rng r;
    rng_init(&r, 2, "bytes");
    remove_file("tokenizer.json");
    copy_model();
    ck_assert_int_eq(read_folder(&d, &e), 1);
    d.space = TOKENIZER_SPACE_NONE;
    struct tokenizer *t = tokenizer_create(&d, "bytes", &e);
    for (int i = 0; i < 500; i++) {
        char text[200];
        size_t n = (size_t)rng_below(&r, sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(rng_below(&r, 3) ? rng_below(&r, 256) : ' ' + rng_below(&r, 60));
        struct token_ids ids = {0};
        struct str back = {0};
        ck_assert_int_eq(tokenizer_encode(t, text, n, &ids, NULL), 0);
        tokenizer_decode(t, ids.id, ids.n, 1, &back);
        ck_assert_uint_eq(back.n, n);
        ck_assert(n == 0 || memcmp(back.p, text, n) == 0);
        str_free(&back);
        token_ids_free(&ids);
    }
    tokenizer_destroy(t);
    tokenizer_data_fini(&d);
}
END_TEST

/* Long texts without anything to cut them at are merged with a heap; a scan would take hours (the suite's limit). */
START_TEST(a_megabyte_of_one_letter_is_not_quadratic)
{
    enum { N = 1000000 };
    struct tokenizer_data d = {0};
    struct err e = {0};
    remove_file("tokenizer.json");
    copy_model();
    ck_assert_int_eq(read_folder(&d, &e), 1);
    d.space = TOKENIZER_SPACE_NONE;
    struct tokenizer *t = tokenizer_create(&d, "long", &e);
    char *text = mem_new(N, 1);
    for (const char *letter = "a \x01"; *letter; letter++) {
        struct token_ids ids = {0};
        struct str back = {0};
        memset(text, *letter, N);
        ck_assert_int_eq(tokenizer_encode(t, text, N, &ids, NULL), 0);
        tokenizer_decode(t, ids.id, ids.n, 1, &back);
        ck_assert(back.n == N && memcmp(back.p, text, N) == 0);
        str_free(&back);
        token_ids_free(&ids);
    }
    mem_free(text);
    tokenizer_destroy(t);
    tokenizer_data_fini(&d);
}
END_TEST

/* What a piece of tokenizer.json says that nobody here knows. */
static const struct {
    const char *from, *to, *says;
} unknown[] = {
    {"\"type\":\"Metaspace\"", "\"type\":\"Whitespace\"", "pre_tokenizer {\"type\":\"Whitespace\""},
    {"\"split\":false", "\"split\":true", "Metaspace with split false"},
    {"\"prepend_scheme\":\"first\"", "\"prepend_scheme\":\"last\"", "pre_tokenizer {"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", "normalizer {\"type\":\"Lowercase\"}; known"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}",
     "normalizer {\"type\":\"Replace\""},
    {"\"byte_fallback\":true", "\"byte_fallback\":true,\"dropout\":0.1", "model.dropout is 0.1"},
    {"\"byte_fallback\":true", "\"byte_fallback\":true,\"ignore_merges\":true", "model.ignore_merges"},
    {"\"byte_fallback\":true", "\"byte_fallback\":false", "pre_tokenizer {\"type\":\"Metaspace\""},
    {"\"<0x41>\"", "\"<0x4g>\"", "token <0x41> missing"},
};

START_TEST(parts_that_are_not_known_are_refused_with_their_text)
{
    struct json *root = support_json("tests/vectors/tokenizers.json");
    const struct json *all = json_get(json_get(root, "spm"), "json"), *form = json_first(json_get(all, "forms"));
    char *path = fs_join(hf_folder, "tokenizer.json");
    struct tokenizer_data d = {0};
    struct err e = {0};
    size_t n;
    write_form(all, json_next(json_next(form))); /* Metaspace, first */
    char *text = fs_read(path, &n, NULL), *at = strstr(text, unknown[_i].from);
    struct str s = {0};
    ck_assert_ptr_nonnull(at);
    str_addn(&s, text, (size_t)(at - text));
    str_add(&s, unknown[_i].to);
    str_add(&s, at + strlen(unknown[_i].from));
    hf_write_text("tokenizer.json", s.p);
    struct tokenizer *t = read_folder(&d, &e) == 1 ? tokenizer_create(&d, "folder", &e) : NULL;
    ck_assert_msg(!t && strstr(e.msg, unknown[_i].says), "'%s' does not say '%s'", e.msg, unknown[_i].says);
    tokenizer_data_fini(&d);
    str_free(&s);
    mem_free(text);
    mem_free(path);
    json_free(root);
}
END_TEST

/* tokenizer.model from fields: 0A 05 0A 01 'a' 18 01 is a piece 'a' of type 1. */
#define PIECE "\x0A\x05\x0A\x01"
static const struct {
    const char *bytes;
    size_t n;
    const char *says;
} broken[] = {
    {"", 0, "no pieces"},
    {"\x0A", 1, "a number does not end"},
    {"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12, "a number does not end"},
    {"\x0A\x7F\x0A", 3, "longer than the file"},
    {"\x0B\x01", 2, "unknown sort"},
    {"\x02\x01", 2, "without a number"},
    {PIECE "a\x18\x01", 7, "not a model of the BPE type"},
    {PIECE "a\x18\x05", 7, "piece 0 'a' is of type 5, unused"},
    {PIECE "a\x18\x09", 7, "piece 0 'a' is of type 9"},
    {PIECE "\0\x18\x01", 7, "empty, or holds a NUL"},
    {"\x0A\x02\x18\x01", 4, "piece 0 has no text"},
    {PIECE "a\x18\x01\x12\x02\x18\x02", 11, "how texts are normalised"},
    {PIECE "a\x18\x01\x12\x02\x18\x02\x1A\x04\x12\x02zz", 17, "normalises texts by rules"},
    {PIECE "a\x18\x01\x12\x02\x18\x02\x1A\x02\x18\x01", 15, "remove_extra_whitespaces"},
    {PIECE "a\x18\x01\x12\x02\x18\x02\x1A\x04\x20\x00\x28\x00", 17, "write blanks as U+2581"},
    {PIECE "a\x18\x01\x12\x02\x18\x02\x1A\x02\x20\x00", 15, "special ids 1, 2 and -1 of 1 pieces"},
    {"\x0A\x0A\x0A\x06<0x41>\x18\x06\x12\x02\x18\x02\x1A\x02\x20\x00", 20, "byte_fallback is false"},
    {"IQ== 0\nIg== 1\n", 14, "no SentencePiece model"}, /* tiktoken's file has the same name */
};

START_TEST(damaged_and_foreign_models_are_refused_by_name)
{
    struct tokenizer_data d = {0};
    struct err e = {0};
    remove_file("tokenizer.json");
    hf_write("tokenizer.model", broken[_i].bytes, broken[_i].n);
    ck_assert_int_eq(read_folder(&d, &e), -1);
    ck_assert_msg(strstr(e.msg, "tokenizer.model: ") && strstr(e.msg, broken[_i].says),
                  "case %d: '%s' does not say '%s'", _i, e.msg, broken[_i].says);
    tokenizer_data_fini(&d);
}
END_TEST

START_TEST(a_damaged_byte_is_refused_or_read_but_never_more)
{
    size_t n;
    char *data = fs_read("tests/vectors/spm_small.model", &n, NULL), *path = fs_join(hf_folder, "tokenizer.model");
    struct rng r;
    rng_init(&r, 3, "damage");
    for (int i = 0; i < 300; i++) {
        size_t at = (size_t)rng_below(&r, (uint32_t)n);
        char was = data[at];
        struct tokenizer_data d = {0};
        struct err e = {0};
        data[at] = (char)rng_below(&r, 256);
        hf_write("tokenizer.model", data, i % 3 ? n : at);
        if (import_sentencepiece_read(path, N_VOCAB, 8, &d, &e) == 0)
            tokenizer_destroy(tokenizer_create(&d, "damaged", &e));
        tokenizer_data_fini(&d);
        data[at] = was;
    }
    mem_free(path);
    mem_free(data);
}
END_TEST

Suite *make_tokenizer_kinds_suite(void)
{
    Suite *s = suite_create("tokenizer_kinds");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, hf_setup, hf_teardown);
    tcase_add_test(t, byte_level_bpe_gives_the_ids_of_tokenizers_under_every_rule);
    tcase_add_test(t, sentencepiece_in_tokenizer_json_gives_the_ids_of_tokenizers_in_every_form);
    tcase_add_test(t, sentencepieces_own_file_gives_its_ids);
    tcase_add_test(t, byte_level_bpe_of_a_gguf_file_gives_the_same_ids);
    tcase_add_test(t, names_of_one_rule_in_gguf_files_mean_the_same);
    tcase_add_test(t, sentencepiece_of_a_gguf_file_gives_the_same_ids);
    tcase_add_test(t, added_tokens_of_phi3_take_the_white_space_behind_them);
    tcase_add_test(t, a_blank_goes_in_front_of_a_text_alone_or_of_every_stretch);
    tcase_add_test(t, sentencepiece_gives_any_bytes_back);
    tcase_add_test(t, a_megabyte_of_one_letter_is_not_quadratic);
    tcase_add_loop_test(t, parts_that_are_not_known_are_refused_with_their_text, 0, sizeof unknown / sizeof *unknown);
    tcase_add_loop_test(t, damaged_and_foreign_models_are_refused_by_name, 0, sizeof broken / sizeof *broken);
    tcase_add_test(t, a_damaged_byte_is_refused_or_read_but_never_more);
    suite_add_tcase(s, t);
    return s;
}
