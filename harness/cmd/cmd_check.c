/* `depthkv check`: validates an experiment and prints its cells, and what they will take; nothing runs. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/free_memory.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/layers.h"
#include "harness/run/calibration.h"
#include "harness/run/estimate.h"
#include "harness/run/feasible.h"
#include "harness/run/jobs.h"
#include "harness/run/runner.h"
#include "harness/run/trial.h"
#include "harness/run/tryout.h"
#include "models/transformer.h"

static const char help[] =
    "Validate an experiment; print its cells, and the time and memory that they will take. The first sample of every "
    "task\n"
    "is made: a task that can't make one is refused, and fewer samples than asked for are told. Where cells read a "
    "profile,\n"
    "their prompts are encoded too: one that the profile was measured on is refused, as run refuses it. Cells whose\n"
    "budget can't be spread as asked are marked n/a (or fails), with the reason, where layer count and prompt length\n"
    "decide it. A task's `length` stands for its prompts; where it has none, its first 32 samples are encoded, and "
    "time,\n"
    "memory and n/a go by what they have. Time goes by rates of this machine, calibrated in some tenths of a "
    "second.\n\n"
    "usage: depthkv check FILE.yaml [--set KEY=VALUE]... [--limit N] [--threads N] [--memory SIZE] [--measure]\n"
    "                     [--jobs N] [--json]\n\n"
    "  --set, --limit, --threads, --memory, --jobs   as for run\n"
    "  --measure   time some layers of the model's shape on this machine, and tell the time that follows from them\n"
    "  --json   one JSON object a line: the cells, then what each model takes\n\n"
    "example:\n"
    "  depthkv check experiments/quickstart.yaml --set samples=100\n";

/* 1 for a value that needs saying: it is not the default, or a sweep varies what is the task's own. */
static int tells(const struct experiment *x, const unsigned char *swept, int axis, const struct cell *c)
{
    return axes_at(axis)->dflt_is == AXIS_DEFAULT_OF_TASK ? swept[c->task] : !axes_is_default(x, axis, c);
}

/* [n_task] 1 where cells of a task differ in an axis whose default is the task's own. */
static unsigned char *find_swept(const struct experiment *x)
{
    unsigned char *swept = mem_new((size_t)x->n_task + 1, 1);
    const struct cell **first = mem_new((size_t)x->n_task + 1, sizeof *first);
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i], **of = &first[c->task];
        for (int k = 0; *of && k < axes_count(); k++)
            swept[c->task] |= axes_at(k)->dflt_is == AXIS_DEFAULT_OF_TASK && !axes_same(k, *of, c);
        *of = *of ? *of : c;
    }
    mem_free(first);
    return swept;
}

/* The axes that have no column, as " decode=evict". */
static void add_axes(const struct experiment *x, const unsigned char *swept, const struct cell *c, struct str *s)
{
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        if (a->shown == AXIS_SHOWN_COLUMN || !strcmp(a->key, "head_budget") || !strcmp(a->key, "protect") ||
            !tells(x, swept, i, c))
            continue;
        str_addf(s, " %s=", a->note);
        axes_text(i, c, s);
    }
}

/* What sets a group apart, as ", after prompt, weights bf16": where its prompts are cut, and what is no default. */
static void add_group(const struct experiment *x, const unsigned char *swept, const struct cell *c, struct str *s)
{
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        if (!a->splits || (!(a->splits & AXIS_SPLITS_PREFILL) && !tells(x, swept, i, c)))
            continue;
        str_addf(s, ", %s ", a->note);
        axes_text(i, c, s);
    }
}

static void add_budget(const struct cell *c, struct str *s)
{
    static const char *const units[] = {[BUDGET_TOKENS] = " tokens", [BUDGET_BYTES] = " bytes"};
    str_add(s, *c->budget_text ? c->budget_text : "-");
    if (c->budget.kind == BUDGET_TOKENS || c->budget.kind == BUDGET_BYTES)
        str_add(s, units[c->budget.kind]);
}

