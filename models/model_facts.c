#include "models/model_facts.h"

#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "models/model_file.h"
#include "models/model_int.h"
#include "models/tokenizer_hash.h"

static void count(struct model_facts *out, const enum h5_type *type)
{
    int n = model_n_tensor(&out->hp);
    for (int i = 0; i < n; i++) {
        struct model_tensor t;
        model_tensor_at(&out->hp, i, &t);
        uint64_t values = (uint64_t)t.dim[0] * (uint64_t)t.dim[1];
        out->parameters += values;
        out->stored_bytes += values * h5_type_size(type[i]);
        if (strcmp(t.name, "embedding") == 0)
            out->embedding = values;
        else if (strcmp(t.name, "output") == 0)
            out->output = values;
        if (t.rank == 2) {
            out->n_f32 += type[i] == H5_TYPE_F32;
            out->n_f16 += type[i] == H5_TYPE_F16;
            out->n_bf16 += type[i] == H5_TYPE_BF16;
        }
    }
    out->held_f32 = model_held_bytes(&out->hp, MODEL_F32);
    out->held_bf16 = model_held_bytes(&out->hp, MODEL_BF16);
}

static int read_tokenizer(const struct h5 *f, struct model_facts *out, struct err *e)
{
    struct template_pieces pieces;
    out->has_tokenizer = model_file_read_tokenizer(f, &out->tokenizer, e);
    if (out->has_tokenizer <= 0)
        return out->has_tokenizer;
    struct tokenizer *t = tokenizer_create(&out->tokenizer, h5_path(f), e);
    if (!t || tokenizer_set_rows(t, out->hp.n_vocab, h5_path(f), e)) {
        tokenizer_destroy(t);
        return -1;
    }
    tokenizer_sha256(t, out->tokenizer_sha256);
    out->knows_template = tokenizer_template(t, "chat", &pieces, &out->no_template) == 0;
    tokenizer_destroy(t);
    return 0;
}

int model_facts_read(const char *path, struct model_facts *out, struct err *e)
{
    struct model_facts fresh = {0};
    struct model id = {0};
    enum h5_type *type = NULL;
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    int rc = f ? model_file_read_hparams(f, &fresh.hp, e) : -1;
    if (rc == 0) {
        type = mem_new((size_t)model_n_tensor(&fresh.hp), sizeof *type);
        rc = model_open_check(f, &fresh.hp, type, e);
    }
    if (rc == 0) {
        count(&fresh, type);
        fresh.file_bytes = (uint64_t)fs_size(path);
        rc = model_open_identity(f, &id, e);
    }
    fresh.path = id.path;
    fresh.source_name = id.source_name;
    memcpy(fresh.source_sha256, id.source_sha256, HASH_HEX);
    memcpy(fresh.sha256, id.stated_sha256, HASH_HEX);
    rc = rc ? rc : read_tokenizer(f, &fresh, e);
    mem_free(type);
    h5_close(f, NULL);
    if (rc) {
        model_facts_fini(&fresh);
        return -1;
    }
    *out = fresh;
    return 0;
}

void model_facts_fini(struct model_facts *f)
{
    tokenizer_data_fini(&f->tokenizer);
    mem_free(f->path);
    mem_free(f->source_name);
    memset(f, 0, sizeof *f);
}
