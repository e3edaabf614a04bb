/* Question answering over documents: RULER's rules of which documents come in, evidence, depth, and files that are
 * refused. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "tests/lib/tasks.h"
#include "tests/suites.h"

static const char *const names[] = {"qa_1", "qa_2"};
enum { MAX_DOC = 400 };

/* The documents of a prompt; they must be numbered from 1. text[i] points into the copy that the caller frees. */
static int documents(const char *prompt, char **copy, char *text[MAX_DOC])
{
    int n = 0;
    char *end;
    *copy = mem_strdup(prompt);
    if ((end = strstr(*copy, "\n\nAnswer the question based")) && strstr(end + 5, "Question: "))
        *end = '\0';
    else if ((end = strstr(*copy, "\nQ: ")))
        *end = '\0';
    for (char *p = *copy; n < MAX_DOC; n++) {
        char mark[40];
        snprintf(mark, sizeof mark, "Document %d:\n", n + 1);
        if (!(p = strstr(p, mark)))
            break;
        ck_assert(p == *copy || (p[-1] == '\n' && p[-2] == '\n'));
        if (n)
            p[-2] = '\0';
        text[n] = p += strlen(mark);
    }
    if (n && (end = strstr(text[n - 1], "\n\n"))) /* a heading that was cut off */
        *end = '\0';
    return n;
}

static int file_of(const char *name, int compact, int length, const char *more, enum tasks_tokens kind,
                   struct tasks_opened *o)
{
    struct str params = {0};
    str_addf(&params, "length=%d,wording=%s%s", length, compact ? "compact" : "ruler", more);
    tasks_open(o, name, params.p, kind);
    str_free(&params);
    return o->ops->count(o->self);
}

/* How many words of the question stand in the text, short ones aside. */
static int overlap(const char *question, const char *text)
{
    int n = 0;
    for (const char *p = question; *p;) {
        char word[60] = {0};
        size_t length = 0;
        while (isalpha((unsigned char)p[length]))
            length++;
        if (length >= 4 && length < sizeof word) {
            memcpy(word, p, length);
            word[0] = (char)tolower((unsigned char)word[0]);
            n += strstr(text, word) != NULL;
            word[0] = (char)toupper((unsigned char)word[0]);
            n += strstr(text, word) != NULL;
        }
        p += length + !length;
    }
    return n;
}

/* Finds the answer's document as a reader would, by the question's words. */
START_TEST(the_document_that_the_question_is_about_holds_the_answer)
{
    struct tasks_opened o;
    int n = file_of("qa_1", _i, 1024, "", TASKS_FOURS, &o), hit = 0;
    ck_assert_int_ge(n, 40);
    for (int i = 0; i < n; i++) {
        struct dataset_item item = {0};
        struct str prompt = {0};
        char *copy, *text[MAX_DOC];
        ck_assert_int_eq(o.ops->item(o.self, i, 1, o.ops->max_new_tokens, &item, NULL), 0);
        tasks_prompt(&item, 0, &prompt);
        int n_doc = documents(prompt.p, &copy, text), best = 0;
        ck_assert_int_ge(n_doc, 4);
        const char *question = strrchr(item.question->text, '\n');
        for (int d = 1; d < n_doc; d++)
            best = overlap(question, text[d]) > overlap(question, text[best]) ? d : best;
        int found = 0;
        for (int a = 0; a < item.question->n_answer; a++)
            found |= strstr(text[best], item.question->answer[a]) != NULL;
        hit += found;
        mem_free(copy);
        str_free(&prompt);
        dataset_item_fini(&item);
    }
    ck_assert_msg(hit >= n - 2, "%d of %d", hit, n); /* a few questions hardly share a word with their paragraph */
    tasks_close(&o);
}
END_TEST

