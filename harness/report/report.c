#include "harness/report/report.h"

#include <math.h>
#include <string.h>

#include "harness/base/csv.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/axis.h"
#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"
#include "harness/report/figure.h"
#include "harness/report/profile.h"
#include "harness/report/report_int.h"
#include "harness/report/study_csv.h"
#include "harness/report/table.h"

static void add_note(struct str *s, const char *name, const char *value)
{
    str_addf(s, "%s%s%s%s", s->n ? "; " : "", name, *value ? " " : "", value);
}

void report_notes(const struct aggregate *a, const struct agg_cell *c, struct str *s)
{
    char count[32];
    aggregate_axes_notes(a, c, 0, " ", s);
    snprintf(count, sizeof count, "%d", c->seeds);
    if (c->seeds > 1)
        add_note(s, "policy seeds", count);
    snprintf(count, sizeof count, "%d", c->n_failed);
    if (c->n_failed)
        add_note(s, "failed", count);
    if (c->n_skipped) { /* "layer_budget 'mlma': keeping ..." */
        const char *why = strstr(aggregate_text(c, "reason"), "': ");
        add_note(s, "n/a", why ? why + 3 : aggregate_text(c, "reason"));
    }
}

/* A column of the tables: what stands in its head and how a line fills it. */
struct shown {
    const char *head; /* NULL: "- full", or "- baseline" where the experiment has chosen another */
    void (*add)(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t);
    enum column_id column;
    const char *format; /* of one double */
    const char *empty;  /* left out where all lines say this; NULL: never */
};

static void add_policy(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    struct str text = {0};
    (void)s;
    aggregate_policy_label(a, c, &text);
    table_add(t, &text);
}

static void add_layer_budget(const struct aggregate *a, const struct agg_cell *c, const struct shown *s,
                             struct table *t)
{
    struct str text = {0};
    (void)a;
    (void)s;
    aggregate_axis(c, "layer_budget", &text);
    table_add(t, &text);
}

static void add_mean(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    (void)a;
    table_add_value(t, aggregate_mean(c, s->column), s->format);
}

static void add_mebibytes(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    (void)a;
    table_add_value(t, aggregate_mean(c, s->column) / 1048576, s->format);
}

static void add_count(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    (void)a;
    table_add_value(t, c->n_ok, s->format);
}

static void add_interval(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    const struct stats_summary *v = &c->summary[s->column];
    (void)a;
    table_add_ends(t, v->mean, v->lo, v->hi, s->format);
}

static void add_difference(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    const struct stats_paired *d = &c->diff[s->column];
    (void)a;
    table_add_ends(t, d->n ? d->diff : (double)NAN, d->lo, d->hi, s->format);
}

static void add_p(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    const struct stats_paired *d = &c->diff[s->column];
    (void)a;
    table_add_value(t, d->n ? d->p : (double)NAN, s->format);
}

static void add_notes(const struct aggregate *a, const struct agg_cell *c, const struct shown *s, struct table *t)
{
    struct str text = {0};
    (void)s;
    report_notes(a, c, &text);
    table_add(t, &text);
}

static const struct shown shown[] = {
    {"policy", add_policy, COLUMN_END, "", NULL},
    {"layer budget", add_layer_budget, COLUMN_END, "", "uniform"},
    {"kept", add_mean, COLUMN_KEEP, "%.3f", NULL},
    {"of bytes", add_mean, COLUMN_CACHE_SHARE, "%.3f", "n/a"},
    {"tokens", add_mean, COLUMN_KEEP_TOKENS, "%.0f", NULL},
    {"MiB", add_mebibytes, COLUMN_CACHE_BYTES, "%.2f", NULL},
    {"MiB bf16", add_mebibytes, COLUMN_CACHE_BYTES_BF16, "%.2f", NULL},
    {"n", add_count, COLUMN_ROWS, "%.0f", NULL},
    {"score", add_interval, COLUMN_SCORE, "%.3f", "n/a"},
    {NULL, add_difference, COLUMN_SCORE, "%+.3f", "n/a"},
    {"p", add_p, COLUMN_SCORE, "%.4f", "n/a"},
    {"kl", add_interval, COLUMN_KL, "%.3g", "n/a"},
    {"top1", add_mean, COLUMN_TOP1, "%.3f", "n/a"},
    {"nll", add_interval, COLUMN_NLL, "%.4f", "n/a"},
    {"also", add_notes, COLUMN_END, "", NULL},
};
enum { N_SHOWN = sizeof shown / sizeof *shown, N_SHOWN_TEXT = 2 };

