/* The tasks as rows of byte ids for training: what trainer.h promises, read back from the rows. */
#include <string.h>

#include "datasets/trainer.h"
#include "harness/base/mem.h"
#include "tests/lib/tasks.h"
#include "tests/suites.h"

enum { WIDTH = 1025, ROWS = 6 };

static struct trainer *open_task(const char *task, const char *params)
{
    char msg[300] = "";
    struct trainer *t = trainer_open(task, params, "datasets/books", msg, sizeof msg);
    ck_assert_msg(t != NULL, "%s", msg);
    return t;
}

static void rows(struct trainer *t, int first, int prompt, uint64_t seed, int16_t *id, uint8_t *mask)
{
    struct trainer *all[ROWS];
    int32_t index[ROWS], most[ROWS];
    char msg[300] = "";
    for (int i = 0; i < ROWS; i++) {
        all[i] = t;
        index[i] = first + i;
        most[i] = prompt;
    }
    ck_assert_msg(trainer_rows(all, index, most, ROWS, seed, WIDTH, id, mask, msg, sizeof msg) == 0, "%s", msg);
}

/* One run of ids with the same mask, as text; ids that are no bytes end it. Returns where it ends. */
static int run_of(const int16_t *id, const uint8_t *mask, int at, struct str *out)
{
    int first = at;
    str_clear(out);
    for (; at < WIDTH && id[at] < 256 && mask[at] == mask[first]; at++)
        str_addc(out, (char)id[at]);
    return at;
}

static const struct {
    const char *name, *params;
    int questions;
} several[] = {{"niah_single_2", "", 1},
               {"niah_multikey_2", "questions=3", 3},
               {"niah_multivalue", "", 1},
               {"niah_multiquery", "", 1},
               {"vt", "num_chains=3,questions=3", 3},
               {"cwe", "num_cw=3", 1},
               {"fwe", "", 1},
               {"passkey", "", 1},
               {"lines", "questions=3", 3},
               {"kv", "questions=2", 2},
               {"induction", "questions=4", 4},
               {"copy", "", 1},
               {"arithmetic", "", 1}};
enum { N_SEVERAL = sizeof several / sizeof *several };

/* The masked bytes answer the text before them; arithmetic's work ends with the answer. */
static void check_answer(const char *task, const char *prompt, const char *target)
{
    struct str found = {0}, expected = {0};
    ck_assert_msg(tasks_solve(task, 1, prompt, &found) == 0, "%s: no answer to\n%s", task, prompt);
    found.p[--found.n] = '\0';
    for (char *p = found.p; *p; p += *p != '\0') {
        size_t n = strcspn(p, "\n");
        str_add(&expected, p == found.p ? " " : ", ");
        str_addn(&expected, p, n);
        p += n;
    }
    if (strcmp(task, "arithmetic") == 0) {
        size_t n = strlen(target);
        ck_assert_msg(n > found.n && strcmp(target + n - found.n, found.p) == 0, "%s: '%s' does not end with %s", task,
                      target, found.p);
    } else {
        ck_assert_str_eq(target, expected.p);
    }
    str_free(&found);
    str_free(&expected);
}

START_TEST(rows_are_prompts_and_masked_answers)
{
    enum { PROMPT = 800 };
    struct str params = {0}, text = {0}, prompt = {0};
    static int16_t id[ROWS * WIDTH];
    static uint8_t mask[ROWS * WIDTH];
    int seen = 0, all = 0;
    str_addf(&params, "wording=compact,split=train,length=1024%s%s", *several[_i].params ? "," : "",
             several[_i].params);
    struct trainer *t = open_task(several[_i].name, params.p);
    rows(t, 3, PROMPT, 11, id, mask);
    for (int r = 0; r < ROWS; r++) {
        const int16_t *x = id + r * WIDTH;
        const uint8_t *m = mask + r * WIDTH;
        ck_assert_int_eq(x[0], TRAINER_BOS);
        ck_assert_int_eq(m[0], 0);
        int at = 1, question = 0, context = 0;
        str_clear(&prompt);
        for (; at < WIDTH && x[at] != TRAINER_PAD; question++) {
            at = run_of(x, m, at, &text);
            ck_assert_int_eq(m[at], 1);
            if (question == 0) {
                const char *q = strrchr(text.p, '\n'), *earlier = strstr(text.p, "\nQ: ");
                context = (int)((earlier ? earlier : q) - text.p);
                ck_assert_int_le(at, PROMPT); /* BOS counted */
                if (several[_i].questions == 1)
                    ck_assert_int_eq(at, PROMPT);
                str_addn(&prompt, text.p, (size_t)context);
            }
            prompt.n = (size_t)context;
            str_add(&prompt, question ? text.p : text.p + context);
            at = run_of(x, m, at, &text);
            check_answer(several[_i].name, prompt.p, text.p);
            ck_assert_int_eq(x[at], TRAINER_EOS);
            ck_assert_int_eq(m[at], 1);
            at++;
        }
        for (; at < WIDTH; at++) {
            ck_assert_int_eq(x[at], TRAINER_PAD);
            ck_assert_int_eq(m[at], 0);
        }
        ck_assert_int_ge(question, 1);
        seen += question;
        all += several[_i].questions;
    }
    ck_assert_msg(seen == all, "%d questions of %d", seen, all);
    trainer_close(t);
    str_free(&params);
    str_free(&text);
    str_free(&prompt);
}
END_TEST

