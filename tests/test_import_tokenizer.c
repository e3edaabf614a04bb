/* The tokenizer's files of a Hugging Face folder: added tokens in every place and with every flag, and what stands
 * around a text, give transformers' ids or are refused. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "models/import_hf_tokenizer.h"
#include "tests/lib/hf.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* tokenizer.json with the top-level keys of `change` in place of its own. */
static void write_tokenizer(const struct json *base, const struct json *change)
{
    struct str s = {0};
    const struct json *from[] = {base, change};
    for (int k = 0; k < 2; k++)
        for (const struct json *v = json_first(from[k]); v; v = json_next(v)) {
            if (k == 0 && json_get(change, json_key(v)))
                continue;
            char *text = json_print(v);
            str_addf(&s, "%s\"%s\":%s", s.n ? "," : "{", json_key(v), text);
            mem_free(text);
        }
    str_addc(&s, '}');
    hf_write_text("tokenizer.json", s.p);
    str_free(&s);
}

static void write_files(const struct json *root, const struct json *c)
{
    static const char *const all[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};
    for (int i = 0; i < 3; i++) {
        const struct json *v = json_get(json_get(c, "files"), all[i]);
        char *path = fs_join(hf_folder, all[i]), *text = json_print(v);
        unlink(path);
        if (v)
            hf_write_text(all[i], text);
        mem_free(text);
        mem_free(path);
    }
    write_tokenizer(json_get(root, "tokenizer"), json_get(c, "tokenizer"));
}

static void check_ids(const struct tokenizer *t, const char *text, const struct json *want, int number)
{
    struct token_ids ids = {0};
    struct str found = {0};
    if (tokenizer_add_bos(t))
        token_ids_add(&ids, tokenizer_bos(t));
    ck_assert_int_eq(tokenizer_encode(t, text, strlen(text), &ids, NULL), 0);
    for (int i = 0; i < ids.n; i++)
        str_addf(&found, "%s%d", i ? "," : "[", ids.id[i]);
    str_add(&found, ids.n ? "]" : "[]");
    char *expected = json_print(want);
    ck_assert_msg(strcmp(str_c(&found), expected) == 0, "case %d, '%s': %s, expected %s", number, text, found.p,
                  expected);
    mem_free(expected);
    str_free(&found);
    token_ids_free(&ids);
}

START_TEST(added_tokens_give_the_ids_of_transformers_or_are_refused)
{
    struct json *root = support_json("tests/vectors/added.json"), *config = json_parse("config.json", "{}", 2, NULL);
    int number = 0;
    for (const struct json *c = json_first(json_get(root, "cases")); c; c = json_next(c), number++) {
        struct tokenizer_data d = {0};
        struct err e = {0};
        write_files(root, c);
        int refused = json_bool(json_get(c, "refused"), 0);
        int found = import_hf_tokenizer_read(hf_folder, config, 310, &d, &e);
        ck_assert_msg(found == (refused ? -1 : 1), "case %d: %d, %s", number, found, e.msg);
        ck_assert_msg(!refused || strstr(e.msg, ".json: "), "case %d: %s", number, e.msg);
        struct tokenizer *t = refused ? NULL : tokenizer_create(&d, "case", &e);
        ck_assert_msg(refused || t, "case %d: %s", number, e.msg);
        const struct json *ids = json_first(json_get(c, "ids"));
        for (const struct json *x = json_first(json_get(root, "texts")); x && t; x = json_next(x), ids = json_next(ids))
            check_ids(t, json_string(x), ids, number);
        tokenizer_destroy(t);
        tokenizer_data_fini(&d);
    }
    ck_assert_int_ge(number, 100);
    json_free(config);
    json_free(root);
}
END_TEST

Suite *make_import_tokenizer_suite(void)
{
    Suite *s = suite_create("import_tokenizer");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, hf_setup, hf_teardown);
    tcase_add_test(t, added_tokens_give_the_ids_of_transformers_or_are_refused);
    suite_add_tcase(s, t);
    return s;
}
