#include "harness/rows/keptfile.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"

struct keptfile {
    char *parts, *path; /* folder of part files; kept.h5 */
    struct h5 *old;     /* kept.h5 as it was when this run began; NULL: there was none */
};

struct keptfile *keptfile_open(const char *dir, struct err *e)
{
    struct keptfile *k = mem_new(1, sizeof *k);
    k->parts = fs_join(dir, "kept.parts");
    k->path = fs_join(dir, "kept.h5");
    if (fs_mkdirs(k->parts, e) || (fs_exists(k->path) && !(k->old = h5_open(k->path, H5_MODE_READ, e)))) {
        keptfile_close(k);
        return NULL;
    }
    return k;
}

void keptfile_close(struct keptfile *k)
{
    if (!k)
        return;
    h5_close(k->old, NULL);
    mem_free(k->parts);
    mem_free(k->path);
    mem_free(k);
}

/* Question ids are the user's: only letters, digits, '-' and '_' go into a name; half a SHA-256 keeps the rest apart.
 */
static void dataset_path(const char *cell, int sample, const char *question, struct str *out)
{
    str_addf(out, "/%s/%d/", cell, sample);
    size_t n = strlen(question);
    for (size_t i = 0; i < n && i < 40; i++) {
        char c = question[i];
        int plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        str_addc(out, plain ? c : '_');
    }
    char hex[HASH_HEX];
    hash_sha256(question, n, hex);
    str_addf(out, ".%.32s", hex);
}

static void part_path(const struct keptfile *k, const char *where, struct str *out)
{
    str_addf(out, "%s/", k->parts);
    for (const char *p = where + 1; *p; p++)
        str_addc(out, *p == '/' ? '-' : *p);
}

/* 1 when the entry is there and of the row with this key: another model may have written it, or another program. */
static int is_of(const struct h5 *f, const char *where, const char *key)
{
    char *its = f && h5_exists(f, where) && h5_has(f, where, "key") ? h5_get_string(f, where, "key", NULL) : NULL;
    int same = its && strcmp(its, key) == 0;
    mem_free(its);
    return same;
}

int keptfile_has(const struct keptfile *k, const char *cell, int sample, const char *question, const char *key)
{
    struct str where = {0}, name = {0};
    dataset_path(cell, sample, question, &where);
    part_path(k, where.p, &name);
    str_add(&name, ".h5");
    struct h5 *part = fs_exists(name.p) ? h5_open(name.p, H5_MODE_READ, NULL) : NULL;
    int has = part ? is_of(part, where.p, key) : is_of(k->old, where.p, key);
    h5_close(part, NULL);
    str_free(&where);
    str_free(&name);
    return has;
}

int keptfile_add(struct keptfile *k, const struct row *r, const struct keepset *keep, struct err *e)
{
    struct str where = {0}, name = {0};
    int rc = -1;
    dataset_path(r->cell->id, r->sample, r->question_id, &where);
    part_path(k, where.p, &name);
    str_add(&name, ".h5");
    struct h5 *f = h5_open(name.p, H5_MODE_CREATE, e);
    if (f && keep) {
        const uint64_t dim[] = {(uint64_t)keep->n_layer, (uint64_t)keep->n_kv_head, keep->words};
        rc = h5_write(f, where.p, H5_TYPE_U64, 3, dim, keep->bits, e) || h5_set_int(f, where.p, "n", keep->n, e) ||
                     h5_set_string(f, where.p, "key", r->key, e)
                 ? -1
                 : 0;
    } else if (f) {
        rc = h5_make_group(f, where.p, e); /* a mark: nothing is known any more */
    }
    if (rc)
        h5_abandon(f);
    else
        rc = h5_close(f, e);
    str_free(&where);
    str_free(&name);
    return rc;
}

/* Paths whose rows were computed again and failed: what an earlier run kept of them is out of date. */
struct paths {
    char **v;
    size_t n, cap;
};

static int has_path(const struct paths *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i], path) == 0)
            return 1;
    return 0;
}

/* Calls `one` for every /cell/sample/question of a file. */
static int each_entry(const struct h5 *from,
                      int (*one)(void *ctx, const struct h5 *from, const char *path, struct err *e), void *ctx,
                      struct err *e)
{
    char **cell = NULL;
    size_t n_cell = 0;
    struct str at = {0};
    int rc = h5_list(from, "/", &cell, &n_cell, e);
    for (size_t c = 0; c < n_cell && rc == 0; c++) {
        char **sample = NULL;
        size_t n_sample = 0;
        str_clear(&at);
        str_addf(&at, "/%s", cell[c]);
        rc = h5_list(from, at.p, &sample, &n_sample, e);
        for (size_t s = 0; s < n_sample && rc == 0; s++) {
            char **question = NULL;
            size_t n_question = 0;
            str_clear(&at);
            str_addf(&at, "/%s/%s", cell[c], sample[s]);
            rc = h5_list(from, at.p, &question, &n_question, e);
            for (size_t q = 0; q < n_question && rc == 0; q++) {
                str_clear(&at);
                str_addf(&at, "/%s/%s/%s", cell[c], sample[s], question[q]);
                rc = one(ctx, from, at.p, e);
            }
            h5_free_strings(question, n_question);
        }
        h5_free_strings(sample, n_sample);
    }
    h5_free_strings(cell, n_cell);
    str_free(&at);
    return rc;
}

