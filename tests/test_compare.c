/* harness/compare and harness/base/csv: cells are matched by what they are; what is discrete is exact, what is worse
 * has a direction, and tables that can't be compared are refused by file and line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/report/compare.h"
#include "tests/suites.h"

static char dir[] = "/tmp/depthkv-compare-XXXXXX";

static void setup(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void teardown(void)
{
    unlink("a");
    unlink("b");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void write_file(const char *name, const char *text)
{
    struct err e;
    ck_assert_msg(fs_write_atomic(name, text, strlen(text), &e) == 0, "%s", e.msg);
}

/* ---- csv ------------------------------------------------------------------------------------- */

START_TEST(fields_come_back_as_written)
{
    static const char *const text[] = {"",         "plain", "a,b",   "say \"so\"", "two\nlines", "\"",
                                       "\xc3\xa9", "=1+1",  "'=1+1", "'x",         "-"};
    enum { N = sizeof text / sizeof *text };
    struct quote s = {.language = QUOTE_CSV};
    struct csv c;
    quote_add(&s, "a,b,c,d,e,f,g,h,i,j,k\n");
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < N; i++)
            if (i == N - 1)
                quote_add(&s, "%s\n", text[i]);
            else
                quote_add(&s, "%s,", text[i]);
    ck_assert_ptr_nonnull(strstr(s.page.p, "\"'=1+1\",\"''=1+1\",\"'x\",\"'-\"\n"));
    write_file("a", s.page.p);
    ck_assert_int_eq(csv_read("a", &c, NULL), 0);
    ck_assert_int_eq(c.n_column, N);
    ck_assert_int_eq(c.n_row, 3);
    for (int i = 0; i < N; i++) {
        ck_assert_str_eq(csv_at(&c, 1, i), text[i]);
        ck_assert_str_eq(csv_at(&c, 2, i), text[i]);
    }
    ck_assert_int_eq(c.line[1], 2);
    ck_assert_int_eq(c.line[2], 4); /* the first row takes two lines */
    csv_free(&c);
    csv_free(&c);
    quote_free(&s);
}
END_TEST

START_TEST(line_ends_of_every_kind_and_none_at_the_end)
{
    static const char *const text[] = {"a,b\n1,\n", "a,b\r\n1,\r\n", "a,b\n1,", "\"a\",\"b\"\n\"1\",\"\""};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct csv c;
        struct err e;
        write_file("a", text[i]);
        ck_assert_msg(csv_read("a", &c, &e) == 0, "%d: %s", (int)i, e.msg);
        ck_assert_int_eq(c.n_row, 2);
        ck_assert_int_eq(csv_column(&c, "b"), 1);
        ck_assert_int_eq(csv_column(&c, "c"), -1);
        ck_assert_str_eq(csv_at(&c, 1, 0), "1");
        ck_assert_str_eq(csv_at(&c, 1, 1), "");
        csv_free(&c);
    }
}
END_TEST

START_TEST(what_is_no_table_is_refused_by_line)
{
    static const struct {
        const char *text, *want;
    } c[] = {{"", "a: empty, expected a header"},
             {"a,b\n1,2\n1\n", "a:3: 1 fields, expected 2 as in the header"},
             {"a,b\n1,2,3\n", "a:2: 3 fields, expected 2 as in the header"},
             {"a,b\n1,2\n\n", "a:3: 1 fields, expected 2 as in the header"},
             {"a,b\n\"1\n2,3\n", "a:2: a quote that is not closed"},
             {"a,b,a\n", "a:1: column 'a' twice"}};
    struct csv t;
    struct err e;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        strcpy(e.msg, "garbage");
        write_file("a", c[i].text);
        ck_assert_int_eq(csv_read("a", &t, &e), -1);
        ck_assert_str_eq(e.msg, c[i].want);
        ck_assert_int_eq(e.code, ERR_FORMAT);
    }
    ck_assert_int_eq(fs_write_atomic("a", "a\n\0\n", 4, NULL), 0);
    ck_assert_int_eq(csv_read("a", &t, &e), -1);
    ck_assert_str_eq(e.msg, "a: holds a NUL byte");
    ck_assert_int_eq(csv_read("nosuch", &t, &e), -1);
    ck_assert_str_eq(e.msg, "nosuch: No such file or directory");
}
END_TEST

