#include "models/import.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/half.h"
#include "models/import_gguf.h"
#include "models/import_hf.h"
#include "models/model_file.h"

int import_open(const char *path, struct import_source *s, struct err *e)
{
    struct import_source fresh = {0};
    int rc = fs_is_dir(path) ? import_hf_open(path, &fresh, e) : import_gguf_open(path, &fresh, e);
    if (rc == 0 && fresh.has_tokenizer) {
        /* the tokenizer's own checks, before anything is written */
        struct tokenizer *t = tokenizer_create(&fresh.tokenizer, path, e);
        rc = t ? 0 : -1;
        if (rc == 0)
            rc = tokenizer_set_rows(t, fresh.hp.n_vocab, path, e);
        tokenizer_destroy(t);
    }
    if (rc) {
        import_close(&fresh);
        return -1;
    }
    *s = fresh;
    return 0;
}

void import_close(struct import_source *s)
{
    if (s->destroy)
        s->destroy(s->ctx);
    tokenizer_data_fini(&s->tokenizer);
    mem_free(s->name);
    str_free(&s->notes);
    memset(s, 0, sizeof *s);
}

int import_check_finite(const char *path, const char *tensor, const float *x, size_t n, size_t first, size_t cols,
                        struct err *e)
{
    size_t bad = half_find_bad_f32(x, n), at = first + bad;
    if (bad == n)
        return 0;
    if (cols == 0)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': value %zu is %g; a model's weights have to be numbers", path,
                       tensor, at, (double)x[bad]);
    return err_set(e, ERR_FORMAT, "%s: tensor '%s': value (%zu,%zu) is %g; a model's weights have to be numbers", path,
                   tensor, at / cols, at % cols, (double)x[bad]);
}

void import_add_end(struct tokenizer_data *d, int64_t id)
{
    if (id < 0 || id >= d->n_token || id == d->eos)
        return;
    for (int i = 0; i < d->n_eos_extra; i++)
        if (d->eos_extra[i] == id)
            return;
    if (d->n_eos_extra > TOKENIZER_MAX_ENDS)
        return; /* too many already, which tokenizer_create says */
    mem_room(&d->eos_extra, (size_t)d->n_eos_extra, sizeof *d->eos_extra);
    d->eos_extra[d->n_eos_extra++] = (int)id;
}

void import_add_turn_ends(struct tokenizer_data *d)
{
    static const char *const ends[] = {"<|im_end|>", "<|eot_id|>"};
    for (size_t k = 0; d->chat_template && k < sizeof ends / sizeof *ends; k++)
        for (int i = 0; i < d->n_token && strstr(d->chat_template, ends[k]); i++)
            if ((d->type[i] & TOKEN_TYPE) == TOKEN_CONTROL && strcmp(d->token[i], ends[k]) == 0)
                import_add_end(d, i);
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum h5_type stored_type(enum model_dtype dtype, const struct model_tensor *t)
{
    if (t->rank == 1 || dtype == MODEL_F32)
        return H5_TYPE_F32;
    return dtype == MODEL_F16 ? H5_TYPE_F16 : H5_TYPE_BF16;
}

/* Rounds in place: element i of the result ends before element i of the source is overwritten. */
static void narrow(float *x, size_t n, enum h5_type type)
{
    uint16_t *out = (uint16_t *)(void *)x;
    for (size_t i = 0; i < n && type != H5_TYPE_F32; i++) {
        float v;
        memcpy(&v, (const char *)x + 4 * i, sizeof v);
        uint16_t h = type == H5_TYPE_F16 ? half_to_f16(v) : half_to_bf16(v);
        memcpy((char *)out + 2 * i, &h, sizeof h);
    }
}

/* x has room for every tensor. */
static int write_tensor(const struct import_source *s, struct h5 *f, int i, enum model_dtype dtype, float *x,
                        struct hash_sha256_ctx *hash, struct err *e)
{
    struct model_tensor t;
    char path[sizeof t.name + 1];
    model_tensor_at(&s->hp, i, &t);
    snprintf(path, sizeof path, "/%s", t.name);
    size_t n = (size_t)t.dim[0] * (size_t)t.dim[1];
    enum h5_type type = stored_type(dtype, &t);
    if (s->fetch(s->ctx, &t, x, e))
        return -1;
    narrow(x, n, type);
    const uint16_t *half = (const uint16_t *)(const void *)x;
    size_t bad = type == H5_TYPE_F16    ? half_find_bad_f16(half, n)
                 : type == H5_TYPE_BF16 ? half_find_bad_bf16(half, n)
                                        : n;
    if (bad < n)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: tensor '%s': value (%zu,%zu) is too large for %s; import with --dtype f32", s->name, t.name,
                       bad / (size_t)t.dim[1], bad % (size_t)t.dim[1], h5_type_name(type));
    model_hash_tensor(hash, &t, h5_type_name(type), x, n * h5_type_size(type));
    return h5_write(f, path, type, t.rank, (const uint64_t[]){(uint64_t)t.dim[0], (uint64_t)t.dim[1]}, x, e);
}

/* One buffer for all tensors: allocating one for each leaves holes that the next does not fit. */
static float *largest_tensor(const struct hparams *hp, struct err *e)
{
    size_t most = 0;
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        model_tensor_at(hp, i, &t);
        size_t n = (size_t)t.dim[0] * (size_t)t.dim[1];
        most = n > most ? n : most;
    }
    return mem_try(most, sizeof(float), "the largest tensor", e);
}

static int write_all(const struct import_source *s, struct h5 *f, const struct import_options *o, struct err *e)
{
    char hex[HASH_HEX];
    float *x = largest_tensor(&s->hp, e);
    int n = model_n_tensor(&s->hp), rc = x ? model_file_write_hparams(f, &s->hp, e) : -1;
    struct hash_sha256_ctx *hash = model_hash_begin(&s->hp);
    for (int i = 0; i < n && rc == 0; i++) {
        if (o->progress && o->progress(o->ctx, i, n))
            rc = err_set(e, ERR_INTERRUPTED, "interrupted");
        else
            rc = write_tensor(s, f, i, o->dtype, x, hash, e);
    }
    mem_free(x);
    hash_sha256_finish(hash, hex);
    if (rc == 0 && s->has_tokenizer)
        rc = model_file_write_tokenizer(f, &s->tokenizer, e);
    rc = rc ? rc : h5_set_string(f, "/", "source_name", s->name, e);
    rc = rc ? rc : h5_set_string(f, "/", "source_sha256", s->sha256, e);
    return rc ? rc : h5_set_string(f, "/", "sha256", hex, e);
}

int import_write(const struct import_source *s, const char *out, const struct import_options *o, struct err *e)
{
    struct h5 *f = h5_open(out, H5_MODE_CREATE, e);
    int rc = f ? write_all(s, f, o, e) : -1;
    if (rc == 0)
        return h5_close(f, e);
    h5_abandon(f);
    return rc;
}
