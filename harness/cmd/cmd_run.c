/* `depthkv run`: an experiment from a file, or put together from options. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/free_memory.h"
#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/conf.h"
#include "harness/experiment/experiment.h"
#include "harness/report/report.h"
#include "harness/rows/manifest.h"
#include "harness/run/jobs.h"
#include "harness/run/runner.h"
#include "models/transformer.h"

static const char help[] =
    "Run an experiment, or continue one that was stopped.\n\n"
    "usage: depthkv run FILE.yaml [options]\n"
    "       depthkv run NAME [options]           NAME.yaml here, or else the one of depthkv list experiments\n"
    "       depthkv run -m MODEL -t TASK[,TASK] -p POLICY[,POLICY] -k KEEP[,KEEP] [options]\n\n"
    "  -o DIR             result folder (default: results/<experiment>)\n"
    "  --set KEY=VALUE    override a value of the file: --set sweep.1.keep=[0.2]; may be repeated\n"
    "  --limit N          at most N samples a task\n"
    "  --threads N        threads; the numbers do not depend on it\n"
    "  --jobs N           prompts that are computed at once, each with its share of threads and memory; the numbers "
    "do\n"
    "                     not depend on it. Default: as many as a model of this size leaves threads idle for\n"
    "  --memory SIZE      bytes for the caches of cells that decode at once, beside the full cache (default 2G, and "
    "never\n"
    "                     more than is free); the numbers do not depend on it\n"
    "  --shard I/N        the I-th of N parts of the samples, dealt out by cost, with a journal of its own in "
    "DIR/shards:\n"
    "                     for N processes on any machines that see DIR; `slurm`: what the job array says. Then\n"
    "                     depthkv status DIR, depthkv merge DIR\n"
    "  -q, --quiet        no progress on stderr\n"
    "  -m, -t, -p, -k     model file, tasks, policies, fractions kept: an experiment without a file\n"
    "  --samples N        samples a task with -t (default 16)\n"
    "  --length N         tokens of prompt and answer with -t (default 1024)\n\n"
    "examples:\n"
    "  depthkv run experiments/quickstart.yaml\n"
    "  depthkv run -m model.h5 -t niah_single_2 -p snapkv,random -k 0.1,0.2 -o out\n\n"
    "exit: 0 done, 1 some cell failed, 2 usage or input, 130 stopped by Ctrl-C (run again to continue)\n";

struct options {
    const char *file, *dir, *model, *tasks, *policies, *keeps;
    struct cli_set set;
    int64_t limit, samples, length, memory, jobs;
    struct shard shard;
    int quiet;
};

/* "a,b" -> "[a, b]". */
static void add_list(struct str *y, const char *list)
{
    str_addc(y, '[');
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        str_add(y, p == list ? "" : ", ");
        str_addn(y, p, n);
        p += n + (p[n] == ',');
    }
    str_addc(y, ']');
}

/* "a,b" -> "[{a: {length: N}}, b]", with a length where the task has one. */
static void add_tasks(struct str *y, const char *list, int64_t length)
{
    str_addc(y, '[');
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        char *name = mem_strndup(p, n);
        const struct dataset_ops *d = dataset_find(name);
        str_add(y, p == list ? "" : ", ");
        if (d && param_find(d->params, "length"))
            str_addf(y, "{%s: {length: %lld}}", name, (long long)length);
        else
            str_add(y, name);
        mem_free(name);
        p += n + (p[n] == ',');
    }
    str_addc(y, ']');
}

static void compose(const struct options *o, struct str *y)
{
    str_add(y, "# Put together on the command line.\nschema: 1\nexperiment: run\nmodel: ");
    conf_add_text(y, o->model);
    str_add(y, "\ntasks: ");
    add_tasks(y, o->tasks, o->length);
    str_addf(
        y, "\nsamples: %lld\nmeasure: [score, nll, kl]\nsweep:\n  - policy: full\n  - policy: ", (long long)o->samples);
    add_list(y, o->policies);
    str_add(y, "\n    keep: ");
    add_list(y, o->keeps);
    str_add(y, "\n");
}

