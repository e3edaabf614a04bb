/* `depthkv report`: tables and plots from stored rows; nothing is run again. */
#include <getopt.h>
#include <stdio.h>

#include "harness/cli.h"
#include "harness/report.h"

static const char help[] = "Rebuild cells.csv, tables, plots and index.html from stored rows, and print the table.\n\n"
                           "usage: depthkv report DIR...\n\n"
                           "example:\n"
                           "  depthkv report results/quickstart\n";

int cmd_report(int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct err e = {0};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c != 'h')
            return cli_usage("report", "that option is not known");
        fputs(help, stdout);
        return CLI_OK;
    }
    if (optind == argc)
        return cli_usage("report", "expected a result folder");
    for (; optind < argc; optind++)
        if (report_write(argv[optind], &e) || report_print(argv[optind], stdout, &e))
            return cli_fail(&e);
    return CLI_OK;
}
