/* What a tokenizer.json may say beside its vocabulary: normalizers, pre-tokenizers, models, merges, added tokens and
 * decoders, one change of a small file at a time (tests/vectors/make_pipelines.py). What is read gives the ids of the
 * tokenizers package; all else is refused with the file and what it says. */
#include <stdio.h>
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/import_hf_tokenizer.h"
#include "tests/lib/hf.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N_VOCAB = 400 };

/* The members of `base`, those of `change` in place of theirs; `inner` is a member that is changed in the same way. */
static void add_changed(struct str *s, const struct json *base, const struct json *change, const char *inner)
{
    const struct json *from[] = {base, change};
    const char *before = "{";
    for (int k = 0; k < 2; k++)
        for (const struct json *v = json_first(from[k]); v; v = json_next(v)) {
            int is_inner = inner && strcmp(json_key(v), inner) == 0;
            if (is_inner ? k == 1 : k == 0 && json_get(change, json_key(v)) != NULL)
                continue;
            str_addf(s, "%s\"%s\":", before, json_key(v));
            before = ",";
            if (is_inner) {
                add_changed(s, v, json_get(change, inner), NULL);
                continue;
            }
            char *text = json_print(v);
            str_add(s, text);
            mem_free(text);
        }
    str_add(s, "}");
}

static void write_case(const struct json *root, const struct json *c)
{
    struct str s = {0};
    const struct json *base = json_get(json_get(root, "base"), json_string(json_get(c, "base")));
    add_changed(&s, base, json_get(c, "change"), "model");
    hf_write_text("tokenizer.json", s.p);
    str_free(&s);
}

static int check_ids(const struct tokenizer *t, const char *text, const struct json *want, const char *name)
{
    struct token_ids ids = {0};
    struct str found = {0};
    ck_assert_int_eq(tokenizer_encode(t, text, strlen(text), &ids, NULL), 0);
    for (int i = 0; i < ids.n; i++)
        str_addf(&found, "%s%d", i ? "," : "[", ids.id[i]);
    str_add(&found, ids.n ? "]" : "[]");
    char *expected = json_print(want);
    int same = strcmp(str_c(&found), expected) == 0;
    if (!same)
        fprintf(stderr, "%s, '%s': %s, expected %s\n", name, text, str_c(&found), expected);
    mem_free(expected);
    str_free(&found);
    token_ids_free(&ids);
    return same;
}

/* 1 when case c does what it should. */
static int check_case(const struct json *root, const struct json *config, const struct json *c)
{
    struct tokenizer_data d = {0};
    struct err e = {0};
    const char *says = json_string(json_get(c, "says"));
    char *name = json_print(json_get(c, "change"));
    name[strnlen(name, 300)] = 0;
    write_case(root, c);
    struct tokenizer *t = NULL;
    if (import_hf_tokenizer_read(hf_folder, config, N_VOCAB, &d, &e) == 1)
        t = tokenizer_create(&d, "tokenizer.json", &e);
    int good = says ? !t && strstr(e.msg, "tokenizer.json: ") && strstr(e.msg, says) : t != NULL;
    if (!good)
        fprintf(stderr, "%s %s: '%s', expected %s\n", json_string(json_get(c, "base")), name, t ? "read" : e.msg,
                says ? says : "to be read");
    const struct json *ids = json_first(json_get(c, "ids"));
    for (const struct json *x = json_first(json_get(root, "texts")); x && t && !says; x = json_next(x)) {
        good &= check_ids(t, json_string(x), ids, name);
        ids = json_next(ids);
    }
    tokenizer_destroy(t);
    tokenizer_data_fini(&d);
    mem_free(name);
    return good;
}

START_TEST(every_part_gives_the_ids_of_tokenizers_or_is_refused_with_what_it_says)
{
    struct json *root = support_json("tests/vectors/pipelines.json"),
                *config = json_parse("config.json", "{}", 2, NULL);
    int n = 0, bad = 0;
    for (const struct json *c = json_first(json_get(root, "cases")); c; c = json_next(c), n++)
        bad += !check_case(root, config, c);
    ck_assert_msg(bad == 0, "%d of %d cases, see above", bad, n);
    ck_assert_int_ge(n, 200);
    json_free(config);
    json_free(root);
}
END_TEST

Suite *make_tokenizer_pipelines_suite(void)
{
    Suite *s = suite_create("tokenizer_pipelines");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, hf_setup, hf_teardown);
    tcase_add_test(t, every_part_gives_the_ids_of_tokenizers_or_is_refused_with_what_it_says);
    suite_add_tcase(s, t);
    return s;
}
