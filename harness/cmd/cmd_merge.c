/* `depthkv merge`: one journal out of those of shards, and the tables of all. */
#include <getopt.h>
#include <stdio.h>

#include "harness/base/leave.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/report/report.h"
#include "harness/rows/merge.h"

static const char help[] =
    "Put the rows of shards (depthkv run --shard) into one journal, DIR/rows.jsonl, and make the tables.\n\n"
    "usage: depthkv merge DIR [-q]\n\n"
    "Rows that several shards computed are kept once when they agree in all but times; where they don't, both places\n"
    "are named and nothing is changed. A failed row gives way to one that did not fail. While a shard is still being\n"
    "written nothing is merged. What each process was and did stays in DIR/shards/*.json.\n\n"
    "  -q, --quiet   print no table\n\n"
    "example:\n"
    "  depthkv merge results/board\n\n"
    "exit: 0 merged, 2 not: usage, a shard that runs, rows that differ; 130 stopped by Ctrl-C\n";

static void tell(const char *dir, const struct merge_summary *s)
{
    quote_show(stderr, "%s/rows.jsonl: %ld rows of %d journals, %ld of them new", dir, s->rows, s->journals, s->taken);
    if (s->equal)
        quote_show(stderr, ", %ld twice and equal", s->equal);
    if (s->failed)
        quote_show(stderr, ", %ld failed ones that others computed, or that failed again", s->failed);
    if (s->torn)
        quote_show(stderr, ", %ld last lines cut off by the end of their process", s->torn);
    quote_show(stderr, "\n");
}

int cmd_merge(int argc, char **argv)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'}, {NULL, 0, NULL, 0}};
    struct merge_summary s;
    struct message_list messages = {0};
    struct err e = {0};
    int c, start = 1, quiet = 0;
    while ((c = cli_option(argc, argv, ":hq", longs, &start)) != -1)
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case 'q': quiet = 1; break;
        default: return cli_bad_option("merge", c, argv, longs);
        }
    if (argc - optind != 1)
        return cli_usage("merge", "expected one folder, found %d", argc - optind);
    leave_when_asked();
    const char *dir = argv[optind];
    if (merge_folder(dir, &s, &e))
        return cli_fail(&e);
    tell(dir, &s);
    int bad = report_write(dir, &messages, &e) || (!quiet && report_print(dir, stdout, &e));
    if (!bad)
        message_show(&messages, NULL, stderr);
    message_list_free(&messages);
    return bad ? cli_fail(&e) : CLI_OK;
}