START_TEST(samples_have_their_length_their_evidence_and_are_the_same_again)
{
    static const int length[] = {700, 2500, 1024, 6000};
    for (int l = 0; l < 4; l++)
        for (int kind = 0; kind < TASKS_N_TOKENS; kind++) {
            struct tasks_opened o;
            if (kind != TASKS_FOURS &&
                l != kind) /* one length each takes long enough; a question's own documents have 1000 bytes */
                continue;
            file_of(names[_i / 2], _i % 2, length[l], "", (enum tasks_tokens)kind, &o);
            for (int i = 0; i < 3; i++) {
                struct dataset_item item = {0}, again = {0};
                struct err e = {0};
                ck_assert_msg(o.ops->item(o.self, i, 3, o.ops->max_new_tokens, &item, &e) == 0, "%s", e.msg);
                ck_assert_int_eq(o.ops->item(o.self, i, 3, o.ops->max_new_tokens, &again, NULL), 0);
                ck_assert_str_eq(item.context, again.context);
                int tokens = tasks_prompt_tokens((enum tasks_tokens)kind, &item, 0) + o.ops->max_new_tokens;
                ck_assert_msg(tokens == length[l], "%s: %d instead of %d", names[_i / 2], tokens, length[l]);
                ck_assert_int_gt(item.n_evidence, 0);
                int holds = 0;
                for (int s = 0; s < item.n_evidence; s++) {
                    const struct dataset_span *span = &item.evidence[s];
                    ck_assert(span->begin < span->end && span->end <= item.n_context);
                    char *text = mem_strndup(item.context + span->begin, span->end - span->begin);
                    for (int a = 0; a < item.question->n_answer; a++)
                        holds |= strstr(text, item.question->answer[a]) != NULL;
                    mem_free(text);
                }
                const char *answer = item.question->answer[0];
                ck_assert_msg(holds || !strcmp(answer, "yes") || !strcmp(answer, "no"), "%s: no evidence holds %s",
                              names[_i / 2], answer);
                dataset_item_fini(&item);
                dataset_item_fini(&again);
            }
            tasks_close(&o);
        }
}
END_TEST

/* Three articles of two paragraphs; equal paragraphs, characters of two bytes, questions without answer. */
static const char squad[] =
    "{\"data\":[{\"paragraphs\":["
    "{\"context\":\"\xC3\x84pfel sind rot. Rot ist "
    "gut.\",\"qas\":[{\"question\":\"Wie?\",\"id\":\"a\",\"answers\":[{\"text\":\"rot\","
    "\"answer_start\":11},{\"text\":\"rot\",\"answer_start\":11}]},{\"question\":\"Nie?\",\"id\":\"b\",\"is_"
    "impossible\":true,\"answers\":[]}]},"
    "{\"context\":\"Zweiter Absatz.\",\"qas\":[]}]},"
    "{\"paragraphs\":[{\"context\":\"Dritter "
    "Absatz.\",\"qas\":[{\"question\":\"Was?\",\"answers\":[{\"text\":\"Absatz\"}]}]},"
    "{\"context\":\"Zweiter Absatz.\",\"qas\":[]}]},"
    "{\"paragraphs\":[{\"context\":\"Vierter.\",\"qas\":[]},{\"context\":\"F\xC3\xBCnfter.\",\"qas\":[]}]}]}";

static const char *write_file(const char *text)
{
    const char *path = "build/test_qa.json";
    ck_assert_int_eq(fs_write_atomic(path, text, strlen(text), NULL), 0);
    return path;
}

static int count_of(char *const *text, int n, const char *what)
{
    int times = 0;
    for (int i = 0; i < n; i++)
        times += strcmp(text[i], what) == 0;
    return times;
}

START_TEST(own_paragraphs_come_first_then_the_articles_then_others_then_all_again)
{
    static const char own[] = "\xC3\x84pfel sind rot. Rot ist gut.", article[] = "Zweiter Absatz.";
    static const char *const others[] = {"Dritter Absatz.", "Vierter.", "F\xC3\xBCnfter."};
    int most = 0;
    write_file(squad);
    for (int length = 118; length < 200; length += 2) {
        struct tasks_opened o;
        struct dataset_item item = {0};
        struct err e = {0};
        struct str prompt = {0};
        char *copy, *text[MAX_DOC];
        ck_assert_int_eq(file_of("qa_1", 0, length, ",file=build/test_qa.json", TASKS_FOURS, &o), 2);
        ck_assert_msg(o.ops->item(o.self, 0, 1, o.ops->max_new_tokens, &item, &e) == 0, "%s", e.msg);
        tasks_prompt(&item, 0, &prompt);
        int n = documents(prompt.p, &copy, text), whole = count_of(text, n, own) + count_of(text, n, article),
            distinct = 0;
        for (int i = 0; i < 3; i++) {
            whole += count_of(text, n, others[i]);
            distinct += count_of(text, n, others[i]) > 0;
        }
        ck_assert(whole == n || whole == n - 1); /* the last one may be cut off */
        ck_assert_int_eq(count_of(text, n, own), (whole + 4) / 5);
        ck_assert_int_eq(count_of(text, n, article), (whole + 3) / 5);
        ck_assert_int_eq(distinct, whole < 2 ? 0 : whole > 5 ? 3 : whole - 2);
        ck_assert_int_eq(item.n_evidence, count_of(text, n, own));
        for (int s = 0; s < item.n_evidence; s++) {
            ck_assert_int_eq((int)(item.evidence[s].end - item.evidence[s].begin), 3);
            ck_assert(memcmp(item.context + item.evidence[s].begin, "rot", 3) == 0);
        }
        ck_assert_int_eq(item.question->n_answer, 1);
        most = whole > most ? whole : most;
        mem_free(copy);
        str_free(&prompt);
        dataset_item_fini(&item);
        tasks_close(&o);
    }
    ck_assert_int_ge(most, 7);
}
END_TEST