/* ---- compare --------------------------------------------------------------------------------- */

#define HEAD "cell,policy,metric,n,cache_bytes,cache_bytes_end,score,score_se,kl,recall,prefill_s\n"
#define FULL "f,full,f1,2,100,100,1,0,0,1,0.5\n"
#define HALF "h,h2o,f1,2,50,50,0.5,0.1,0.2,0.25,0.5\n"
#define BASE HEAD FULL HALF

enum { WORSE, BOTH, ALL }; /* --both, --all */

/* The verdicts of a comparison and the columns they are about, as "worse kl;", with the count that decides. */
static void check_pair(const char *base, const char *now, int which, const char *want)
{
    struct compare_options o = {.rtol = 0.01, .atol = 0.001, .both = which == BOTH, .all = which == ALL, .json = 1};
    struct compare_count n;
    struct str out = {0}, got = {0};
    struct err e;
    write_file("a", base);
    write_file("b", now);
    ck_assert_msg(compare_cells("a", "b", &o, &out, &n, &e) == 0, "%s", e.msg);
    for (const char *p = str_c(&out); *p; p = strchr(p, '\n') + 1) {
        char verdict[16], column[32] = "-";
        ck_assert_int_eq(sscanf(p, "{\"verdict\":\"%15[a-z]\"", verdict), 1);
        sscanf(strstr(p, "\"column\":"), "\"column\":\"%31[a-z0-9_]\"", column);
        str_addf(&got, "%s %s;", verdict, column);
    }
    ck_assert_msg(strcmp(str_c(&got), want) == 0, "expected '%s', found '%s' in\n%s", want, str_c(&got), now);
    int bad = strstr(want, "worse") || strstr(want, "missing") || strstr(want, "differs") || strstr(want, "moved") ||
              (which != WORSE && strstr(want, "better"));
    ck_assert_int_eq(compare_failed(&n) != 0, bad);
    str_free(&out);
    str_free(&got);
}

START_TEST(a_table_equals_itself_in_any_order_and_at_any_speed)
{
    check_pair(BASE, BASE, ALL, "");
    check_pair(BASE, HEAD HALF FULL, ALL, "");
    check_pair(BASE, HEAD FULL "h,h2o,f1,2,50,50,0.50,0.1,2e-1,0.25,99\n", ALL, "");
    check_pair("cell,cache_bytes_end,kl,score\nx,1,0.2,0.3\n", "score,cell,kl,cache_bytes_end\n0.3,x,0.2,1\n", ALL, "");
    check_pair("cell,cache_bytes_end,kl,score\nx,1,0.2,0.3\n", "kl,cell,score,cache_bytes_end\n0.3,x,0.2,1\n", ALL,
               "worse kl;worse score;");
}
END_TEST

