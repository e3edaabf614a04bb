#include "harness/rows/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/leave.h"
#include "harness/base/lines.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/rows/columns.h"
#include "harness/rows/keptfile.h"
#include "harness/rows/record.h"
#include "harness/rows/shard.h"

/* A row that was seen: hashes of what it is and of what it says, and where. */
struct seen {
    uint64_t id[2], content; /* id 0 0: free */
    int file, line;
    unsigned char failed, written; /* written: it is in the new rows.jsonl, or goes there */
};

struct merging {
    const char *dir;
    struct shard_journals all;
    struct seen *slot;
    size_t mask, n;
    int file, line; /* what is being read */
    struct merge_summary *out;
};

static struct seen *find(const struct merging *m, const uint64_t id[2])
{
    size_t i = id[1] & m->mask;
    while (m->slot[i].id[0] && (m->slot[i].id[0] != id[0] || m->slot[i].id[1] != id[1]))
        i = (i + 1) & m->mask;
    return &m->slot[i];
}

static void grow(struct merging *m)
{
    if (2 * (m->n + 1) <= m->mask)
        return;
    struct seen *old = m->slot;
    size_t size = m->mask + 1;
    m->mask = 2 * size - 1;
    m->slot = mem_new(2 * size, sizeof *m->slot);
    for (size_t i = 0; i < size; i++)
        if (old[i].id[0])
            *find(m, old[i].id) = old[i];
    mem_free(old);
}

/* The first 128 bits of what makes a row that row. */
static void hash_id(const char *key, long long sample, const char *question, uint64_t id[2])
{
    struct str s = {0};
    char hex[HASH_HEX];
    unsigned long long half[2] = {0, 0};
    str_addf(&s, "%s %lld %s", key, sample, question);
    hash_sha256(s.p, s.n, hex);
    (void)sscanf(hex, "%16llx%16llx", &half[0], &half[1]);
    id[0] = half[0] | 1;
    id[1] = half[1];
    str_free(&s);
}

/* Of all that two runs of the same thing have in common: times, resident memory and what was computed beside the row
 * are left out. */
static uint64_t hash_content(const struct json *row)
{
    struct str s = {0};
    for (const struct json *v = json_first(row); v; v = json_next(v)) {
        int c = 0;
        while (c < COLUMN_END && strcmp(columns_name((enum column_id)c), json_key(v)) != 0)
            c++;
        if (c == COLUMN_GROUP_CELLS || (c < COLUMN_END && columns_at((enum column_id)c)->kind == COLUMN_TIME))
            continue;
        char *value = json_print(v);
        str_addf(&s, "%s=%s\n", json_key(v), value);
        mem_free(value);
    }
    uint64_t h = hash_fnv1a(str_c(&s), s.n);
    str_free(&s);
    return h;
}

/* Enters one row. 1: it has to be written; 0: it has not; -1. */
static int enter(struct merging *m, const char *line, size_t n, struct err *e)
{
    const char *path = m->all.path[m->file];
    struct json *v = json_parse_record(path, m->line, line, n, NULL);
    const char *key = json_string(json_get(v, "key")), *question = json_string(json_get(v, "question_id")),
               *status = json_string(json_get(v, "status"));
    int64_t sample;
    struct seen now = {.file = m->file, .line = m->line};
    if (!key || !question || !status || json_int64(json_get(v, "sample"), &sample)) {
        json_free(v);
        return err_set(e, ERR_FORMAT, "%s:%d: not a row; mend or remove the line", path, m->line);
    }
    now.failed = strcmp(status, "failed") == 0;
    hash_id(key, sample, question, now.id);
    now.content = hash_content(v);
    grow(m);
    struct seen *at = find(m, now.id);
    int in_rows = m->file == 0 && strcmp(fs_basename(path), "rows.jsonl") == 0, is_new = !at->id[0], rc = 0;
    if (!is_new && !in_rows && !at->failed && !now.failed && at->content != now.content) {
        rc = err_set(e, ERR_CONFIG,
                     "%s:%d and %s:%d are rows of the same cell, sample and question, and differ; nothing was changed: "
                     "look at both, and remove the line that is wrong",
                     m->all.path[at->file], at->line, path, m->line);
    } else if (is_new || (at->failed && (!now.failed || in_rows))) {
        m->n += is_new;
        m->out->failed += !is_new && !in_rows;
        now.written = 1;
        *at = now;
    } else if (!in_rows) {
        now.failed ? m->out->failed++ : m->out->equal++;
    }
    json_free(v);
    return rc;
}

static int read_journal(struct merging *m, struct err *e)
{
    const char *path = m->all.path[m->file], *line;
    struct lines *l = lines_open(path, e);
    size_t n;
    int more = l ? 0 : -1, in_rows = m->file == 0 && strcmp(fs_basename(path), "rows.jsonl") == 0;
    while (l && (more = lines_next(l, &line, &n, e)) > 0) {
        m->line = lines_number(l);
        if (!lines_is_whole(l)) {
            m->out->torn++;
            break;
        }
        m->out->rows += !in_rows;
        if (enter(m, line, n, e) || leave_stopped(e)) {
            more = -1;
            break;
        }
    }
    lines_close(l);
    return more < 0 ? -1 : 0;
}