static int parse_shard(const char *text, struct shard *out)
{
    struct err e = {0};
    return shard_parse(text, out, &e) ? cli_usage("run", "%s", e.msg) : 0;
}

/* 0, or an exit code + 1 so that -h can end with 0. */
static int parse(int argc, char **argv, struct options *o)
{
    enum { SET = 256, LIMIT, THREADS, MEMORY, SAMPLES, LENGTH, JOBS, SHARD };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},
        {"set", required_argument, NULL, SET},
        {"limit", required_argument, NULL, LIMIT},
        {"threads", required_argument, NULL, THREADS},
        {"jobs", required_argument, NULL, JOBS},
        {"memory", required_argument, NULL, MEMORY},
        {"shard", required_argument, NULL, SHARD},
        {"quiet", no_argument, NULL, 'q'},
        {"samples", required_argument, NULL, SAMPLES},
        {"length", required_argument, NULL, LENGTH},
        {NULL, 0, NULL, 0},
    };
    int c, start = 1;
    while ((c = cli_option(argc, argv, ":ho:qm:t:p:k:", longs, &start)) != -1) {
        int bad = 0;
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK + 1;
        case 'o': o->dir = optarg; break;
        case 'q': o->quiet = 1; break;
        case 'm': o->model = optarg; break;
        case 't': o->tasks = optarg; break;
        case 'p': o->policies = optarg; break;
        case 'k': o->keeps = optarg; break;
        case SET: bad = cli_add_set("run", &o->set, optarg); break;
        case LIMIT: bad = cli_int("run", "--limit", optarg, 1, 1000000000, &o->limit); break;
        case SAMPLES: bad = cli_int("run", "--samples", optarg, 1, 1000000000, &o->samples); break;
        case LENGTH: bad = cli_int("run", "--length", optarg, 16, 100000000, &o->length); break;
        case THREADS: bad = cli_threads("run", optarg); break;
        case JOBS: bad = cli_int("run", "--jobs", optarg, 1, 1024, &o->jobs); break;
        case SHARD: bad = parse_shard(optarg, &o->shard); break;
        case MEMORY:
            if (str_to_bytes(optarg, &o->memory))
                return cli_usage("run", "--memory: expected a size as 8G or 512M, found '%s'", optarg) + 1;
            break;
        default: return cli_bad_option("run", c, argv, longs) + 1;
        }
        if (bad)
            return CLI_USAGE + 1;
    }
    if (optind < argc)
        o->file = argv[optind++];
    if (optind < argc)
        return cli_usage("run", "one experiment at a time; '%s' is too much", argv[optind]) + 1;
    int parts = !!o->model + !!o->tasks + !!o->policies + !!o->keeps;
    if (o->file && parts)
        return cli_usage("run", "either a file or -m -t -p -k, not both") + 1;
    if (!o->file && parts != 4)
        return cli_usage("run", "expected FILE.yaml, or all of -m, -t, -p, -k") + 1;
    return 0;
}

static int load(const struct options *o, struct experiment *x)
{
    struct str text = {0};
    if (!o->file)
        compose(o, &text);
    int rc = cli_load(o->file ? o->file : "command line", o->file ? NULL : text.p, &o->set, o->limit, x);
    str_free(&text);
    return rc;
}

static void summary(const char *dir, const struct runner_summary *s, struct message_list *messages)
{
    fflush(stdout); /* the table comes before what is said of it, where both go to one place */
    quote_show(stderr, "%ld rows written, %ld were there already; %s/table.md, plots in %s/plots\n", s->rows, s->reused,
               dir, dir);
    if (s->failed) /* told below, with file and line */
        message_drop(messages, MESSAGE_FAILED);
    if (s->skipped)
        message_drop(messages, MESSAGE_NOT_APPLICABLE);
    message_show(messages, NULL, stderr);
    if (s->skipped)
        quote_show(stderr, "%ld rows are n/a, first: %s\n", s->skipped, s->first_skip);
    if (s->failed)
        quote_show(stderr, "depthkv: %ld rows failed, first: %s\n", s->failed, s->first_failure);
}

