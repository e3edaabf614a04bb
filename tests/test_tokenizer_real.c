/* Real vocabularies, which are not in the repository: `make tokenizers-real` fetches them, writes what the packages
 * that they are made for give (tests/vectors/make_tokenizers.py), and names both here: DEPTHKV_TOKENS=SOURCE,CASES.json
 * SOURCE: a model file, a GGUF file, or a folder with a tokenizer and config.json Without it there is nothing to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/import_gguf_tokenizer.h"
#include "models/import_hf_tokenizer.h"
#include "models/model.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static int ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static struct tokenizer *open_folder(const char *path, struct err *e)
{
    char *file = fs_join(path, "config.json");
    struct json *config = support_json(file);
    struct tokenizer_data d = {0};
    int found = import_hf_tokenizer_read(path, config, (int)json_number(json_get(config, "vocab_size"), 0), &d, e);
    struct tokenizer *t = found == 1 ? tokenizer_create(&d, path, e) : NULL;
    tokenizer_data_fini(&d);
    json_free(config);
    mem_free(file);
    return t;
}

static struct tokenizer *open_gguf(const char *path, struct err *e)
{
    struct gguf *g = gguf_open(path, e);
    struct import_source s = {0};
    struct tokenizer *t = NULL;
    if (g && import_gguf_tokenizer_read(g, path, &s, e) == 0)
        t = tokenizer_create(&s.tokenizer, path, e);
    tokenizer_data_fini(&s.tokenizer);
    gguf_close(g);
    return t;
}

static struct tokenizer *open_source(const char *path)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    if (ends_in(path, ".h5"))
        ck_assert_msg(model_open_tokenizer(path, &t, &e) == 0, "%s", e.msg);
    else
        t = ends_in(path, ".gguf") ? open_gguf(path, &e) : open_folder(path, &e);
    ck_assert_msg(t != NULL, "%s: %s", path, e.msg);
    return t;
}

/* The path before the comma of DEPTHKV_TOKENS, and what stands behind it; NULL: it is not set. */
static char *named(const char **cases)
{
    const char *both = getenv("DEPTHKV_TOKENS"), *comma = both ? strchr(both, ',') : NULL;
    *cases = comma ? comma + 1 : NULL;
    return comma ? mem_strndup(both, (size_t)(comma - both)) : NULL;
}

static void check_case(const struct tokenizer *t, const char *text, const struct json *want, int exact)
{
    struct token_ids ids = {0}, end = {0};
    struct str back = {0};
    const struct json *id = json_first(want);
    ck_assert_int_eq(tokenizer_encode_offsets(t, text, strlen(text), &ids, &end, NULL), 0);
    for (int i = 0; i < ids.n && id; i++, id = json_next(id)) {
        int from = i > 20 ? end.id[i - 20] : 0;
        ck_assert_msg(ids.id[i] == (int)json_number(id, -1), "id %d is %d, expected %d, behind '%.*s'", i, ids.id[i],
                      (int)json_number(id, -1), end.id[i] - from, text + from);
    }
    ck_assert_msg(ids.n == json_size(want), "'%.60s': %d ids, expected %d", text, ids.n, json_size(want));
    tokenizer_decode(t, ids.id, ids.n, 1, &back);
    ck_assert_msg(!exact || strcmp(str_c(&back), text) == 0, "'%.60s' comes back as '%.60s'", text, str_c(&back));
    for (int i = 1; i < end.n; i++)
        ck_assert_msg(end.id[i] >= end.id[i - 1], "'%.60s': token %d ends at %d", text, i, end.id[i]);
    str_free(&back);
    token_ids_free(&ids);
    token_ids_free(&end);
}

START_TEST(a_vocabulary_that_is_named_gives_the_ids_of_its_cases)
{
    const char *file;
    char *path = named(&file);
    if (!path)
        return;
    struct tokenizer *t = open_source(path);
    struct json *j = support_json(file);
    size_t bytes = 0, longest = 0;
    int n = 0, exact = json_bool(json_get(j, "exact"), 0);
    for (const struct json *c = json_first(json_get(j, "cases")); c; c = json_next(c), n++) {
        const char *text = json_string(json_get(c, "text"));
        ck_assert_ptr_nonnull(text);
        check_case(t, text, json_get(c, "ids"), exact);
        bytes += strlen(text);
        longest = strlen(text) > longest ? strlen(text) : longest;
    }
    printf("%s: ids of %d texts are those of %s, %zu bytes in all, the longest %zu; %s\n", path, n,
           json_string(json_get(j, "reference")), bytes, longest,
           exact ? "each comes back as it was" : "a text may come back changed");
    ck_assert_int_ge(n, 300);
    ck_assert_uint_ge(longest, 1000000);
    json_free(j);
    tokenizer_destroy(t);
    mem_free(path);
}
END_TEST

