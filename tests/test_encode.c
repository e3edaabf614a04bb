/* From items to token ids: three pieces, BOS, evidence, and what is fed before the cut. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/encode.h"
#include "tests/suites.h"

/* Ids: a 0, b 1, c 2, blank 3, ab 4, <s> 5 (BOS). */
static char *const tokens[] = {(char[]){"a"},        (char[]){"b"},  (char[]){"c"},
                               (char[]){"\xc4\xa0"}, (char[]){"ab"}, (char[]){"<s>"}};
static char *const merges[] = {(char[]){"a b"}};

static struct model model;

static void make(int add_bos)
{
    uint8_t type[6] = {0, 0, 0, 0, 0, TOKEN_CONTROL};
    char *token[6], *merge[1] = {merges[0]};
    struct err e;
    memcpy(token, tokens, sizeof token);
    struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                               .pre = (char[]){"gpt2"},
                               .n_token = 6,
                               .token = token,
                               .type = type,
                               .n_merge = 1,
                               .merge = merge,
                               .bos = 5,
                               .eos = -1,
                               .pad = -1,
                               .unk = -1,
                               .add_bos = add_bos};
    tokenizer_destroy(model.tokenizer);
    model.tokenizer = tokenizer_create(&d, "test", &e);
    ck_assert_msg(model.tokenizer != NULL, "%s", e.msg);
}

static void setup(void)
{
    make(0);
}

static void teardown(void)
{
    tokenizer_destroy(model.tokenizer);
    model.tokenizer = NULL;
}

static struct dataset_question question;
static struct dataset_item item;

static void set_item(const char *context, const char *text, const char *answer_prefix)
{
    static char buffer[3][64];
    const char *const from[3] = {context, text, answer_prefix};
    for (int i = 0; i < 3; i++)
        strcpy(buffer[i], from[i]);
    question = (struct dataset_question){.text = buffer[1], .answer_prefix = buffer[2]};
    item = (struct dataset_item){
        .context = buffer[0], .n_context = strlen(context), .question = &question, .n_question = 1};
}

static struct prompt encode(const char *prefix, const char *suffix)
{
    const struct encode_context c = {.model = &model, .pieces = {prefix, "", 0, "", suffix, 0, 0}};
    struct prompt p;
    struct err e;
    ck_assert_msg(encode_prompt(&c, &item, 0, &p, &e) == 0, "%s", e.msg);
    return p;
}

static void check_ids(const struct prompt *p, const char *want)
{
    struct str s = {0};
    for (int i = 0; i < p->ids.n; i++)
        str_addf(&s, "%s%s%d", i ? " " : "",
                 i && i == p->context_end    ? "| "
                 : i && i == p->question_end ? "/ "
                                             : "",
                 p->ids.id[i]);
    ck_assert_str_eq(str_c(&s), want);
    str_free(&s);
}

START_TEST(three_pieces_are_encoded_apart_and_joined)
{
    set_item("ab a", "b c", "b");
    struct prompt p = encode("c", "a");
    /* "cab a", "b c", "ab": the a that ends the context and the b that follows stay two tokens, those within a piece
     * one */
    check_ids(&p, "2 4 3 0 | 1 3 2 / 4");
    ck_assert_int_eq(p.context_end, 4);
    ck_assert_int_eq(p.question_end, 7);
    ck_assert_ptr_null(p.evidence);
    encode_prompt_fini(&p);
    encode_prompt_fini(&p);
}
END_TEST

START_TEST(bos_stands_first_only_where_the_model_says_so)
{
    set_item("ab", "c", "");
    struct prompt p = encode("", "");
    check_ids(&p, "4 | 2");
    encode_prompt_fini(&p);
    make(1);
    p = encode("", "");
    check_ids(&p, "5 4 | 2");
    ck_assert_int_eq(p.context_end, 2);
    encode_prompt_fini(&p);
    /* a chat template says itself what stands first */
    const struct encode_context whole = {.model = &model, .pieces = {"", "", 0, "", "", 1, 0}};
    ck_assert_int_eq(encode_prompt(&whole, &item, 0, &p, NULL), 0);
    check_ids(&p, "4 | 2");
    encode_prompt_fini(&p);
}
END_TEST

START_TEST(a_template_that_trims_takes_white_space_from_around_context_and_question)
{
    static const struct {
        const char *context, *question, *want; /* between "c" and "a" */
    } c[] = {
        {" \n ab a", "b  \xE3\x80\x80", "2 4 3 0 | 1 / 0"},
        {" ab ", " c ", "2 4 3 | 3 2 / 0"},
        {" ab ", "", "2 4 | 0"},
        {"  ", " ab ", "2 | 4 / 0"},
        {" ab ", " \t", "2 4 | 0"},
        {"", "", "2 | 0"},
    };
    const struct encode_context trims = {.model = &model,
                                         .pieces = {"c", "", 0, "", "a", 1, TEMPLATE_TRIM_FRONT | TEMPLATE_TRIM_END}};
    struct prompt p;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        set_item(c[i].context, c[i].question, "");
        ck_assert_int_eq(encode_prompt(&trims, &item, 0, &p, NULL), 0);
        check_ids(&p, c[i].want);
        encode_prompt_fini(&p);
    }
    /* a system turn: a blank behind its text, and only the end is trimmed */
    const struct encode_context turn = {.model = &model, .pieces = {"c", "ab", 1, " ", "a", 1, TEMPLATE_TRIM_END}};
    set_item(" ab ", " c ", "");
    ck_assert_int_eq(encode_prompt(&turn, &item, 0, &p, NULL), 0);
    check_ids(&p, "2 0 3 3 4 3 | 3 2 / 0");
    encode_prompt_fini(&p);
    /* spans are of the context as it was */
    struct dataset_span span = {4, 5};
    set_item("  ab c", "b", "");
    item.evidence = &span;
    item.n_evidence = 1;
    ck_assert_int_eq(encode_prompt(&trims, &item, 0, &p, NULL), 0);
    check_ids(&p, "2 4 3 2 | 1 / 0");
    ck_assert(!p.evidence[0] && !p.evidence[1] && p.evidence[2] && !p.evidence[3]);
    encode_prompt_fini(&p);
}
END_TEST

