/* The table of axes: whatever it holds is read, expanded, printed and told apart everywhere, also an axis that nobody
 * has thought of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/axes_values.h"
#include "harness/report/compare.h"
#include "harness/report/pool.h"
#include "harness/report/report.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *const words[] = {"plain", "odd", NULL};

static int by_full(const struct policy_ops *p, const struct allocator_ops *a)
{
    (void)a;
    return p->keeps_all;
}

static struct axis made_up = {.key = "made_up",
                              .note = "oddity",
                              .kind = &axes_values_word,
                              .field = offsetof(struct cell, made_up),
                              .size = sizeof(int),
                              .dflt = "plain",
                              .words = words};

static void setup(void)
{
    setenv("PATH", rows_enter(), 1); /* no gnuplot there: the data are what counts */
    made_up.ignored = by_full;
    made_up.splits = 0;
    made_up.is_later = 0;
    axes_extend(&made_up);
}

static void teardown(void)
{
    axes_extend(NULL);
    rows_leave();
}

static void load(const char *more, struct experiment *x)
{
    struct str y = {0}, errors = {0};
    str_addf(&y,
             "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n"
             "max_new_tokens: 2\n%s",
             more);
    rows_write("x.yaml", y.p);
    char *path = rows_path("x.yaml");
    int rc = experiment_load(path, NULL, 0, 0, x, &errors, NULL);
    ck_assert_msg(rc == 0, "%s", str_c(&errors));
    mem_free(path);
    str_free(&y);
    str_free(&errors);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + strlen(what), what))
        n++;
    return n;
}

static void holds(const char *text, const char *what)
{
    ck_assert_msg(strstr(text, what) != NULL, "'%s' is missing in\n%.3500s", what, text);
}

/* Fails where two lines that begin so are the same from their k-th character on. */
static void lines_differ(const char *text, const char *begin, size_t k, const char *what)
{
    for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        size_t n = strcspn(p, "\n");
        for (const char *q = p + n + (p[n] == '\n'); *q; q += strcspn(q, "\n") + (q[strcspn(q, "\n")] == '\n'))
            ck_assert_msg(strncmp(p, begin, strlen(begin)) != 0 || strcspn(q, "\n") != n ||
                              strncmp(p + k, q + k, n - k) != 0,
                          "%s: twice\n%.300s", what, p);
    }
}

/* ---- an axis that nobody has thought of ------------------------------------------------------- */

START_TEST(a_new_axis_is_read_expanded_and_hashed)
{
    struct experiment x, top;
    load("sweep:\n  - {policy: knorm, keep: 0.5, made_up: [plain, odd]}\n  - {policy: knorm, keep: 0.5}\n", &x);
    ck_assert_int_eq(x.n_cell, 3); /* full, which ignores it, and two; the default once more merges */
    ck_assert_int_eq(x.cell[1].made_up, 0);
    ck_assert_int_eq(x.cell[2].made_up, 1);
    holds(x.cell[2].json, ",\"made_up\":\"odd\"}");
    ck_assert_str_ne(x.cell[1].id, x.cell[2].id);
    holds(x.resolved.p, "\nmade_up: plain\n");
    load("made_up: odd\nsweep:\n  - {policy: knorm, keep: 0.5}\n", &top);
    ck_assert_str_eq(top.cell[1].id, x.cell[2].id);
    ck_assert_int_eq(axes_same_group(&x.cell[1], &x.cell[2]), 1);
    experiment_fini(&x);
    experiment_fini(&top);
}
END_TEST

/* What was published is found by its ids. */
START_TEST(a_later_axis_leaves_the_ids_of_cells_that_know_nothing_of_it)
{
    static const char sweep[] = "sweep:\n  - {policy: [knorm, h2o], keep: [0.5, 0.2]}\n";
    struct experiment before, after, odd;
    axes_extend(NULL);
    load(sweep, &before);
    made_up.is_later = 1;
    axes_extend(&made_up);
    load(sweep, &after);
    ck_assert_int_eq(before.n_cell, after.n_cell);
    for (int i = 0; i < after.n_cell; i++)
        ck_assert_str_eq(after.cell[i].id, before.cell[i].id);
    load("sweep:\n  - {policy: knorm, keep: 0.5, made_up: [plain, odd]}\n", &odd);
    ck_assert_str_eq(odd.cell[1].id, before.cell[1].id);
    ck_assert_str_ne(odd.cell[2].id, before.cell[1].id);
    experiment_fini(&before);
    experiment_fini(&after);
    experiment_fini(&odd);
}
END_TEST