START_TEST(rows_are_a_function_of_seed_and_index)
{
    static int16_t a[ROWS * WIDTH], b[ROWS * WIDTH];
    static uint8_t mask[ROWS * WIDTH], other[ROWS * WIDTH];
    struct trainer *t = open_task("kv", "wording=compact,split=train,length=1024");
    rows(t, 0, 900, 5, a, mask);
    rows(t, 2, 900, 5, b, other);
    ck_assert(memcmp(a + 2 * WIDTH, b, (ROWS - 2) * WIDTH * sizeof *a) == 0); /* row by row, whatever the batch */
    ck_assert(memcmp(mask + 2 * WIDTH, other, (ROWS - 2) * WIDTH) == 0);
    rows(t, 0, 900, 6, b, other);
    for (int r = 0; r < ROWS; r++)
        ck_assert(memcmp(a + r * WIDTH, b + r * WIDTH, WIDTH * sizeof *a) != 0);
    trainer_close(t);
}
END_TEST

START_TEST(an_answer_that_would_not_fit_shortens_the_prompt)
{
    static int16_t id[ROWS * WIDTH];
    static uint8_t mask[ROWS * WIDTH];
    struct str text = {0};
    struct trainer *t = open_task("copy", "wording=compact,split=train,length=1024,num_words=12");
    rows(t, 0, 1020, 5, id, mask);
    for (int r = 0; r < ROWS; r++) {
        int end = run_of(id + r * WIDTH, mask + r * WIDTH, 1, &text), last = end;
        ck_assert_int_lt(end, 1020);
        while (last < WIDTH && mask[r * WIDTH + last])
            last++;
        ck_assert_int_eq(id[r * WIDTH + last - 1], TRAINER_EOS);
        ck_assert_int_ge(last, WIDTH - 1); /* and by no more than is needed */
    }
    trainer_close(t);
    str_free(&text);
}
END_TEST

START_TEST(book_text_is_whole_and_unmasked)
{
    static int16_t id[ROWS * WIDTH];
    static uint8_t mask[ROWS * WIDTH];
    struct trainer *t = open_task("text", "length=1024,continuation=16");
    rows(t, 0, 1024, 5, id, mask);
    for (int i = 0; i < ROWS * WIDTH; i++) /* BOS and 1023 bytes; the row has an id more */
        ck_assert(mask[i] == 0 && id[i] == (i % WIDTH == 0           ? TRAINER_BOS
                                            : i % WIDTH == WIDTH - 1 ? TRAINER_PAD
                                                                     : id[i] & 0xFF));
    trainer_close(t);
}
END_TEST

START_TEST(the_label_is_what_an_experiment_names)
{
    struct trainer *t = open_task("lines", "wording=compact,questions=2,length=500");
    ck_assert_str_eq(
        trainer_label(t),
        "{\"lines\":{\"length\":500,\"depth\":\"random\",\"questions\":2,\"wording\":\"compact\",\"split\":\"eval\"}}");
    trainer_close(t);
}
END_TEST

START_TEST(mistakes_are_told)
{
    static const struct {
        const char *task, *params, *what;
    } c[] = {
        {"lins", "", "task 'lins' unknown"},
        {"jsonl", "", "task 'jsonl' unknown"},
        {"lines", "lenght=3", "expected NAME=VALUE of a parameter, found 'lenght'"},
        {"lines", "length", "found 'length'"},
        {"lines", "length=many", "length"},
        {"lines", "split=train", "split: train needs wording: compact"},
    };
    char msg[300];
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        memset(msg, 'x', sizeof msg);
        ck_assert_ptr_null(trainer_open(c[i].task, c[i].params, "datasets/books", msg, sizeof msg));
        ck_assert_msg(strstr(msg, c[i].what) != NULL, "case %zu: %s", i, msg);
    }
    ck_assert_ptr_null(trainer_open("niah_single_2", "", "no/such/folder", msg, sizeof msg));
    ck_assert_ptr_nonnull(strstr(msg, "no/such/folder"));
    int16_t id[64];
    uint8_t mask[64];
    struct trainer *t = open_task("kv", "wording=compact,length=1024"); /* a record has 82 bytes */
    ck_assert_int_eq(trainer_rows(&t, (int32_t[]){0}, (int32_t[]){60}, 1, 1, 64, id, mask, msg, sizeof msg), -1);
    ck_assert_msg(strstr(msg, "the shortest prompt has") != NULL, "%s", msg);
    trainer_close(t);
    trainer_close(NULL);
}
END_TEST

Suite *make_trainer_suite(void)
{
    Suite *s = suite_create("trainer");
    TCase *t = tcase_create("core");
    tcase_add_loop_test(t, rows_are_prompts_and_masked_answers, 0, N_SEVERAL);
    tcase_add_test(t, rows_are_a_function_of_seed_and_index);
    tcase_add_test(t, an_answer_that_would_not_fit_shortens_the_prompt);
    tcase_add_test(t, book_text_is_whole_and_unmasked);
    tcase_add_test(t, the_label_is_what_an_experiment_names);
    tcase_add_test(t, mistakes_are_told);
    suite_add_tcase(s, t);
    return s;
}