/* A part makes no tables: others may still be writing. */
static void part_summary(const char *dir, struct shard which, const struct runner_summary *s)
{
    quote_show(stderr, "part %d of %d: %ld rows written, %ld were there already; depthkv status %s, depthkv merge %s\n",
               which.number, which.of, s->rows, s->reused, dir, dir);
    if (s->skipped)
        quote_show(stderr, "%ld rows are n/a, first: %s\n", s->skipped, s->first_skip);
    if (s->failed)
        quote_show(stderr, "depthkv: %ld rows failed, first: %s\n", s->failed, s->first_failure);
}

/* Tasks whose data end before `samples` do: intervals will be wider than somebody counted on. */
static void tell_fewer(const struct experiment *x)
{
    for (int t = 0; t < x->n_task; t++) {
        struct str s = {0};
        if (experiment_has_fewer(x, t, &s))
            quote_show(stderr, "warning: %s\n", s.p);
        str_free(&s);
    }
}

/* What follows the last row failed: when that is because the folder is gone, its rows are, too. -1. */
static int tell_removed(const char *dir, struct err *e)
{
    char *rows = fs_join(dir, "rows.jsonl");
    if (!fs_exists(rows))
        err_set(e, ERR_WRITE, "%s was removed while this run was writing to its folder; run again for a whole one",
                rows);
    mem_free(rows);
    return -1;
}

/* Said where it is more than one. What was asked for is cut to what fits into memory. */
static int choose_jobs(const struct experiment *x, const struct options *o)
{
    struct jobs_choice c;
    double memory = (double)(o->memory ? o->memory : runner_memory);
    jobs_choose(x, transformer_threads(), memory, (double)free_memory(), &c);
    int n = o->jobs ? (int)o->jobs : c.best;
    if (n > c.most && o->jobs)
        quote_show(stderr, "warning: --jobs %d: memory is free for %d\n", n, c.most);
    n = n < c.most ? n : c.most;
    n = n < transformer_threads() ? n : transformer_threads();
    if (n > 1 && !o->quiet)
        quote_show(stderr, "%d prompts at once, %d threads each\n", n, transformer_threads() / n);
    return n;
}

int cmd_run(int argc, char **argv)
{
    struct options o = {.samples = 16, .length = 1024};
    struct experiment x = {0};
    struct runner_summary s = {0};
    struct message_list messages = {0};
    struct err e = {0};
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc - 1;
    if (load(&o, &x))
        return CLI_USAGE;
    if (o.file && strcmp(o.file, x.path) != 0 && !o.quiet)
        quote_show(stderr, "experiment %s\n", x.path);
    char *dir = o.dir ? mem_strdup(o.dir) : fs_join("results", x.name);
    struct runner_options ro = {
        .dir = dir, .memory = (size_t)o.memory, .shard = o.shard, .quiet = o.quiet, .argc = argc, .argv = argv};
    tell_fewer(&x);
    ro.jobs = choose_jobs(&x, &o);
    leave_when_asked();
    int bad = runner_run(&x, &ro, &s, &e);
    if (!bad && o.shard.of)
        part_summary(dir, o.shard, &s);
    else if (!bad && (manifest_write(dir, &x, argc, argv, 1, &e) || report_write(dir, &messages, &e) ||
                      report_print(dir, stdout, &e)))
        bad = tell_removed(dir, &e);
    if (!bad && !o.shard.of)
        summary(dir, &s, &messages);
    message_list_free(&messages);
    rc = bad ? cli_fail(&e) : s.failed ? CLI_FAILED : CLI_OK;
    experiment_fini(&x);
    mem_free(dir);
    return rc;
}