/* The table of one task; columns that say nothing are left out. */
static void make_table(const struct aggregate *a, const struct agg_cell *task, struct table *t)
{
    *t = (struct table){.n_column = N_SHOWN, .left = N_SHOWN_TEXT};
    for (int h = 0; h < N_SHOWN; h++)
        table_add_text(t, shown[h].head ? shown[h].head : a->baseline ? "- baseline" : "- full");
    for (int l = 0; l < a->n_line; l++) {
        if (strcmp(a->line[l].task_key, task->task_key) != 0 || aggregate_shuffled(&a->line[l], NULL))
            continue; /* shuffled ones have a table of their own */
        for (int h = 0; h < N_SHOWN; h++)
            shown[h].add(a, &a->line[l], &shown[h], t);
    }
    for (int h = N_SHOWN - 1; h >= 0; h--)
        if (shown[h].empty && table_column_is_empty(t, h, shown[h].empty))
            table_drop_column(t, h);
}

/* 1 when no line before this one belongs to its task. */
static int opens_task(const struct aggregate *a, int line)
{
    for (int k = 0; k < line; k++)
        if (strcmp(a->line[k].task_key, a->line[line].task_key) == 0)
            return 0;
    return 1;
}

static void add_title(const struct agg_cell *c, struct str *s)
{
    str_addf(s, "%s", aggregate_text(c, "task"));
    const struct json *params = json_get(c->axes, "task_params");
    for (const struct json *p = json_is_object(params) ? json_first(params) : NULL; p; p = json_next(p)) {
        char *v = json_is_string(p) ? mem_strdup(json_string(p)) : json_print(p);
        if (*v) /* an empty text is a parameter that was not given */
            str_addf(s, "%s %s %s", p == json_first(params) ? ":" : ",", json_key(p), v);
        mem_free(v);
    }
    str_addf(s, "; model %s", aggregate_text(c, "model"));
}

static void add_legend(const struct aggregate *a, const struct agg_cell *c, struct str *s)
{
    const char *name = aggregate_text(c, "metric");
    const struct metric_ops *m = metric_find(name);
    str_addf(s, "score: %s", name);
    if (m)
        str_addf(s, " (%s; %s is better)", m->unit, columns_higher_is_better(COLUMN_SCORE, name) ? "higher" : "lower");
    str_add(s, "; ");
    str_add(s, report_intervals);
    str_add(s, "; ");
    if (isfinite(aggregate_mean(c, COLUMN_CACHE_SHARE)))
        str_add(s,
                "kept: share of the entries of layers that are pruned; of bytes: of all that the full cache holds; ");
    str_addf(s,
             "\"- %s\": paired difference to %s on the same samples, with its permutation p; kl: nats per token from "
             "the full "
             "cache, lower is better.",
             a->baseline ? "baseline" : "full", a->baseline ? a->baseline : "the full cache");
}

/* Of one task; NULL: over several. */
static void add_figures(const struct plot_list *plots, const char *task_key, struct quote *html)
{
    for (int p = 0; p < plots->n; p++) {
        const char *name = plots->item[p].name, *key = plots->item[p].task_key;
        if (key && task_key ? strcmp(key, task_key) != 0 : key != task_key)
            continue;
        if (plots->item[p].drawn)
            quote_add(html, "<p><img src=\"plots/%s.svg\" alt=\"%s\"></p>\n", name, name);
        else
            quote_add(
                html,
                "<p>%s has no picture: <a href=\"plots/%s.gp\">script</a>, <a href=\"plots/%s.dat\">data</a></p>\n",
                name, name, name);
    }
}

