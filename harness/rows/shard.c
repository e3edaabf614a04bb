#include "harness/rows/shard.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/rows/manifest.h"
#include "models/transformer.h"

enum { SCHEMA = 1, MOST = 100000, BEAT_S = 5, DEAD_S = 60 };

static const char FOLDER[] = "shards";

/* ---- which part ------------------------------------------------------------------------------------- */

static int whole(const char *text, int least, int *out)
{
    char *end;
    errno = 0;
    long v = text && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
    if (v < least || v > 1000000000 || errno || *end)
        return -1;
    *out = (int)v;
    return 0;
}

static int from_slurm(struct shard *out, struct err *e)
{
    enum { ID, COUNT, MIN, STEP, N };
    const struct {
        const char *name, *text;
    } said[N] = {{"SLURM_ARRAY_TASK_ID", getenv("SLURM_ARRAY_TASK_ID")},
                 {"SLURM_ARRAY_TASK_COUNT", getenv("SLURM_ARRAY_TASK_COUNT")},
                 {"SLURM_ARRAY_TASK_MIN", getenv("SLURM_ARRAY_TASK_MIN")},
                 {"SLURM_ARRAY_TASK_STEP", getenv("SLURM_ARRAY_TASK_STEP")}};
    int v[N] = {0, 0, 0, 1};
    for (int i = 0; i < N; i++) {
        const char *text = said[i].text;
        if (!text && i >= MIN)
            continue; /* 0, and 1 */
        if (whole(text, i == COUNT || i == STEP, &v[i]))
            return err_set(e, ERR_CONFIG, "--shard slurm: %s is %s%s%s; it is for the tasks of a job array",
                           said[i].name, text ? "'" : "not set", text ? text : "", text ? "'" : "");
    }
    int at = (v[ID] - v[MIN]) / v[STEP];
    if (v[ID] < v[MIN] || (v[ID] - v[MIN]) % v[STEP] || at >= v[COUNT])
        return err_set(
            e, ERR_CONFIG,
            "--shard slurm: task %d is none of the %d that begin with %d, by %d: a job array with gaps; name "
            "the part, as --shard 1/%d",
            v[ID], v[COUNT], v[MIN], v[STEP], v[COUNT]);
    *out = (struct shard){at + 1, v[COUNT]};
    return 0;
}

int shard_parse(const char *text, struct shard *out, struct err *e)
{
    const char *slash = strchr(text, '/');
    if (strcmp(text, "slurm") == 0)
        return from_slurm(out, e);
    char *number = mem_strndup(text, slash ? (size_t)(slash - text) : 0);
    int bad = !slash || whole(number, 0, &out->number) || whole(slash + 1, 0, &out->of);
    mem_free(number);
    if (bad)
        return err_set(e, ERR_CONFIG, "--shard: expected I/N as 2/3, or slurm, found '%s'", text);
    if (out->of < 1 || out->of > MOST)
        return err_set(e, ERR_CONFIG, "--shard %s: expected 1 to %d parts, found %d", text, MOST, out->of);
    if (out->number < 1 || out->number > out->of)
        return err_set(e, ERR_CONFIG, "--shard %s: there is no part %d of %d; they are 1 to %d", text, out->number,
                       out->of, out->of);
    return 0;
}

/* ---- files ------------------------------------------------------------------------------------------ */

static int by_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static int ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), k = strlen(ending);
    return n > k && strcmp(name + n - k, ending) == 0;
}

/* Paths of DIR/shards/ with this ending, sorted, behind the *n that there are. */
static int find_files(const char *dir, const char *ending, char ***path, size_t *cap, int *n, struct err *e)
{
    char *folder = fs_join(dir, FOLDER);
    int first = *n, rc = 0;
    DIR *d = opendir(folder);
    if (!d && errno != ENOENT)
        rc = fs_fail(folder, e);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.' && ends_with(f->d_name, ending)) {
            mem_grow(path, cap, (size_t)*n + 1, sizeof **path);
            (*path)[(*n)++] = fs_join(folder, f->d_name);
        }
    if (d)
        closedir(d);
    if (*n > first)
        qsort(*path + first, (size_t)(*n - first), sizeof **path, by_text);
    mem_free(folder);
    return rc;
}

