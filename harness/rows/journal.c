/* The journal: rows.jsonl, append-only, one flushed line a row. A process that dies leaves at most a torn last line,
 * which the next run cuts off. A lock keeps two runs out of one folder; it goes with the process, however that ends.
 *
 * Shards (shard.h) each append to a journal of their own, and only look at the others. They share the lock, where the
 * file system has locks; nothing of theirs depends on it, since nobody else writes to their file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/lines.h"
#include "harness/base/mem.h"
#include "harness/rows/record.h"
#include "harness/rows/rowid.h"
#include "harness/rows/shard.h"

struct journal {
    char *path;
    int fd, lock;
    struct rowid_table done; /* rows that need not be tried again */
};

/* The key of one stored line; -1 when it is no row. Failed rows are not remembered: they are tried again. */
static int read_line(struct journal *j, const char *line, size_t n)
{
    struct json *v = json_parse("row", line, n, NULL);
    const char *key = json_string(json_get(v, "key")), *question = json_string(json_get(v, "question_id")),
               *status = json_string(json_get(v, "status"));
    int64_t sample;
    int bad = !key || !question || !status || json_int64(json_get(v, "sample"), &sample);
    if (!bad && (strcmp(status, "ok") == 0 || strcmp(status, "skipped") == 0))
        (void)rowid_put(&j->done, rowid_of(key, sample, question));
    json_free(v);
    return bad ? -1 : 0;
}

/* Reads one journal; *good: where its whole rows end. A torn last line does not count, nor does a last line that was
 * cut and continued by somebody else's newline; any other broken line is an error: nobody here writes one. */
static int read_rows(struct journal *j, const char *path, int64_t *good, struct err *e)
{
    struct lines *l = lines_open(path, e);
    const char *line;
    size_t n;
    int more = l ? 0 : -1, broken = 0;
    *good = 0;
    while (l && (more = lines_next(l, &line, &n, e)) > 0) {
        if (broken) {
            err_set(e, ERR_FORMAT, "%s:%d: not a row; mend or remove the line", path, broken);
            more = -1;
            break;
        }
        if (!lines_is_whole(l))
            break;
        if (read_line(j, line, n))
            broken = lines_number(l);
        else
            *good = lines_offset(l);
    }
    lines_close(l);
    return more < 0 ? -1 : 0;
}

/* Reads what is there; cuts a torn last line off where it is this run's own to go on with. */
static int load(struct journal *j, const char *dir, struct err *e)
{
    struct shard_journals all;
    int rc = shard_journals_find(dir, &all, e);
    for (int i = 0; i < all.n && rc == 0; i++) {
        int64_t good;
        rc = read_rows(j, all.path[i], &good, e);
        if (rc == 0 && strcmp(all.path[i], j->path) == 0 && good < fs_size(j->path) && truncate(j->path, (off_t)good))
            rc = fs_fail(j->path, e);
    }
    shard_journals_free(&all);
    return rc;
}

static int tell_holder(const struct journal *j, const char *dir, struct err *e)
{
    char holder[32] = "";
    if (shard_refuse_running(dir, "go on", e))
        return -1;
    ssize_t n = pread(j->lock, holder, sizeof holder - 1, 0);
    holder[n > 0 ? n : 0] = '\0';
    return err_set(e, ERR_IO, "%s: another run (process %s) writes to this folder", dir, holder);
}

/* shared 1: beside others that share it. */
static int take_lock(struct journal *j, const char *dir, int shared, struct err *e)
{
    char *path = fs_join(dir, "lock"), holder[32] = "";
    int rc = -1;
    j->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->lock < 0) {
        fs_fail(path, e);
        goto out;
    }
    if (flock(j->lock, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) && errno == EWOULDBLOCK) {
        rc = tell_holder(j, dir, e);
        goto out;
    } /* other errors: the file system has no locks */
    snprintf(holder, sizeof holder, "%ld", (long)getpid());
    if (!shared && (ftruncate(j->lock, 0) || pwrite(j->lock, holder, strlen(holder), 0) < 0)) {
        fs_fail(path, e);
        goto out;
    }
    rc = 0;
out:
    mem_free(path);
    return rc;
}

struct journal *journal_open(const char *dir, const char *shard, struct err *e)
{
    struct journal *j = mem_new(1, sizeof *j);
    struct str name = {0};
    j->fd = j->lock = -1;
    str_addf(&name, shard ? "shards/%s.jsonl" : "rows.jsonl", shard);
    j->path = fs_join(dir, name.p);
    str_free(&name);
    if (fs_mkdirs(dir, e) || take_lock(j, dir, !!shard, e) || (!shard && shard_refuse_running(dir, "go on", e)) ||
        load(j, dir, e))
        goto fail;
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (shard ? O_EXCL : 0), 0666);
    if (j->fd < 0) {
        fs_fail(j->path, e);
        goto fail;
    }
    return j;
fail:
    journal_close(j);
    return NULL;
}

int journal_has(const struct journal *j, const char *key, int sample, const char *question_id)
{
    return rowid_find(&j->done, rowid_of(key, sample, question_id)) != NULL;
}

int journal_check(const struct journal *j, struct err *e)
{
    struct stat is, named;
    if (fstat(j->fd, &is) == 0 && stat(j->path, &named) == 0 && is.st_dev == named.st_dev && is.st_ino == named.st_ino)
        return 0;
    return err_set(e, ERR_WRITE,
                   "%s was removed or replaced while this run was writing to it; run again for a whole folder",
                   j->path);
}

int journal_append(struct journal *j, const struct row *r, struct err *e)
{
    struct str line = {0};
    int rc = -1;
    record_json(r, &line);
    str_addc(&line, '\n');
    off_t end = lseek(j->fd, 0, SEEK_END);
    if (fs_write_all(j->fd, j->path, line.p, line.n, e)) {
        if (end >= 0 && ftruncate(j->fd, end)) /* half a row is none; where even this fails, the next run cuts it off */
            err_wrap(e, "a torn last line");
        goto out;
    }
    if (r->status != ROW_FAILED)
        (void)rowid_put(&j->done, rowid_of(r->key, r->sample, r->question_id));
    rc = 0;
out:
    str_free(&line);
    return rc;
}

int journal_count(const struct journal *j)
{
    return (int)j->done.n;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    if (j->lock >= 0)
        close(j->lock); /* releases the lock */
    rowid_table_free(&j->done);
    mem_free(j->path);
    mem_free(j);
}
