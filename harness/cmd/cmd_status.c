/* `depthkv status`: how far a run is, by its folder alone: from another terminal, or another machine. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/lines.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/report/table.h"
#include "harness/rows/plan.h"
#include "harness/rows/shard.h"

static const char help[] =
    "How far a run is: rows that are there, failed and left, and what every process (depthkv run --shard) has done.\n\n"
    "usage: depthkv status DIR [--json]\n\n"
    "It reads the folder alone, and may be called while runs write to it, on any machine that sees it. A process of\n"
    "another machine counts as stopped a minute after it was last heard of.\n\n"
    "  --json   one JSON object\n\n"
    "example:\n"
    "  depthkv status results/board\n\n"
    "exit: 0 all rows are there, 1 rows are left or failed, 2 usage, or no run's folder\n";

struct count {
    long total, done, failed, skipped; /* rows that belong; skipped ones are done */
    int pending;                       /* cells of models that no process has come to */
    char reason[256];                  /* of the first failed row */
};

enum { ROW_NONE, ROW_FAILED_ONLY, ROW_DONE };

static void count_row(struct count *n, const struct plan *p, unsigned char *has, const struct json *v)
{
    long at = plan_place(p, v);
    const char *status = json_string(json_get(v, "status")), *reason = json_string(json_get(v, "reason"));
    if (at < 0 || !status)
        return;
    int failed = strcmp(status, "failed") == 0;
    if (failed && has[at] == ROW_NONE) {
        has[at] = ROW_FAILED_ONLY;
        if (n->failed++ == 0)
            snprintf(n->reason, sizeof n->reason, "%s", reason ? reason : "");
    } else if (!failed && has[at] != ROW_DONE) {
        n->failed -= has[at] == ROW_FAILED_ONLY;
        has[at] = ROW_DONE;
        n->done++;
        n->skipped += strcmp(status, "skipped") == 0;
    }
}

static int count_rows(const char *dir, struct count *n, struct err *e)
{
    struct plan *p;
    struct shard_journals all = {0};
    *n = (struct count){0};
    if (plan_read(dir, &p, e))
        return -1;
    if (!p)
        return err_set(e, ERR_IO, "%s: no plan.jsonl: no run has begun in this folder, or an older version's", dir);
    n->total = plan_rows(p, &n->pending);
    unsigned char *has = mem_new((size_t)n->total + 1, 1);
    int rc = shard_journals_find(dir, &all, e);
    for (int i = 0; i < all.n && rc == 0; i++) {
        struct lines *l = lines_open(all.path[i], e);
        const char *line;
        size_t length;
        int more = l ? 0 : -1;
        while (l && (more = lines_next(l, &line, &length, e)) > 0 && lines_is_whole(l)) {
            struct json *v = json_parse(all.path[i], line, length, NULL); /* what is no row is the next run's to tell */
            count_row(n, p, has, v);
            json_free(v);
        }
        lines_close(l);
        rc = more < 0 ? -1 : 0;
    }
    shard_journals_free(&all);
    mem_free(has);
    plan_destroy(p);
    return rc;
}

static const char *life(const struct shard_state *t)
{
    static const char *const name[] = {
        [SHARD_RUNS] = "runs", [SHARD_FINISHED] = "finished", [SHARD_STOPPED] = "stopped"};
    return name[t->life];
}

/* Samples a second since it began; NAN: nothing to tell it by. */
static double rate(const struct shard_state *t)
{
    double s = t->updated - t->begun;
    return t->samples_done && s > 0 ? (double)t->samples_done / s : (double)NAN;
}

static double left(const struct shard_state *t)
{
    return t->life == SHARD_RUNS ? (double)(t->samples - t->samples_done) / rate(t) : (double)NAN;
}

static void add_duration(struct str *s, double seconds)
{
    if (!isfinite(seconds))
        str_add(s, "n/a");
    else if (seconds < 100)
        str_addf(s, "%.0f s", seconds);
    else if (seconds < 6000)
        str_addf(s, "%.0f min", seconds / 60);
    else
        str_addf(s, "%.1f h", seconds / 3600);
}