START_TEST(tokens_that_touch_a_span_are_evidence)
{
    static const struct {
        size_t begin, end; /* of the context "cab ab c" */
        const char *want;  /* with the template's "a " before it: a _ c ab _ ab _ c */
    } c[] = {{0, 1, "00100000"}, {1, 3, "00010000"}, {2, 3, "00010000"}, {2, 5, "00011100"},
             {5, 6, "00000100"}, {7, 8, "00000001"}, {3, 3, "00000000"}, {0, 8, "00111111"}};
    for (int bos = 0; bos < 2; bos++) {
        make(bos);
        for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
            struct dataset_span span = {c[i].begin, c[i].end};
            int n = 0;
            set_item("cab ab c", "ab", "");
            item.evidence = &span;
            item.n_evidence = 1;
            struct prompt p = encode("a ", "");
            ck_assert_int_eq(p.context_end, 8 + bos);
            for (int j = 0; j < 8; j++) {
                ck_assert_msg(p.evidence[j + bos] == c[i].want[j] - '0', "case %zu, bos %d, token %d", i, bos, j);
                n += p.evidence[j + bos];
            }
            ck_assert_int_eq(p.n_evidence, n);
            ck_assert(!bos || !p.evidence[0]);
            encode_prompt_fini(&p);
        }
    }
}
END_TEST

START_TEST(what_is_fed_before_the_cut)
{
    /* tokens of context, question, suffix with answer prefix; then what stands before the cut in the four forms */
    static const struct {
        int context, question, rest, want[4];
    } c[] = {{5, 3, 2, {5, 8, 9, 10}}, {5, 3, 0, {5, 7, 7, 8}}, {5, 0, 2, {5, 5, 6, 7}},
             {5, 0, 0, {4, 4, 4, 5}},  {1, 0, 0, {0, 0, 0, 1}}, {0, 3, 1, {0, 3, 3, 4}}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct prompt p = {.ids = {.n = c[i].context + c[i].question + c[i].rest},
                           .context_end = c[i].context,
                           .question_end = c[i].context + c[i].question};
        for (enum prune_after a = PRUNE_AFTER_CONTEXT; a <= PRUNE_AFTER_PROMPT; a++)
            ck_assert_msg(encode_n_before(&p, a) == c[i].want[a], "case %zu, %s: %d", i,
                          experiment_prune_after_names[a], encode_n_before(&p, a));
    }
}
END_TEST

START_TEST(an_empty_prompt_is_refused)
{
    const struct encode_context c = {.model = &model, .pieces = {"", "", 0, "", "", 0, 0}};
    struct prompt p;
    struct err e = {.msg = "garbage"};
    set_item("", "", "");
    ck_assert_int_eq(encode_prompt(&c, &item, 0, &p, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_str_eq(e.msg, "the prompt is empty");
}
END_TEST

START_TEST(datasets_see_the_same_tokens)
{
    struct encode_context c = {.model = &model, .pieces = {"c", "", 0, "", "a", 0, 0}};
    struct dataset_env env;
    static const struct {
        int tokens;
        const char *cut, *head; /* of "ab ab c": ab _ ab _ c */
    } cases[] = {{0, "", ""},
                 {1, "", "ab"},
                 {2, "abc", "ab "},
                 {3, "abc", "ab ab"},
                 {4, "ab  c", "ab ab "},
                 {5, "ab ab c", "ab ab c"},
                 {9, "ab ab c", "ab ab c"},
                 {-1, "", ""}};
    model.hp.context_length = 77;
    encode_dataset_env(&c, "base", &env);
    ck_assert_int_eq(env.context_length, 77);
    ck_assert_str_eq(env.base_dir, "base");
    ck_assert_int_eq(env.prompt_tokens(env.ctx, "ab a", 4, "b c", "b"), 8);
    ck_assert_int_eq(env.prompt_tokens(env.ctx, "", 0, "", ""), 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *cut = env.truncate_middle(env.ctx, "ab ab c", 7, cases[i].tokens, NULL);
        ck_assert_msg(strcmp(cut, cases[i].cut) == 0, "case %zu: '%s'", i, cut);
        ck_assert_msg(env.head_bytes(env.ctx, "ab ab c", 7, cases[i].tokens) == strlen(cases[i].head), "case %zu", i);
        mem_free(cut);
    }
}
END_TEST

Suite *make_encode_suite(void)
{
    Suite *s = suite_create("encode");
    TCase *t = tcase_create("encode");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, three_pieces_are_encoded_apart_and_joined);
    tcase_add_test(t, bos_stands_first_only_where_the_model_says_so);
    tcase_add_test(t, a_template_that_trims_takes_white_space_from_around_context_and_question);
    tcase_add_test(t, tokens_that_touch_a_span_are_evidence);
    tcase_add_test(t, what_is_fed_before_the_cut);
    tcase_add_test(t, an_empty_prompt_is_refused);
    tcase_add_test(t, datasets_see_the_same_tokens);
    suite_add_tcase(s, t);
    return s;
}
