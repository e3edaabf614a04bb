/* Text from files in every language that it is written in: 2,500 random ones out of what has ended strings, comments,
 * cells and tags elsewhere, each read back by a reader of this file's own, and put through all reports (800 of them,
 * and all under make check-long). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/rng.h"
#include "harness/base/unicode.h"
#include "harness/layer_metrics/repr_report.h"
#include "harness/report/compare.h"
#include "harness/report/gnuplot.h"
#include "harness/report/report.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N_TEXT = 2500, FOLDERS = 25, FEW_FOLDERS = 8, TASKS = 3, POLICIES = 32, TEXTS = N_TEXT / FOLDERS };

/* Sound UTF-8 with nothing to hide; then what has to be shown as \x1b; then bytes that are no UTF-8. */
static const char *const plain[] = {"'",
                                    "\"",
                                    "''",
                                    "`",
                                    "`touch PWNED`",
                                    "%",
                                    "%s%n%d",
                                    "$",
                                    "$(x)",
                                    "{",
                                    "}",
                                    "{a",
                                    "\\",
                                    "\\n",
                                    "\\\\",
                                    "&",
                                    "&amp;",
                                    "&#0;",
                                    "#",
                                    "##",
                                    "_",
                                    "^",
                                    "^^M",
                                    "~",
                                    "~~",
                                    "<",
                                    ">",
                                    "<script>",
                                    "</td>",
                                    "<!--",
                                    "-->",
                                    "|",
                                    "*",
                                    "**",
                                    "[",
                                    "]",
                                    "](x)",
                                    "![",
                                    "--",
                                    "---",
                                    "=1+1",
                                    "+",
                                    "-",
                                    "@",
                                    "@SUM",
                                    ",",
                                    ";",
                                    "; system('touch PWNED') #",
                                    "'; !touch PWNED #",
                                    "\\write18{x}",
                                    "\\end{tabular}",
                                    "\\input{x}",
                                    "%%",
                                    "/",
                                    "../..",
                                    "..",
                                    ".",
                                    " ",
                                    "  ",
                                    "a",
                                    "Z9",
                                    "niah_single_2",
                                    "\xc3\xa9",
                                    "\xc2\xb1",
                                    "\xe4\xb8\xad",
                                    "\xf0\x9f\x99\x82",
                                    "?`",
                                    "!`",
                                    "''",
                                    ",,",
                                    "<<",
                                    ":x:",
                                    "http://x/?a=b&c"};
static const char *const hidden[] = {"\n",
                                     "\r",
                                     "\r\n",
                                     "\t",
                                     "\x1b[31m",
                                     "\x1b]0;x\x07",
                                     "\x01",
                                     "\x0b",
                                     "\x0c",
                                     "\x1f",
                                     "\x7f",
                                     "\xc2\x85",
                                     ("\xc2\x9b"
                                      "31m"),
                                     "\xe2\x80\xa8",
                                     "\xe2\x80\xa9",
                                     "\xe2\x80\xae",
                                     "\xe2\x81\xa6",
                                     "\xef\xbb\xbf",
                                     "\xef\xbf\xbf",
                                     "\xf3\xa0\x81\x81"};
static const char *const broken[] = {"\xff", "\xc3", "\xe2\x80", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80",
                                     "\x80"};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* A passed assertion of Check is a write to a file, which is too much for every character. */
#define CHECK(is, ...) \
    do { \
        if (!(is)) \
            ck_abort_msg(__VA_ARGS__); \
    } while (0)

static char *text[N_TEXT];
static int clean[N_TEXT]; /* nothing to hide in it, so that it must come back as it is */