static void print_json_cell(const struct cell *c, const struct err *why)
{
    struct str s = {0};
    str_addf(&s, "{\"cell\":\"%s\",\"line\":%d,\"resolved\":", c->id, c->line);
    str_add(&s, c->json);
    if (why->code != ERR_OK) {
        str_add(&s, why->code == ERR_INFEASIBLE ? ",\"skipped\":" : ",\"failed\":");
        str_add_json(&s, why->msg, strlen(why->msg));
    }
    str_addc(&s, '}');
    quote_show_lines(stdout, s.p);
    quote_show(stdout, "\n");
    str_free(&s);
}

/* why[n_cell]: what is known ahead. */
static void print_cells(const struct experiment *x, const struct err *why, int json)
{
    for (int i = 0; json && i < x->n_cell; i++)
        print_json_cell(&x->cell[i], &why[i]);
    if (json)
        return;
    quote_show(stdout, "%-16s  %-16s %-14s %-8s %-22s %-8s %s\n", "cell", "task", "policy", "budget", "layer_budget",
               "heads", "parameters");
    unsigned char *swept = find_swept(x);
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        struct str more = {0}, budget = {0};
        add_axes(x, swept, c, &more);
        add_budget(c, &budget);
        quote_show(stdout, "%s  %-16s %-14s %-8s %-22s %-8s %s %s%s%s\n", c->id, x->task[c->task].label,
                   c->policy->name, str_c(&budget), c->layer_budget, c->heads->name, c->params, c->protect_json,
                   str_c(&more),
                   why[i].code == ERR_OK           ? ""
                   : why[i].code == ERR_INFEASIBLE ? " n/a"
                                                   : " fails");
        str_free(&more);
        str_free(&budget);
    }
    mem_free(swept);
}

/* One line a reason: which line's cells, and how many of all. */
static void print_reasons(const struct experiment *x, const struct err *why)
{
    for (int i = 0; i < x->n_cell; i++) {
        int n = 0, told = why[i].code == ERR_OK;
        for (int k = 0; k < i && !told; k++)
            told = !strcmp(why[k].msg, why[i].msg);
        for (int k = i; k < x->n_cell && !told; k++)
            n += !strcmp(why[k].msg, why[i].msg);
        if (!told)
            quote_show(stdout, "%s: %s:%d: %s (%d cell%s, first %s, task '%s')\n",
                       why[i].code == ERR_INFEASIBLE ? "n/a" : "fails", x->path, x->cell[i].line, why[i].msg, n,
                       n == 1 ? "" : "s", x->cell[i].id, x->task[x->cell[i].task].label);
    }
}

static void print_time(double s)
{
    if (s < 90)
        quote_show(stdout, "%.0f s", s < 1 ? 1 : s);
    else if (s < 5400)
        quote_show(stdout, "%.0f min", s / 60);
    else
        quote_show(stdout, "%.1f h", s / 3600);
}

/* The most samples that a task has. */
static int most_samples(const struct experiment *x)
{
    int n = 0;
    for (int t = 0; t < x->n_task; t++)
        n = x->task[t].n_sample > n ? x->task[t].n_sample : n;
    return n;
}

/* "18 layers, 15 of them with a window of 512 (not pruned)", and the cells for which that does not hold. */
static void add_layers(const struct experiment *x, int model, struct str *out)
{
    int n = 0;
    layers_text(&x->model[model].hp, out);
    for (int c = 0; c < x->n_cell; c++)
        n += x->cell[c].model == model && x->cell[c].windows == WINDOWS_PRUNE;
    if (n)
        str_addf(out, ", but in %d cell%s with windows: prune", n, n == 1 ? "" : "s");
}

/* How fast this machine is: measured, or, where that takes more memory than there is, a rate that it should exceed. */
struct speed {
    struct estimate_rates rates;
    int is_measured;
};

static struct speed find_speed(const struct experiment *x, int model)
{
    double least = estimate_flops * transformer_threads();
    struct speed s = {0};
    struct err e = {0};
    s.is_measured = trial_rates(x, model, &s.rates, &e) == 0;
    if (!s.is_measured)
        s.rates = (struct estimate_rates){least, least};
    return s;
}

/* What so many prompts at once hold; those of run's choice where nobody says how many. */
struct side_by_side {
    int n;
    double peak;
};

