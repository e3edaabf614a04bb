/* One of several processes that share an experiment's samples, on one machine or on many that see the same folder.
 * Each writes a journal of its own, so that nothing has to be locked, and beside it a state, which it renews while it
 * lives:
 *
 *   DIR/shards/2-of-3.HOST.PID.SECONDS.jsonl   its rows
 *   DIR/shards/2-of-3.HOST.PID.SECONDS.json    struct shard_state
 *
 * No name is used twice: whoever goes on after a stop begins a new journal and finds the rows of the others by their
 * keys, whatever their number was. `merge` puts all rows into rows.jsonl. */
#ifndef HARNESS_SHARD_H
#define HARNESS_SHARD_H

#include "harness/base/err.h"
#include "harness/base/hash.h"
#include "harness/rows/build_id.h"

/* Which part: 1 to `of`. of 0: all of it. */
struct shard {
    int number, of;
};

/* "2/3", or "slurm": SLURM_ARRAY_TASK_ID of SLURM_ARRAY_TASK_COUNT, whatever number the array begins with. */
int shard_parse(const char *text, struct shard *out, struct err *e);

/* The journals of a folder: rows.jsonl where it is there, then those of shards in the order of their names. */
struct shard_journals {
    char **path;
    int n, has_rows; /* has_rows 1: path[0] is rows.jsonl */
};
int shard_journals_find(const char *dir, struct shard_journals *out, struct err *e);
void shard_journals_free(struct shard_journals *j);

enum shard_life {
    SHARD_RUNS,
    SHARD_FINISHED, /* nothing is left of its part */
    SHARD_STOPPED   /* before its end: interrupted, or killed */
};

struct shard_state {
    char name[160]; /* without folder and ending */
    struct shard shard;
    char host[65];
    long pid;
    long long started;           /* of the process, in ticks since the machine started: the same pid may come again */
    char experiment[HASH_HEX];   /* of config.yaml's text */
    char engine[BUILD_ID_SHORT]; /* as in rows */
    char cpu[96];
    int threads;
    double begun, updated;      /* seconds since 1970 */
    long samples, samples_done; /* of its part, once for every way of holding the weights */
    long rows, reused, failed;  /* written; there already; of those that were written */
    char first_failure[256];
    int finished;
    enum shard_life life; /* not in the file: what shard_states makes of it */
};

/* All of a folder, by name. A process of this machine is looked up; another's lives as long as its file is younger than
 * a minute by the clock of the file system. */
int shard_states(const char *dir, struct shard_state **out, int *n, struct err *e);
/* ERR_IO, naming those that run; 0 when none does. what: what can't be done meanwhile. */
int shard_refuse_running(const char *dir, const char *what, struct err *e);
/* ERR_CONFIG when a journal that is not merged yet is of another experiment or another engine. */
int shard_refuse_others(const char *dir, const char *experiment, const char *engine, struct err *e);

struct shard_writer;
/* Makes the name and the state, which a thread of its own renews. */
struct shard_writer *shard_begin(const char *dir, struct shard which, const char *experiment, const char *engine,
                                 struct err *e);
const char *shard_name(const struct shard_writer *w);
/* Counts as they are now; from several threads. first_failure NULL: as it was. */
void shard_count(struct shard_writer *w, long samples, long samples_done, long rows, long reused, long failed,
                 const char *first_failure);
/* Writes the last state. finished 1: nothing is left. NULL is fine. */
int shard_end(struct shard_writer *w, int finished, struct err *e);

#endif
