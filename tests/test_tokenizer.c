/* Token ids against the tokenizers package (tests/vectors/make_tokenizer.py), the exact inverse, hostile vocabularies.
 */
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "tests/lib/smollm2.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* What must come back from `text`: all of it but the bytes that the vocabulary has no token for. */
static void expected_back(const struct tokenizer *t, const char *text, struct str *out)
{
    for (; *text; text++) {
        const char byte[2] = {*text, 0};
        if (tokenizer_find(t, byte) >= 0)
            str_addc(out, *text);
    }
}

/* exact: nothing changes a text before it is encoded, so it comes back whole, and every token takes some of it. */
static int check_cases(const struct tokenizer *t, const struct json *cases, const char *key, int exact)
{
    int checked = 0;
    for (const struct json *c = json_first(cases); c; c = json_next(c)) {
        const char *text = json_string(json_get(c, "text"));
        const struct json *want = json_get(c, key), *id = json_first(want);
        struct token_ids ids = {0}, end = {0};
        struct str back = {0}, kept = {0};
        ck_assert_ptr_nonnull(text);
        ck_assert_int_eq(tokenizer_encode_offsets(t, text, strlen(text), &ids, &end, NULL), 0);
        ck_assert_msg(ids.n == json_size(want), "'%s': %d ids, expected %d", text, ids.n, json_size(want));
        for (int i = 0; i < ids.n; i++, id = json_next(id))
            ck_assert_msg(ids.id[i] == (int)json_number(id, -1), "'%s': id %d is %d", text, i, ids.id[i]);
        tokenizer_decode(t, ids.id, ids.n, 1, &back);
        if (exact) {
            expected_back(t, text, &kept);
            ck_assert_str_eq(str_c(&back), str_c(&kept));
        }
        ck_assert_int_eq(end.n, ids.n);
        for (int i = 1; i < end.n; i++)
            ck_assert_msg(end.id[i] >= end.id[i - 1] + exact, "'%s': token %d ends at %d", text, i, end.id[i]);
        ck_assert(ids.n == 0 || back.n < strlen(text) || end.id[ids.n - 1] == (int)strlen(text));
        str_free(&kept);
        str_free(&back);
        token_ids_free(&ids);
        token_ids_free(&end);
        checked++;
    }
    return checked;
}