START_TEST(the_seed_shuffles_the_questions_only_when_asked_to)
{
    struct tasks_opened o;
    char first[3][200];
    static const char *const more[] = {"", ",order=shuffled"};
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        int n = file_of("qa_1", 1, 1024, more[shuffled], TASKS_FOURS, &o), seen = 0;
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct dataset_item item = {0};
            ck_assert_int_eq(o.ops->item(o.self, 0, seed, 32, &item, NULL), 0);
            snprintf(first[seed - 1], sizeof first[0], "%s", item.question->text);
            dataset_item_fini(&item);
        }
        ck_assert_int_eq(!strcmp(first[0], first[1]) && !strcmp(first[0], first[2]), !shuffled);
        struct str all = {0};
        for (int i = 0; i < n; i++) { /* every question once */
            struct dataset_item item = {0};
            ck_assert_int_eq(o.ops->item(o.self, i, 5, 32, &item, NULL), 0);
            seen += strstr(str_c(&all), item.question->text) == NULL;
            str_add(&all, item.question->text);
            dataset_item_fini(&item);
        }
        ck_assert_int_eq(seen, n);
        str_free(&all);
        tasks_close(&o);
    }
}
END_TEST

START_TEST(depth_places_the_documents_that_the_answer_rests_on)
{
    static const struct {
        const char *more;
        double low, high;
    } c[] = {{",depth=0", 0, 0}, {",depth=50", 0.45, 0.55}, {",depth=100", 0.85, 1}};
    /* lengths at which no document comes twice */
    for (int i = 0; i < 3; i++) {
        struct tasks_opened o;
        struct dataset_item item = {0};
        struct str prompt = {0};
        char *copy, *text[MAX_DOC];
        int at = -1;
        file_of(names[_i], 1, _i ? 1000 : 1800, c[i].more, TASKS_FOURS, &o);
        ck_assert_int_eq(o.ops->item(o.self, 4, 1, 32, &item, NULL), 0);
        tasks_prompt(&item, 0, &prompt);
        int n = documents(prompt.p, &copy, text);
        size_t first = item.n_context;
        for (int s = 0; s < item.n_evidence; s++)
            first = item.evidence[s].begin < first ? item.evidence[s].begin : first;
        for (int d = 0; d < n; d++)
            at = (size_t)(text[d] - copy) <= first ? d : at;
        double share = (double)at / (n - 1);
        ck_assert_msg(share >= c[i].low && share <= c[i].high, "%s%s: document %d of %d", names[_i], c[i].more, at + 1,
                      n);
        mem_free(copy);
        str_free(&prompt);
        dataset_item_fini(&item);
        tasks_close(&o);
    }
}
END_TEST

START_TEST(hotpot_facts_are_sentences_and_those_that_point_nowhere_are_passed_over)
{
    write_file(
        "[{\"_id\":\"x\",\"question\":\"Q?\",\"answer\":\"yes\",\"supporting_facts\":[[\"B\",1],[\"B\",7],[\"C\",0]],"
        "\"context\":[[\"A\",[\"One.\",\" Two.\"]],[\"B\",[\"Three.\",\" Four.\"]]]},"
        "{\"question\":\"R?\",\"answer\":\"Two\",\"context\":[[\"A\",[\"One.\",\" Two.\"]],[\"D\",[\"Two Two.\"]]]}]");
    struct tasks_opened o;
    struct dataset_item item = {0};
    ck_assert_int_eq(file_of("qa_2", 1, 60, ",file=build/test_qa.json", TASKS_FOURS, &o), 2);
    ck_assert_int_eq(o.ops->item(o.self, 0, 1, 32, &item, NULL), 0);
    ck_assert_ptr_nonnull(strstr(item.context, ":\nA\nOne. Two."));
    ck_assert_int_ge(item.n_evidence, 1);
    ck_assert(memcmp(item.context + item.evidence[0].begin, "Four.", 5) == 0 &&
              item.evidence[0].end - item.evidence[0].begin == 5);
    dataset_item_fini(&item);
    ck_assert_int_eq(o.ops->item(o.self, 1, 1, 32, &item, NULL), 0);
    ck_assert_int_ge(item.n_evidence, 3);
    for (int s = 0; s < item.n_evidence; s++)
        ck_assert(memcmp(item.context + item.evidence[s].begin, "Two", 3) == 0);
    dataset_item_fini(&item);
    tasks_close(&o);
}
END_TEST