START_TEST(discrete_columns_are_exact_and_measured_ones_have_a_direction)
{
    static const struct {
        const char *row;
        const char *want[3];
    } c[] = {{"h,h2o,f1,3,50,50,0.5,0.1,0.2,0.25,1\n", {"differs n;", "differs n;", "differs n;"}},
             {"h,tova,f1,2,50,50,0.5,0.1,0.2,0.25,1\n", {"differs policy;", "differs policy;", "differs policy;"}},
             {"h,h2o,f1,2,50.0001,50,0.5,0.1,0.2,0.25,1\n",
              {"differs cache_bytes;", "differs cache_bytes;", "differs cache_bytes;"}},
             /* 0.001 + 0.01 x 0.2 = 0.003; 0.001 + 0.01 x 0.5 = 0.006 */
             {"h,h2o,f1,2,50,50,0.4941,0.1,0.2029,0.25,1\n", {"", "", ""}},
             {"h,h2o,f1,2,50,50,0.4939,0.1,0.2031,0.25,1\n",
              {"worse score;worse kl;", "worse score;worse kl;", "worse score;worse kl;"}},
             {"h,h2o,f1,2,50,50,0.5061,0.1,0.1969,0.25,1\n",
              {"better score;better kl;", "better score;better kl;", "better score;better kl;"}},
             {"h,h2o,f1,2,50,50,0.5,0.2,0.2,0.2,1\n", {"", "", "moved score_se;moved recall;"}},
             {"h,h2o,f1,2,50,50,0.5,0.1,,0.25,1\n", {"differs kl;", "differs kl;", "differs kl;"}}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (int which = WORSE; which <= ALL; which++) {
            struct str now = {0};
            str_addf(&now, "%s%s%s", HEAD, FULL, c[i].row);
            check_pair(BASE, now.p, which, c[i].want[which]);
            str_free(&now);
        }
    /* of some metrics less is better */
    check_pair("cell,metric,cache_bytes_end,score\nx,nll,1,2\n", "cell,metric,cache_bytes_end,score\nx,nll,1,2.1\n",
               WORSE, "worse score;");
    check_pair("cell,metric,cache_bytes_end,score\nx,nll,1,2\n", "cell,metric,cache_bytes_end,score\nx,nll,1,1\n",
               WORSE, "better score;");
}
END_TEST

START_TEST(cells_and_columns_that_are_gone_fail_and_new_ones_do_not)
{
    check_pair(BASE, HEAD HALF, WORSE, "missing -;");
    check_pair(HEAD HALF, BASE, ALL, "extra -;");
    check_pair("cell,cache_bytes_end,kl\nx,1,0\n", "cell,cache_bytes_end,nll\nx,1,0\n", WORSE, "differs kl;");
    check_pair("cell,cache_bytes_end,kl,f1,old_s\nx,1,0,1,1\n", "cell,cache_bytes_end,kl,new,new_s\nx,1,0,7,7\n", WORSE,
               "");
    check_pair("cell,cache_bytes_end,kl,f1,old_s\nx,1,0,1,1\n", "cell,cache_bytes_end,kl,new,new_s\nx,1,0,7,7\n", ALL,
               "differs f1;");
}
END_TEST

#define ON "cell,samples,data,cache_bytes_end,n,score\n"

START_TEST(cells_of_other_data_are_neither_better_nor_worse)
{
    struct compare_options o = {.rtol = 0.01};
    struct compare_count n;
    struct str out = {0};
    check_pair(ON "x,0..3,ab,1,4,0.5\n", ON "x,4..7,cd,1,4,0.75\n", WORSE, "differs samples;");
    check_pair(ON "x,4..7,cd,1,4,0.75\n", ON "x,0..3,ab,1,4,0.5\n", ALL, "differs samples;");
    check_pair(ON "x,0..3,ab,1,4,0.5\n", ON "x,0..3,ab,1,4,0.25\n", WORSE, "worse score;");
    check_pair(ON "x,0..3,ab,1,4,0.5\ny,0..3,ab,1,4,0.5\n", ON "x,0..3,ef,1,4,1\ny,0..3,ab,1,4,1\n", WORSE,
               "differs samples;better score;");
    /* an older version does not say which data: what it does say must still agree */
    check_pair("cell,cache_bytes_end,n,score\nx,1,4,0.5\n", ON "x,4..7,cd,1,4,0.25\n", WORSE, "worse score;");
    check_pair(ON "x,4..7,cd,1,4,0.25\n", "cell,cache_bytes_end,n,score\nx,1,4,0.5\n", WORSE, "better score;");
    check_pair(ON "x,4..7,,1,4,0.25\n", ON "x,0..3,cd,1,4,0.25\n", ALL, "");
    write_file("a", ON "x,0..3,ab,1,4,0.5\ny,0,ab,1,1,1\nz,0,,1,1,1\n");
    write_file("b", ON "x,4..7,cd,1,4,0.5\ny,0,cd,1,1,1\nz,0,cd,1,1,1\n");
    ck_assert_int_eq(compare_cells("a", "b", &o, &out, &n, NULL), 0);
    ck_assert_str_eq(
        out.p,
        "differs  x: samples 4..7, expected 0..3\ndiffers  y: samples 0 of other prompts or answers, expected 0\n");
    ck_assert_int_eq(n.n_cell, 1);
    ck_assert_int_eq(n.other_data, 2);
    ck_assert_int_eq(n.unknown, 1);
    ck_assert(compare_failed(&n));
    str_free(&out);
}
END_TEST

START_TEST(tables_that_can_not_be_compared_are_refused)
{
    static const struct {
        const char *base, *now, *want;
    } c[] = {{"cell,cache_bytes_end\nx,1\nx,2\n", "cell,cache_bytes_end\nx,1\n", "a:3: cell x twice"},
             {"cell,cache_bytes_end\nx,1\n", "cell,cache_bytes_end\ny,1\n\"y\",1\n", "b:3: cell y twice"},
             {"task,n\nx,1\n", "cell,cache_bytes_end\nx,1\n", "a:1: column 'cell' missing: no cells.csv"},
             {"cell,n\nx,1\n", "cell,n\nx,1\n", "a:1: column 'cache_bytes_end' missing: no cells.csv"},
             /* nothing to compare must not read as nothing worse */
             {"cell,cache_bytes_end\n", "cell,cache_bytes_end\nx,1\n", "a: no cells"},
             {"cell,cache_bytes_end\nx,1\n", "cell,cache_bytes_end\n", "b: no cells"},
             {"cell,cache_bytes_end,n\nx,1,0\ny,1,0\n", "cell,cache_bytes_end,n\nx,1,0\ny,1,0\n",
              "a: no cell has a row that counts (n is 0 in all of them)"},
             {"cell,cache_bytes_end,kl\nx,1,1\n", "cell,cache_bytes_end,kl\nx,1,lots\n",
              "b:2: kl: expected a number, found 'lots'"},
             {"cell,cache_bytes_end,kl\nx,1,nan\n", "cell,cache_bytes_end,kl\nx,1,1\n",
              "a:2: kl: expected a number, found 'nan'"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct compare_options o = {0};
        struct compare_count n;
        struct str out = {0};
        struct err e = {.msg = "garbage"};
        write_file("a", c[i].base);
        write_file("b", c[i].now);
        ck_assert_int_eq(compare_cells("a", "b", &o, &out, &n, &e), -1);
        ck_assert_str_eq(e.msg, c[i].want);
        ck_assert_int_eq(e.code, ERR_FORMAT);
        str_free(&out);
    }
}
END_TEST

Suite *make_compare_suite(void)
{
    Suite *s = suite_create("compare");
    TCase *t = tcase_create("compare");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, fields_come_back_as_written);
    tcase_add_test(t, line_ends_of_every_kind_and_none_at_the_end);
    tcase_add_test(t, what_is_no_table_is_refused_by_line);
    tcase_add_test(t, a_table_equals_itself_in_any_order_and_at_any_speed);
    tcase_add_test(t, discrete_columns_are_exact_and_measured_ones_have_a_direction);
    tcase_add_test(t, cells_and_columns_that_are_gone_fail_and_new_ones_do_not);
    tcase_add_test(t, cells_of_other_data_are_neither_better_nor_worse);
    tcase_add_test(t, tables_that_can_not_be_compared_are_refused);
    suite_add_tcase(s, t);
    return s;
}