static void make_texts(void)
{
    struct rng r;
    rng_init(&r, 1, "hostile");
    for (int i = 0; i < N_TEXT; i++) {
        struct str s = {0};
        int pieces = i < (int)COUNT(plain) + (int)COUNT(hidden) + (int)COUNT(broken) ? 1 : 1 + (int)rng_below(&r, 8);
        int kinds = i % 5 < 2 ? 1 : i % 5 < 4 ? 2 : 3, longer = rng_below(&r, 60) == 0;
        clean[i] = 1;
        for (int k = 0; k < pieces; k++) {
            int kind = (int)rng_below(&r, (uint64_t)kinds);
            clean[i] = clean[i] && kind == 0;
            str_add(&s, kind == 0   ? plain[rng_below(&r, COUNT(plain))]
                        : kind == 1 ? hidden[rng_below(&r, COUNT(hidden))]
                                    : broken[rng_below(&r, COUNT(broken))]);
            for (int l = 0; longer && l < 300; l++)
                str_add(&s, plain[rng_below(&r, COUNT(plain))]);
        }
        text[i] = str_take(&s);
    }
    for (size_t i = 0; i < COUNT(plain); i++) { /* each alone as well */
        mem_free(text[i]);
        text[i] = mem_strdup(plain[i]);
        clean[i] = 1;
    }
    for (size_t i = 0; i < COUNT(hidden); i++) {
        mem_free(text[COUNT(plain) + i]);
        text[COUNT(plain) + i] = mem_strdup(hidden[i]);
        clean[COUNT(plain) + i] = 0;
    }
}

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
    make_texts();
}

static void teardown(void)
{
    for (int i = 0; i < N_TEXT; i++)
        mem_free(text[i]);
    rows_leave();
}

/* ---- readers --------------------------------------------------------------------------------- */

/* Fails when a byte is no UTF-8, or a control character, a direction or a separator is there as it is; `but` may be. A
 * table of its own: the sequences' very bytes. */
static void check_clean(const char *s, const char *but, const char *what)
{
    static const char *const never[] = {"\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                        "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae",
                                        "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9", "\xef\xbb\xbf",
                                        "\xef\xbf\xbe", "\xef\xbf\xbf", "\xf3\xa0\x80", "\xf3\xa0\x81"};
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        int more = *p < 0x80                 ? 0
                   : *p >= 0xC2 && *p < 0xE0 ? 1
                   : *p >= 0xE0 && *p < 0xF0 ? 2
                   : *p >= 0xF0 && *p < 0xF5 ? 3
                                             : -1;
        CHECK(more >= 0 && (*p >= 0x20 || strchr(but, *p)) && *p != 0x7F, "%s: byte %02x in: %.300s", what, *p, s);
        CHECK(!(*p == 0xC2 && p[1] < 0xA0), "%s: a C1 control in: %.300s", what, s);
        for (int i = 1; i <= more; i++)
            CHECK((p[i] & 0xC0) == 0x80, "%s: broken UTF-8 in: %.300s", what, s);
        p += more;
    }
    for (size_t i = 0; i < COUNT(never); i++)
        CHECK(!strstr(s, never[i]), "%s: a hidden character in: %.300s", what, s);
}

/* A field of RFC 4180 as a spreadsheet's user reads it: the ' before a formula is not part of it. */
static void read_csv(const char *p, struct str *out)
{
    CHECK(*p++ == '"', "at: %s", p);
    if (*p == '\'' && p[1 + strspn(p + 1, "'")] && strchr("=+-@\t\r\n", p[1 + strspn(p + 1, "'")]))
        p++;
    else
        CHECK(!*p || !strchr("=+-@\t\r\n", *p), "a formula: %s", p);
    for (; *p != '"' || p[1] == '"'; p++) {
        CHECK(*p != '\0', "at: %s", p);
        p += *p == '"';
        str_addc(out, *p);
    }
    CHECK(p[1] == '\0', "at: %s", p);
}

