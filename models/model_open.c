/* Opening a model file: shapes are checked for every tensor before memory is asked for, then each tensor is read in
 * slices, hashed as it is stored, and packed into the arena. The hash is the model's identity: what rows are kept under
 * follows from what was loaded, not from what the file says of itself. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/half.h"
#include "models/kernels.h"
#include "models/model_file.h"
#include "models/model_int.h"
#include "models/threads.h"
#include "models/transformer.h"

static void add_shape(struct str *s, int rank, const uint64_t *dim)
{
    str_addc(s, '(');
    for (int i = 0; i < rank; i++)
        str_addf(s, "%s%llu", i ? "," : "", (unsigned long long)dim[i]);
    str_addc(s, ')');
}

/* Checks one dataset against its row of the table; *stored grows by what the file holds for it. */
static int check_tensor(const struct h5 *f, const struct model_tensor *t, const char *path, enum h5_type *type,
                        uint64_t *stored, struct err *e)
{
    struct h5_info info;
    if (h5_stat(f, path, &info, e))
        return -1;
    if (info.type != H5_TYPE_F32 && info.type != H5_TYPE_F16 && info.type != H5_TYPE_BF16)
        return err_set(e, ERR_FORMAT, "%s:%s: elements are %s, expected f32, f16 or bf16", h5_path(f), path,
                       h5_type_name(info.type));
    uint64_t want[2] = {(uint64_t)t->dim[0], (uint64_t)t->dim[1]};
    if (info.rank != t->rank || info.dim[0] != want[0] || (t->rank == 2 && info.dim[1] != want[1])) {
        struct str found = {0}, expected = {0};
        add_shape(&found, info.rank, info.dim);
        add_shape(&expected, t->rank, want);
        err_set(e, ERR_SHAPE, "%s:%s: shape %s, expected %s from %s", h5_path(f), path, found.p, expected.p, t->why);
        str_free(&found);
        str_free(&expected);
        return -1;
    }
    if (info.stored != info.n * h5_type_size(info.type))
        return err_set(e, ERR_FORMAT, "%s:%s: %llu bytes stored, expected %llu uncompressed", h5_path(f), path,
                       (unsigned long long)info.stored, (unsigned long long)(info.n * h5_type_size(info.type)));
    *type = info.type;
    *stored += info.stored;
    return 0;
}

enum { SLICE = 4 << 20 }; /* bytes of a tensor that are read and packed at a time */

/* n elements as the file has them -> floats, or bf16, in place when nothing changes. */
static const void *convert(enum h5_type type, int to_bf16, const void *raw, void *out, size_t n)
{
    if (type == (to_bf16 ? H5_TYPE_BF16 : H5_TYPE_F32))
        return raw;
#pragma omp parallel for schedule(static) if (n > 1 << 16)
    for (size_t i = 0; i < n; i++) {
        float x = type == H5_TYPE_F32   ? ((const float *)raw)[i]
                  : type == H5_TYPE_F16 ? half_from_f16(((const uint16_t *)raw)[i])
                                        : half_from_bf16(((const uint16_t *)raw)[i]);
        if (to_bf16)
            ((uint16_t *)out)[i] = half_to_bf16(x);
        else
            ((float *)out)[i] = x;
    }
    return out;
}

/* Tensors on their way from the file to their places. */
struct load {
    const struct h5 *f;
    struct model *m;
    struct hash_sha256_ctx *hash;
    int to_bf16;
};

