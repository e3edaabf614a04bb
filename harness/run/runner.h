/* Runs an experiment: groups in a fixed order, rows into the journal as they are finished. A run that was stopped,
 * by Ctrl-C or kill -9, continues where the journal ends. */
#ifndef HARNESS_RUNNER_H
#define HARNESS_RUNNER_H

#include <stddef.h>

#include "harness/base/err.h"
#include "harness/experiment/experiment.h"
#include "harness/rows/shard.h"

extern const int64_t runner_memory; /* the default of `memory` */

struct runner_options {
    const char *dir;    /* the result folder */
    size_t memory;      /* bytes for the caches of cells that decode at once; 0: runner_memory */
    int jobs;           /* prompts that are computed at once, each with its share of threads and memory; 0: 1 */
    struct shard shard; /* which part of the samples; of 0: all */
    int quiet;
    int argc; /* the command line, for the manifest */
    char *const *argv;
};

struct runner_summary {
    long rows, failed, reused; /* rows written by this run, failed ones among them; rows that were there */
    long skipped;              /* of the rows: cells whose budget no answer exists for */
    char first_failure[512], first_skip[512];
};

/* A part's samples are dealt out by their estimated cost, the same way by whoever computes it, so that the parts
 * of an experiment need not know of each other. ERR_INTERRUPTED after Ctrl-C; what was finished is in the journal. What
 * can't fit into memory, and a profile that shares a prompt with the experiment (calibration.h), are refused before the
 * folder is made. */
int runner_run(struct experiment *x, const struct runner_options *o, struct runner_summary *out, struct err *e);

#endif