START_TEST(a_mistake_in_a_new_axis_has_its_line)
{
    struct experiment x;
    struct str errors = {0};
    rows_write("x.yaml",
               "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n"
               "sweep:\n  - {policy: knorm, keep: 0.5, made_up: ood}\n  - {policy: knorm, keep: 1, mad_up: odd}\n");
    char *path = rows_path("x.yaml");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, NULL), -1);
    holds(errors.p, "x.yaml:7: made_up 'ood' unknown; did you mean 'odd'?; plain and odd are known\n");
    holds(errors.p, "x.yaml:8: key 'mad_up' unknown; did you mean 'made_up'?\n");
    mem_free(path);
    str_free(&errors);
}
END_TEST

/* What a model lacks can't be swept over it, and is not passed over either. */
START_TEST(a_model_without_windows_has_only_windows_keep)
{
    static const char good[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n";
    static const struct {
        const char *sweep, *error;
    } c[] = {
        {"sweep:\n  - policy: knorm\n    keep: 0.5\n    windows: prune\n", "x.yaml:9: "},
        {"sweep:\n  - {policy: [full, knorm], keep: 0.5, windows: [prune]}\n", "x.yaml:7: "},
        {"windows: prune\nsweep:\n  - {policy: knorm, keep: 0.5}\n", "x.yaml:6: "},
        {"sweep:\n  - {policy: knorm, keep: 0.5, windows: keep}\n  - {policy: knorm, keep: 0.5, windows: prune}\n",
         "x.yaml:8: "},
        {"windows: prune\nsweep:\n  - {policy: full}\n", NULL}, /* which ignores it */
    };
    struct experiment x, plain;
    char *path = rows_path("x.yaml");
    load("sweep:\n  - {policy: knorm, keep: 0.5}\n", &plain);
    load("sweep:\n  - {policy: knorm, keep: 0.5, windows: [keep, prune]}\n", &x);
    ck_assert_int_eq(x.n_cell, 2);
    ck_assert_int_eq(x.cell[1].windows, WINDOWS_KEEP);
    ck_assert_str_eq(x.cell[1].id, plain.cell[1].id);
    experiment_fini(&x);
    experiment_fini(&plain);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str text = {0}, errors = {0}, want = {0};
        str_addf(&text, "%s%s", good, c[i].sweep);
        if (c[i].error)
            str_addf(&want,
                     "%swindows: model 'tiny' has no layer with a window, and so only cells of windows: keep, which is "
                     "not asked for; leave windows out, or add keep to its list\n",
                     c[i].error);
        rows_write("x.yaml", text.p);
        ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, &errors, NULL), c[i].error ? -1 : 0);
        ck_assert_str_eq(errors.n ? strstr(errors.p, "x.yaml:") : "", str_c(&want));
        if (!c[i].error)
            experiment_fini(&x);
        str_free(&text);
        str_free(&errors);
        str_free(&want);
    }
    mem_free(path);
}
END_TEST

START_TEST(a_new_axis_is_a_baseline)
{
    struct experiment x;
    load("baseline: {made_up: plain}\nsweep:\n  - {policy: [knorm, tova], keep: 0.5, made_up: [plain, odd]}\n", &x);
    ck_assert_int_eq(x.n_cell, 5);
    for (int i = 1; i < 5; i++) /* the same policy, as it is by default */
        ck_assert_int_eq(x.cell[i].baseline, i % 2 ? -1 : i - 1);
    experiment_fini(&x);
}
END_TEST