int shard_journals_find(const char *dir, struct shard_journals *out, struct err *e)
{
    size_t cap = 0;
    char *rows = fs_join(dir, "rows.jsonl");
    *out = (struct shard_journals){0};
    if (fs_exists(rows)) {
        mem_grow(&out->path, &cap, 1, sizeof *out->path);
        out->path[out->n++] = mem_strdup(rows);
        out->has_rows = 1;
    }
    mem_free(rows);
    return find_files(dir, ".jsonl", &out->path, &cap, &out->n, e);
}

void shard_journals_free(struct shard_journals *j)
{
    for (int i = 0; i < j->n; i++)
        mem_free(j->path[i]);
    mem_free(j->path);
    *j = (struct shard_journals){0};
}

/* ---- states ----------------------------------------------------------------------------------------- */

static void add_text(struct str *s, const char *key, const char *value)
{
    str_addf(s, ", \"%s\": ", key);
    str_add_json(s, value, strlen(value));
}

static void print(const struct shard_state *t, struct str *s)
{
    str_addf(s, "{\"schema\": %d, \"shard\": %d, \"of\": %d", SCHEMA, t->shard.number, t->shard.of);
    add_text(s, "host", t->host);
    str_addf(s, ", \"pid\": %ld, \"started\": %lld", t->pid, t->started);
    add_text(s, "experiment", t->experiment);
    add_text(s, "engine", t->engine);
    add_text(s, "cpu", t->cpu);
    str_addf(s, ", \"threads\": %d, \"begun\": %.3f, \"updated\": %.3f", t->threads, t->begun, t->updated);
    str_addf(s, ", \"samples\": %ld, \"samples_done\": %ld, \"rows\": %ld, \"reused\": %ld, \"failed\": %ld",
             t->samples, t->samples_done, t->rows, t->reused, t->failed);
    add_text(s, "first_failure", t->first_failure);
    str_addf(s, ", \"finished\": %s}\n", t->finished ? "true" : "false");
}

static int count_of(const struct json *v, const char *key, long *out)
{
    int64_t n;
    if (json_int64(json_get(v, key), &n) || n < 0)
        return -1;
    *out = (long)n;
    return 0;
}

static int text_of(const struct json *v, const char *key, char *out, size_t n)
{
    const char *text = json_string(json_get(v, key));
    if (!text)
        return -1;
    snprintf(out, n, "%s", text);
    return 0;
}

static int parse(const struct json *v, struct shard_state *t)
{
    long number = 0, of = 0, threads = 0, started = 0;
    if (count_of(v, "shard", &number) || count_of(v, "of", &of) || of > MOST || number < 1 || number > of ||
        count_of(v, "pid", &t->pid) || count_of(v, "started", &started) || count_of(v, "threads", &threads) ||
        threads > 1000000 || count_of(v, "samples", &t->samples) || count_of(v, "samples_done", &t->samples_done) ||
        count_of(v, "rows", &t->rows) || count_of(v, "reused", &t->reused) || count_of(v, "failed", &t->failed) ||
        text_of(v, "host", t->host, sizeof t->host) || text_of(v, "cpu", t->cpu, sizeof t->cpu) ||
        text_of(v, "experiment", t->experiment, sizeof t->experiment) ||
        text_of(v, "engine", t->engine, sizeof t->engine) ||
        text_of(v, "first_failure", t->first_failure, sizeof t->first_failure))
        return -1;
    t->shard = (struct shard){(int)number, (int)of};
    t->started = started;
    t->threads = (int)threads;
    t->begun = json_number(json_get(v, "begun"), 0);
    t->updated = json_number(json_get(v, "updated"), 0);
    t->finished = json_bool(json_get(v, "finished"), 0);
    return 0;
}

/* When a process started, in ticks since the machine did; -1: there is none. */
static long long start_of(long pid)
{
    char path[64];
    size_t n = 0;
    long long ticks = -1;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    char line[1024];
    n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[n] = '\0';
    const char *p = strrchr(line, ')'); /* the name may hold anything */
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (p)
        ticks = strtoll(p, NULL, 10);
    return ticks;
}

static void host_name(char *out, size_t n)
{
    if (gethostname(out, n))
        snprintf(out, n, "unknown");
    out[n - 1] = '\0';
}