/* A megabyte of one thing over and over again. */
static void fill(struct str *s, const char *first, const char *again)
{
    str_clear(s);
    str_add(s, first);
    while (s->n < 1000000)
        str_add(s, again);
}

/* 1 when a text of these has to come back: there is a token for every byte, and neither NFC nor SentencePiece's blank
 * changes it. */
static int comes_back(const struct tokenizer *t, const char *again)
{
    for (const char *p = again; *p; p++)
        if (tokenizer_find(t, (const char[]){*p, 0}) < 0 && tokenizer_find(t, "<0x41>") < 0)
            return 0;
    return *again && !strstr(again, "\xCC") && !strstr(again, "\xE1") && !strstr(again, "\xE2\x96");
}

START_TEST(a_vocabulary_that_is_named_takes_a_megabyte_of_anything)
{
    static const struct {
        const char *name, *first, *again;
    } c[] = {
        {"letters", "", "a"},
        {"capitals", "", "A"},
        {"letters and capitals", "", "aA"},
        {"digits", "", "1"},
        {"blanks", "", " "},
        {"blanks behind a letter", "a", " "},
        {"line breaks", "", "\n"},
        {"carriage returns", "", "\r\n"},
        {"tabs", "", "\t"},
        {"apostrophes", "", "'"},
        {"marks", "a", "\xCC\x81"},
        {"marks of two classes", "a", "\xCC\x81\xCC\xA3"},
        {"emoji", "", "\xF0\x9F\x98\x80"},
        {"emoji that are joined", "", "\xF0\x9F\x91\xA9\xE2\x80\x8D"},
        {"ideographs", "", "\xE4\xBD\xA0"},
        {"Hangul in parts", "", "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"},
        {"U+2581", "", "\xE2\x96\x81"},
        {"no UTF-8", "", "\xFF"},
        {"signs", "", "="},
        {"less than", "", "<"},
        {"beginnings of special tokens", "", "<|"},
        {"more of them", "", "<|im_"},
        {"<unused", "", "<unused"},
        {"<SPECIAL_", "", "<SPECIAL_"},
        {"<|reserved_special_token_", "", "<|reserved_special_token_"},
        {"<|im_end|>", "", "<|im_end|>"},
        {"NUL", "", ""},
    };
    const char *file;
    char *path = named(&file);
    if (!path)
        return;
    struct tokenizer *t = open_source(path);
    struct str text = {0};
    double slowest = 0;
    const char *which = "";
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct token_ids ids = {0};
        struct str back = {0};
        str_clear(&text);
        if (*c[i].again)
            fill(&text, c[i].first, c[i].again);
        while (text.n < 1000000)
            str_addc(&text, 0);
        clock_t begin = clock(); /* of this process alone: the machine may be busy */
        ck_assert_int_eq(tokenizer_encode(t, text.p, text.n, &ids, NULL), 0);
        double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
        which = took > slowest ? c[i].name : which;
        slowest = took > slowest ? took : slowest;
        if (getenv("DEPTHKV_TOKENS_TIMES"))
            printf("  %6.3f s  %8d ids  %s\n", took, ids.n, c[i].name);
        tokenizer_decode(t, ids.id, ids.n, 1, &back);
        size_t front = back.n > text.n ? back.n - text.n : 0; /* a blank in front */
        ck_assert_msg(!comes_back(t, c[i].again) ||
                          (front <= 1 && back.n == text.n + front && memcmp(back.p + front, text.p, text.n) == 0),
                      "%s do not come back: %zu bytes of %zu", c[i].name, back.n, text.n);
        str_free(&back);
        token_ids_free(&ids);
    }
    printf("%s: a megabyte takes %.2f s at most (%s)\n", path, slowest, which);
    str_free(&text);
    tokenizer_destroy(t);
    mem_free(path);
}
END_TEST

Suite *make_tokenizer_real_suite(void)
{
    Suite *s = suite_create("tokenizer_real");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, a_vocabulary_that_is_named_gives_the_ids_of_its_cases);
    tcase_add_test(t, a_vocabulary_that_is_named_takes_a_megabyte_of_anything);
    suite_add_tcase(s, t);
    return s;
}
