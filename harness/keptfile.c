#include "harness/keptfile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"

struct keptfile {
    char *parts, *path; /* folder of part files; kept.h5 */
};

struct keptfile *keptfile_open(const char *dir, struct err *e)
{
    struct keptfile *k = mem_new(1, sizeof *k);
    k->parts = fs_join(dir, "kept.parts");
    k->path = fs_join(dir, "kept.h5");
    if (fs_mkdirs(k->parts, e)) {
        keptfile_close(k);
        return NULL;
    }
    return k;
}

void keptfile_close(struct keptfile *k)
{
    if (!k)
        return;
    mem_free(k->parts);
    mem_free(k->path);
    mem_free(k);
}

/* Question ids are the user's: only letters, digits, '-' and '_' go into a name; a hash keeps the rest apart. */
static void dataset_path(const struct row *r, struct str *out)
{
    str_addf(out, "/%s/%d/", r->cell->id, r->sample);
    size_t n = strlen(r->question_id);
    for (size_t i = 0; i < n && i < 40; i++) {
        char c = r->question_id[i];
        int plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        str_addc(out, plain ? c : '_');
    }
    str_addf(out, ".%08x", (unsigned)(hash_fnv1a(r->question_id, n) & 0xFFFFFFFFu));
}

int keptfile_add(struct keptfile *k, const struct row *r, const struct keepset *keep, struct err *e)
{
    struct str where = {0}, name = {0}, tmp = {0};
    int rc = -1;
    dataset_path(r, &where);
    str_addf(&name, "%s/", k->parts);
    for (const char *p = where.p + 1; *p; p++)
        str_addc(&name, *p == '/' ? '-' : *p);
    str_addf(&tmp, "%s.tmp", name.p);
    str_add(&name, ".h5");
    struct h5 *f = h5_open(tmp.p, H5_MODE_CREATE, e);
    if (!f)
        goto out;
    const uint64_t dim[] = {(uint64_t)keep->n_layer, (uint64_t)keep->n_kv_head, keep->words};
    int bad = h5_write(f, where.p, H5_TYPE_U64, 3, dim, keep->bits, e) || h5_set_int(f, where.p, "n", keep->n, e);
    if (h5_close(f, bad ? NULL : e) || bad)
        goto out;
    if (rename(tmp.p, name.p)) {
        err_set(e, ERR_IO, "%s: %s", name.p, strerror(errno));
        goto out;
    }
    rc = 0;
out:
    if (rc)
        unlink(tmp.p);
    str_free(&where);
    str_free(&name);
    str_free(&tmp);
    return rc;
}

/* Copies /cell/sample/question of a part, unless it is there (a row that was computed again). */
static int merge_part(const char *path, struct h5 *to, struct err *e)
{
    struct h5 *from = h5_open(path, H5_MODE_READ, e);
    char **cell = NULL, **sample = NULL, **question = NULL;
    size_t n_cell = 0, n_sample = 0, n_question = 0;
    struct str a = {0}, b = {0}, c = {0};
    int rc = -1;
    if (!from || h5_list(from, "/", &cell, &n_cell, e) || n_cell != 1)
        goto out;
    str_addf(&a, "/%s", cell[0]);
    if (h5_list(from, a.p, &sample, &n_sample, e) || n_sample != 1)
        goto out;
    str_addf(&b, "%s/%s", a.p, sample[0]);
    if (h5_list(from, b.p, &question, &n_question, e) || n_question != 1)
        goto out;
    str_addf(&c, "%s/%s", b.p, question[0]);
    if (!h5_exists(to, c.p) && (h5_make_group(to, b.p, e) || h5_copy(from, c.p, to, c.p, e)))
        goto out;
    rc = 0;
out:
    h5_free_strings(cell, n_cell);
    h5_free_strings(sample, n_sample);
    h5_free_strings(question, n_question);
    h5_close(from, NULL);
    str_free(&a);
    str_free(&b);
    str_free(&c);
    return rc;
}

static int copy_old(const char *path, struct h5 *to, struct err *e)
{
    struct h5 *from = h5_open(path, H5_MODE_READ, e);
    char **cell = NULL;
    size_t n = 0;
    struct str at = {0};
    int rc = !from || h5_list(from, "/", &cell, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        str_clear(&at);
        str_addf(&at, "/%s", cell[i]);
        rc = h5_copy(from, at.p, to, at.p, e);
    }
    h5_free_strings(cell, n);
    h5_close(from, NULL);
    str_free(&at);
    return rc ? -1 : 0;
}

int keptfile_merge(struct keptfile *k, struct err *e)
{
    struct str tmp = {0};
    int rc = -1;
    DIR *d = opendir(k->parts);
    str_addf(&tmp, "%s.tmp", k->path);
    struct h5 *to = d ? h5_open(tmp.p, H5_MODE_CREATE, e) : NULL;
    if (!to)
        goto out;
    int bad = fs_exists(k->path) && copy_old(k->path, to, e);
    for (struct dirent *f; !bad && (f = readdir(d));) {
        size_t n = strlen(f->d_name);
        if (n < 4 || strcmp(f->d_name + n - 3, ".h5") != 0)
            continue;
        char *path = fs_join(k->parts, f->d_name);
        bad = merge_part(path, to, e);
        mem_free(path);
    }
    if (h5_close(to, bad ? NULL : e) || bad)
        goto out;
    if (rename(tmp.p, k->path)) {
        err_set(e, ERR_IO, "%s: %s", k->path, strerror(errno));
        goto out;
    }
    rewinddir(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.')
            continue;
        char *path = fs_join(k->parts, f->d_name);
        unlink(path);
        mem_free(path);
    }
    rmdir(k->parts);
    rc = 0;
out:
    if (d)
        closedir(d);
    if (rc)
        unlink(tmp.p);
    str_free(&tmp);
    return rc;
}