static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds since a file was written, both times by the clock of the file system that has it; 0 where that can't tell. */
static double age_of(const char *dir, const char *path)
{
    char *folder = fs_join(dir, FOLDER), *probe;
    struct str name = {0};
    struct stat now, then;
    char host[65];
    double age = 0;
    host_name(host, sizeof host);
    str_addf(&name, ".now.%s.%ld", host, (long)getpid());
    probe = fs_join(folder, name.p);
    FILE *f = fopen(probe, "w");
    if (f && fflush(f) == 0 && fstat(fileno(f), &now) == 0 && stat(path, &then) == 0)
        age = difftime(now.st_mtime, then.st_mtime);
    if (f) {
        fclose(f);
        unlink(probe);
    }
    mem_free(folder);
    mem_free(probe);
    str_free(&name);
    return age;
}

static enum shard_life life_of(const char *dir, const char *path, const struct shard_state *t)
{
    char here[65];
    if (t->finished)
        return SHARD_FINISHED;
    host_name(here, sizeof here);
    if (strcmp(here, t->host) == 0)
        return start_of(t->pid) == t->started ? SHARD_RUNS : SHARD_STOPPED;
    return age_of(dir, path) < DEAD_S ? SHARD_RUNS : SHARD_STOPPED;
}

static int read_state(const char *dir, const char *path, struct shard_state *t, struct err *e)
{
    size_t n = 0;
    char *text = fs_read(path, &n, e);
    struct json *v = text ? json_parse(path, text, n, e) : NULL;
    int rc = -1;
    *t = (struct shard_state){0};
    if (v && parse(v, t)) {
        err_set(e, ERR_FORMAT, "%s: not the state of a shard; remove it (its journal keeps its rows)", path);
    } else if (v) {
        const char *base = fs_basename(path);
        snprintf(t->name, sizeof t->name, "%.*s", (int)(strlen(base) - strlen(".json")), base);
        t->life = life_of(dir, path, t);
        rc = 0;
    }
    json_free(v);
    mem_free(text);
    return rc;
}

int shard_states(const char *dir, struct shard_state **out, int *n, struct err *e)
{
    char **path = NULL;
    size_t cap = 0;
    int n_path = 0, rc = find_files(dir, ".json", &path, &cap, &n_path, e);
    *n = 0;
    *out = mem_new((size_t)n_path + 1, sizeof **out);
    for (int i = 0; i < n_path && rc == 0; i++) {
        rc = read_state(dir, path[i], &(*out)[*n], e);
        *n += rc == 0;
    }
    for (int i = 0; i < n_path; i++)
        mem_free(path[i]);
    mem_free(path);
    if (rc) {
        mem_free(*out);
        *out = NULL;
        *n = 0;
    }
    return rc;
}

int shard_refuse_running(const char *dir, const char *what, struct err *e)
{
    struct shard_state *t;
    int n, running = 0, first = 0;
    if (shard_states(dir, &t, &n, e))
        return -1;
    for (int i = n - 1; i >= 0; i--)
        if (t[i].life == SHARD_RUNS) {
            running++;
            first = i;
        }
    if (running)
        err_set(e, ERR_IO, "%s: %d shard%s still being written, first %d/%d by process %ld on %s: %s when %s ended",
                dir, running, running == 1 ? " is" : "s are", t[first].shard.number, t[first].shard.of, t[first].pid,
                t[first].host, what, running == 1 ? "it has" : "they have");
    mem_free(t);
    return running ? -1 : 0;
}

/* 1 when the shard's journal is still there: it is not merged. */
static int has_journal(const char *dir, const struct shard_state *t)
{
    struct str name = {0};
    str_addf(&name, "%s/%s.jsonl", FOLDER, t->name);
    char *path = fs_join(dir, name.p);
    int64_t size = fs_size(path);
    mem_free(path);
    str_free(&name);
    return size > 0;
}

int shard_refuse_others(const char *dir, const char *experiment, const char *engine, struct err *e)
{
    struct shard_state *t;
    int n, rc = 0;
    if (shard_states(dir, &t, &n, e))
        return -1;
    for (int i = 0; i < n && rc == 0; i++) {
        if (!has_journal(dir, &t[i]) && t[i].life != SHARD_RUNS)
            continue;
        if (strcmp(t[i].experiment, experiment) != 0)
            rc = err_set(e, ERR_CONFIG,
                         "%s/%s/%s.jsonl holds rows of another experiment than this one (config.yaml says which); take "
                         "another folder (-o), or depthkv merge %s first",
                         dir, FOLDER, t[i].name, dir);
        else if (strncmp(t[i].engine, engine, BUILD_ID_SHORT - 1) != 0)
            rc =
                err_set(e, ERR_CONFIG,
                        "%s/%s/%s.jsonl was computed by another build, processor or library (engine %s on %s, %s; this "
                        "is %.16s): its rows are not this one's; take another folder (-o), or depthkv merge %s first",
                        dir, FOLDER, t[i].name, t[i].engine, t[i].host, t[i].cpu, engine, dir);
    }
    mem_free(t);
    return rc;
}