static struct side_by_side find_jobs(const struct experiment *x, int model, double memory, int jobs)
{
    struct jobs_choice c;
    jobs_choose(x, transformer_threads(), memory, (double)free_memory(), &c);
    struct side_by_side s = {.n = jobs ? jobs : c.best};
    s.peak = jobs_memory(x, model, transformer_threads(), memory, s.n);
    return s;
}

static void print_json_estimate(const struct experiment *x, int m, const struct estimate *t, const struct speed *s,
                                const struct side_by_side *j)
{
    const struct hparams *hp = &x->model[m].hp;
    int windows = hp->n_layer - model_n_prunable(hp);
    struct str name = {0};
    str_add_json(&name, x->model[m].name, strlen(x->model[m].name));
    quote_show(stdout,
               "{\"model\":%s,\"cells\":%d,\"samples\":%d,\"groups\":%d,\"threads\":%d,\"flop\":%.6g,\"seconds\":%.6g,"
               "\"rates\":\"%s\",\"prompt_flops\":%.4g,\"step_flops\":%.4g,"
               "\"weight_bytes\":%.0f,\"full_cache_bytes\":%.0f,\"cut_cache_bytes\":%.0f,\"memory_bytes\":%.0f,"
               "\"jobs\":%d,\"jobs_memory_bytes\":%.0f,"
               "\"layers\":%d,\"layers_with_window\":%d,\"window\":%d}\n",
               name.p, x->n_cell, most_samples(x), t->groups, transformer_threads(), t->flop,
               estimate_seconds(&t->work, &s->rates), s->is_measured ? "calibrated" : "assumed", s->rates.read,
               s->rates.step, t->weights, t->full_cache, t->cut_caches, t->peak, j->n, j->peak, hp->n_layer, windows,
               windows ? hp->window : 0);
    str_free(&name);
}

static void print_estimate(const struct experiment *x, double memory, int jobs, int json)
{
    const double MIB = 1048576;
    int threads = transformer_threads();
    for (int m = 0; m < x->n_model; m++) {
        struct estimate t;
        struct speed speed = find_speed(x, m);
        estimate_model(x, m, memory, threads, &t);
        struct side_by_side side = find_jobs(x, m, memory, jobs);
        if (json) {
            print_json_estimate(x, m, &t, &speed, &side);
            continue;
        }
        struct str layers = {0};
        add_layers(x, m, &layers);
        quote_show(stdout, "%s: %s; about ", x->model[m].name, layers.p);
        str_free(&layers);
        print_time(estimate_seconds(&t.work, &speed.rates));
        quote_show(stdout, " on %d threads (%.3g GFLOP in %d groups, ", threads, t.flop / 1e9, t.groups);
        if (speed.is_measured)
            quote_show(stdout, "calibrated: %.3g GFLOP/s in prompts, %.3g in steps", speed.rates.read / 1e9,
                       speed.rates.step / 1e9);
        else
            quote_show(stdout, "not calibrated: at %.0f GFLOP/s a thread", estimate_flops / 1e9);
        quote_show(stdout,
                   "); about %.0f MiB at most: weights %.0f, full cache %.1f, activations %.1f, scores %.1f, cells "
                   "%.1f\n",
                   t.peak / MIB, t.most.weights / MIB, t.most.full_cache / MIB, t.most.activations / MIB,
                   t.most.scores / MIB, (t.peak - estimate_base(&t.most)) / MIB);
        if (side.n > 1)
            quote_show(stdout, "with %d prompts at once (run --jobs %d): about %.0f MiB at most\n", side.n, side.n,
                       side.peak / MIB);
    }
}