struct merge {
    struct h5 *to;
    struct paths dropped;
};

static int copy_entry(void *ctx, const struct h5 *from, const char *path, struct err *e)
{
    struct merge *m = ctx;
    if (!h5_has(from, path, "n")) { /* keptfile_add's mark */
        mem_grow(&m->dropped.v, &m->dropped.cap, m->dropped.n + 1, sizeof *m->dropped.v);
        m->dropped.v[m->dropped.n++] = mem_strdup(path);
        return 0;
    }
    if (h5_exists(m->to, path) || has_path(&m->dropped, path))
        return 0;
    char *group = fs_dirname(path);
    if (!h5_has(from, path, "key") && h5_exists(m->to, group)) {
        mem_free(group); /* of an older version, which named it otherwise and did not say what it is of: newer ones
                            replace it */
        return 0;
    }
    int rc = h5_make_group(m->to, group, e) || h5_copy(from, path, m->to, path, e) ? -1 : 0;
    mem_free(group);
    return rc;
}

static int merge_file(struct merge *m, const char *path, struct err *e)
{
    struct h5 *from = h5_open(path, H5_MODE_READ, e);
    int rc = from ? each_entry(from, copy_entry, m, e) : -1;
    h5_close(from, NULL);
    return rc;
}

int keptfile_merge(struct keptfile *k, struct err *e)
{
    struct merge m = {0};
    int rc = -1;
    DIR *d = opendir(k->parts);
    if (!d) {
        fs_fail(k->parts, e);
        goto out;
    }
    m.to = h5_open(k->path, H5_MODE_CREATE, e);
    if (!m.to)
        goto out;
    int bad = 0;
    for (struct dirent *f; !bad && (f = readdir(d));) {
        size_t n = strlen(f->d_name);
        if (n < 4 || strcmp(f->d_name + n - 3, ".h5") != 0)
            continue;
        char *path = fs_join(k->parts, f->d_name);
        bad = merge_file(&m, path, e);
        mem_free(path);
    }
    /* after the parts: a row that was computed again has a newer bitmap there */
    bad = bad || (k->old && each_entry(k->old, copy_entry, &m, e));
    if (bad)
        goto out;
    rc = h5_close(m.to, e);
    m.to = NULL;
    if (rc)
        goto out;
    rewinddir(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.')
            continue;
        char *path = fs_join(k->parts, f->d_name);
        unlink(path);
        mem_free(path);
    }
    rmdir(k->parts);
out:
    h5_abandon(m.to);
    for (size_t i = 0; i < m.dropped.n; i++)
        mem_free(m.dropped.v[i]);
    mem_free(m.dropped.v);
    if (d)
        closedir(d);
    return rc;
}

struct keptfile *keptfile_look(const char *dir, struct err *e)
{
    struct keptfile *k = mem_new(1, sizeof *k);
    k->path = fs_join(dir, "kept.h5");
    if (fs_exists(k->path) && (k->old = h5_open(k->path, H5_MODE_READ, e)))
        return k;
    keptfile_close(k);
    return NULL;
}

/* The file may be anybody's: its shape is that of a keep set, or it is refused. */
static struct keepset *read_set(const struct h5 *f, const char *where, struct err *e)
{
    enum { MOST = 1 << 20 }; /* layers, KV heads: far more than any model has, and their product is no overflow */
    struct h5_info info;
    int64_t n;
    if (h5_stat(f, where, &info, e) || h5_get_int(f, where, "n", &n, e))
        return NULL;
    if (info.type != H5_TYPE_U64 || info.rank != 3 || info.dim[0] > MOST || info.dim[1] > MOST || n < 1 ||
        n > INT32_MAX || info.dim[2] != ((uint64_t)n + 63) / 64) {
        err_set(e, ERR_FORMAT,
                "%s:%s: expected a keep set, u64 [layer][KV head][%lld], of n = %lld; found %s of rank %d", h5_path(f),
                where, (long long)((n + 63) / 64), (long long)n, h5_type_name(info.type), info.rank);
        return NULL;
    }
    struct keepset *k = keepset_create((int)info.dim[0], (int)info.dim[1], (int)n, e);
    if (k && h5_read(f, where, H5_TYPE_U64, k->bits, info.n, e)) {
        keepset_destroy(k);
        return NULL;
    }
    for (size_t i = 0; k && i < info.n; i++)
        k->count[i / k->words] += __builtin_popcountll(k->bits[i]);
    return k;
}

int keptfile_read(const struct keptfile *k, const char *cell, int sample, const char *question, const char *key,
                  struct keepset **out, struct err *e)
{
    struct str where = {0};
    dataset_path(cell, sample, question, &where);
    int is_there = is_of(k->old, where.p, key);
    *out = is_there ? read_set(k->old, where.p, e) : NULL;
    str_free(&where);
    return is_there && !*out ? -1 : 0;
}
