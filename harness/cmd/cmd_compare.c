/* `depthkv compare`: did a number get worse? */
#include <getopt.h>
#include <stdio.h>

#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/report/compare.h"

static const char help[] =
    "Compare two results cell by cell; fail when NEW is worse.\n\n"
    "usage: depthkv compare BASE NEW [options]\n\n"
    "BASE and NEW are result folders or cells.csv files. Cells are matched by what they are, not by their order.\n"
    "Axes, counts, entries and bytes must be equal. score, nll, kl, kl_max and top1 may get better, and may get\n"
    "worse by atol + rtol x |base|. Times are never compared. Cells that only NEW has are told and forgiven.\n"
    "Cells of other samples, prompts or answers are told as different and not compared.\n"
    "What is told is a difference on these very samples, which a run repeats to the bit, one sample of four included;\n"
    "no interval has a say. Whether other samples would show it as well is what the intervals in table.md are for.\n\n"
    "  --rtol X    relative tolerance (default 0.001)\n"
    "  --atol X    absolute tolerance (default 0.0001)\n"
    "  --both      a difference beyond the tolerance counts in either direction\n"
    "  --all       and in every float column: standard errors, intervals, differences, p values, further metrics\n"
    "  --json      one JSON object a finding\n\n"
    "The defaults pass what another CPU's order of summation changes: on the reference model at most 5e-5, in no\n"
    "score. Where two entries tie but for the last bit, another one may be kept, and kl then moved by up to 1 %; "
    "hence\n"
    "--both --rtol 0.05 --atol 0.02 in `make smoke`. On one machine nothing moves: --all --rtol 0 --atol 0.\n"
    "Exit status: 0 no worse, 1 worse or cells missing, 2 not comparable (other data, or no\n"
    "cells.csv).\n\n"
    "examples:\n"
    "  depthkv compare results/published/smoke results/smoke --all\n"
    "  depthkv compare main.csv branch.csv --atol 0.02\n";

static int tolerance(const char *option, const char *text, double *out)
{
    if (str_to_double(text, out) || !(*out >= 0))
        return cli_usage("compare", "%s: expected a number of at least 0, found '%s'", option, text);
    return 0;
}

int cmd_compare(int argc, char **argv)
{
    enum { RTOL = 256, ATOL, BOTH, ALL, JSON };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"rtol", required_argument, NULL, RTOL},
                                          {"atol", required_argument, NULL, ATOL},
                                          {"both", no_argument, NULL, BOTH},
                                          {"all", no_argument, NULL, ALL},
                                          {"json", no_argument, NULL, JSON},
                                          {NULL, 0, NULL, 0}};
    struct compare_options o = {.rtol = 1e-3, .atol = 1e-4};
    struct err e = {0};
    int c, start = 1, bad = 0;
    while (!bad && (c = cli_option(argc, argv, ":h", longs, &start)) != -1)
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case RTOL: bad = tolerance("--rtol", optarg, &o.rtol); break;
        case ATOL: bad = tolerance("--atol", optarg, &o.atol); break;
        case BOTH: o.both = 1; break;
        case ALL: o.all = 1; break;
        case JSON: o.json = 1; break;
        default: bad = cli_bad_option("compare", c, argv, longs);
        }
    if (bad)
        return CLI_USAGE;
    if (argc - optind != 2)
        return cli_usage("compare", "expected BASE and NEW, found %d arguments", argc - optind);
    struct str out = {0};
    struct compare_count n;
    struct message_list messages = {0};
    bad = compare_cells(argv[optind], argv[optind + 1], &o, &out, &n, &e);
    if (!bad) {
        quote_show_lines(stdout, str_c(&out));
        quote_show(stderr, "%d cells compared: %d worse, %d better, %d differ, %d missing, %d extra\n", n.n_cell,
                   n.worse, n.better, n.differs, n.missing, n.extra);
        compare_tell(&n, &messages);
        message_show(&messages, NULL, stderr);
        message_list_free(&messages);
    }
    str_free(&out);
    return bad ? cli_fail(&e) : n.other_data ? CLI_USAGE : compare_failed(&n) ? CLI_FAILED : CLI_OK;
}
