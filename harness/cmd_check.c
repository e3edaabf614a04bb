/* `depthkv check`: validates an experiment and prints its cells; nothing runs. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/experiment.h"

static const char help[] = "Validate an experiment; print its cells and what they take.\n\n"
                           "usage: depthkv check FILE.yaml [--set KEY=VALUE]... [--limit N] [--json]\n";

enum { MAX_SET = 64 };

static void print_cells(const struct experiment *x, int json)
{
    for (int i = 0; json && i < x->n_cell; i++)
        printf("{\"cell\":\"%s\",\"line\":%d,\"resolved\":%s}\n", x->cell[i].id, x->cell[i].line, x->cell[i].json);
    if (json)
        return;
    printf("%-16s  %-16s %-14s %-8s %-22s %-8s %s\n", "cell", "task", "policy", "budget", "layer_budget", "heads", "parameters");
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        printf("%s  %-16s %-14s %-8s %-22s %-8s %s %s\n", c->id, x->task[c->task].label, c->policy->name,
               *c->budget_text ? c->budget_text : "-", c->layer_budget, head_budget_names[c->heads], c->params, c->protect_json);
    }
}

/* Weights, the full cache of the longest prompt, and the default limit for cut caches. Time: linear and attention
 * arithmetic of the prefills at 60 GFLOP/s a core-pair, which is cautious for two cores. */
static void print_estimate(const struct experiment *x)
{
    for (int m = 0; m < x->n_model; m++) {
        const struct hparams *hp = &x->model[m].hp;
        double per_layer = (double)hp->d_model * (hp->n_head + 2.0 * hp->n_kv_head) * hp->head_dim +
                           (double)hp->d_model * hp->n_head * hp->head_dim + 3.0 * hp->d_model * hp->d_ff;
        double weights = (per_layer * hp->n_layer + (double)hp->n_vocab * hp->d_model * (hp->tied ? 1 : 2)) * 4;
        double longest = 0, flop = 0;
        for (int t = 0; t < x->n_task; t++) {
            double n = x->task[t].length ? x->task[t].length : hp->context_length;
            longest = n > longest ? n : longest;
            flop += x->samples * (2 * per_layer * n + 2.0 * n * n * hp->n_head * hp->head_dim) * hp->n_layer;
        }
        double cache = longest * hp->n_layer * hp->n_kv_head * hp->head_dim * 8;
        printf("%s: weights %.0f MiB, full cache of %.0f tokens %.0f MiB, cut caches at most 2048 MiB (--memory); prefills about "
               "%.1f min at 60 GFLOP/s, decoding and measures on top\n",
               x->model[m].name, weights / 1048576, longest, cache / 1048576, flop / 60e9 / 60);
    }
}

int cmd_check(int argc, char **argv)
{
    enum { SET = 256, LIMIT, JSON };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"set", required_argument, NULL, SET},
                                          {"limit", required_argument, NULL, LIMIT}, {"json", no_argument, NULL, JSON},
                                          {NULL, 0, NULL, 0}};
    const char *set[MAX_SET];
    int c, n_set = 0, json = 0;
    int64_t limit = 0;
    struct experiment x;
    struct str errors = {0};
    struct err e = {0};
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return CLI_OK;
        } else if (c == SET && n_set < MAX_SET) {
            set[n_set++] = optarg;
        } else if (c == LIMIT) {
            if (cli_int("check", "--limit", optarg, 1, 1000000000, &limit))
                return CLI_USAGE;
        } else if (c == JSON) {
            json = 1;
        } else {
            return cli_usage("check", "that option is not known, or lacks its value");
        }
    }
    if (argc - optind != 1)
        return cli_usage("check", "expected one FILE.yaml");
    if (experiment_load(argv[optind], set, n_set, (int)limit, &x, &errors, &e)) {
        fputs(errors.n ? errors.p : e.msg, stderr);
        str_free(&errors);
        return CLI_USAGE;
    }
    print_cells(&x, json);
    if (!json) {
        printf("%d cells x %d samples, valid\n", x.n_cell, x.samples);
        print_estimate(&x);
    }
    experiment_fini(&x);
    str_free(&errors);
    return CLI_OK;
}