START_TEST(a_new_axis_can_split_groups)
{
    struct experiment x;
    made_up.splits = AXIS_SPLITS_PREFILL;
    made_up.ignored = NULL;
    load("sweep:\n  - {policy: knorm, keep: [0.5, 0.2], made_up: [plain, odd]}\n", &x);
    ck_assert_int_eq(x.n_cell, 6); /* a full cache for each */
    ck_assert(x.cell[0].policy->keeps_all && x.cell[1].policy->keeps_all);
    for (int i = 2; i < 6; i++) {
        ck_assert_int_eq(axes_same_group(&x.cell[i], &x.cell[0]), x.cell[i].made_up == 0);
        ck_assert_int_eq(x.cell[i].baseline, x.cell[i].made_up);
        ck_assert(axes_same_weights(&x.cell[i], &x.cell[0]) && axes_same_prompts(&x.cell[i], &x.cell[0]));
    }
    experiment_fini(&x);
}
END_TEST

START_TEST(a_new_axis_is_in_rows_tables_and_curves)
{
    struct rows r;
    struct message_list messages = {0};
    struct quote pool = {.language = QUOTE_MARKDOWN};
    int odd = 0;
    rows_run_and_load("schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n"
                      "max_new_tokens: 2\nsweep:\n  - {policy: knorm, keep: 0.5, made_up: [plain, odd]}\n",
                      "out", &r);
    for (int i = 0; i < r.n; i++)
        odd += !strcmp(rows_text(r.v[i], "made_up"), "odd");
    ck_assert_int_eq(r.n, 3);
    ck_assert_int_eq(odd, 1);
    rows_free(&r);
    char *dir = rows_path("out");
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    ck_assert_int_eq(pool_markdown(dir, &pool, NULL), 0);
    char *csv = rows_read("out/cells.csv"), *md = rows_read("out/table.md"),
         *dat = rows_read("out/plots/1-passkey-score.dat");
    holds(csv, ",max_new_tokens,windows,arithmetic,cache_dtype,made_up,metric,");
    ck_assert_int_eq(count(csv, ",2,\"keep\",\"f32\",\"f32\",\"odd\","), 1);
    ck_assert_int_eq(count(csv, ",2,\"keep\",\"f32\",\"f32\",\"plain\","), 2);
    ck_assert_int_eq(count(md, "oddity odd"), 1);
    holds(dat, "\n# knorm, plain\n");
    holds(dat, "\n# knorm, odd\n");
    ck_assert_int_eq(count(pool.page.p, "made_up: odd"), 1);
    mem_free(csv);
    mem_free(md);
    mem_free(dat);
    mem_free(dir);
    quote_free(&pool);
    message_list_free(&messages);
}
END_TEST

/* ---- all of them ------------------------------------------------------------------------------ */

/* Another value than the one given, as rows have it; "" for none. */
static void other_value(const struct axis *a, const char *value, struct str *out)
{
    static const char *const other[][2] = {{"policy", "\"h2o\""},
                                           {"params", "{\"x\":1}"},
                                           {"layer_budget", "{\"proportional\":{\"weights\":[1,2]}}"},
                                           {"head_budget", "\"shared\""},
                                           {"protect", "{\"sinks\":4}"},
                                           {"prefill", "{\"chunked\":{\"size\":4}}"},
                                           {"decode", "\"evict\""}};
    for (int i = 0; a->words && a->words[i] && !out->n; i++)
        if (*a->words[i] && strncmp(value + 1, a->words[i], strlen(a->words[i])) != 0)
            str_addf(out, "\"%s\"", a->words[i]);
    if (a->kind == &axes_values_number)
        str_addf(out, "%d", atoi(value) + 1);
    for (size_t i = 0; i < sizeof other / sizeof *other && !out->n; i++)
        if (strcmp(a->key, other[i][0]) == 0)
            str_add(out, other[i][1]);
    /* what is kept, and so a column of its own and x of the curves, tells budgets apart */
    ck_assert_msg(out->n || !strcmp(a->key, "budget"), "say another value of axis '%s' here", a->key);
}

/* `row` as one of another cell, with another value. */
static void add_other(const char *row, const struct axis *a, struct str *out)
{
    struct json *v = json_parse("row", row, strlen(row), NULL);
    struct str value = {0}, was = {0};
    char *is = json_print(json_get(v, a->key)), *id = mem_strdup(json_string(json_get(v, "cell")));
    other_value(a, is, &value);
    str_addf(&was, "\"%s\":%s", a->key, is);
    const char *at = strstr(row, was.p), *cell = strstr(row, id);
    ck_assert_msg(at && cell && cell < at, "no %s in %s", was.p, row);
    str_addf(out, "%.*sthe-other-cell-x%.*s\"%s\":%s%s\n", (int)(cell - row), row, (int)(at - cell) - (int)strlen(id),
             cell + strlen(id), a->key, value.p, at + was.n);
    mem_free(is);
    mem_free(id);
    json_free(v);
    str_free(&value);
    str_free(&was);
}