static int flush(struct str *out, int to, const char *name, struct err *e)
{
    int rc = fs_write_all(to, name, str_c(out), out->n, e);
    str_clear(out);
    return rc;
}

/* Copies the lines of one journal that count, which the table knows by file and line. */
static int copy_journal(struct merging *m, int to, const char *name, struct err *e)
{
    enum { AT_ONCE = 1 << 20 };
    struct str out = {0};
    const char *path = m->all.path[m->file], *line;
    struct lines *l = lines_open(path, e);
    size_t n;
    int more = l ? 0 : -1, in_rows = m->file == 0 && strcmp(fs_basename(path), "rows.jsonl") == 0;
    while (l && (more = lines_next(l, &line, &n, e)) > 0 && lines_is_whole(l)) {
        struct json *v = json_parse_record(path, lines_number(l), line, n, NULL);
        uint64_t id[2];
        int64_t sample = 0;
        (void)json_int64(json_get(v, "sample"), &sample);
        const char *key = json_string(json_get(v, "key")), *question = json_string(json_get(v, "question_id"));
        hash_id(key ? key : "", sample, question ? question : "", id);
        json_free(v);
        const struct seen *at = find(m, id);
        int counts = in_rows || (at->file == m->file && at->line == lines_number(l));
        m->out->taken += counts && !in_rows;
        if (counts) {
            str_addn(&out, line, n);
            str_addc(&out, '\n');
        }
        if ((out.n > AT_ONCE && flush(&out, to, name, e)) || leave_stopped(e)) {
            more = -1;
            break;
        }
    }
    if (more >= 0 && flush(&out, to, name, e))
        more = -1;
    str_free(&out);
    lines_close(l);
    return more < 0 ? -1 : 0;
}

static int write_all(struct merging *m, struct err *e)
{
    char *path = fs_join(m->dir, "rows.jsonl");
    struct str tmp = {0};
    fs_unfinished(path, &tmp);
    int number = leave_remove(tmp.p), rc = 0, to = open(tmp.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (to < 0)
        rc = fs_fail(tmp.p, e);
    for (m->file = 0; m->file < m->all.n && rc == 0; m->file++)
        rc = copy_journal(m, to, tmp.p, e);
    if (rc == 0 && fsync(to) && errno != EINVAL && errno != ENOTSUP)
        rc = fs_fail(tmp.p, e);
    if (to >= 0 && close(to) && rc == 0)
        rc = fs_fail(tmp.p, e);
    if (rc == 0 && rename(tmp.p, path))
        rc = fs_fail(path, e);
    if (rc)
        unlink(tmp.p);
    leave_forget(number);
    str_free(&tmp);
    mem_free(path);
    return rc;
}

static int merge_kept(const char *dir, struct err *e)
{
    char *parts = fs_join(dir, "kept.parts");
    int rc = 0;
    if (fs_is_dir(parts)) {
        struct keptfile *k = keptfile_open(dir, e);
        rc = k ? keptfile_merge(k, e) : -1;
        keptfile_close(k);
    }
    mem_free(parts);
    return rc;
}

/* Nobody else may write to the folder meanwhile. */
static int take_lock(const char *dir, int *lock, struct err *e)
{
    char *path = fs_join(dir, "lock");
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int rc = *lock < 0 ? fs_fail(path, e) : 0;
    if (rc == 0)
        rc = shard_refuse_running(dir, "merge", e);
    if (rc == 0 && flock(*lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        rc = err_set(e, ERR_IO, "%s: a run writes to this folder; merge when it has ended", dir);
    mem_free(path);
    return rc;
}

int merge_folder(const char *dir, struct merge_summary *out, struct err *e)
{
    struct merging m = {.dir = dir, .mask = 1023, .out = out};
    int lock = -1, rc = -1;
    *out = (struct merge_summary){0};
    if (!fs_is_dir(dir))
        return err_set(e, ERR_IO, "%s: no such folder", dir);
    m.slot = mem_new(m.mask + 1, sizeof *m.slot);
    if (take_lock(dir, &lock, e) || shard_journals_find(dir, &m.all, e))
        goto out;
    int first = m.all.n && strcmp(fs_basename(m.all.path[0]), "rows.jsonl") == 0;
    out->journals = m.all.n - first;
    if (!m.all.n) {
        err_set(e, ERR_IO, "%s: neither rows.jsonl nor journals of shards in %s/shards", dir, dir);
        goto out;
    }
    for (m.file = 0, rc = 0; m.file < m.all.n && rc == 0; m.file++)
        rc = read_journal(&m, e);
    if (rc == 0 && out->journals)
        rc = write_all(&m, e);
    if (rc == 0)
        rc = merge_kept(dir, e);
    for (int i = first; i < m.all.n && rc == 0; i++) /* their rows are in rows.jsonl, which is on the disk */
        if (unlink(m.all.path[i]) && errno != ENOENT)
            rc = fs_fail(m.all.path[i], e);
out:
    if (lock >= 0)
        close(lock);
    shard_journals_free(&m.all);
    mem_free(m.slot);
    return rc;
}