static void add_task(const struct aggregate *a, const struct study_list *studies, const struct agg_cell *task,
                     const struct report_texts *out)
{
    struct str title = {0}, legend = {0};
    struct table t;
    add_title(task, &title);
    add_legend(a, task, &legend);
    make_table(a, task, &t);
    if (!quote_is_empty(out->md))
        quote_add(out->md, "\n");
    quote_add(out->md, "## %s\n\n", title.p);
    table_write(&t, out->md);
    quote_add(out->md, "\n%s\n", legend.p);
    if (!quote_is_empty(out->tex))
        quote_add(out->tex, "\n");
    quote_add(out->tex, "%% %s\n%% %s\n", title.p, legend.p);
    table_write(&t, out->tex);
    quote_add(out->html, "<h2>%s</h2>\n", title.p);
    table_write(&t, out->html);
    quote_add(out->html, "<p>%s</p>\n", legend.p);
    report_clouds(a, task->task_key, out);
    report_layers(a, studies, task->task_key, out);
    table_free(&t);
    str_free(&title);
    str_free(&legend);
}

static void begin_html(struct quote *html)
{
    quote_add(html,
              "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>depthkv results</title>\n<style>\n"
              "body{font-family:sans-serif;margin:2em;color:#222}\ntable{border-collapse:collapse;font-size:90%%}\n"
              "td,th{border-bottom:1px solid #ddd;padding:3px 10px;text-align:right;white-space:nowrap}\n"
              ".text{text-align:left}\nimg{max-width:100%%}\n</style>\n");
}

static void tell(const struct message_list *messages, const struct report_texts *out)
{
    message_page(messages, out->md);
    message_page(messages, out->tex);
    message_page(messages, out->html);
}

/* `from`: where rows and experiment lie, as seen from the page. */
static void write_texts(const struct aggregate *a, const struct plot_list *plots, const char *from,
                        const struct message_list *messages, const struct report_texts *out)
{
    struct study_list studies;
    begin_html(out->html);
    study_find(a, &studies);
    add_figures(plots, NULL, out->html);
    for (int l = 0; l < a->n_line; l++) {
        if (!opens_task(a, l))
            continue;
        add_task(a, &studies, &a->line[l], out);
        add_figures(plots, a->line[l].task_key, out->html);
    }
    study_list_fini(&studies);
    if (!a->n_line)
        quote_add(out->md, "No rows yet.\n");
    tell(messages, out);
    struct str at = {0}; /* the page's own folder needs no name */
    if (strcmp(from, ".") != 0)
        str_addf(&at, "%s/", from);
    quote_add(
        out->html,
        "<p>Numbers: <a href=\"cells.csv\">cells.csv</a>, <a href=\"%srows.jsonl\">rows.jsonl</a>; the experiment: "
        "<a href=\"%sconfig.yaml\">config.yaml</a>, <a href=\"%smanifest.json\">manifest.json</a>.</p>\n</html>\n",
        str_c(&at), str_c(&at), str_c(&at));
    str_free(&at);
}

/* An earlier experiment's profile stays, for this one may well read it; but it is none of this one's results. */
static void tell_stale_profile(const char *dir, const struct aggregate *a, struct message_list *messages)
{
    struct study_list studies;
    char *path = fs_join(dir, "profile.h5");
    study_find(a, &studies);
    if (!studies.n && fs_exists(path))
        message_add(messages, MESSAGE_STALE_PROFILE, NULL);
    study_list_fini(&studies);
    mem_free(path);
}

static int save(const char *dir, const char *name, const struct quote *page, struct err *e)
{
    char *path = fs_join(dir, name);
    int rc = quote_save(page, path, e);
    mem_free(path);
    return rc;
}