/* Reads tensor i slice by slice to its place. Hashing and packing take about as long, and go on side by side. */
static int read_tensor(const struct load *l, int i, enum h5_type type, void *place, struct err *e)
{
    struct model_tensor t;
    char name[sizeof t.name + 1];
    int rc = -1;
    model_tensor_at(&l->m->hp, i, &t);
    snprintf(name, sizeof name, "/%s", t.name);
    int rows = SLICE / 4 / t.dim[1], threads = omp_get_max_threads() > 1 ? 2 : 1;
    rows = rows < 16 ? 16 : rows > t.dim[0] ? t.dim[0] : rows;
    size_t most = (size_t)rows * (size_t)t.dim[1], size = h5_type_size(type);
    void *raw = mem_try_raw(most, size, name, e), *out = raw ? mem_try_raw(most, sizeof(float), name, e) : NULL;
    if (!out)
        goto done;
    model_hash_name(l->hash, &t, h5_type_name(type));
    for (int from = 0; from < t.dim[0]; from += rows) {
        int n = t.dim[0] - from < rows ? t.dim[0] - from : rows;
        size_t count = (size_t)n * (size_t)t.dim[1];
        if (h5_read_rows(l->f, name, type, (uint64_t)from, (uint64_t)n, raw, e))
            goto done;
        const void *x = convert(type, l->to_bf16 && t.rank == 2, raw, out, count);
        size_t bad = l->to_bf16 && t.rank == 2 ? half_find_bad_bf16(x, count) : half_find_bad_f32(x, count);
        if (bad < count) {
            size_t at = (size_t)from * (size_t)t.dim[1] + bad, cols = (size_t)t.dim[1];
            err_set(e, ERR_FORMAT, "%s:%s: value (%zu,%zu) is %s; a model's weights have to be numbers", h5_path(l->f),
                    name, at / cols, at % cols,
                    l->to_bf16 ? "NaN, infinite, or too large for bf16" : "NaN or infinite");
            goto done;
        }
#pragma omp parallel sections num_threads(threads) if (count > 1 << 16)
        {
#pragma omp section
            hash_sha256_update(l->hash, raw, count * size);
#pragma omp section
            model_put(l->m, i, place, x, from, n);
        }
    }
    rc = 0;
done:
    mem_free(raw);
    mem_free(out);
    return rc;
}

/* Of tensor i as the file holds it, slice by slice. */
static int hash_tensor(const struct h5 *f, const struct hparams *hp, int i, enum h5_type type,
                       struct hash_sha256_ctx *hash, struct err *e)
{
    struct model_tensor t;
    char name[sizeof t.name + 1];
    int rc = 0;
    model_tensor_at(hp, i, &t);
    snprintf(name, sizeof name, "/%s", t.name);
    int rows = SLICE / 4 / t.dim[1];
    rows = rows < 16 ? 16 : rows > t.dim[0] ? t.dim[0] : rows;
    size_t row = (size_t)t.dim[1] * h5_type_size(type);
    void *raw = mem_try_raw((size_t)rows, row, name, e);
    model_hash_name(hash, &t, h5_type_name(type));
    for (int from = 0; raw && rc == 0 && from < t.dim[0]; from += rows) {
        int n = t.dim[0] - from < rows ? t.dim[0] - from : rows;
        rc = h5_read_rows(f, name, type, (uint64_t)from, (uint64_t)n, raw, e);
        if (rc == 0)
            hash_sha256_update(hash, raw, (size_t)n * row);
    }
    rc = raw ? rc : -1;
    mem_free(raw);
    return rc;
}

int model_open_identity(const struct h5 *f, struct model *m, struct err *e)
{
    struct {
        const char *name;
        char *to;
    } hex[] = {{"sha256", m->stated_sha256}, {"source_sha256", m->source_sha256}};
    m->path = mem_strdup(h5_path(f));
    m->source_name = h5_get_string(f, "/", "source_name", e);
    if (!m->source_name)
        return -1;
    for (int i = 0; i < 2; i++) {
        char *s = h5_get_string(f, "/", hex[i].name, e);
        if (!s)
            return -1;
        int ok = strlen(s) == HASH_HEX - 1 && strspn(s, "0123456789abcdef") == HASH_HEX - 1;
        if (ok)
            memcpy(hex[i].to, s, HASH_HEX);
        mem_free(s);
        if (!ok)
            return err_set(e, ERR_FORMAT, "%s:/: attribute '%s' is no SHA-256", h5_path(f), hex[i].name);
    }
    return 0;
}

static int read_all(struct load *l, const enum h5_type *type, void *const *place, struct err *e)
{
    int rc = 0;
    l->hash = model_hash_begin(&l->m->hp);
    for (int i = 0; i < model_n_tensor(&l->m->hp) && rc == 0; i++)
        rc = read_tensor(l, i, type[i], place[i], e);
    hash_sha256_finish(l->hash, l->m->sha256);
    threads_forget(); /* two threads have hashed and packed, and the others of the team may have ended */
    return rc;
}