/* A folder of three cells: full, one, and one that differs from it in this axis alone; and its report. */
static void report_two(const char *full, const char *row, const struct axis *a)
{
    struct str rows = {0};
    struct message_list messages = {0};
    char *dir = rows_path("two");
    ck_assert_int_eq(fs_mkdirs(dir, NULL), 0);
    str_addf(&rows, "%s\n%s\n", full, row);
    add_other(row, a, &rows);
    rows_write("two/rows.jsonl", rows.p);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    mem_free(dir);
    str_free(&rows);
    message_list_free(&messages);
}

static void check_lines(const struct axis *a)
{
    struct quote pool = {.language = QUOTE_MARKDOWN};
    struct aggregate g;
    int pooled = a->shown == AXIS_SHOWN_POOLED;
    char *dir = rows_path("two"), *md = rows_read("two/table.md"), *dat = rows_read("two/plots/1-passkey-score.dat");
    ck_assert_int_eq(aggregate_load(dir, &g, NULL), 0);
    ck_assert_int_eq(g.n_cell, 3);
    ck_assert_msg(g.n_line == (pooled ? 2 : 3), "%s: %d lines", a->key, g.n_line);
    ck_assert_int_eq(pool_markdown(dir, &pool, NULL), 0);
    lines_differ(md, "| ", 0, a->key);
    lines_differ(pool.page.p, "| ", 0, a->key);
    ck_assert_msg(count(dat, "\n# ") == (pooled ? 1 : 2), "%s: no two curves in\n%s", a->key, dat);
    aggregate_free(&g);
    mem_free(dir);
    mem_free(md);
    mem_free(dat);
    quote_free(&pool);
}

/* Where cells.csv is all that there is, and where two of them are compared. */
static void check_cells(const struct axis *a)
{
    const struct compare_options o = {0};
    struct compare_count n;
    struct str told = {0};
    struct message_list messages = {0};
    char *csv = rows_read("two/cells.csv"), *alone = rows_path("alone"), *page = rows_path("page"),
         *full = rows_path("full.csv"), *md;
    ck_assert_int_eq(fs_mkdirs(alone, NULL), 0);
    rows_write("alone/cells.csv", csv);
    ck_assert_int_eq(report_write_to(alone, page, &messages, NULL), 0);
    md = rows_read("page/table.md");
    lines_differ(md, "| ", 0, a->key);
    char *second = strchr(strchr(csv, '\n') + 1, '\n') + 1; /* behind the head and full */
    *second = '\0';
    rows_write("full.csv", csv);
    ck_assert_int_eq(compare_cells(alone, full, &o, &told, &n, NULL), 0);
    ck_assert_int_eq(n.missing, 2);
    lines_differ(told.p, "missing", strlen("missing  0123456789abcdef"), a->key);
    mem_free(csv);
    mem_free(alone);
    mem_free(page);
    mem_free(full);
    mem_free(md);
    message_list_free(&messages);
    str_free(&told);
}

/* Studies that differ in one axis, in studies.csv and profile.h5. */
static void check_studies(const struct axis *a)
{
    char *csv = rows_read("two/studies.csv"), *path = rows_path("two/profile.h5");
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    char *one = h5_get_string(f, "/0", a->key, NULL), *other = h5_get_string(f, "/1", a->key, NULL);
    lines_differ(csv, "", 0, a->key);
    ck_assert_msg(one && other && strcmp(one, other) != 0, "%s is '%s' and '%s' in profile.h5", a->key,
                  one ? one : "unsaid", other ? other : "unsaid");
    h5_close(f, NULL);
    mem_free(csv);
    mem_free(path);
    mem_free(one);
    mem_free(other);
}