START_TEST(a_question_that_does_not_fit_and_files_that_are_broken_are_refused)
{
    static const struct {
        int hotpot;
        const char *text, *what;
    } c[] = {
        {0, "{\"data\":", "test_qa.json:1:"},
        {0, "[]", "'data' is missing, or no list"},
        {0, "{\"data\":[]}", "no question that has an answer"},
        {0, "{\"data\":[{}]}", "data[0]: 'paragraphs' is missing"},
        {0, "{\"data\":[{\"paragraphs\":[{\"context\":\"c\"}]}]}", "data[0].paragraphs[0]: 'qas' is missing"},
        {0, "{\"data\":[{\"paragraphs\":[{\"context\":\"\",\"qas\":[]}]}]}",
         "data[0].paragraphs[0]: 'context' is missing, empty"},
        {0, "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{\"question\":\"q\"}]}]}]}",
         "paragraphs[0].qas[0]: 'answers' is missing"},
        {0, "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{\"question\":\"q\",\"answers\":[]}]}]}]}",
         "qas[0]: 'answers' is empty"},
        {0, "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{\"question\":\"q\",\"answers\":[{}]}]}]}]}",
         "qas[0]: 'text' is missing"},
        {1, "{}", "expected a list of records, as HotpotQA's files are"},
        {1, "[]", "no question"},
        {1, "[{\"question\":\"q\",\"answer\":\"a\"}]", "[0]: 'context' is missing"},
        {1, "[{\"question\":\"q\",\"answer\":\"a\",\"context\":[]}]", "[0]: 'context' is empty"},
        {1, "[{\"question\":\"q\",\"answer\":\"a\",\"context\":[[\"t\",\"s\"]]}]", "[0]: 'context' holds something"},
        {1, "[{\"question\":\"q\",\"answer\":\"a\",\"context\":[[\"t\",[1]]]}]", "[0]: 'context' holds something"},
        {1, "[{\"question\":\"q\",\"answer\":7,\"context\":[]}]", "[0]: 'answer' is missing, empty or no text"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tasks_opened o;
        struct err e;
        memset(&e, 0xFF, sizeof e);
        write_file(c[i].text);
        ck_assert_int_eq(tasks_try_open(&o, names[c[i].hotpot], "file=build/test_qa.json", TASKS_FOURS, &e), -1);
        ck_assert_msg(strstr(e.msg, c[i].what) && strstr(e.msg, "build/test_qa.json"), "case %zu: %s", i, e.msg);
        tasks_close(&o);
    }
    struct tasks_opened o;
    struct dataset_item item = {0};
    struct err e = {0};
    tasks_open(&o, "qa_2", "length=128", TASKS_FOURS);
    ck_assert_int_eq(o.ops->item(o.self, 1, 1, 32, &item, &e), -1);
    ck_assert_msg(strstr(e.msg, "qa_2.json: question 'h02' and its own documents: the shortest prompt has"), "%s",
                  e.msg);
    tasks_close(&o);
}
END_TEST

Suite *make_qa_suite(void)
{
    Suite *s = suite_create("qa");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, the_document_that_the_question_is_about_holds_the_answer, 0, 2);
    tcase_add_loop_test(t, samples_have_their_length_their_evidence_and_are_the_same_again, 0, 4);
    tcase_add_test(t, own_paragraphs_come_first_then_the_articles_then_others_then_all_again);
    tcase_add_test(t, the_seed_shuffles_the_questions_only_when_asked_to);
    tcase_add_loop_test(t, depth_places_the_documents_that_the_answer_rests_on, 0, 2);
    tcase_add_test(t, hotpot_facts_are_sentences_and_those_that_point_nowhere_are_passed_over);
    tcase_add_test(t, a_question_that_does_not_fit_and_files_that_are_broken_are_refused);
    suite_add_tcase(s, t);
    return s;
}