/* Every tensor against the table, and all of them against the file's size: only a file that really has the bytes may
 * ask for as much memory. */
int model_open_check(const struct h5 *f, const struct hparams *hp, enum h5_type *type, struct err *e)
{
    uint64_t stored = 0;
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        char name[sizeof t.name + 1];
        model_tensor_at(hp, i, &t);
        snprintf(name, sizeof name, "/%s", t.name);
        if (check_tensor(f, &t, name, &type[i], &stored, e))
            return -1;
    }
    int64_t size = fs_size(h5_path(f));
    if (size < 0 || stored > (uint64_t)size)
        return err_set(e, ERR_FORMAT, "%s: %lld bytes, but its tensors need %llu: truncated", h5_path(f),
                       (long long)size, (unsigned long long)stored);
    return 0;
}

struct model *model_open(const char *path, enum model_dtype held_as, struct err *e)
{
    struct hparams hp;
    struct load l = {.to_bf16 = held_as == MODEL_BF16};
    enum h5_type *type = NULL;
    void **place = NULL;
    int ok = 0;
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    if (!f || model_file_read_hparams(f, &hp, e))
        goto out;
    if (held_as == MODEL_F16) {
        err_set(e, ERR_UNSUPPORTED, "%s: weights are held as f32 or bf16, not as f16", path);
        goto out;
    }
    type = mem_new((size_t)model_n_tensor(&hp), sizeof *type);
    if (model_open_check(f, &hp, type, e) || !(l.m = model_lay_out(&hp, held_as, &place, e)) ||
        kernels_check_room(transformer_threads(), e))
        goto out;
    l.f = f;
    if (model_open_identity(f, l.m, e) || model_file_tokenizer(f, hp.n_vocab, &l.m->tokenizer, e) ||
        read_all(&l, type, place, e))
        goto out;
    model_fill_rope(l.m);
    if (l.m->tokenizer)
        tokenizer_sha256(l.m->tokenizer, l.m->tokenizer_sha256);
    ok = 1;
out:
    mem_free(place);
    mem_free(type);
    h5_close(f, NULL);
    if (!ok) {
        model_close(l.m);
        l.m = NULL;
    }
    return l.m;
}

int model_open_changed(const struct model *m, struct str *out)
{
    if (!m->stated_sha256[0] || strcmp(m->stated_sha256, m->sha256) == 0)
        return 0;
    str_addf(out,
             "%s: the model was changed after it was imported: it hashes to %.12s..., the file says %.12s...; what was "
             "loaded "
             "counts",
             m->path, m->sha256, m->stated_sha256);
    return 1;
}

int model_open_hash(const char *path, char sha256[HASH_HEX], struct err *e)
{
    struct hparams hp;
    enum h5_type *type = NULL;
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    int rc = !f || model_file_read_hparams(f, &hp, e) ? -1 : 0;
    if (rc == 0) {
        type = mem_new((size_t)model_n_tensor(&hp), sizeof *type);
        rc = model_open_check(f, &hp, type, e);
    }
    if (rc == 0) {
        struct hash_sha256_ctx *hash = model_hash_begin(&hp);
        for (int i = 0; i < model_n_tensor(&hp) && rc == 0; i++)
            rc = hash_tensor(f, &hp, i, type[i], hash, e);
        hash_sha256_finish(hash, sha256);
    }
    mem_free(type);
    h5_close(f, NULL);
    return rc;
}

int model_open_hparams(const char *path, struct hparams *hp, char sha256[HASH_HEX], struct err *e)
{
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    struct model id = {0};
    int rc = -1;
    if (!f || model_file_read_hparams(f, &id.hp, e) || model_open_identity(f, &id, e))
        goto out;
    *hp = id.hp;
    memcpy(sha256, id.stated_sha256, HASH_HEX);
    rc = 0;
out:
    mem_free(id.path);
    mem_free(id.source_name);
    h5_close(f, NULL);
    return rc;
}
