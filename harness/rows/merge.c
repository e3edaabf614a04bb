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
#include "harness/rows/rowid.h"
#include "harness/rows/shard.h"

/* Of every row the first whole one, or while all failed the last of rows.jsonl or else the first; and where it is. */
struct seen {
    uint64_t content; /* hash of what it says */
    int file, line, failed;
};

/* Which lines of a journal go into the new rows.jsonl: [line - 1], 1 for those that do. */
struct marks {
    unsigned char *goes;
    size_t cap;
};

struct merging {
    const char *dir;
    struct shard_journals all;
    struct marks *marks; /* [all.n] */
    struct rowid_table place;
    struct seen *seen; /* [place.n], by the table's numbers */
    size_t cap;
    struct merge_summary *out;
};

static int is_rows(const struct merging *m, int file)
{
    return file == 0 && m->all.has_rows;
}

static void mark(struct merging *m, int file, int line, int goes)
{
    struct marks *k = &m->marks[file];
    mem_grow(&k->goes, &k->cap, (size_t)line, 1);
    k->goes[line - 1] = (unsigned char)goes;
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

/* Enters one row, which is marked if it goes into rows.jsonl; a failed one of a shard gives its place up. All lines of
 * rows.jsonl stay there. */
static int enter(struct merging *m, int file, int line, const char *text, size_t n, struct err *e)
{
    const char *path = m->all.path[file];
    struct json *v = json_parse_record(path, line, text, n, NULL);
    const char *key = json_string(json_get(v, "key")), *question = json_string(json_get(v, "question_id")),
               *status = json_string(json_get(v, "status"));
    struct seen now = {.file = file, .line = line};
    int64_t sample;
    int in_rows = is_rows(m, file), rc = 0;
    if (!key || !question || !status || json_int64(json_get(v, "sample"), &sample)) {
        json_free(v);
        return err_set(e, ERR_FORMAT, "%s:%d: not a row; mend or remove the line", path, line);
    }
    now.failed = strcmp(status, "failed") == 0;
    now.content = hash_content(v);
    size_t known = m->place.n, *number = rowid_put(&m->place, rowid_of(key, sample, question));
    int is_new = m->place.n > known;
    if (is_new) {
        *number = known;
        mem_grow(&m->seen, &m->cap, m->place.n, sizeof *m->seen);
    }
    struct seen *at = &m->seen[*number];
    int counts = is_new || (at->failed && (!now.failed || in_rows));
    mark(m, file, line, in_rows || counts);
    if (counts) {
        if (!is_new && !is_rows(m, at->file))
            mark(m, at->file, at->line, 0);
        m->out->failed += !is_new && !in_rows;
        *at = now;
    } else if (!in_rows && !at->failed && !now.failed && at->content != now.content) {
        rc = err_set(e, ERR_CONFIG,
                     "%s:%d and %s:%d are rows of the same cell, sample and question, and differ; nothing was changed: "
                     "look at both, and remove the line that is wrong",
                     m->all.path[at->file], at->line, path, line);
    } else if (!in_rows) {
        now.failed ? m->out->failed++ : m->out->equal++;
    }
    json_free(v);
    return rc;
}

static int read_journal(struct merging *m, int file, struct err *e)
{
    struct lines *l = lines_open(m->all.path[file], e);
    const char *line;
    size_t n;
    int more = l ? 0 : -1;
    while (l && (more = lines_next(l, &line, &n, e)) > 0) {
        if (!lines_is_whole(l)) {
            m->out->torn++;
            break;
        }
        m->out->rows += !is_rows(m, file);
        if (enter(m, file, lines_number(l), line, n, e) || leave_stopped(e)) {
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

/* Copies the lines of one journal that are marked. */
static int copy_journal(struct merging *m, int file, int to, const char *name, struct err *e)
{
    enum { AT_ONCE = 1 << 20 };
    struct str out = {0};
    struct lines *l = lines_open(m->all.path[file], e);
    const char *line;
    size_t n;
    int more = l ? 0 : -1;
    while (l && (more = lines_next(l, &line, &n, e)) > 0 && lines_is_whole(l)) {
        if (m->marks[file].goes[lines_number(l) - 1]) {
            m->out->taken += !is_rows(m, file);
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
    for (int file = 0; file < m->all.n && rc == 0; file++)
        rc = copy_journal(m, file, to, tmp.p, e);
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
    struct merging m = {.dir = dir, .out = out};
    int lock = -1, rc = -1;
    *out = (struct merge_summary){0};
    if (!fs_is_dir(dir))
        return err_set(e, ERR_IO, "%s: no such folder", dir);
    if (take_lock(dir, &lock, e) || shard_journals_find(dir, &m.all, e))
        goto out;
    m.marks = mem_new((size_t)m.all.n + 1, sizeof *m.marks);
    out->journals = m.all.n - m.all.has_rows;
    if (!m.all.n) {
        err_set(e, ERR_IO, "%s: neither rows.jsonl nor journals of shards in %s/shards", dir, dir);
        goto out;
    }
    rc = 0;
    for (int file = 0; file < m.all.n && rc == 0; file++)
        rc = read_journal(&m, file, e);
    if (rc == 0 && out->journals)
        rc = write_all(&m, e);
    if (rc == 0)
        rc = merge_kept(dir, e);
    for (int i = m.all.has_rows; i < m.all.n && rc == 0; i++) /* their rows are in rows.jsonl, which is on the disk */
        if (unlink(m.all.path[i]) && errno != ENOENT)
            rc = fs_fail(m.all.path[i], e);
out:
    if (lock >= 0)
        close(lock);
    for (int i = 0; m.marks && i < m.all.n; i++)
        mem_free(m.marks[i].goes);
    mem_free(m.marks);
    mem_free(m.seen);
    rowid_table_free(&m.place);
    shard_journals_free(&m.all);
    return rc;
}