/* What every group holds at once; the samples of a group's cells take it one after the other. */
static void print_groups(const struct experiment *x, double memory, int json)
{
    const double MIB = 1048576;
    unsigned char *swept = find_swept(x);
    for (int c = 0; c < x->n_cell; c++) {
        struct estimate_group g;
        struct str told = {0};
        if (!estimate_opens_group(x, c))
            continue;
        estimate_group(x, c, 0, transformer_threads(), &g);
        const struct cell *f = &x->cell[c], *top = &x->cell[g.largest_cell];
        double cells = estimate_peak(&g, memory) - estimate_base(&g);
        const char *model = x->model[f->model].name, *task = x->task[f->task].label;
        const struct exp_sizes *sizes = !x->task[f->task].length ? estimate_sizes(x, f) : NULL;
        char of[120] = "";
        if (sizes)
            snprintf(of, sizeof of, " at most, %.0f on average (%s%d of %d samples were encoded)",
                     sizes->sum / sizes->n, sizes->samples < x->task[f->task].n_sample ? "only " : "", sizes->samples,
                     x->task[f->task].n_sample);
        if (json) {
            struct str s = {0};
            str_add(&s, "{\"group\":");
            str_add_json(&s, model, strlen(model));
            str_add(&s, ",\"task\":");
            str_add_json(&s, task, strlen(task));
            for (int i = 0; i < axes_count(); i++)
                if (axes_at(i)->splits) {
                    str_addf(&s, ",\"%s\":", axes_at(i)->key);
                    axes_json(i, f, &s);
                }
            str_addf(&s, ",\"cells\":%d,\"prompt_tokens\":", g.n_cell);
            str_addf(&s, g.prompt ? "%d" : "null", g.prompt);
            if (sizes)
                str_addf(&s, ",\"mean_prompt_tokens\":%.6g,\"encoded_samples\":%d", sizes->sum / sizes->n,
                         sizes->samples);
            str_addf(&s,
                     ",\"weight_bytes\":%.0f,\"activation_bytes\":%.0f,\"full_cache_bytes\":%.0f,\"score_bytes\":%.0f,"
                     "\"cell_bytes\":%.0f,\"largest_cell\":\"%s\",\"largest_cell_bytes\":%.0f}",
                     g.weights, g.activations, g.full_cache, g.scores, cells, top->id, g.largest);
            quote_show_lines(stdout, s.p);
            quote_show(stdout, "\n");
            str_free(&s);
            continue;
        }
        add_group(x, swept, f, &told);
        if (!g.prompt)
            quote_show(stdout, "  %s%s: %d cells; its prompts are known when it runs\n", task, told.p, g.n_cell);
        else
            quote_show(stdout,
                       "  %s, prompts of %d tokens%s%s: %d cells, about %.0f MiB: weights %.0f, full cache %.1f, "
                       "activations %.1f, scores %.1f, cells %.1f (line %d alone %.1f)\n",
                       task, g.prompt, of, told.p, g.n_cell, (estimate_base(&g) + cells) / MIB, g.weights / MIB,
                       g.full_cache / MIB, g.activations / MIB, g.scores / MIB, cells / MIB, top->line,
                       g.largest / MIB);
        str_free(&told);
    }
    mem_free(swept);
}

/* --measure: what each model's cells take, by the time of some layers. An exit code. */
static int print_measured(const struct experiment *x, int json)
{
    int rc = CLI_OK;
    for (int m = 0; m < x->n_model && rc == CLI_OK; m++) {
        struct trial t;
        struct err e = {0};
        struct str name = {0};
        if (trial_time(x, m, &t, &e)) {
            rc = cli_fail(&e);
        } else if (json) {
            str_add_json(&name, x->model[m].name, strlen(x->model[m].name));
            quote_show_lines(stdout, "{\"measured\":");
            quote_show_lines(stdout, name.p);
            quote_show(stdout, ",\"seconds\":%.6g,\"prefill_seconds\":%.6g,\"decode_seconds\":%.6g}\n",
                       t.prefill + t.decode, t.prefill, t.decode);
        } else {
            quote_show(stdout, "%s: measured on this machine: ", x->model[m].name);
            print_time(t.prefill + t.decode);
            quote_show(stdout, " beside loading the model: reading prompts ");
            print_time(t.prefill);
            quote_show(stdout, ", decoding and measures ");
            print_time(t.decode);
            quote_show(stdout, "\n");
        }
        str_free(&name);
    }
    return rc;
}