/* The rows of full and of one cell. */
static char *two_rows(const char *layer_budget, char **row)
{
    struct str y = {0};
    str_addf(&y,
             "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n"
             "max_new_tokens: 2\nsweep:\n  - {policy: random, keep: 0.5, layer_budget: %s}\n",
             layer_budget);
    rows_run(y.p, "out", 0, NULL);
    char *full = rows_read("out/rows.jsonl");
    *row = strchr(full, '\n');
    *(*row)++ = '\0';
    (*row)[strcspn(*row, "\n")] = '\0';
    str_free(&y);
    return full;
}

START_TEST(cells_that_differ_in_one_axis_are_told_apart)
{
    char *row, *full = two_rows("uniform", &row);
    for (int i = 0; i < axes_count(); i++) {
        if (strcmp(axes_at(i)->key, "budget") == 0)
            continue;
        report_two(full, row, axes_at(i));
        check_lines(axes_at(i));
        check_cells(axes_at(i));
    }
    mem_free(full);
}
END_TEST

START_TEST(studies_that_differ_in_one_axis_are_told_apart)
{
    char *row, *full = two_rows("{single: {layer: 1}}", &row);
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        if (a->shown == AXIS_SHOWN_POOLED || strcmp(a->key, "budget") == 0 || strcmp(a->key, "layer_budget") == 0)
            continue;
        report_two(full, row, a);
        check_studies(a);
    }
    mem_free(full);
}
END_TEST

/* A row of depth and length; `axes`: what differs, as JSON. */
static void add_place(struct str *s, const char *cell, int index, const char *policy, int depth, int length,
                      const char *axes, double score)
{
    str_addf(
        s,
        "{\"schema\":1,\"cell\":\"%s\",\"cell_index\":%d,\"model\":\"m\",\"task\":\"t\",\"task_params\":{\"depth\":"
        "%d},\"length\":%d,\"sample\":0,\"question_id\":\"q\",\"context_id\":\"c\",\"prompt_sha256\":\"ab\","
        "\"policy\":\"%s\",\"params\":{},\"budget\":\"%s\",\"keep\":0.5,\"layer_budget\":\"uniform\","
        "\"prune_after\":\"all_but_last\",%s,\"status\":\"ok\",\"metric\":\"f1\",\"score\":%.9g,\"nll\":null,\"kl\":%."
        "9g,"
        "\"top1\":null,\"kl_max\":null,\"cache_bytes\":100}\n",
        cell, index, depth, length, policy, strcmp(policy, "full") ? "0.5" : "", axes, score, score);
}

START_TEST(a_map_of_depth_and_length_has_a_panel_for_each_value)
{
    struct str s = {0}, cell = {0};
    struct message_list messages = {0};
    for (int i = 0; i < 8; i++) {
        str_clear(&cell);
        str_addf(&cell, "c%d", i);
        add_place(&s, cell.p, i, "knorm", 50 * (i & 1), i & 2 ? 256 : 128,
                  i & 4 ? "\"protect\":{\"sinks\":4},\"max_new_tokens\":8" : "\"protect\":{},\"max_new_tokens\":4",
                  0.5);
    }
    char *dir = rows_path("map");
    ck_assert_int_eq(fs_mkdirs(dir, NULL), 0);
    rows_write("map/rows.jsonl", s.p);
    ck_assert_int_eq(report_write(dir, &messages, NULL), 0);
    char *dat = rows_read("map/plots/heat-t-m.dat");
    holds(dat, "\n# knorm, keep 0.5, new tokens 4\n");
    holds(dat, "\n# knorm, keep 0.5, sinks=4, new tokens 8\n");
    ck_assert_int_eq(count(dat, " 0.5 "), 8); /* no two cells at one place of a panel */
    mem_free(dir);
    mem_free(dat);
    str_free(&s);
    str_free(&cell);
    message_list_free(&messages);
}
END_TEST