static int save_messages(const char *dir, const struct message_list *messages, struct err *e)
{
    struct str s = {0};
    char *path = fs_join(dir, "messages.json");
    message_json(messages, &s);
    int rc = fs_write_atomic(path, s.p, s.n, e);
    mem_free(path);
    str_free(&s);
    return rc;
}

int report_write(const char *dir, struct message_list *messages, struct err *e)
{
    return report_write_to(dir, dir, messages, e);
}

/* Pages without figures show none of an earlier report's. */
static int remove_figures(const char *out, struct err *e)
{
    struct plot_list none = {0};
    char *folder = fs_join(out, "plots");
    int rc = fs_is_dir(folder) ? plot_own(folder, "report", &none, 1, e) : 0;
    mem_free(folder);
    return rc;
}

/* Pages of a folder that has no rows, only what they came to. */
static int write_cells(const char *dir, const char *out, struct message_list *messages, struct err *e)
{
    struct csv cells;
    struct quote md = {.language = QUOTE_MARKDOWN}, tex = {.language = QUOTE_LATEX}, html = {.language = QUOTE_HTML};
    char *path = fs_join(dir, "cells.csv");
    int rc = csv_read(path, &cells, e);
    if (rc == 0) {
        begin_html(&html);
        report_cells(&cells, dir, &(struct report_texts){&md, &tex, &html});
        message_add(messages, MESSAGE_NO_ROWS, NULL);
        tell(messages, &(struct report_texts){&md, &tex, &html});
        quote_add(&html, "</html>\n");
        rc = save(out, "table.md", &md, e) || save(out, "table.tex", &tex, e) || save(out, "index.html", &html, e) ||
                     save_messages(out, messages, e) || remove_figures(out, e)
                 ? -1
                 : 0;
        csv_free(&cells);
    }
    quote_free(&md);
    quote_free(&tex);
    quote_free(&html);
    mem_free(path);
    return rc;
}

static int has(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    int is = fs_exists(path);
    mem_free(path);
    return is;
}

int report_write_to(const char *dir, const char *out, struct message_list *messages, struct err *e)
{
    struct aggregate a;
    struct plot_list plots = {0};
    struct quote csv = {.language = QUOTE_CSV}, md = {.language = QUOTE_MARKDOWN}, tex = {.language = QUOTE_LATEX},
                 html = {.language = QUOTE_HTML};
    char *from = NULL;
    int rc = -1;
    message_list_free(messages);
    if (out != dir && fs_mkdirs(out, e))
        return -1;
    if (out != dir && !has(dir, "rows.jsonl") && !has(dir, "shards") && has(dir, "cells.csv"))
        return write_cells(dir, out, messages, e);
    if (aggregate_load(dir, &a, e))
        return -1;
    from = fs_relative(out, dir);
    aggregate_csv(&a, &csv);
    if (save(out, "cells.csv", &csv, e) || figure_write(out, &a, &plots, e))
        goto out;
    aggregate_tell(&a, messages);
    write_texts(&a, &plots, from, messages, &(struct report_texts){&md, &tex, &html});
    if (save_messages(out, messages, e) || save(out, "table.md", &md, e) || save(out, "table.tex", &tex, e) ||
        save(out, "index.html", &html, e) || profile_write(out, &a, e) || study_csv_write(out, &a, e))
        goto out;
    tell_stale_profile(dir, &a, messages);
    message_append(messages, &plots.messages);
    rc = 0;
out:
    quote_free(&csv);
    quote_free(&md);
    quote_free(&tex);
    quote_free(&html);
    plot_list_fini(&plots);
    aggregate_free(&a);
    mem_free(from);
    return rc;
}

int report_print(const char *dir, FILE *out, struct err *e)
{
    size_t n = 0;
    char *path = fs_join(dir, "table.md"), *text = fs_read(path, &n, e);
    if (text)
        quote_show_lines(out, text);
    int rc = text ? 0 : -1;
    mem_free(text);
    mem_free(path);
    return rc;
}