/* ---- the one that is written ------------------------------------------------------------------------ */

struct shard_writer {
    struct shard_state state;
    char *path;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    pthread_t beat;
    int beats, ending;
};

static int write_state(struct shard_writer *w, struct err *e)
{
    struct str s = {0};
    w->state.updated = wall_clock();
    print(&w->state, &s);
    int rc = fs_replace(w->path, s.p, s.n, e);
    str_free(&s);
    return rc;
}

/* A state that can't be written now is written five seconds later: rows are what counts, and their errors are told. */
static void *beat(void *arg)
{
    struct shard_writer *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += BEAT_S;
        pthread_cond_timedwait(&w->ends, &w->lock, &until);
        if (!w->ending)
            (void)write_state(w, NULL);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Host names are the machine's: what is no letter, digit or '-' is left out of the file's name. */
static void make_name(struct shard_state *t)
{
    char host[33];
    size_t n = 0;
    for (const char *p = t->host; *p && n < sizeof host - 1; p++)
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-')
            host[n++] = *p;
    host[n] = '\0';
    snprintf(t->name, sizeof t->name, "%d-of-%d.%s.%ld.%.0f", t->shard.number, t->shard.of, n ? host : "host", t->pid,
             t->begun * 1000);
}

struct shard_writer *shard_begin(const char *dir, struct shard which, const char *experiment, const char *engine,
                                 struct err *e)
{
    struct shard_writer *w = mem_new(1, sizeof *w);
    struct shard_state *t = &w->state;
    struct str cpu = {0}, name = {0};
    *w = (struct shard_writer){.lock = PTHREAD_MUTEX_INITIALIZER, .ends = PTHREAD_COND_INITIALIZER};
    t->shard = which;
    t->pid = (long)getpid();
    t->started = start_of(t->pid);
    t->begun = wall_clock();
    t->threads = transformer_threads();
    host_name(t->host, sizeof t->host);
    manifest_cpu(&cpu);
    snprintf(t->cpu, sizeof t->cpu, "%s", str_c(&cpu));
    snprintf(t->experiment, sizeof t->experiment, "%s", experiment);
    snprintf(t->engine, sizeof t->engine, "%.16s", engine);
    make_name(t);
    str_addf(&name, "%s/%s.json", FOLDER, t->name);
    w->path = fs_join(dir, name.p);
    char *folder = fs_join(dir, FOLDER);
    if (fs_mkdirs(folder, e) || write_state(w, e)) {
        shard_end(w, 0, NULL);
        w = NULL;
    } else {
        w->beats = pthread_create(&w->beat, NULL, beat, w) == 0;
    }
    mem_free(folder);
    str_free(&cpu);
    str_free(&name);
    return w;
}

const char *shard_name(const struct shard_writer *w)
{
    return w->state.name;
}

void shard_count(struct shard_writer *w, long samples, long samples_done, long rows, long reused, long failed,
                 const char *first_failure)
{
    pthread_mutex_lock(&w->lock);
    w->state.samples = samples;
    w->state.samples_done = samples_done;
    w->state.rows = rows;
    w->state.reused = reused;
    w->state.failed = failed;
    if (first_failure)
        snprintf(w->state.first_failure, sizeof w->state.first_failure, "%s", first_failure);
    pthread_mutex_unlock(&w->lock);
}

int shard_end(struct shard_writer *w, int finished, struct err *e)
{
    if (!w)
        return 0;
    pthread_mutex_lock(&w->lock);
    w->ending = 1;
    pthread_cond_signal(&w->ends);
    pthread_mutex_unlock(&w->lock);
    if (w->beats)
        pthread_join(w->beat, NULL);
    w->state.finished = finished;
    int rc = w->path ? write_state(w, e) : 0;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->ends);
    mem_free(w->path);
    mem_free(w);
    return rc;
}
