#include "harness/bench/bench_shape.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/bench/bench_shapes.h"
#include "models/model_file.h"

void bench_shape_names(struct str *out)
{
    for (int i = 0; i < BENCH_N_SHAPE; i++)
        str_addf(out, "%s%s", i ? ", " : "", bench_shapes[i].name);
}

static const struct bench_shape *find(const char *name, struct err *e)
{
    const char *known[BENCH_N_SHAPE];
    struct str names = {0};
    for (int i = 0; i < BENCH_N_SHAPE; i++) {
        known[i] = bench_shapes[i].name;
        if (strcmp(name, known[i]) == 0 || (bench_shapes[i].also[0] && strcmp(name, bench_shapes[i].also) == 0))
            return &bench_shapes[i];
    }
    bench_shape_names(&names);
    err_set(e, ERR_USAGE, "shape '%s' unknown%s: there are %s", name, str_did_you_mean(name, known, BENCH_N_SHAPE),
            names.p);
    str_free(&names);
    return NULL;
}

static struct tokenizer *bytes_and_an_end(struct err *e)
{
    struct tokenizer_data d;
    tokenizer_data_bytes(&d, "<end>");
    struct tokenizer *t = tokenizer_create(&d, "the shape's tokenizer", e);
    tokenizer_data_fini(&d);
    return t;
}

struct model *bench_shape_model(const char *name, enum model_dtype held_as, struct err *e)
{
    const struct bench_shape *s = find(name, e);
    if (!s)
        return NULL;
    struct hparams hp = {.architecture = "llama",
                         .n_layer = s->layer,
                         .d_model = s->width,
                         .n_head = s->head,
                         .n_kv_head = s->kv_head,
                         .head_dim = s->head_dim,
                         .d_ff = s->ff,
                         .n_vocab = s->vocab,
                         .context_length = 131072,
                         .norm_eps = 1e-5f,
                         .embedding_scale = 1,
                         .tied = s->tied,
                         .rope_base = 500000};
    struct model *m = hparams_check(&hp, e) ? NULL : model_sketch(&hp, held_as, e);
    if (!m)
        return NULL;
    struct str path = {0};
    str_addf(&path, "%s (random)", s->name);
    m->path = str_take(&path);
    m->tokenizer = bytes_and_an_end(e);
    if (!m->tokenizer || tokenizer_set_rows(m->tokenizer, hp.n_vocab, m->path, e)) {
        model_close(m);
        return NULL;
    }
    return m;
}

int bench_shape_file(const struct hparams *hp, const char *path, struct err *e)
{
    char hash[HASH_HEX];
    struct h5 *f = h5_open(path, H5_MODE_CREATE, e);
    if (!f)
        return -1;
    hash_sha256("", 0, hash);
    int bad = model_file_write_hparams(f, hp, e) || h5_set_string(f, "/", "source_name", "random numbers", e) ||
              h5_set_string(f, "/", "source_sha256", hash, e) || h5_set_string(f, "/", "sha256", hash, e);
    if (!bad)
        return h5_close(f, e);
    h5_abandon(f);
    return -1;
}