static void read_html(const char *p, struct str *out)
{
    static const char *const entity[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    for (; *p; p++) {
        size_t i = 0;
        CHECK(!strchr("<>\"'", *p), "markup: %s", p);
        while (*p == '&' && i < COUNT(entity) && strncmp(p, entity[i], strlen(entity[i])) != 0)
            i++;
        CHECK(i < COUNT(entity), "at: %s", p);
        str_addc(out, *p == '&' ? "<>&\"'"[i] : *p);
        p += *p == '&' ? strlen(entity[i]) - 1 : 0;
    }
}

/* A string of gnuplot: '' is ' between single quotes, \ooo an octal number between double ones, where nothing else may
 * stand that gnuplot looks at. */
static void read_gnuplot(const char *p, struct str *out)
{
    char quote = *p++;
    CHECK(quote == '\'' || quote == '"', "at: %s", p);
    for (; *p != quote; p++) {
        CHECK(*p != '\0', "at: %s", p);
        if (quote == '\'') {
            str_addc(out, *p);
        } else if (*p == '\\') {
            CHECK(isdigit(p[1]) && isdigit(p[2]) && isdigit(p[3]), "at: %s", p);
            str_addc(out, (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0'));
            p += 3;
        } else {
            CHECK(*p != '`', "at: %s", p);
            str_addc(out, *p);
        }
    }
    CHECK(p[1] == '\0', "at: %s", p);
}

/* What LaTeX sets: escaped characters, a few commands, and numbers of characters; nothing else that it would act on. */
static void read_latex(const char *p, struct str *out)
{
    static const char *const command[][2] = {{"\\textbackslash{}", "\\"},
                                             {"\\textless{}", "<"},
                                             {"\\textgreater{}", ">"},
                                             {"\\textbar{}", "|"},
                                             {"\\char34{}", "\""},
                                             {"\\~{}", "~"},
                                             {"\\^{}", "^"},
                                             {"\\`{}", "`"},
                                             {"$\\pm$", "\xc2\xb1"},
                                             {"-{}", "-"},
                                             {"{[}", "["},
                                             {"{*}", "*"},
                                             {"\\_", "_"},
                                             {"\\%", "%"},
                                             {"\\&", "&"},
                                             {"\\#", "#"},
                                             {"\\{", "{"},
                                             {"\\}", "}"},
                                             {"\\$", "$"}};
    CHECK(*p != '[' || strncmp(p, "[U+", 3) == 0, "at: %s", p);
    while (*p) {
        size_t i = 0;
        unsigned point;
        int len = 0;
        if (sscanf(p, "[U+%X]%n", &point, &len) == 1 && len) {
            unicode_append(out, (int32_t)point);
            p += len;
            continue;
        }
        while (i < COUNT(command) && strncmp(p, command[i][0], strlen(command[i][0])) != 0)
            i++;
        if (i < COUNT(command)) {
            str_add(out, command[i][1]);
            p += strlen(command[i][0]);
            continue;
        }
        CHECK(!strchr("\\%&#_{}$^~<>|\"`", *p), "LaTeX acts on: %s", p);
        CHECK((unsigned char)*p < 0x80 || (unsigned char)*p == 0xC3 || ((unsigned char)*p & 0xC0) == 0x80,
              "no such letter: %s", p);
        str_addc(out, *p++);
    }
}

/* CommonMark: a \ before punctuation takes its meaning away. What is left without one must have none. */
static void read_markdown(const char *p, struct str *out)
{
    for (char before = ' '; *p; before = *p++) {
        if (*p == '\\' && p[1] && ispunct((unsigned char)p[1]))
            p++;
        else
            CHECK(!strchr("|*`$~", *p) && !(*p == ']' && p[1] == '(') &&
                      !(*p == '<' && (isalpha((unsigned char)p[1]) || (p[1] && strchr("/!?", p[1])))) &&
                      !(*p == '&' && (isalnum((unsigned char)p[1]) || p[1] == '#')) &&
                      !(*p == '_' && !(isalnum((unsigned char)p[1]) || p[1] & 0x80)) &&
                      !(*p == '_' && !(isalnum((unsigned char)before) || before & 0x80)),
                  "Markdown acts on: %s", p);
        str_addc(out, *p);
    }
}

START_TEST(every_language_gives_the_text_back)
{
    static void (*const read[QUOTE_N_LANGUAGE])(const char *, struct str *) = {[QUOTE_LATEX] = read_latex,
                                                                               [QUOTE_MARKDOWN] = read_markdown,
                                                                               [QUOTE_HTML] = read_html,
                                                                               [QUOTE_CSV] = read_csv,
                                                                               [QUOTE_GNUPLOT] = read_gnuplot};
    int n_clean = 0;
    for (int i = 0; i < N_TEXT; i++) {
        struct str line = {0}, again = {0};
        quote_text(QUOTE_LINE, text[i], &line);
        check_clean(str_c(&line), "", "a line");
        quote_text(QUOTE_LINE, str_c(&line), &again);
        CHECK(strcmp(str_c(&again), str_c(&line)) == 0, "%s", text[i]); /* what is shown already is not shown anew */
        n_clean += clean[i];
        CHECK(!clean[i] || strcmp(str_c(&line), text[i]) == 0, "%d: %s", i, text[i]);
        for (int k = QUOTE_LINE + 1; k < QUOTE_N_LANGUAGE; k++) {
            struct str written = {0}, back = {0};
            quote_text((enum quote_language)k, text[i], &written);
            check_clean(str_c(&written), k == QUOTE_CSV ? "\n\r\t" : "", "written");
            read[k](str_c(&written), &back);
            if (k == QUOTE_CSV)
                CHECK(!clean[i] || strcmp(str_c(&back), text[i]) == 0, "%d: %s", i, text[i]);
            else if (k == QUOTE_GNUPLOT && line.n > 300)
                CHECK(back.n <= 310 && strncmp(str_c(&back), str_c(&line), 100) == 0 &&
                          !strcmp(back.p + back.n - 40, line.p + line.n - 40),
                      "%d: %s", i, text[i]);
            else
                CHECK(strcmp(str_c(&back), str_c(&line)) == 0, "%d: %s: read %s, expected %s", k, str_c(&written),
                      str_c(&back), str_c(&line));
            str_free(&written);
            str_free(&back);
        }
        str_free(&line);
        str_free(&again);
    }
    ck_assert_int_gt(n_clean, N_TEXT / 4);
}
END_TEST

START_TEST(what_is_seen_of_what_can_not_be)
{
    static const struct {
        const char *text, *want[QUOTE_N_LANGUAGE];
    } c[] = {
        {"a\nb\x1b[0m\xc2\x85\xe2\x80\xae\xff",
         {"a\\nb\\x1b[0m\\u0085\\u202e\\xff", "'a\\nb\\x1b[0m\\u0085\\u202e\\xff'", NULL,
          "a\\nb\\x1b[0m\\u0085\\u202e\\xff", NULL, "\"a\nb\\x1b[0m\\u0085\\u202e\\xff\""}},
        {"niah_single_2 [1,2]",
         {"niah_single_2 [1,2]", "'niah_single_2 [1,2]'", "niah\\_single\\_2 [1,2]", "niah_single_2 [1,2]",
          "niah_single_2 [1,2]", "\"niah_single_2 [1,2]\""}},
        {"it's `x`",
         {"it's `x`", "\"it's \\140x\\140\"", "it's \\`{}x\\`{}", "it's \\`x\\`", "it&#39;s `x`", "\"it's `x`\""}},
        {"=A1", {"=A1", "'=A1'", "=A1", "=A1", "=A1", "\"'=A1\""}},
        {"", {"", "''", "", "", "", "\"\""}},
    };
    for (size_t i = 0; i < COUNT(c); i++)
        for (int k = 0; k < QUOTE_N_LANGUAGE; k++) {
            struct str s = {0};
            quote_text((enum quote_language)k, c[i].text, &s);
            ck_assert(!c[i].want[k] || strcmp(str_c(&s), c[i].want[k]) == 0);
            str_free(&s);
        }
}
END_TEST

START_TEST(formats_are_printf_with_texts_quoted)
{
    struct quote q = {.language = QUOTE_HTML};
    quote_add(&q, "<b>%s</b> %5d|%-4d|%05.1f|%+.3g|%lld|%zu|%x|%%|%c", "<&>", 7, 3, 2.25, 1e-9, 1LL << 40, (size_t)9,
              255u, '<');
    ck_assert_str_eq(q.page.p, "<b>&lt;&amp;&gt;</b>     7|3   |002.2|+1e-09|1099511627776|9|ff|%|&lt;");
    quote_free(&q);
    q.language = QUOTE_MARKDOWN; /* widths are columns, of what is written */
    quote_add(&q, "[%5s][%-5s][%*s][%.2s]", "a|", "\xc3\xa9", -3, "x", "abc");
    ck_assert_str_eq(q.page.p, "[  a\\|][\xc3\xa9    ][x  ][ab]");
    quote_free(&q);
    q.language = QUOTE_CSV;
    quote_add_word(&q, "h2o");
    quote_add(&q, ",");
    quote_add_word(&q, "-x");
    quote_add(&q, ",");
    quote_add_word(&q, "a,b");
    quote_add(&q, ",");
    quote_add_number(&q, -0.5);
    quote_add(&q, ",");
    quote_add_number(&q, (double)NAN);
    ck_assert_str_eq(q.page.p, "h2o,\"'-x\",\"a,b\",-0.5,");
    quote_free(&q);
}
END_TEST

START_TEST(a_message_that_is_cut_off_ends_in_a_whole_character)
{
    struct err e;
    struct str s = {0};
    while (s.n < 2 * ERR_MSG_SIZE)
        str_add(&s, "\xe4\xb8\xad");
    for (int i = 0; i < 4; i++) {
        err_set(&e, ERR_IO, "%s%s", &"abcd"[i], s.p);
        check_clean(e.msg, "", "message");
        ck_assert_uint_ge(strlen(e.msg), ERR_MSG_SIZE - 4);
        err_wrap(&e, "%s", &"abcdef"[i]);
        check_clean(e.msg, "", "message");
    }
    str_free(&s);
}
END_TEST

/* ---- whole reports --------------------------------------------------------------------------- */

/* As a member of a JSON object: the text without its quotes. */
static char *json_text(const char *t)
{
    struct str s = {0};
    str_add_json(&s, t, strlen(t));
    char *inner = mem_strndup(s.p + 1, s.n - 2);
    str_free(&s);
    return inner;
}

static void replace(struct str *row, const char *what, const char *by)
{
    struct str out = {0};
    char *at = strstr(row->p, what);
    ck_assert_ptr_nonnull(at);
    str_addn(&out, row->p, (size_t)(at - row->p));
    str_add(&out, by);
    str_add(&out, at + strlen(what));
    str_free(row);
    *row = out;
}

/* TASKS tasks and POLICIES policies, each named by a text; others name the model, a parameter and the layer budgets. */
static void write_rows(char *const *t)
{
    struct str all = {0};
    for (int k = 0; k < TASKS; k++)
        for (int p = 0; p <= POLICIES; p++) {
            struct str row = {0}, by = {0};
            char id[32], *task = json_text(t[k]), *policy = json_text(t[TASKS + p % POLICIES]),
                         *a = json_text(t[TASKS + POLICIES + p % POLICIES]),
                         *b = json_text(t[TASKS + 2 * POLICIES + p % POLICIES]), *model = json_text(t[TEXTS - 1]);
            snprintf(id, sizeof id, "c%d-%d", k, p);
            str_addf(&by, "{\"%s\":{\"%s\":\"%s\"}}", a, b, a);
            struct rows_fake f = {.cell = id,
                                  .index = k * 100 + p,
                                  .context = "c0",
                                  .question = "q",
                                  .policy = p == POLICIES ? "full" : policy,
                                  .budget = p == POLICIES ? "" : "0.5",
                                  .seed = 1,
                                  .score = (p + 1) / 20.0,
                                  .kl = (double)NAN,
                                  .task = task,
                                  .layer_budget = p == POLICIES ? NULL : by.p,
                                  .bytes = 1000 + p};
            rows_add_fake(&row, &f);
            str_clear(&by);
            str_addf(&by, "\"model\":\"%s\"", model);
            replace(&row, "\"model\":\"m\"", by.p);
            str_clear(&by);
            str_addf(&by, "\"params\":{\"%s\":\"%s\"}", b, a);
            replace(&row, "\"params\":{\"window\":32}", by.p);
            if (p == 0) {
                replace(&row, "\"status\":\"ok\"", "\"status\":\"skipped\"");
                str_clear(&by);
                str_addf(&by, ",\"reason\":\"%s\"}\n", b);
                replace(&row, "}\n", by.p);
            }
            str_add(&all, row.p);
            str_free(&row);
            str_free(&by);
            mem_free(task);
            mem_free(policy);
            mem_free(a);
            mem_free(b);
            mem_free(model);
        }
    rows_write("rows.jsonl", all.p);
    str_free(&all);
}

static char *read_clean(const char *name, const char *but)
{
    char *s = rows_read(name);
    check_clean(s, but, name);
    return s;
}

/* Only tags that a report has, and each that opens closes in order. */
static void check_html(const char *s)
{
    static const char *const known[] = {"html", "title", "style", "h2", "h3", "p", "a", "table", "tr", "th", "td"};
    const char *open[16];
    int n = 0;
    for (const char *p = strchr(s, '<'); p; p = strchr(p + 1, '<')) {
        int closes = p[1] == '/';
        const char *name = p + 1 + closes;
        size_t len = strcspn(name, " >"), i = 0;
        if (strncmp(p, "<!doctype html>", 15) == 0 || strncmp(p, "<meta charset", 13) == 0 ||
            strncmp(p, "<img src=\"plots/", 16) == 0)
            continue;
        while (i < COUNT(known) && (strlen(known[i]) != len || strncmp(known[i], name, len) != 0))
            i++;
        CHECK(i < COUNT(known), "no tag of ours: %.60s", p);
        if (closes)
            CHECK(n > 0 && open[--n] == known[i], "closes what is not open: %.60s", p);
        else
            open[n++] = known[i];
        ck_assert_int_lt(n, 16);
    }
    ck_assert_int_eq(n, 0);
}

/* Every row of a table has as many columns as its head. */
static void check_columns(const char *s, const char *begin, char column)
{
    int want = 0;
    for (const char *p = s; *p; p += strcspn(p, "\n") + 1) {
        int n = 0;
        if (*p != '|' && column == '|')
            want = 0;
        if (strncmp(p, begin, strlen(begin)) == 0)
            want = 0;
        for (const char *q = p; *q && *q != '\n'; q++) {
            q += *q == '\\' && q[1] && q[1] != '\n' ? 1 : 0;
            n += *q == column && q[-(q > p)] != '\\';
        }
        if (*p == '%' || *p == '\\' || !n || (column == '|' && *p != '|'))
            continue;
        want = want ? want : n;
        CHECK(n == want, "%d columns, expected %d: %.200s", n, want, p);
    }
}

static void check_data(const char *s)
{
    double x;
    int at = 0;
    for (const char *p = s; *p; p += strcspn(p, "\n") + 1)
        CHECK(*p == '#' || *p == '\n' || sscanf(p, "%lf %*f %*f %*f %*d %*f%n", &x, &at) == 1 ||
                  sscanf(p, "%lf %*f %*f %*f%n", &x, &at) == 1,
              "no data: %.100s", p);
}

/* The names of tasks as a reader of the whole file finds them. */
static void check_csv(int first)
{
    struct csv c;
    char *path = rows_path("cells.csv");
    int column, found = 0;
    ck_assert_int_eq(csv_read(path, &c, NULL), 0);
    column = csv_column(&c, "task");
    for (int r = 1; r < c.n_row; r++)
        for (int k = 0; k < TASKS; k++)
            found += clean[first + k] && strcmp(csv_at(&c, r, column), text[first + k]) == 0;
    for (int k = 0; k < TASKS; k++)
        ck_assert(!clean[first + k] || found > 0);
    csv_free(&c);
    mem_free(path);
}

/* The part of a script that draws the SVG. */
static void add_script(struct str *all, const char *gp)
{
    const char *png = strstr(gp, "set terminal pngcairo");
    ck_assert_ptr_nonnull(png);
    str_add(all, "reset\n");
    str_addn(all, gp, (size_t)(png - gp));
}

START_TEST(no_text_breaks_a_report)
{
    struct str script = {0}, why = {0};
    struct message_list messages = {0};
    char *path = mem_strdup(getenv("PATH")), *list = rows_path("plots");
    int figures = 0, folders = support_is_long() ? FOLDERS : FEW_FOLDERS;
    for (int f = 0; f < folders; f++) {
        char *const *t = text + f * TEXTS;
        struct err e = {0};
        struct str out = {0};
        struct compare_count n;
        struct compare_options o = {.rtol = 0, .all = 1};
        write_rows(t);
        setenv("PATH", dir, 1); /* no gnuplot for each figure; all of them in one go below */
        ck_assert_msg(report_write(dir, &messages, &e) == 0, "%s", e.msg);
        setenv("PATH", path, 1);
        ck_assert_ptr_nonnull(strstr(rows_told(&messages), "gnuplot is not installed"));
        message_list_free(&messages);
        char *md = read_clean("table.md", "\n"), *tex = read_clean("table.tex", "\n"),
             *html = read_clean("index.html", "\n"), *csv = read_clean("cells.csv", "\n\r\t");
        check_html(html);
        check_columns(md, "## ", '|');
        check_columns(tex, "\\begin{tabular}", '&');
        check_csv(f * TEXTS);
        ck_assert_msg(compare_cells(dir, dir, &o, &out, &n, &e) == 0 && !compare_failed(&n), "%s", e.msg);
        for (const char *p = strstr(html, "href=\"plots/"); p; p = strstr(p + 1, "href=\"plots/")) {
            struct str name = {0};
            size_t len = strcspn(p + 6, "\"");
            str_addn(&name, p + 6, len);
            ck_assert_uint_lt(len, 120);
            char *file = read_clean(name.p, "\n");
            if (strcmp(name.p + name.n - 3, ".gp") == 0)
                add_script(&script, file);
            else
                check_data(file);
            figures++;
            mem_free(file);
            str_free(&name);
        }
        rows_write("plots/all.gp", script.p); /* all figures in one go, without the pictures that are only larger */
        enum gnuplot_end end = gnuplot_run(list, "all", &why);
        ck_assert_msg(end == GNUPLOT_DONE || end == GNUPLOT_ABSENT, "%s", str_c(&why));
        str_free(&script);
        str_free(&out);
        mem_free(md);
        mem_free(tex);
        mem_free(html);
        mem_free(csv);
    }
    ck_assert_int_ge(figures, 2 * folders * TASKS);
    ck_assert(!fs_exists("PWNED"));
    mem_free(path);
    mem_free(list);
}
END_TEST

/* ---- metrics --------------------------------------------------------------------------------- */

enum { LAYERS = 4, DAMAGES = 11, PER_DAMAGE = 4, EACH = DAMAGES * PER_DAMAGE + 6 };

static void fill_study(struct repr_study *s, struct stats_summary *v, char (*prompt)[HASH_HEX])
{
    *s = (struct repr_study){
        .n_layer = LAYERS, .n_sample = 2, .batch = 2, .n_batch = 1, .n_token = 9, .entropy = v, .prompt = prompt};
    for (int k = 0; k < REPR_N_METRIC; k++)
        for (int stage = 0; stage < TAP_N_STAGE; stage++)
            s->value[REPR_DEPTHKV][k][stage] = v;
}

/* Names, policies and labels come from a profile.h5. */
static void fill_relations(struct repr_relations *r, struct repr_damage *d, struct repr_relation *row, char *const *t)
{
    static int64_t layer[LAYERS] = {0, 1, 2, 3};
    static double damage[LAYERS] = {1, 2, 3, 4};
    for (int k = 0; k < DAMAGES; k++, t += PER_DAMAGE) {
        d[k] = (struct repr_damage){.name = t[0],
                                    .policy = t[1],
                                    .label = t[2],
                                    .without_output = t[3],
                                    .level = 0.5,
                                    .k = LAYERS,
                                    .layer = layer};
        for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++)
            d[k].damage[m] = damage;
        row[k] = (struct repr_relation){
            .damage = k, .metric = "entropy", .definition = "depthkv", .stage = "pre", .r = {.n = LAYERS, .rho = 0.5}};
    }
    *r = (struct repr_relations){.damage = d, .n_damage = DAMAGES, .row = row, .n_row = DAMAGES, .without_rows = *t};
}

START_TEST(no_text_breaks_the_report_of_metrics)
{
    struct stats_summary v[LAYERS] = {{.n = 2, .mean = 1, .lo = 0.5, .hi = 1.5}, {.n = 2, .mean = 2, .lo = 1, .hi = 3}};
    char prompt[2][HASH_HEX] = {"aa", "bb"};
    struct repr_options o;
    struct str why = {0}, script = {0};
    char *out = rows_path("m"), *plots = rows_path("m/plots"), *path = mem_strdup(getenv("PATH"));
    param_defaults(repr_study_params, &o);
    for (int i = 0; i + EACH <= N_TEXT; i += EACH) {
        char *const *t = text + i;
        struct exp_task task = {.label = t[EACH - 1], .params = t[EACH - 2]};
        struct exp_model name = {.name = t[EACH - 3]};
        struct experiment x = {.name = t[EACH - 4], .task = &task, .n_task = 1, .model = &name, .n_model = 1};
        struct model m = {.hp = {.n_layer = LAYERS}};
        struct repr_study study;
        struct repr_damage d[DAMAGES];
        struct repr_relation row[DAMAGES];
        struct repr_relations relations;
        struct repr_report r = {
            .x = &x, .m = &m, .o = &o, .study = &study, .relations = &relations, .profile = t[EACH - 5]};
        struct message_list messages = {0};
        struct err e;
        fill_study(&study, v, prompt);
        fill_relations(&relations, d, row, t);
        setenv("PATH", dir, 1);
        ck_assert_msg(repr_report_write(out, &r, &messages, &e) == 0, "%s", e.msg);
        setenv("PATH", path, 1);
        char *md = read_clean("m/metrics.md", "\n"), *gp = read_clean("m/plots/metrics-1-depthkv.gp", "\n");
        check_columns(md, "## ", '|');
        mem_free(read_clean("m/metrics.csv", "\n\r\t"));
        mem_free(read_clean("m/correlations.csv", "\n\r\t"));
        mem_free(read_clean("m/plots/metrics-1-depthkv.dat", "\n"));
        str_clear(&script);
        add_script(&script, gp);
        rows_write("m/plots/all.gp", script.p);
        enum gnuplot_end end = gnuplot_run(plots, "all", &why);
        ck_assert_msg(end == GNUPLOT_DONE || end == GNUPLOT_ABSENT, "%s", str_c(&why));
        mem_free(md);
        mem_free(gp);
        message_list_free(&messages);
    }
    str_free(&script);
    mem_free(out);
    mem_free(plots);
    mem_free(path);
}
END_TEST

Suite *make_quote_suite(void)
{
    Suite *s = suite_create("quote");
    TCase *t = tcase_create("quote");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_language_gives_the_text_back);
    tcase_add_test(t, what_is_seen_of_what_can_not_be);
    tcase_add_test(t, formats_are_printf_with_texts_quoted);
    tcase_add_test(t, a_message_that_is_cut_off_ends_in_a_whole_character);
    tcase_add_test(t, no_text_breaks_a_report);
    tcase_add_test(t, no_text_breaks_the_report_of_metrics);
    suite_add_tcase(s, t);
    return s;
}
