/* The program: one table of subcommands. Locale stays "C", so that numbers print and read the same everywhere. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "harness/cmd/start.h"
#include "harness/rows/source_id.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    int computes; /* 1: with a model */
} command[] = {
    {"run", "run an experiment file, or continue it", cmd_run, 1},
    {"check", "validate an experiment; print its cells, time and memory", cmd_check, 1},
    {"report", "rebuild tables and plots from stored rows", cmd_report, 0},
    {"status", "how far a run is, on however many machines", cmd_status, 0},
    {"merge", "one journal out of those of several processes (run --shard)", cmd_merge, 0},
    {"compare", "two results, cell by cell; fail when a number got worse", cmd_compare, 0},
    {"list", "policies, allocators, tasks, metrics, experiments", cmd_list, 0},
    {"describe", "parameters of one of them, or what a model file holds", cmd_describe, 0},
    {"import", "make a model file from GGUF or a Hugging Face folder", cmd_import, 0},
    {"generate", "continue a prompt", cmd_generate, 1},
    {"samples", "print a task's samples as JSONL", cmd_samples, 0},
    {"trace", "what one cell kept of one sample, position by position", cmd_trace, 1},
    {"metrics", "metrics of layers, from hidden states, and what they say of a layer's damage", cmd_metrics, 1},
    {"bench", "throughput and memory against this machine's own limits", cmd_bench, 1},
};
enum { N_COMMAND = sizeof command / sizeof *command };

/* Whatever is read with getenv here, and what the libraries read that a user may want to set. */
static const struct {
    const char *name, *use;
} variable[] = {
    {"DEPTHKV_MODELS", "folder of model files: sought there when there is none at the path that is given"},
    {"DEPTHKV_DATA", "folder of the books and questions that tasks read (default: those that come with depthkv)"},
    {"DEPTHKV_FREE_MEMORY", "memory that a run may count on, as 8G (default: what the system says is available)"},
    {"TMPDIR", "folder of what bench writes meanwhile (default: /tmp)"},
    {"PATH", "where gnuplot is sought, which draws the plots"},
    {"OPENBLAS_CORETYPE", "kernels of OpenBLAS (default: the best that it has and the processor can run)"},
    {"DEPTHKV_TILE", "shape of the tiles in which many rows are multiplied, for a comparison (bench --only products)"},
    {"OMP_WAIT_POLICY", "passive: threads that wait sleep at once"},
    {"GOMP_SPINCOUNT", "how often they look before they sleep (default: 10000 times, less than a millisecond)"},
    {"DEPTHKV_RESTART", "0: the program does not start itself again, which it does to tell libraries the above"},
    {"OMP_PROC_BIND", "false: threads are not given a core each, as they are where cores are free"},
    {"OMP_PLACES", "where threads go instead"},
    {"GOMP_CPU_AFFINITY", "where threads go instead"},
    {"DEPTHKV_BF16", "what computes products in bf16 arithmetic (default: the widest of plain, avx2, avx512, "
                     "avx512_bf16 and amx that the processor has)"},
    {"SLURM_ARRAY_TASK_ID", "of run --shard slurm: which task of the job array this is"},
    {"SLURM_ARRAY_TASK_COUNT", "how many there are"},
    {"SLURM_ARRAY_TASK_MIN", "the number that they begin with"},
    {"SLURM_ARRAY_TASK_STEP", "and by which they grow"},
    {"OMP_NUM_THREADS", "threads, where --threads does not say it (default: one a core)"},
};

static void commands(FILE *f)
{
    quote_show(f, "depthkv: benchmark and ablation harness for pruning the KV cache of transformers\n\n"
                  "usage: depthkv COMMAND [options]        (depthkv COMMAND -h for its options)\n\n");
    for (int i = 0; i < N_COMMAND; i++)
        quote_show(f, "  %-10s %s\n", command[i].name, command[i].summary);
}

static void help(FILE *f)
{
    commands(f);
    quote_show(f, "\n"
                  "A file that an experiment is read from may be a name without a folder and .yaml: NAME.yaml of the\n"
                  "working folder, or else the one that comes with depthkv (depthkv list experiments).\n\n"
                  "environment:\n");
    for (size_t i = 0; i < sizeof variable / sizeof *variable; i++)
        quote_show(f, "  %-22s %s\n", variable[i].name, variable[i].use);
    quote_show(f, "\nexamples:\n"
                  "  depthkv run demo\n"
                  "  depthkv check experiments/quickstart.yaml\n"
                  "  depthkv --version\n");
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        commands(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        help(stdout);
        return CLI_OK;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        quote_show(stdout, "depthkv %s (%s)\n", source_id_version, source_id_git);
        return CLI_OK;
    }
    const char *names[N_COMMAND];
    for (int i = 0; i < N_COMMAND; i++) {
        names[i] = command[i].name;
        if (strcmp(argv[1], names[i]) != 0)
            continue;
        if (command[i].computes && start_prepare())
            return CLI_USAGE;
        return command[i].run(argc - 1, argv + 1);
    }
    quote_show(stderr, "depthkv: unknown command '%s'%s (see: depthkv -h)\n", argv[1],
               str_did_you_mean(argv[1], names, N_COMMAND));
    return CLI_USAGE;
}

/* What was printed has arrived, or the command failed. A reader that went away knows by itself. */
static int finish(int status)
{
    errno = 0;
    int lost = ferror(stdout), unflushed = fflush(stdout), why = errno;
    if (!lost && !unflushed)
        return status;
    if (!unflushed) { /* it failed earlier, and nobody kept the reason: the same write fails again */
        clearerr(stdout);
        errno = 0;
        quote_show(stdout, "\n");
        if (fflush(stdout))
            why = errno;
    }
    if (why != EPIPE)
        quote_show(stderr, "depthkv: standard output: %s\n", why ? strerror(why) : "what was printed is not complete");
    return status == CLI_OK ? CLI_FAILED : status;
}

int main(int argc, char **argv)
{
    leave_begin();
    mem_keep_freed();
    return finish(dispatch(argc, argv));
}
