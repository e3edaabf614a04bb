/* The journal: rows.jsonl, append-only, one flushed line a row. A process that dies leaves at most a torn last line,
 * which the next run cuts off. A lock keeps two runs out of one folder; it goes with the process, however that ends. */
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
#include "harness/base/mem.h"
#include "harness/rows/record.h"

struct journal {
    char *path;
    int fd, lock;
    char **slot; /* open addressing over ids of rows that need not be tried again */
    size_t mask, n;
};

static void make_id(struct str *s, const char *key, int sample, const char *question)
{
    str_clear(s);
    str_addf(s, "%s %d %s", key, sample, question);
}

static char **find(const struct journal *j, const char *id)
{
    size_t i = hash_fnv1a(id, strlen(id)) & j->mask;
    while (j->slot[i] && strcmp(j->slot[i], id) != 0)
        i = (i + 1) & j->mask;
    return &j->slot[i];
}

static void remember(struct journal *j, const char *id)
{
    if (2 * (j->n + 1) > j->mask) {
        char **old = j->slot;
        size_t size = j->mask + 1;
        j->mask = 2 * size - 1;
        j->slot = mem_new(2 * size, sizeof *j->slot);
        for (size_t i = 0; i < size; i++)
            if (old[i])
                *find(j, old[i]) = old[i];
        mem_free(old);
    }
    char **at = find(j, id);
    if (!*at) {
        *at = mem_strdup(id);
        j->n++;
    }
}

/* The key of one stored line; -1 when it is no row. Failed rows are not remembered: they are tried again. */
static int read_line(struct journal *j, const char *line, size_t n, struct str *id)
{
    struct json *v = json_parse("row", line, n, NULL);
    const char *key = json_string(json_get(v, "key")), *question = json_string(json_get(v, "question_id")),
               *status = json_string(json_get(v, "status"));
    int64_t sample;
    int bad = !key || !question || !status || json_int64(json_get(v, "sample"), &sample);
    if (!bad && (strcmp(status, "ok") == 0 || strcmp(status, "skipped") == 0)) {
        make_id(id, key, (int)sample, question);
        remember(j, id->p);
    }
    json_free(v);
    return bad ? -1 : 0;
}

/* Reads what is there; cuts a torn last line off. Any other broken line is an error: nobody here writes one. */
static int load(struct journal *j, struct err *e)
{
    size_t n = 0, good = 0;
    int line = 1, rc = -1;
    struct str id = {0};
    char *text = fs_exists(j->path) ? fs_read(j->path, &n, e) : mem_strdup("");
    if (!text)
        return -1;
    while (good < n) {
        const char *end = memchr(text + good, '\n', n - good);
        if (!end)
            break; /* torn */
        if (read_line(j, text + good, (size_t)(end - text) - good, &id)) {
            if ((size_t)(end - text) + 1 == n)
                break; /* a last line that was cut and continued by somebody else's newline */
            err_set(e, ERR_FORMAT, "%s:%d: not a row; mend or remove the line", j->path, line);
            goto out;
        }
        good = (size_t)(end - text) + 1;
        line++;
    }
    if (good < n && truncate(j->path, (off_t)good)) {
        fs_fail(j->path, e);
        goto out;
    }
    rc = 0;
out:
    str_free(&id);
    mem_free(text);
    return rc;
}

static int take_lock(struct journal *j, const char *dir, struct err *e)
{
    char *path = fs_join(dir, "lock"), holder[32] = "";
    int rc = -1;
    j->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->lock < 0) {
        fs_fail(path, e);
        goto out;
    }
    if (flock(j->lock, LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(j->lock, holder, sizeof holder - 1, 0);
        holder[n > 0 ? n : 0] = '\0';
        err_set(e, ERR_IO, "%s: another run (process %s) writes to this folder", dir, holder);
        goto out;
    }
    snprintf(holder, sizeof holder, "%ld", (long)getpid());
    if (ftruncate(j->lock, 0) || pwrite(j->lock, holder, strlen(holder), 0) < 0) {
        fs_fail(path, e);
        goto out;
    }
    rc = 0;
out:
    mem_free(path);
    return rc;
}

struct journal *journal_open(const char *dir, struct err *e)
{
    struct journal *j = mem_new(1, sizeof *j);
    j->fd = j->lock = -1;
    j->mask = 1023;
    j->slot = mem_new(j->mask + 1, sizeof *j->slot);
    j->path = fs_join(dir, "rows.jsonl");
    if (fs_mkdirs(dir, e) || take_lock(j, dir, e) || load(j, e))
        goto fail;
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
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
    struct str id = {0};
    make_id(&id, key, sample, question_id);
    int has = *find(j, id.p) != NULL;
    str_free(&id);
    return has;
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
    struct str line = {0}, id = {0};
    int rc = -1;
    record_json(r, &line);
    str_addc(&line, '\n');
    off_t end = lseek(j->fd, 0, SEEK_END);
    if (fs_write_all(j->fd, j->path, line.p, line.n, e)) {
        if (end >= 0 && ftruncate(j->fd, end)) /* half a row is none; where even this fails, the next run cuts it off */
            err_wrap(e, "a torn last line");
        goto out;
    }
    if (r->status != ROW_FAILED) {
        make_id(&id, r->key, r->sample, r->question_id);
        remember(j, id.p);
    }
    rc = 0;
out:
    str_free(&line);
    str_free(&id);
    return rc;
}

int journal_count(const struct journal *j)
{
    return (int)j->n;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    if (j->lock >= 0)
        close(j->lock); /* releases the lock */
    for (size_t i = 0; i <= j->mask; i++)
        mem_free(j->slot[i]);
    mem_free(j->slot);
    mem_free(j->path);
    mem_free(j);
}