static void print_states(const struct shard_state *t, int n)
{
    static const char *const heads[] = {"part", "host",       "process", "threads",  "state", "samples",
                                        "rows", "were there", "failed",  "a second", "left",  "first failure"};
    enum { N_HEAD = sizeof heads / sizeof *heads };
    struct table out = {.n_column = N_HEAD, .left = 2};
    struct str s = {0};
    struct quote text = {.language = QUOTE_MARKDOWN};
    for (int k = 0; k < N_HEAD; k++)
        table_add_text(&out, heads[k]);
    for (int i = 0; i < n; i++) {
        str_addf(&s, "%d of %d", t[i].shard.number, t[i].shard.of);
        table_add(&out, &s);
        table_add_text(&out, t[i].host);
        str_addf(&s, "%ld", t[i].pid);
        table_add(&out, &s);
        str_addf(&s, "%d", t[i].threads);
        table_add(&out, &s);
        table_add_text(&out, life(&t[i]));
        str_addf(&s, "%ld of %ld", t[i].samples_done, t[i].samples);
        table_add(&out, &s);
        str_addf(&s, "%ld", t[i].rows);
        table_add(&out, &s);
        str_addf(&s, "%ld", t[i].reused);
        table_add(&out, &s);
        str_addf(&s, "%ld", t[i].failed);
        table_add(&out, &s);
        table_add_value(&out, rate(&t[i]), "%.3g");
        add_duration(&s, left(&t[i]));
        table_add(&out, &s);
        table_add_text(&out, t[i].first_failure[0] ? t[i].first_failure : "-");
    }
    table_write(&out, &text);
    quote_print(&text, stdout);
    quote_free(&text);
    table_free(&out);
    str_free(&s);
}

static void print_text(const char *dir, const struct count *n, const struct shard_state *t, int n_state)
{
    struct str s = {0};
    int running = 0;
    double most = 0;
    for (int i = 0; i < n_state; i++)
        if (t[i].life == SHARD_RUNS) {
            running++;
            most = left(&t[i]) > most || !isfinite(left(&t[i])) ? left(&t[i]) : most;
        }
    quote_show(stdout, "%s: %ld of %ld rows", dir, n->done, n->total);
    if (n->skipped)
        quote_show(stdout, " (%ld n/a)", n->skipped);
    quote_show(stdout, ", %ld failed, %ld left", n->failed, n->total - n->done - n->failed);
    if (n->pending)
        quote_show(stdout, ", and %d cells of a model that no process has come to", n->pending);
    if (running) {
        add_duration(&s, most);
        quote_show(stdout, "; %d process%s, about %s", running, running == 1 ? "" : "es", s.p);
    }
    quote_show(stdout, "\n");
    if (n->failed)
        quote_show(stdout, "first failure: %s\n", n->reason);
    if (n_state) {
        quote_show(stdout, "\n");
        print_states(t, n_state);
    }
    str_free(&s);
}

static void print_json(const char *dir, const struct count *n, const struct shard_state *t, int n_state)
{
    struct str s = {0};
    str_add(&s, "{\"dir\": ");
    str_add_json(&s, dir, strlen(dir));
    str_addf(&s, ", \"rows\": %ld, \"done\": %ld, \"skipped\": %ld, \"failed\": %ld, \"left\": %ld", n->total, n->done,
             n->skipped, n->failed, n->total - n->done - n->failed);
    str_addf(&s, ", \"cells_pending\": %d, \"first_failure\": ", n->pending);
    str_add_json(&s, n->reason, strlen(n->reason));
    str_add(&s, ", \"shards\": [");
    for (int i = 0; i < n_state; i++) {
        str_addf(&s, "%s{\"shard\": %d, \"of\": %d, \"state\": \"%s\", \"host\": ", i ? ", " : "", t[i].shard.number,
                 t[i].shard.of, life(&t[i]));
        str_add_json(&s, t[i].host, strlen(t[i].host));
        str_addf(&s, ", \"pid\": %ld, \"threads\": %d, \"samples\": %ld, \"samples_done\": %ld, \"rows\": %ld",
                 t[i].pid, t[i].threads, t[i].samples, t[i].samples_done, t[i].rows);
        str_addf(&s, ", \"reused\": %ld, \"failed\": %ld, \"samples_per_s\": ", t[i].reused, t[i].failed);
        str_add_json_double(&s, rate(&t[i]));
        str_add(&s, ", \"left_s\": ");
        str_add_json_double(&s, left(&t[i]));
        str_add(&s, ", \"first_failure\": ");
        str_add_json(&s, t[i].first_failure, strlen(t[i].first_failure));
        str_addc(&s, '}');
    }
    str_add(&s, "]}\n");
    quote_show_lines(stdout, s.p);
    str_free(&s);
}

int cmd_status(int argc, char **argv)
{
    enum { JSON = 256 };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    struct err e = {0};
    struct count n;
    struct shard_state *t = NULL;
    int c, start = 1, json = 0, n_state = 0;
    while ((c = cli_option(argc, argv, ":h", longs, &start)) != -1)
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case JSON: json = 1; break;
        default: return cli_bad_option("status", c, argv, longs);
        }
    if (argc - optind != 1)
        return cli_usage("status", "expected one folder, found %d", argc - optind);
    const char *dir = argv[optind];
    if (!fs_is_dir(dir))
        err_set(&e, ERR_IO, "%s: no such folder", dir);
    else if (count_rows(dir, &n, &e) == 0 && shard_states(dir, &t, &n_state, &e) == 0) {
        (json ? print_json : print_text)(dir, &n, t, n_state);
        mem_free(t);
        return n.done == n.total && !n.pending ? CLI_OK : CLI_FAILED;
    }
    return cli_fail(&e);
}