/* Tasks whose data end before `samples` do. */
static void print_fewer(const struct experiment *x, int json)
{
    for (int t = 0; t < x->n_task; t++) {
        const struct exp_task *task = &x->task[t];
        struct str s = {0};
        int fewer = experiment_has_fewer(x, t, &s);
        if (fewer && !json)
            quote_show(stdout, "%s\n", s.p);
        str_free(&s);
        if (!fewer || !json)
            continue;
        str_add(&s, "{\"task\":");
        str_add_json(&s, task->label, strlen(task->label));
        str_addf(&s, ",\"task_params\":%s,\"samples\":%d,\"asked\":%d}", task->params, task->n_sample, x->samples);
        quote_show(stdout, "%s\n", s.p);
        str_free(&s);
    }
}

/* 0 when the first samples can be made; otherwise says why not and gives the exit code. */
static int try_out(struct experiment *x)
{
    struct str errors = {0}, warnings = {0};
    struct err e = {0};
    int rc = tryout_samples(x, &errors, &warnings, &e) ? cli_fail(&e) : errors.n ? CLI_USAGE : CLI_OK;
    quote_show_lines(stderr, str_c(&errors));
    cli_warn(str_c(&warnings));
    str_free(&errors);
    str_free(&warnings);
    return rc;
}

/* What stands in a file that can be run: cells, why some of them can't, time and memory. */
static int tell(const struct experiment *x, double memory, int jobs, int measure, int json)
{
    struct err e = {0};
    struct err *why = mem_new((size_t)x->n_cell + 1, sizeof *why);
    for (int i = 0; i < x->n_cell; i++)
        feasible_check(x, i, &why[i]);
    print_cells(x, why, json);
    if (!json)
        quote_show(stdout, "%d cells x %d samples, valid\n", x->n_cell, most_samples(x));
    print_fewer(x, json);
    if (!json)
        print_reasons(x, why);
    mem_free(why);
    print_estimate(x, memory, jobs, json);
    print_groups(x, memory, json);
    int rc = measure ? print_measured(x, json) : CLI_OK;
    if (estimate_check(x, (double)free_memory(), transformer_threads(), &e))
        quote_show(stderr, "warning: %s\n", e.msg);
    return rc;
}

int cmd_check(int argc, char **argv)
{
    enum { SET = 256, LIMIT, THREADS, MEMORY, MEASURE, JSON, JOBS };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"set", required_argument, NULL, SET},
                                          {"limit", required_argument, NULL, LIMIT},
                                          {"threads", required_argument, NULL, THREADS},
                                          {"memory", required_argument, NULL, MEMORY},
                                          {"jobs", required_argument, NULL, JOBS},
                                          {"measure", no_argument, NULL, MEASURE},
                                          {"json", no_argument, NULL, JSON},
                                          {NULL, 0, NULL, 0}};
    struct cli_set set = {0};
    int c, start = 1, json = 0, measure = 0;
    int64_t limit = 0, jobs = 0, memory = runner_memory;
    struct experiment x;
    struct err e = {0};
    while ((c = cli_option(argc, argv, ":h", longs, &start)) != -1) {
        if (c == 'h') {
            quote_show_lines(stdout, help);
            return CLI_OK;
        } else if (c == SET) {
            if (cli_add_set("check", &set, optarg))
                return CLI_USAGE;
        } else if (c == LIMIT) {
            if (cli_int("check", "--limit", optarg, 1, 1000000000, &limit))
                return CLI_USAGE;
        } else if (c == THREADS) {
            if (cli_threads("check", optarg))
                return CLI_USAGE;
        } else if (c == JOBS) {
            if (cli_int("check", "--jobs", optarg, 1, 1024, &jobs))
                return CLI_USAGE;
        } else if (c == MEMORY) {
            if (str_to_bytes(optarg, &memory))
                return cli_usage("check", "--memory: expected a size as 8G or 512M, found '%s'", optarg);
        } else if (c == MEASURE) {
            measure = 1;
        } else if (c == JSON) {
            json = 1;
        } else {
            return cli_bad_option("check", c, argv, longs);
        }
    }
    if (argc - optind != 1)
        return cli_usage("check", "expected one FILE.yaml");
    if (cli_load(argv[optind], NULL, &set, limit, &x))
        return CLI_USAGE;
    int rc = calibration_check(&x, &e) ? cli_fail(&e) : try_out(&x);
    if (!rc)
        rc = tell(&x, (double)memory, (int)jobs, measure, json);
    experiment_fini(&x);
    return rc;
}
