/* Tables and pages of a result folder: their very text, from rows made by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/report/pool.h"
#include "harness/report/report.h"
#include "harness/report/table.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;
static struct message_list messages;

static void setup(void)
{
    dir = rows_enter();
    setenv("PATH", dir, 1); /* no gnuplot there: pictures are not this suite's */
}

static void teardown(void)
{
    message_list_free(&messages);
    rows_leave();
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void fill(struct table *t, const char *const *text, int n)
{
    for (int i = 0; i < n; i++)
        table_add_text(t, text[i]);
}

START_TEST(a_table_is_padded_aligned_and_escaped)
{
    static const char *const text[] = {"policy", "n", "also", "a|b", "12", "x_1 & 2%", "\xc3\xa9", "3", "<i>"};
    struct table t = {.n_column = 3, .left = 1};
    struct quote s = {.language = QUOTE_MARKDOWN};
    fill(&t, text, 9);
    ck_assert_int_eq(t.n_row, 3);
    table_write(&t, &s);
    ck_assert_str_eq(s.page.p, "| policy |   n | also     |\n"
                               "| ------ | --: | -------- |\n"
                               "| a\\|b   |  12 | x_1 & 2% |\n"
                               "| \xc3\xa9      |   3 | \\<i>     |\n");
    quote_free(&s);
    s.language = QUOTE_LATEX;
    table_write(&t, &s);
    ck_assert_str_eq(
        s.page.p,
        "\\begin{tabular}{lrl}\n\\hline\npolicy & n & also \\\\\n\\hline\na\\textbar{}b & 12 & x\\_1 \\& 2\\% \\\\\n"
        "\xc3\xa9 & 3 & \\textless{}i\\textgreater{} \\\\\n\\hline\n\\end{tabular}\n");
    quote_free(&s);
    s.language = QUOTE_HTML;
    table_write(&t, &s);
    ck_assert_str_eq(
        s.page.p, "<table>\n<tr><th class=\"text\">policy</th><th>n</th><th class=\"text\">also</th></tr>\n"
                  "<tr><td class=\"text\">a|b</td><td>12</td><td class=\"text\">x_1 &amp; 2%</td></tr>\n"
                  "<tr><td class=\"text\">\xc3\xa9</td><td>3</td><td class=\"text\">&lt;i&gt;</td></tr>\n</table>\n");
    quote_free(&s);
    table_free(&t);
}
END_TEST

START_TEST(a_column_that_says_nothing_is_dropped)
{
    static const char *const text[] = {"a", "b", "c", "1", "n/a", "x", "2", "n/a", "y"};
    struct table t = {.n_column = 3, .left = 1};
    struct quote s = {.language = QUOTE_MARKDOWN};
    fill(&t, text, 9);
    ck_assert(table_column_is_empty(&t, 1, "n/a") && !table_column_is_empty(&t, 0, "1") &&
              !table_column_is_empty(&t, 1, ""));
    table_drop_column(&t, 1);
    table_write(&t, &s);
    ck_assert_str_eq(s.page.p, "| a   | c   |\n| --- | --- |\n| 1   | x   |\n| 2   | y   |\n");
    table_drop_column(&t, 0); /* the only text column at the left */
    ck_assert_int_eq(t.left, 0);
    ck_assert_int_eq(t.n_column, 1);
    quote_free(&s);
    table_free(&t);
    table_free(&t);
}
END_TEST

/* ---- a folder -------------------------------------------------------------------------------- */

static void write_rows(const struct rows_fake *f, int n)
{
    struct str s = {0};
    for (int i = 0; i < n; i++)
        rows_add_fake(&s, &f[i]);
    rows_write("rows.jsonl", str_c(&s));
    str_free(&s);
}

/* Two samples: full hits both, knorm gets 0.5 twice, snapkv 0.25 and 0.75. Where so few samples have the mean m, the
 * ends are m - m z^2 / (2 + z^2) and m + (1 - m) z^2 / (2 + z^2), of a difference those of (m + 1) / 2 stretched to
 * [-1, 1]. */
static const struct rows_fake rows[] = {
    {"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .bytes = 2097152},
    {"f", 0, 1, "c1", "q", "full", "", 1, 1, 0, .bytes = 2097152},
    {"k", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.25, .bytes = 1048576},
    {"k", 1, 1, "c1", "q", "knorm", "0.5", 1, 0.5, 0.25, .bytes = 1048576},
    {"s", 2, 0, "c0", "q", "snapkv", "0.5", 1, 0.25, 0.5, .bytes = 1048576},
    {"s", 2, 1, "c1", "q", "snapkv", "0.5", 1, 0.75, 0.5, .bytes = 1048576},
    {"w", 3, 0, "c0", "q", "snapkv", "0.5", 1, 0, 0.5, .bytes = 1048576, .window = 64,
     .layer_budget = "{\"proportional\":{\"weights\":[1,2]}}"},
    {"w", 3, 1, "c1", "q", "snapkv", "0.5", 1, 0, 0.5, .bytes = 1048576, .window = 64,
     .layer_budget = "{\"proportional\":{\"weights\":[1,2]}}", .status = "failed"},
};

#define INTERVALS \
    "[ ]: 95 % interval over samples (over contexts, where one has several rows): of fractions the score interval " \
    "(Wilson's for " \
    "hits and misses, Tango's for their paired differences), of what has no range bootstrap percentiles; n/a: fewer " \
    "than two samples, " \
    "or all equal where nothing bounds another; exact: by definition; "
static const char table[] =
    "## t; model m\n"
    "\n"
    "| policy           | layer budget               |  kept | tokens |  MiB | MiB bf16 |   n |                score | "
    "                 - full |      p |         kl | also                   |\n"
    "| ---------------- | -------------------------- | ----: | -----: | ---: | -------: | --: | -------------------: | "
    "----------------------: | -----: | ---------: | ---------------------- |\n"
    "| full             | uniform                    | 1.000 |     10 | 2.00 |      n/a |   2 | 1.000 [0.342, 1.000] | "
    "                    n/a |    n/a |  0 (exact) | after prompt           |\n"
    "| knorm            | uniform                    | 0.500 |     10 | 1.00 |      n/a |   2 | 0.500 [0.171, 0.829] | "
    "-0.500 [-0.829, +0.486] | 0.5000 | 0.25 [n/a] | after prompt           |\n"
    "| snapkv window=32 | uniform                    | 0.500 |     10 | 1.00 |      n/a |   2 | 0.500 [0.171, 0.829] | "
    "-0.500 [-0.829, +0.486] | 0.5000 |  0.5 [n/a] | after prompt           |\n"
    "| snapkv window=64 | proportional weights=[1,2] | 0.500 |     10 | 1.00 |      n/a |   1 |          0.000 [n/a] | "
    "           -1.000 [n/a] |    n/a |  0.5 [n/a] | after prompt; failed 1 |\n"
    "\n"
    "score: f1 (fraction; higher is better); " INTERVALS
    "\"- full\": paired difference to the full cache on the same samples, with its "
    "permutation p; kl: nats per token from the full cache, lower is better.\n";
static const char doubts[] = "\n**warning**: 1 row failed, first:  (cell w)\n"
                             "\n**note**: 4 of 4 cells stand on fewer than 5 contexts: so few say little of others\n";

START_TEST(an_interval_is_told_as_it_is)
{
    static const struct {
        double mean, lo, hi;
        const char *format, *text;
    } c[] = {{0.5, 0.25, 0.75, "%.3f", "0.500 [0.250, 0.750]"},
             {-1, -1, -0.613, "%+.3f", "-1.000 [-1.000, -0.613]"},
             {0.25, NAN, NAN, "%.3g", "0.25 [n/a]"},
             {NAN, 0, 1, "%.3g", "n/a"},
             {0, 0, 0, "%.3g", "0 (exact)"},
             {5.50901, 5.50899, 5.50904, "%.4f",
              "5.50901 [5.50899, 5.50904]"}, /* four digits would say that it has no width */
             {0.9999, 0.9998, 1, "%.3f", "0.9999 [0.9998, 1.0000]"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str s = {0};
        table_interval(&s, c[i].mean, c[i].lo, c[i].hi, c[i].format);
        ck_assert_str_eq(s.p, c[i].text);
        str_free(&s);
    }
}
END_TEST

START_TEST(the_table_is_what_was_computed_by_hand)
{
    struct err e;
    write_rows(rows, 8);
    ck_assert_msg(report_write(dir, &messages, &e) == 0, "%s", e.msg);
    ck_assert_ptr_nonnull(strstr(rows_told(&messages), "gnuplot is not installed; the plots' scripts are in "));
    char *md = rows_read("table.md");
    ck_assert_int_eq(strncmp(md, table, strlen(table)), 0);
    ck_assert_str_eq(md + strlen(table), doubts);
    mem_free(md);
    char *tex = rows_read("table.tex");
    ck_assert_ptr_nonnull(strstr(tex, "knorm & uniform & 0.500 & 10 & 1.00 & n/a & 2 & 0.500 [0.171, 0.829] & -0.500 "
                                      "[-0.829, +0.486] & 0.5000 & 0.25 [n/a] & after prompt \\\\\n"));
    mem_free(tex);
    char *html = rows_read("index.html");
    ck_assert_ptr_nonnull(strstr(html, "<td class=\"text\">snapkv window=64</td>"));
    ck_assert_ptr_nonnull(strstr(html, "<p>1-t-score has no picture: <a href=\"plots/1-t-score.gp\">script</a>"));
    mem_free(html);
    char *profile = rows_path("profile.h5");
    ck_assert(!fs_exists(profile)); /* no layer was pruned alone */
    mem_free(profile);
}
END_TEST

/* A field of cells.csv, by line (from 1) and column name; quoted fields hold commas. */
static char *csv_field(const char *csv, int line, const char *column)
{
    struct str one = {0};
    int want = -1;
    for (int l = 0; l <= line; l++) {
        int at = 0, quoted = 0;
        str_clear(&one);
        for (; *csv && (*csv != '\n' || quoted); csv++) {
            quoted ^= *csv == '"';
            if (*csv == ',' && !quoted) {
                if (l == 0 && want < 0 && strcmp(str_c(&one), column) == 0)
                    want = at;
                if (l == line && at == want)
                    return str_take(&one);
                at++;
                str_clear(&one);
            } else if (*csv != '"') {
                str_addc(&one, *csv);
            }
        }
        if (l == 0 && want < 0 && strcmp(str_c(&one), column) == 0)
            want = at;
        csv++;
    }
    return str_take(&one);
}

START_TEST(cells_csv_has_every_number)
{
    static const struct {
        int line;
        const char *column, *want;
    } c[] = {{1, "cell", "f"},
             {1, "policy", "full"},
             {1, "baseline", ""},
             {1, "n", "2"},
             {1, "score", "1"},
             {1, "score_diff", ""},
             {2, "cell", "k"},
             {2, "baseline", "f"},
             {2, "params", "{window:32}"},
             {2, "budget", "0.5"},
             {2, "keep", "0.5"},
             {2, "keep_tokens", "10"},
             {2, "keep_bytes", "80"},
             {2, "cache_bytes", "1048576"},
             {2, "score", "0.5"},
             {2, "score_se", ""},
             {2, "kl_lo", ""},
             {2, "kl_hi", ""},
             {1, "kl_lo", "0"},
             {1, "kl_hi", "0"},
             {1, "kl_se", "0"},
             {2, "score_diff", "-0.5"},
             {2, "score_diff_p", "0.5"},
             {2, "kl", "0.25"},
             {2, "kl_diff", "0.25"},
             {2, "nll", ""},
             {2, "recall", "0.25"},
             {3, "score", "0.5"},
             {3, "score_se", "0.25"},
             {4, "score_lo", ""},
             {4, "n", "1"},
             {4, "n_failed", "1"},
             {4, "layer_budget", "{proportional:{weights:[1,2]}}"},
             {4, "score_diff", "-1"},
             {4, "score_diff_p", ""}};
    write_rows(rows, 8);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    char *csv = rows_read("cells.csv");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *got = csv_field(csv, c[i].line, c[i].column);
        ck_assert_msg(strcmp(got, c[i].want) == 0, "line %d, %s: '%s', expected '%s'", c[i].line, c[i].column, got,
                      c[i].want);
        mem_free(got);
    }
    mem_free(csv);
}
END_TEST

START_TEST(the_same_rows_in_any_order_give_the_same_files)
{
    static const char *const name[] = {"cells.csv",           "table.md",           "table.tex",      "index.html",
                                       "plots/1-t-score.dat", "plots/1-t-score.gp", "plots/1-t-kl.gp"};
    char *first[7];
    struct rows_fake mixed[8];
    write_rows(rows, 8);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    for (int i = 0; i < 7; i++)
        first[i] = rows_read(name[i]);
    for (int i = 0; i < 8; i++)
        mixed[i] = rows[7 - i];
    write_rows(mixed, 8);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    for (int i = 0; i < 7; i++) {
        char *again = rows_read(name[i]);
        ck_assert_msg(strcmp(first[i], again) == 0, "%s differs:\n%s\n%s", name[i], first[i], again);
        mem_free(again);
        mem_free(first[i]);
    }
}
END_TEST

/* keep 0.5 of what can be pruned is more of all bytes where windows are kept whole. */
START_TEST(a_table_has_both_shares)
{
    struct rows_fake two[] = {{"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .more = ",\"cache_share\":1"},
                              {"k", 1, 0, "c0", "q", "knorm", "0.5", 1, 1, 0, .more = ",\"cache_share\":0.8125"}};
    write_rows(two, 2);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    char *md = rows_read("table.md"), *csv = rows_read("cells.csv");
    struct quote pool = {.language = QUOTE_MARKDOWN};
    ck_assert_ptr_nonnull(strstr(md, "|  kept | of bytes | tokens |"));
    ck_assert_ptr_nonnull(strstr(md, "| 0.500 |    0.812 |     10 |"));
    ck_assert_ptr_nonnull(strstr(md, "kept: share of the entries of layers that are pruned; of bytes: of all that the "
                                     "full cache holds; "));
    ck_assert_ptr_nonnull(strstr(csv, ",cache_bytes,cache_share,"));
    ck_assert_ptr_nonnull(strstr(csv, ",100,0.8125,"));
    ck_assert_int_eq(pool_markdown(dir, &pool, NULL), 0);
    ck_assert_ptr_nonnull(strstr(pool.page.p, "|  kept | of bytes | tasks |"));
    ck_assert_ptr_nonnull(strstr(pool.page.p, "| 0.500 |    0.812 |"));
    quote_free(&pool);
    mem_free(md);
    mem_free(csv);
}
END_TEST

START_TEST(every_task_has_a_table_of_its_own)
{
    struct rows_fake two[16];
    for (int i = 0; i < 16; i++) {
        two[i] = rows[i % 8];
        if (i >= 8) {
            static const char *const cell[] = {"f2", "f2", "k2", "k2", "s2", "s2", "w2", "w2"};
            two[i].task = "u<v>";
            two[i].cell = cell[i - 8];
            two[i].index += 4;
        }
    }
    write_rows(two, 16);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    char *md = rows_read("table.md"), *html = rows_read("index.html");
    ck_assert_int_eq(strncmp(md, table, strlen(table)), 0); /* another task changes nothing in the first one's */
    ck_assert_int_eq(strncmp(md + strlen(table), "\n## u\\<v>; model m\n\n", 20), 0);
    ck_assert_ptr_nonnull(strstr(html, "<h2>u&lt;v&gt;; model m</h2>"));
    ck_assert_ptr_nonnull(strstr(html, "plots/2-u_v_-score.gp"));
    mem_free(md);
    mem_free(html);
}
END_TEST

START_TEST(cells_that_the_experiment_no_longer_has_are_left_out)
{
    char *all, *some;
    write_rows(rows, 4); /* full and knorm alone */
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    all = rows_read("cells.csv");
    write_rows(rows, 8);
    rows_write("manifest.json",
               "{\"baseline\": \"{policy: full}\", \"baselines\": {\"f\": null, \"k\": \"f\", \"new\": \"f\"}}");
    message_list_free(&messages);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    some = rows_read("cells.csv");
    ck_assert_str_eq(some, all);
    ck_assert_ptr_eq(strstr(rows_told(&messages),
                            "left out: 4 rows of 2 cells that the experiment no longer has; there is no "
                            "plan.jsonl (an older version ran this)"),
                     rows_told(&messages));
    mem_free(some);
    mem_free(all);
    char *journal = rows_read("rows.jsonl"); /* they are there still, for whoever puts the cells back */
    ck_assert_ptr_nonnull(strstr(journal, "\"snapkv\""));
    mem_free(journal);
    some = rows_path("manifest.json");
    ck_assert_int_eq(remove(some), 0);
    mem_free(some);
    message_list_free(&messages);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    ck_assert_ptr_null(strstr(rows_told(&messages), "left out"));
    char *md = rows_read("table.md");
    ck_assert_int_eq(strncmp(md, table, strlen(table)), 0);
    mem_free(md);
}
END_TEST

START_TEST(a_folder_without_rows_says_so)
{
    struct err e = {.msg = "garbage"};
    rows_write("rows.jsonl", "");
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    char *md = rows_read("table.md");
    ck_assert_str_eq(md, "No rows yet.\n");
    mem_free(md);
    ck_assert_str_eq(rows_told(&messages), "nothing to plot: no policy but full has a score");
    ck_assert_int_eq(report_write("/nonexistent", &messages, &e), -1);
    ck_assert_str_eq(e.msg, "/nonexistent/rows.jsonl: No such file or directory");
}
END_TEST

#define ONE(l) "{\"single\":{\"layer\":" #l ",\"only\":false}}"

/* Two samples and two layers: layer 1 costs both of them 1 and 0.5, layer 0 nothing. Variance of the means 0 and 0.75
 * below full: 0.28125; permuted within samples it is that (both alike) or (0.25^2) / 2 = 0.03125, each with probability
 * 1/2. */
static const struct rows_fake layers[] = {
    {"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL},
    {"f", 0, 1, "c1", "q", "full", "", 1, 1, 0, .status = NULL},
    {"s1", 1, 0, "c0", "q", "knorm", "0.5", 1, 0, 0.5, .layer_budget = ONE(1), .level = 0.5},
    {"s1", 1, 1, "c1", "q", "knorm", "0.5", 1, 0.5, 0.25, .layer_budget = ONE(1), .level = 0.5},
    {"s0", 2, 0, "c0", "q", "knorm", "0.5", 1, 1, 0, .layer_budget = ONE(0), .level = 0.5},
    {"s0", 2, 1, "c1", "q", "knorm", "0.5", 1, 1, 0, .layer_budget = ONE(0), .level = 0.5},
};
static const char study[] = "### One layer pruned at a time: knorm, keep 0.5; after prompt\n\n"
                            "| layer |   n | score |            score - full | kl                |\n"
                            "| ----: | --: | ----: | ----------------------: | ----------------- |\n"
                            "|     0 |   2 | 1.000 | +0.000 [-0.658, +0.658] | 0 [n/a]           |\n"
                            "|     1 |   2 | 0.250 | -0.750 [-0.953, +0.401] | 0.375 [0.25, 0.5] |\n";

START_TEST(a_layer_study_is_told_with_intervals_and_a_test_of_its_layers)
{
    struct err e;
    double sd, chance, effect, p;
    write_rows(layers, 6);
    ck_assert_msg(report_write(dir, &messages, &e) == 0, "%s", e.msg);
    char *md = rows_read("table.md");
    ck_assert_msg(strstr(md, study) != NULL, "%s", md);
    const char *score = strstr(md, "| score   |       2 |");
    ck_assert_ptr_nonnull(score);
    ck_assert_int_eq(sscanf(score, "| score | 2 | %lf | %lf | %lf | %lf | n/a", &sd, &chance, &effect, &p), 4);
    ck_assert_double_eq_tol(sd, sqrt(0.28125), 5e-4);
    ck_assert_double_eq_tol(chance, sqrt((0.28125 + 0.03125) / 2), 0.01);
    ck_assert_double_eq_tol(effect, 1, 0.06);
    ck_assert_double_eq_tol(p, 0.5, 0.025); /* five standard errors */
    char *html = rows_read("index.html"), *tex = rows_read("table.tex");
    ck_assert_ptr_nonnull(strstr(html, "<h3>One layer pruned at a time: knorm, keep 0.5; after prompt</h3>"));
    ck_assert_ptr_nonnull(strstr(tex, "1 & 2 & 0.250 & -0.750 [-0.953, +0.401] & 0.375 [0.25, 0.5] \\\\\n"));
    mem_free(md);
    mem_free(html);
    mem_free(tex);

    char *studies = rows_path("studies.csv"),
         *profile = rows_path("profile.h5"); /* another experiment in the same folder */
    ck_assert(fs_exists(studies) && fs_exists(profile));
    write_rows(layers, 2);
    message_list_free(&messages);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    ck_assert(!fs_exists(studies) && fs_exists(profile));
    ck_assert_ptr_nonnull(
        strstr(rows_told(&messages), "profile.h5 is of an earlier experiment: this one studies no layers"));
    mem_free(studies);
    mem_free(profile);
}
END_TEST

#define MGA(seed) "{\"sensitivity\":{\"profile\":\"p.h5\",\"shuffle\":" #seed "}}"

/* uniform beats one of four shuffles and ties with two: (1 + 2 / 2) / 4; three do as well, so p = (3 + 1) / 5. */
static const struct rows_fake cloud[] = {
    {"f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .status = NULL},
    {"u", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 2.5, .status = NULL},
    {"m", 2, 0, "c0", "q", "knorm", "0.5", 1, 0.875, 0.5, .layer_budget = MGA(0)},
    {"s1", 3, 0, "c0", "q", "knorm", "0.5", 1, 0.25, 4, .layer_budget = MGA(1)},
    {"s2", 4, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 1, .layer_budget = MGA(2)},
    {"s3", 5, 0, "c0", "q", "knorm", "0.5", 1, 0.75, 2, .layer_budget = MGA(3)},
    {"s4", 6, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 3, .layer_budget = MGA(4)},
    {"o", 7, 0, "c0", "q", "knorm", "0.2", 1, 0.125, 9, .status = NULL},
    {"o1", 8, 0, "c0", "q", "knorm", "0.2", 1, 0.125, 8, .layer_budget = MGA(1)},
};
static const char among[] = "### Among shuffled profiles: knorm, kept 0.500, 4 shuffles; after prompt\n\n"
                            "| layer budget                                  |              score | percentile |      "
                            "p |           kl | percentile | p      |\n"
                            "| --------------------------------------------- | -----------------: | ---------: | "
                            "-----: | -----------: | ---------: | ------ |\n"
                            "| uniform                                       |              0.500 |       50.0 | "
                            "0.8000 |          2.5 |       50.0 | 0.6000 |\n"
                            "| sensitivity                                   |              0.875 |      100.0 | "
                            "0.2000 |          0.5 |      100.0 | 0.2000 |\n"
                            "| sensitivity, shuffled: median (worst to best) | 0.5 (0.25 to 0.75) |        n/a |    "
                            "n/a | 2.5 (4 to 1) |        n/a | n/a    |\n";

START_TEST(every_layer_budget_has_its_place_among_shuffled_profiles)
{
    struct err e;
    write_rows(cloud, 9);
    ck_assert_msg(report_write(dir, &messages, &e) == 0, "%s", e.msg);
    char *md = rows_read("table.md");
    ck_assert_msg(strstr(md, among) != NULL, "%s", md);
    ck_assert_ptr_null(strstr(md, "shuffle=1")); /* no line of its own */
    ck_assert_ptr_nonnull(strstr(md, "kept 0.200, 1 shuffles"));
    mem_free(md);
    char *gp = rows_read("plots/1-t-score.gp");
    ck_assert_msg(
        strstr(gp,
               "using 1:2 with points pt 6 ps 0.7 lc rgb '#aaaaaa' title 'knorm, sensitivity profile=p.h5, shuffled'"),
        "%s", gp);
    mem_free(gp);
}
END_TEST

Suite *make_report_suite(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("report");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_table_is_padded_aligned_and_escaped);
    tcase_add_test(t, a_column_that_says_nothing_is_dropped);
    tcase_add_test(t, an_interval_is_told_as_it_is);
    tcase_add_test(t, the_table_is_what_was_computed_by_hand);
    tcase_add_test(t, cells_csv_has_every_number);
    tcase_add_test(t, the_same_rows_in_any_order_give_the_same_files);
    tcase_add_test(t, a_table_has_both_shares);
    tcase_add_test(t, every_task_has_a_table_of_its_own);
    tcase_add_test(t, a_layer_study_is_told_with_intervals_and_a_test_of_its_layers);
    tcase_add_test(t, cells_that_the_experiment_no_longer_has_are_left_out);
    tcase_add_test(t, every_layer_budget_has_its_place_among_shuffled_profiles);
    tcase_add_test(t, a_folder_without_rows_says_so);
    suite_add_tcase(s, t);
    return s;
}
