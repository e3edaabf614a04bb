/* harness/report/message: every kind of the table reaches the terminal, the pages and messages.json in the same words;
 * and what rows are like is found out from them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/report/aggregate.h"
#include "harness/report/message.h"
#include "harness/report/report.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
    setenv("PATH", dir, 1); /* no gnuplot there: pictures are not this suite's */
}

static void teardown(void)
{
    rows_leave();
}

/* One of every kind, in the table's order; numbers from 2, and letters for texts. */
static struct message_list one_of_each(void)
{
    struct message_list l = {0};
    for (int k = 0; k < MESSAGE_END; k++)
        message_add(&l, (enum message_kind)k, &(struct message_values){{2, 3, 4}, {"Some", "Other", "More"}});
    return l;
}

static char *shown(const struct message_list *l, const char *about)
{
    char *path = rows_path("shown");
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    message_show(l, about, f);
    fclose(f);
    mem_free(path);
    return rows_read("shown");
}

START_TEST(words_take_their_values)
{
    struct message_list l = {0};
    message_add(&l, MESSAGE_CUT_OFF, &(struct message_values){.number = {39, 60}});
    message_add(&l, MESSAGE_REPLACED, &(struct message_values){.number = {1}});
    message_add(&l, MESSAGE_REPLACED, &(struct message_values){.number = {2}});
    message_add(&l, MESSAGE_FAILED, &(struct message_values){.number = {3}, .text = {"why {a}", "id"}});
    ck_assert_str_eq(rows_told(&l), "39 of 60 outputs were cut off by max_new_tokens; raise it if answers may be "
                                    "longer; 1 row gave way to later ones of the same cell, sample and question; 2 "
                                    "rows gave way to later ones of the same cell, sample and question; 3 rows failed, "
                                    "first: why {a} (cell id)");
    message_drop(&l, MESSAGE_REPLACED);
    ck_assert_int_eq(l.n, 2);
    ck_assert(message_has(&l, MESSAGE_CUT_OFF) && !message_has(&l, MESSAGE_REPLACED));
    message_list_free(&l);
}
END_TEST

START_TEST(every_kind_has_an_id_and_whole_words)
{
    struct message_list l = one_of_each();
    for (int k = 0; k < MESSAGE_END; k++) {
        const struct message_ops *m = message_at((enum message_kind)k);
        ck_assert_msg(m->id && *m->id && m->text && *m->text, "kind %d", k);
        for (int i = 0; i < k; i++)
            ck_assert_str_ne(message_at((enum message_kind)i)->id, m->id);
        ck_assert_msg(!strpbrk(l.v[k].text, "{}"), "%s: %s", m->id, l.v[k].text);
    }
    message_list_free(&l);
}
END_TEST

/* A message has a line of its own in a page, in the page's language. */
static void check_page(const struct message_list *l, enum quote_language language)
{
    struct quote page = {.language = language};
    message_page(l, &page);
    for (int i = 0; i < l->n; i++) {
        const struct message_ops *m = message_at(l->v[i].kind);
        struct quote words = {.language = language};
        const char *severity = m->severity == MESSAGE_NOTE ? "note" : "warning";
        if (language == QUOTE_LATEX)
            quote_add(&words, "\n%% %s: %s\n", severity, l->v[i].text);
        else if (language == QUOTE_HTML)
            quote_add(&words, "<p>%s: %s</p>\n", severity, l->v[i].text);
        else
            quote_add(&words, "\n**%s**: %s\n", severity, l->v[i].text);
        ck_assert_msg((strstr(str_c(&page.page), words.page.p) != NULL) == m->of_results, "%s: %s", m->id,
                      str_c(&page.page));
        quote_free(&words);
    }
    quote_free(&page);
}