START_TEST(a_pair_is_of_cells_that_agree_in_all_other_axes)
{
    struct str s = {0};
    struct aggregate a;
    struct stats_paired p;
    int n_budget;
    add_place(&s, "a", 0, "tova", 0, 128, "\"head_budget\":\"shared\",\"max_new_tokens\":4", 0.5);
    add_place(&s, "b", 1, "tova", 0, 128, "\"head_budget\":\"shared\",\"max_new_tokens\":8", 1);
    add_place(&s, "c", 2, "knorm", 0, 128, "\"head_budget\":\"uniform\",\"max_new_tokens\":4", 0.25);
    char *dir = rows_path("pair");
    ck_assert_int_eq(fs_mkdirs(dir, NULL), 0);
    rows_write("pair/rows.jsonl", s.p);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(aggregate_pair(&a, "tova", "knorm", COLUMN_SCORE, 1, &p, &n_budget, NULL), 0);
    ck_assert_int_eq(p.n, 1);
    ck_assert_double_eq(p.diff, 0.25); /* not the mean of 0.5 and 1: only one of them has a counterpart */
    aggregate_free(&a);
    mem_free(dir);
    str_free(&s);
}
END_TEST

START_TEST(budgets_of_different_units_are_no_seeds_of_one_cell)
{
    struct aggregate a;
    rows_run("schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\n"
             "max_new_tokens: 2\nsweep:\n  - {policy: knorm, keep: 1}\n  - {policy: knorm, keep_tokens: 1}\n",
             "out", 0, NULL);
    char *dir = rows_path("out");
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(a.n_line, 3);
    for (int l = 0; l < a.n_line; l++)
        ck_assert_int_eq(a.line[l].seeds, 1);
    aggregate_free(&a);
    mem_free(dir);
}
END_TEST

START_TEST(check_lists_no_two_cells_alike)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: 1\nsweep:\n"
        "  - {policy: random, keep: 0.5, policy_seed: [1, 2], made_up: [plain, odd]}\n"
        "  - {policy: knorm, keep_tokens: 64}\n  - {policy: knorm, keep_bytes: 65536}\n"
        "  - policy: {snapkv: {window: [8, 16]}}\n    keep: 0.5\n    layer_budget: [uniform, {proportional: [[1, 2, "
        "3]]}]\n"
        "    head_budget: [uniform, shared]\n    protect: [none, {sinks: 4}]\n    positions: [original, packed]\n"
        "  - {policy: tova, keep: 0.5, prune_after: [context, prompt], prefill: [full, {chunked: {size: 64}}]}\n"
        "  - {policy: tova, keep: 0.5, decode: [frozen, evict], weight_dtype: [f32, bf16], max_new_tokens: [2, 3]}\n";
    int status;
    rows_write("x.yaml", yaml);
    char *path = rows_path("x.yaml"),
         *text = rows_command(cmd_check, (const char *const[]){"check", path, NULL}, &status);
    ck_assert_int_eq(status, CLI_OK);
    lines_differ(text, "", 16, "check"); /* but for the ids */
    holds(text, " seed=2 new tokens=16 oddity=odd\n");
    holds(text, " new tokens=3\n");
    holds(text, ", after all_but_last, weights bf16, new tokens 3: ");
    mem_free(path);
    mem_free(text);
}
END_TEST

Suite *make_axes_suite(void)
{
    Suite *s = suite_create("axes");
    TCase *t = tcase_create("axes");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_new_axis_is_read_expanded_and_hashed);
    tcase_add_test(t, a_later_axis_leaves_the_ids_of_cells_that_know_nothing_of_it);
    tcase_add_test(t, a_mistake_in_a_new_axis_has_its_line);
    tcase_add_test(t, a_model_without_windows_has_only_windows_keep);
    tcase_add_test(t, a_new_axis_is_a_baseline);
    tcase_add_test(t, a_new_axis_can_split_groups);
    tcase_add_test(t, a_new_axis_is_in_rows_tables_and_curves);
    tcase_add_test(t, cells_that_differ_in_one_axis_are_told_apart);
    tcase_add_test(t, studies_that_differ_in_one_axis_are_told_apart);
    tcase_add_test(t, a_map_of_depth_and_length_has_a_panel_for_each_value);
    tcase_add_test(t, a_pair_is_of_cells_that_agree_in_all_other_axes);
    tcase_add_test(t, budgets_of_different_units_are_no_seeds_of_one_cell);
    tcase_add_test(t, check_lists_no_two_cells_alike);
    suite_add_tcase(s, t);
    return s;
}
