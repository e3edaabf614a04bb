/* What the subcommands share: their prototypes, error output, and few-line option helpers. */
#ifndef HARNESS_CLI_H
#define HARNESS_CLI_H

#include <stdint.h>

#include "harness/base/err.h"

/* Exit codes of every subcommand. */
enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* Each takes argv with argv[0] = the subcommand's name and returns an exit code. */
int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_describe(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_samples(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_metrics(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_status(int argc, char **argv);

/* Prints "depthkv: message" on stderr. CLI_USAGE for everything that the caller can mend: usage, configuration, files
 * that are missing or are not what they should be; CLI_FAILED for what broke inside: memory, a full disk, a policy's
 * contract. */
int cli_fail(const struct err *e);
/* Prints "depthkv SUB: <what> (see: depthkv SUB -h)"; CLI_USAGE. */
int cli_usage(const char *sub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* getopt_long for all subcommands: silent, and starting over when *start is 1. Needs a leading ':' in `shorts`. */
struct option;
int cli_option(int argc, char **argv, const char *shorts, const struct option *longs, int *start);
/* What cli_option has just refused by returning `c`: names it, and the option that was meant; CLI_USAGE. */
int cli_bad_option(const char *sub, int c, char **argv, const struct option *longs);
/* Text of an option to a whole number within bounds; -1 and the message printed otherwise. */
int cli_int(const char *sub, const char *option, const char *text, int64_t min, int64_t max, int64_t *out);
/* --param NAME=VALUE of `owner` ("task 'copy'"): sets the field of its config. `see` is the command that lists them. */
struct param;
int cli_param(const struct param *table, void *config, const char *owner, const char *see, const char *text,
              struct err *e);
/* The --set KEY=VALUE of a command line, and the experiment that they change. */
enum { CLI_MAX_SET = 64 };
struct cli_set {
    const char *text[CLI_MAX_SET];
    int n;
};
int cli_add_set(const char *sub, struct cli_set *s, const char *text); /* -1 and the message printed: too many */
void cli_warn(const char *lines);                                      /* "warning: " and each of them, on stderr */
/* Reads an experiment, from a file or (yaml not NULL) from a text that `path` names. -1 with everything that is wrong
 * with it printed; what it says in vain is a warning. limit: samples at most; 0: the experiment's own. */
struct experiment;
int cli_load(const char *path, const char *yaml, const struct cli_set *s, int64_t limit, struct experiment *x);
/* --threads N: applies it; 0 or -1 as cli_int. */
int cli_threads(const char *sub, const char *text);

#endif