START_TEST(every_kind_is_told_everywhere_in_the_same_words)
{
    struct message_list l = one_of_each();
    struct str json = {0};
    struct err e;
    char *terminal = shown(&l, "DIR");
    message_json(&l, &json);
    struct json *list = json_parse("messages", json.p, json.n, &e);
    ck_assert_msg(list != NULL, "%s", e.msg);
    const struct json *next = json_first(list);
    for (int k = 0; k < MESSAGE_END; k++) {
        const struct message_ops *m = message_at((enum message_kind)k);
        const char *severity = m->severity == MESSAGE_NOTE ? "note" : "warning";
        struct str line = {0};
        str_addf(&line, "%s: DIR: %s\n", severity, l.v[k].text);
        ck_assert_msg(strstr(terminal, line.p) != NULL, "the terminal lacks %s", line.p);
        str_free(&line);
        if (!m->of_results)
            continue;
        ck_assert_ptr_nonnull(next);
        ck_assert_str_eq(json_string(json_get(next, "id")), m->id);
        ck_assert_str_eq(json_string(json_get(next, "severity")), severity);
        ck_assert_str_eq(json_string(json_get(next, "text")), l.v[k].text);
        next = json_next(next);
    }
    ck_assert_ptr_null(next);
    check_page(&l, QUOTE_MARKDOWN);
    check_page(&l, QUOTE_LATEX);
    check_page(&l, QUOTE_HTML);
    json_free(list);
    mem_free(terminal);
    str_free(&json);
    message_list_free(&l);
}
END_TEST

/* ---- found out from rows --------------------------------------------------------------------- */

/* A row with more in it than rows_fake says: `more` stands in front of its last brace. */
static void add_row(struct str *s, const struct rows_fake *f, const char *more)
{
    struct str line = {0};
    rows_add_fake(&line, f);
    str_addn(s, line.p, line.n - strlen("}\n"));
    str_addf(s, "%s}\n", more);
    str_free(&line);
}

START_TEST(what_rows_are_like_stands_in_every_file_of_a_report)
{
    static const enum message_kind want[] = {MESSAGE_FAILED, MESSAGE_NOT_APPLICABLE, MESSAGE_CUT_OFF,
                                             MESSAGE_PROTECTION_CUT, MESSAGE_FEW_SAMPLES};
    static const char *const file[] = {"table.md", "table.tex", "index.html", "messages.json"};
    static const char *const words[] = {"1 row failed, first: out of luck (cell d)",
                                        "n/a: 1 row, first: nothing is left (cell e)", "1 of 3 outputs were cut off by",
                                        "in 1 of 3 rows the protected entries did not fit",
                                        "3 of 3 cells stand on fewer than 5 contexts"};
    struct rows_fake f = {"a", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = "ok"};
    struct str s = {0};
    struct message_list l = {0};
    struct err e;
    add_row(&s, &f, ",\"finish_reason\":\"eos\"");
    f = (struct rows_fake){"b", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.25, .status = "ok"};
    add_row(&s, &f, ",\"finish_reason\":\"length\"");
    f = (struct rows_fake){"c", 2, 0, "c0", "q", "knorm", "0.25", 1, 0.5, 0.25, .status = "ok"};
    add_row(&s, &f, ",\"finish_reason\":\"stop\",\"protection_cut\":true");
    f = (struct rows_fake){"d", 3, 0, "c0", "q", "knorm", "0.1", 1, 0, 0, .status = "failed"};
    add_row(&s, &f, ",\"reason\":\"out of luck\",\"finish_reason\":\"length\"");
    f = (struct rows_fake){"e", 4, 0, "c0", "q", "knorm", "0.2", 1, 0, 0, .status = "skipped"};
    add_row(&s, &f, ",\"reason\":\"nothing is left\"");
    rows_write("rows.jsonl", s.p);
    ck_assert_msg(report_write(dir, &l, &e) == 0, "%s", e.msg);
    for (size_t k = 0; k < sizeof want / sizeof *want; k++)
        ck_assert_msg(message_has(&l, want[k]) && strstr(rows_told(&l), words[k]), "%s: %s", words[k], rows_told(&l));
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char *text = rows_read(file[i]);
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            ck_assert_msg(strstr(text, words[k]) != NULL, "%s lacks '%s'", file[i], words[k]);
        ck_assert_msg(!strstr(text, "gnuplot is not installed"), "%s tells of this machine", file[i]);
        mem_free(text);
    }
    message_list_free(&l);
    str_free(&s);
}
END_TEST