START_TEST(a_small_vocabulary_gives_the_reference_ids_under_both_rules)
{
    struct json *j = support_json("tests/vectors/tokenizer_small.json");
    static const char *const pre[] = {"gpt2", "smollm"};
    for (int i = 0; i < 2; i++) {
        struct tokenizer_data d;
        struct err e;
        support_small_tokenizer(j, pre[i], &d);
        struct tokenizer *t = tokenizer_create(&d, "small", &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        ck_assert_int_ge(check_cases(t, json_get(j, "cases"), pre[i], 1), 200);
        tokenizer_destroy(t);
        tokenizer_data_fini(&d);
    }
    json_free(j);
}
END_TEST

START_TEST(smollm2_gives_the_reference_ids_and_its_chat_template)
{
    const char *path = smollm2_path("smollm2_gives_the_reference_ids_and_its_chat_template");
    struct template_pieces p;
    struct err e;
    if (!path)
        return;
    struct model *m = model_open(path, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    struct json *j = support_json("tests/vectors/tokenizer_smollm2.json");
    ck_assert_int_ge(check_cases(m->tokenizer, json_get(j, "cases"), "ids", 1), 200);
    ck_assert_int_eq(tokenizer_template(m->tokenizer, "chat", &p, NULL), 0);
    ck_assert_str_eq(p.prefix,
                     "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
                     "<|im_end|>\n<|im_start|>user\n");
    ck_assert_str_eq(p.suffix, "<|im_end|>\n<|im_start|>assistant\n");
    ck_assert_int_eq(tokenizer_add_bos(m->tokenizer), 0);
    ck_assert_int_eq(tokenizer_is_end(m->tokenizer, tokenizer_find(m->tokenizer, "<|im_end|>")), 1);
    json_free(j);
    model_close(m);
}
END_TEST

START_TEST(any_bytes_come_back_as_they_were)
{
    struct json *j = support_json("tests/vectors/tokenizer_small.json");
    struct tokenizer_data d;
    struct rng r;
    support_small_tokenizer(j, "smollm", &d);
    struct tokenizer *t = tokenizer_create(&d, "small", NULL);
    rng_init(&r, 1, "bytes");
    static const char *const part[] = {"<|im_end|>", "<|im_",        "<tool",     "<tool>",
                                       "  ",         "\xF0\x9F\x98", "\xC3\xA9!", "'ll"};
    for (int i = 0; i < 2000; i++) {
        char text[200];
        size_t n = (size_t)rng_below(&r, sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(rng_below(&r, 3) ? rng_below(&r, 256) : ' ' + rng_below(&r, 60));
        const char *p = part[rng_below(&r, sizeof part / sizeof *part)];
        if (n > strlen(p))
            memcpy(text + rng_below(&r, n - strlen(p)), p, strlen(p));
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
    json_free(j);
}
END_TEST

START_TEST(long_words_are_not_quadratic)
{
    struct json *j = support_json("tests/vectors/tokenizer_small.json");
    struct tokenizer_data d;
    support_small_tokenizer(j, "gpt2", &d);
    struct tokenizer *t = tokenizer_create(&d, "small", NULL);
    size_t n = 1000000; /* the test's time-out is the check: a quadratic merge takes hours */
    char *text = mem_new(n, 1);
    for (int i = 0; i < 2; i++) {
        struct token_ids ids = {0};
        memset(text, i ? ' ' : 'a', n);
        ck_assert_int_eq(tokenizer_encode(t, text, n, &ids, NULL), 0);
        ck_assert_int_gt(ids.n, 0);
        token_ids_free(&ids);
    }
    mem_free(text);
    tokenizer_destroy(t);
    tokenizer_data_fini(&d);
    json_free(j);
}
END_TEST

static struct tokenizer *from(enum tokenizer_kind kind, int n, const char *const *token, const uint8_t *type,
                              const char *chat_template, struct err *e)
{
    struct tokenizer_data d = {.kind = kind, .n_token = n, .bos = -1, .eos = -1, .pad = -1, .unk = -1};
    d.pre = mem_strdup(kind == TOKENIZER_BPE ? "gpt2" : NULL);
    d.chat_template = mem_strdup(chat_template);
    d.token = mem_new((size_t)n, sizeof *d.token);
    d.type = mem_new((size_t)n, 1);
    for (int i = 0; i < n; i++) {
        d.token[i] = mem_strdup(token ? token[i] : i == 256 ? "<|end|>" : "byte");
        d.type[i] = type ? type[i] : (uint8_t)(i < 256 ? TOKEN_NORMAL : TOKEN_CONTROL);
        if (strcmp(d.token[i], "<s>") == 0)
            d.bos = i;
    }
    struct tokenizer *t = tokenizer_create(&d, "test.h5", e);
    tokenizer_data_fini(&d);
    return t;
}

START_TEST(bytes_are_their_own_ids_and_specials_follow)
{
    static const char text[] = "a\0\xFF<|end|>\xC3";
    static const int32_t want[] = {'a', 0, 255, 256, 0xC3};
    struct token_ids ids = {0};
    struct str back = {0};
    struct tokenizer *t = from(TOKENIZER_BYTES, 257, NULL, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(tokenizer_encode(t, text, sizeof text - 1, &ids, NULL), 0);
    ck_assert_int_eq(ids.n, 5);
    ck_assert_mem_eq(ids.id, want, sizeof want);
    tokenizer_decode(t, ids.id, ids.n, 1, &back);
    ck_assert_uint_eq(back.n, sizeof text - 1);
    ck_assert_mem_eq(back.p, text, back.n);
    ck_assert_int_eq(tokenizer_find(t, "<|end|>"), 256);
    ck_assert_int_eq(tokenizer_find(t, "<|end"), -1);
    str_free(&back);
    token_ids_free(&ids);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(control_tokens_are_decoded_only_on_request_added_ones_always)
{
    static const char *const token[] = {"a", "<c>", "<c>+"};
    static const uint8_t type[] = {TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_ADDED};
    struct token_ids ids = {0};
    struct str without = {0}, with = {0};
    struct tokenizer *t = from(TOKENIZER_BPE, 3, token, type, NULL, NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(tokenizer_encode(t, "a<c>a<c>+a", 10, &ids, NULL), 0);
    ck_assert_int_eq(ids.n, 5);
    tokenizer_decode(t, ids.id, ids.n, 0, &without);
    tokenizer_decode(t, ids.id, ids.n, 1, &with);
    ck_assert_str_eq(str_c(&without), "aa<c>+a");
    ck_assert_str_eq(str_c(&with), "a<c>a<c>+a");
    str_free(&without);
    str_free(&with);
    token_ids_free(&ids);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(bytes_without_a_token_get_no_id_and_their_neighbours_meet)
{
    static const char *const token[] = {"a", "b", "ab"};
    struct tokenizer_data d = {
        .kind = TOKENIZER_BPE, .n_token = 3, .n_merge = 1, .bos = -1, .eos = -1, .pad = -1, .unk = 0};
    struct token_ids ids = {0}, end = {0};
    char *merge[] = {mem_strdup("a b")}, *copy[3];
    char pre[] = "gpt2";
    for (int i = 0; i < 3; i++)
        copy[i] = mem_strdup(token[i]);
    d.token = copy;
    d.merge = merge;
    d.pre = pre;
    struct tokenizer *t = tokenizer_create(&d, "test.h5", NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(tokenizer_encode_offsets(t, "xaxbxb!", 7, &ids, &end, NULL), 0);
    ck_assert_int_eq(ids.n, 2);
    ck_assert(ids.id[0] == 2 && ids.id[1] == 1);
    ck_assert(end.id[0] == 5 && end.id[1] == 6);
    for (int i = 0; i < 3; i++)
        mem_free(copy[i]);
    mem_free(merge[0]);
    token_ids_free(&ids);
    token_ids_free(&end);
    tokenizer_destroy(t);
}
END_TEST

/* Tokens <0>, <1>, ... behind the 256 bytes. */
static struct tokenizer *with_many_specials(int n)
{
    char **token = mem_new((size_t)n + 256, sizeof *token);
    uint8_t *type = mem_new((size_t)n + 256, 1);
    for (int i = 0; i < n + 256; i++) {
        struct str s = {0};
        str_addf(&s, "<%d>", i - 256);
        token[i] = str_take(&s);
        type[i] = i < 256 ? TOKEN_NORMAL : TOKEN_ADDED;
    }
    struct tokenizer *t = from(TOKENIZER_BYTES, n + 256, (const char *const *)token, type, NULL, NULL);
    for (int i = 0; i < n + 256; i++)
        mem_free(token[i]);
    mem_free(token);
    mem_free(type);
    return t;
}

/* Gemma 3 has 6000 tokens that begin with '<': a text of nothing else took minutes when each was looked at. */
START_TEST(beginnings_of_many_special_tokens_are_not_looked_at_one_by_one)
{
    enum { N = 1000000, MANY = 30000 };
    struct tokenizer *t = with_many_specials(MANY);
    ck_assert_ptr_nonnull(t);
    struct token_ids ids = {0};
    char *text = mem_new(N, 1);
    memset(text, '<', N); /* the suite's limit is the check */
    memcpy(text + N - 7, "<29999>", 7);
    ck_assert_int_eq(tokenizer_encode(t, text, N, &ids, NULL), 0);
    ck_assert_int_eq(ids.n, N - 6);
    ck_assert_int_eq(ids.id[ids.n - 1], 256 + 29999);
    mem_free(text);
    token_ids_free(&ids);
    tokenizer_destroy(t);
}
END_TEST

/* The longest of the special tokens that begin at a byte, by looking at all. */
static int longest_at(const char *const *token, int n, const char *text)
{
    int best = -1;
    for (int i = 256; i < n; i++)
        if (strncmp(text, token[i], strlen(token[i])) == 0 && (best < 0 || strlen(token[i]) > strlen(token[best])))
            best = i;
    return best;
}

START_TEST(of_special_tokens_that_begin_together_the_longest_is_found)
{
    static const char *const special[] = {"<",   "<a",  "<ab", "<abb", "<b",   "ab<",  "a<a", "b",
                                          "bb<", "bbb", "<<",  "<<<a", "<<<<", "aaab", "aa"};
    enum { N = 256 + sizeof special / sizeof *special };
    const char *token[N];
    uint8_t type[N] = {0};
    struct rng r;
    for (int i = 0; i < N; i++) {
        token[i] = i < 256 ? "byte" : special[i - 256];
        type[i] = i < 256 ? TOKEN_NORMAL : TOKEN_ADDED;
    }
    struct tokenizer *t = from(TOKENIZER_BYTES, N, token, type, NULL, NULL);
    ck_assert_ptr_nonnull(t);
    rng_init(&r, 4, "special");
    for (int k = 0; k < 300; k++) {
        char text[50] = "";
        struct token_ids ids = {0};
        for (int i = 0; i < 49; i++)
            text[i] = "<abc"[rng_below(&r, 4)];
        ck_assert_int_eq(tokenizer_encode(t, text, 49, &ids, NULL), 0);
        const char *at = text;
        for (int i = 0; i < ids.n; i++) {
            int best = longest_at(token, N, at);
            ck_assert_msg(ids.id[i] == (best < 0 ? *at : best), "'%s', id %d", text, i);
            at += best < 0 ? 1 : strlen(token[best]);
        }
        ck_assert_str_eq(at, "");
        token_ids_free(&ids);
    }
    tokenizer_destroy(t);
}
END_TEST

#define MESSAGES \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + " \
    "'\n'}}{% endfor %}"
#define ASSISTANT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

/* want: null where the template has no place for a message of the system. */
static void check_system(const struct tokenizer *t, const char *source, const struct json *want, const char *suffix)
{
    static const char text[] = " Be brief.\n";
    struct template_pieces p = {0};
    struct err e = {0};
    int rc = tokenizer_template_system(t, text, &p, &e);
    if (json_is_null(want)) {
        ck_assert_msg(rc == -1 && e.code == ERR_UNSUPPORTED && strstr(e.msg, "no place for a system message: '"),
                      "%s: %d, %s", source, rc, e.msg);
        return;
    }
    ck_assert_msg(rc == 0, "%s: %s", source, e.msg);
    int own = json_bool(json_get(want, "trim_system"), 0);
    ck_assert_str_eq(p.prefix, json_string(json_get(want, "prefix")));
    ck_assert_str_eq(p.between, json_string(json_get(want, "between")));
    ck_assert_str_eq(p.suffix, suffix);
    ck_assert_int_eq(p.trim, (int)json_number(json_get(want, "trim"), -1));
    ck_assert_uint_eq(p.n_system, strlen(text) - (own ? 2 : 0));
    ck_assert_ptr_eq(p.system, text + (own ? 1 : 0));
    rc = tokenizer_template_system(t, "", &p, &e);
    ck_assert_int_eq(rc, json_bool(json_get(want, "empty"), 0) ? 0 : -1);
}

START_TEST(known_templates_give_the_pieces_of_apply_chat_template_and_others_are_refused)
{
    static const char *const token[] = {
        "a", "<|im_start|>", "<|im_end|>", "<s>", "<start_of_turn>", "<|start_header_id|>", "<|user|>"};
    static const uint8_t type[] = {TOKEN_NORMAL,  TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_CONTROL,
                                   TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_CONTROL};
    struct json *all = support_json("tests/vectors/templates.json");
    int n_known = 0, n_refused = 0;
    for (const struct json *c = json_first(all); c; c = json_next(c)) {
        struct template_pieces p = {0};
        struct err e = {0};
        const char *source = json_string(json_get(c, "source"));
        struct tokenizer *t = from(TOKENIZER_BPE, 7, token, type, source, NULL);
        int rc = tokenizer_template(t, "chat", &p, &e);
        if (json_bool(json_get(c, "known"), 0)) {
            n_known++;
            ck_assert_msg(rc == 0, "%s: %s", source, e.msg);
            ck_assert_str_eq(p.prefix, json_string(json_get(c, "prefix")));
            ck_assert_str_eq(p.suffix, json_string(json_get(c, "suffix")));
            ck_assert_int_eq(p.whole, 1);
            ck_assert(*p.system == 0 && p.n_system == 0 && *p.between == 0);
            ck_assert_int_eq(p.trim, (int)json_number(json_get(c, "trim"), -1));
            check_system(t, source, json_get(c, "system"), json_string(json_get(c, "suffix")));
        } else {
            n_refused++;
            ck_assert_msg(rc == -1, "%s was taken as known", source);
            ck_assert_msg(e.code == ERR_UNSUPPORTED && strstr(e.msg, "spell its pieces out: {begin: "), "%s", e.msg);
            ck_assert_int_eq(strstr(source, "strftime_now") || strstr(source, "date_string"),
                             strstr(e.msg, "it depends on the date") != NULL);
        }
        tokenizer_destroy(t);
    }
    ck_assert_msg(n_known >= 25 && n_refused >= 32, "%d known, %d refused", n_known, n_refused);
    json_free(all);
}
END_TEST

START_TEST(other_templates_are_refused_by_their_beginning)
{
    static const struct {
        const char *source, *name;
        int n_token;
        enum err_code code;
        const char *what;
    } c[] = {
        {NULL, "chat", 3, ERR_UNSUPPORTED, "no chat template (a base model, mostly); take raw, or spell"},
        {" \n", "chat", 3, ERR_UNSUPPORTED, "no chat template"},
        {"\n  {{ bos }}[INST] {{ x }}\nmore", "chat", 3, ERR_UNSUPPORTED, "'{{ bos }}[INST] {{ x }}...'"},
        {"<|im_start|>user<|im_sep|>{{ x }}<|im_end|><|im_start|>assistant<|im_sep|>", "chat", 3, ERR_UNSUPPORTED,
         "im_sep"},
        {MESSAGES ASSISTANT, "chat", 2, ERR_UNSUPPORTED, "messages"}, /* <|im_end|> is no token */
        {MESSAGES ASSISTANT, "chatml", 3, ERR_CONFIG, "'chatml'"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xC3\xA9", "chat", 3, ERR_UNSUPPORTED, "aaa...'"},
    };
    static const char *const token[] = {"a", "<|im_start|>", "<|im_end|>"};
    static const uint8_t type[] = {TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct template_pieces p = {0};
        struct err e;
        memset(&e, 0xFF, sizeof e);
        struct tokenizer *t = from(TOKENIZER_BPE, c[i].n_token, token, type, c[i].source, NULL);
        ck_assert_int_eq(tokenizer_template(t, c[i].name, &p, &e), -1);
        ck_assert_msg(e.code == c[i].code && strstr(e.msg, c[i].what), "case %zu: %s", i, e.msg);
        ck_assert_ptr_null(p.prefix);
        ck_assert_int_eq(tokenizer_template(t, "raw", &p, NULL), 0);
        ck_assert(*p.prefix == 0 && *p.suffix == 0);
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(special_tokens_that_are_the_same_are_refused)
{
    static const char *const token[] = {"<x>", "<x>", "<y>"};
    static const uint8_t same[] = {TOKEN_CONTROL, TOKEN_ADDED, TOKEN_CONTROL},
                         spelt[] = {TOKEN_NORMAL, TOKEN_CONTROL, 0}, bad[] = {TOKEN_NORMAL, TOKEN_CONTROL, 3};
    struct err e;
    memset(&e, 0xFF, sizeof e);
    ck_assert_ptr_null(from(TOKENIZER_BPE, 3, token, same, NULL, &e));
    ck_assert_msg(e.code == ERR_FORMAT && strstr(e.msg, "test.h5: special tokens 0 and 1"), "%s", e.msg);
    ck_assert_ptr_null(from(TOKENIZER_BPE, 3, token, bad, NULL, &e));
    ck_assert_msg(e.code == ERR_FORMAT && strstr(e.msg, "type 3"), "%s", e.msg);
    ck_assert_ptr_null(from(TOKENIZER_BYTES, 255, NULL, NULL, NULL, &e));
    ck_assert_msg(e.code == ERR_FORMAT && strstr(e.msg, "255"), "%s", e.msg);
    struct tokenizer *t = from(TOKENIZER_BPE, 3, token, spelt, NULL, &e);
    ck_assert_int_eq(tokenizer_find(t, "<x>"), 1);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(broken_vocabularies_are_refused_by_name)
{
    static const struct {
        const char *token[3];
        const char *merge;
        const char *pre;
        int eos;
        const char *what;
    } c[] = {
        {{"a", "b", "a"}, NULL, "gpt2", -1, "the same"},         {{"a", "b", "ab"}, "a c", "gpt2", -1, "merge 0"},
        {{"a", "b", "c"}, "a b", "gpt2", -1, "merge 0"},         {{"a", "b", "ab"}, "ab", "gpt2", -1, "merge 0"},
        {{"a", "b", "ab"}, "a b", "llama9", -1, "llama9"},       {{"a", "b", "ab"}, "a b", "gpt2", 3, "eos"},
        {{"a", "b c", "ab"}, NULL, "gpt2", -1, "byte alphabet"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                                   .pre = mem_strdup(c[i].pre),
                                   .n_token = 3,
                                   .bos = -1,
                                   .eos = c[i].eos,
                                   .pad = -1,
                                   .unk = -1};
        struct err e;
        memset(&e, 0xFF, sizeof e);
        d.token = mem_new(3, sizeof *d.token);
        d.type = mem_new(3, 1);
        for (int k = 0; k < 3; k++)
            d.token[k] = mem_strdup(c[i].token[k]);
        if (c[i].merge) {
            d.merge = mem_new(1, sizeof *d.merge);
            d.merge[d.n_merge++] = mem_strdup(c[i].merge);
        }
        ck_assert_ptr_null(tokenizer_create(&d, "broken.h5", &e));
        ck_assert_msg(strstr(e.msg, c[i].what) && strstr(e.msg, "broken.h5"), "case %zu: %s", i, e.msg);
        tokenizer_data_fini(&d);
    }
}
END_TEST

START_TEST(ends_of_a_turn_are_at_most_as_many_as_a_model_file_holds)
{
    char *token[] = {(char[]){"a"}, (char[]){"b"}};
    uint8_t type[2] = {0};
    int ends[TOKENIZER_MAX_ENDS + 1] = {0};
    struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                               .pre = (char[]){"gpt2"},
                               .n_token = 2,
                               .token = token,
                               .type = type,
                               .bos = -1,
                               .eos = 1,
                               .pad = -1,
                               .unk = -1,
                               .eos_extra = ends,
                               .n_eos_extra = TOKENIZER_MAX_ENDS};
    struct err e;
    struct tokenizer *t = tokenizer_create(&d, "m", &e);
    ck_assert_msg(t && tokenizer_is_end(t, 0), "%s", e.msg);
    tokenizer_destroy(t);
    d.n_eos_extra++;
    ck_assert_ptr_null(tokenizer_create(&d, "m", &e));
    ck_assert_str_eq(e.msg, "m: more than 1024 tokens that end a turn");
}
END_TEST

Suite *make_tokenizer_suite(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_small_vocabulary_gives_the_reference_ids_under_both_rules);
    tcase_add_test(t, smollm2_gives_the_reference_ids_and_its_chat_template);
    tcase_add_test(t, any_bytes_come_back_as_they_were);
    tcase_add_test(t, long_words_are_not_quadratic);
    tcase_add_test(t, bytes_are_their_own_ids_and_specials_follow);
    tcase_add_test(t, control_tokens_are_decoded_only_on_request_added_ones_always);
    tcase_add_test(t, bytes_without_a_token_get_no_id_and_their_neighbours_meet);
    tcase_add_test(t, beginnings_of_many_special_tokens_are_not_looked_at_one_by_one);
    tcase_add_test(t, of_special_tokens_that_begin_together_the_longest_is_found);
    tcase_add_test(t, known_templates_give_the_pieces_of_apply_chat_template_and_others_are_refused);
    tcase_add_test(t, other_templates_are_refused_by_their_beginning);
    tcase_add_test(t, special_tokens_that_are_the_same_are_refused);
    tcase_add_test(t, broken_vocabularies_are_refused_by_name);
    tcase_add_test(t, ends_of_a_turn_are_at_most_as_many_as_a_model_file_holds);
    suite_add_tcase(s, t);
    return s;
}