START_TEST(results_without_doubts_say_nothing)
{
    struct str s = {0};
    struct message_list l = {0};
    for (int i = 0; i < 5; i++) {
        char context[16];
        snprintf(context, sizeof context, "c%d", i);
        struct rows_fake f = {"a", 0, i, context, "q", "full", "", 1, 1, 0, .status = "ok"};
        add_row(&s, &f, ",\"finish_reason\":\"eos\",\"protection_cut\":false");
    }
    rows_write("rows.jsonl", s.p);
    ck_assert_int_eq(report_write(dir, &l, NULL), 0);
    char *json = rows_read("messages.json"), *md = rows_read("table.md");
    ck_assert_str_eq(json, "[]\n");
    ck_assert_ptr_null(strstr(md, "**"));
    mem_free(json);
    mem_free(md);
    message_list_free(&l);
    str_free(&s);
}
END_TEST

/* Two layers of 10 entries each, of which the first has a window and sees 10 of 40. */
#define WINDOW ",\"windows\":\"keep\",\"n\":40,\"attention_lost\":[null,0]"
static const char windows_told[] = "model m: 1 of 2 layers have a window and are never pruned: keep is of the other 1, "
                                   "which hold 50 % of the full cache's bytes at 40 tokens";

static int tells_windows(const struct rows_fake *f, int n)
{
    struct str s = {0};
    struct message_list l = {0};
    struct aggregate a;
    for (int i = 0; i < n; i++)
        rows_add_fake(&s, &f[i]);
    rows_write("rows.jsonl", s.p);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    aggregate_tell(&a, &l);
    int has = message_has(&l, MESSAGE_WINDOWS);
    ck_assert_int_eq(strstr(rows_told(&l), windows_told) != NULL, has);
    message_list_free(&l);
    aggregate_free(&a);
    str_free(&s);
    return has;
}

START_TEST(a_model_with_windows_is_told_where_they_are_kept)
{
    struct rows_fake f[] = {{"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .more = WINDOW},
                            {"g", 1, 0, "c0", "q", "full", "", 1, 1, 0, .task = "u", .more = WINDOW},
                            {"k", 2, 0, "c0", "q", "knorm", "0.5", 1, 1, 0.5, .more = WINDOW}};
    ck_assert_int_eq(tells_windows(f, 3), 1);
    ck_assert_int_eq(tells_windows(f, 2), 0); /* nothing is pruned */
    f[2].more = ",\"windows\":\"prune\",\"n\":40,\"attention_lost\":[0.5,0.5]";
    ck_assert_int_eq(tells_windows(f, 3), 0);
    f[2].more = WINDOW;
    f[0].more = f[1].more = ",\"windows\":\"keep\",\"n\":10,\"attention_lost\":[0,0]"; /* has none */
    ck_assert_int_eq(tells_windows(f, 3), 0);
    f[0].more = f[1].more = NULL; /* an older program's */
    ck_assert_int_eq(tells_windows(f, 3), 0);
}
END_TEST

Suite *make_message_suite(void)
{
    Suite *s = suite_create("message");
    TCase *t = tcase_create("message");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, words_take_their_values);
    tcase_add_test(t, every_kind_has_an_id_and_whole_words);
    tcase_add_test(t, every_kind_is_told_everywhere_in_the_same_words);
    tcase_add_test(t, what_rows_are_like_stands_in_every_file_of_a_report);
    tcase_add_test(t, results_without_doubts_say_nothing);
    tcase_add_test(t, a_model_with_windows_is_told_where_they_are_kept);
    suite_add_tcase(s, t);
    return s;
}
