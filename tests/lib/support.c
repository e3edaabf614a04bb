#include "tests/lib/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "models/model_file.h"

void support_random(struct rng *r, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * rng_double(r) - 1);
}

static int fetch(void *ctx, const char *name, float *dst, size_t n, struct err *e)
{
    struct rng r;
    (void)e;
    rng_init(&r, *(uint64_t *)ctx, name);
    support_random(&r, dst, n);
    int norm = strstr(name, "norm") != NULL;
    for (size_t i = 0; i < n; i++) /* norms near 1; matrices small enough that the stream stays in range */
        dst[i] = norm ? 1 + 0.1f * dst[i] : 0.15f * dst[i];
    return 0;
}

static struct hparams tiny(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied)
{
    return (struct hparams){
        .architecture = "llama",
        .n_layer = n_layer,
        .d_model = n_head * head_dim,
        .n_head = n_head,
        .n_kv_head = n_kv_head,
        .head_dim = head_dim,
        .d_ff = d_ff,
        .n_vocab = n_vocab,
        .context_length = 512,
        .norm_eps = 1e-5f,
        .embedding_scale = 1,
        .tied = tied,
        .rope_base = 10000,
    };
}

int support_is_long(void)
{
    const char *set = getenv("DEPTHKV_LONG");
    return set && strcmp(set, "1") == 0;
}

struct model *support_tiny_model(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied,
                                 uint64_t seed)
{
    struct hparams hp = tiny(n_layer, n_head, n_kv_head, head_dim, d_ff, n_vocab, tied);
    return model_build(&hp, fetch, &seed, NULL);
}

struct model *support_tiny_bf16(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied,
                                uint64_t seed)
{
    struct hparams hp = tiny(n_layer, n_head, n_kv_head, head_dim, d_ff, n_vocab, tied);
    struct model *m = model_build_held(&hp, MODEL_BF16, fetch, &seed, NULL);
    m->arithmetic = MODEL_BF16;
    return m;
}

static void write_byte_tokenizer(struct h5 *f)
{
    struct tokenizer_data d;
    tokenizer_data_bytes(&d, "<end>");
    ck_assert_int_eq(model_file_write_tokenizer(f, &d, NULL), 0);
    tokenizer_data_fini(&d);
}

struct hparams support_hparams(int n_layer, int n_kv_head)
{
    return (struct hparams){.architecture = "llama",
                            .n_layer = n_layer,
                            .d_model = 16 * n_kv_head,
                            .n_head = 2 * n_kv_head,
                            .n_kv_head = n_kv_head,
                            .head_dim = 8,
                            .d_ff = 24,
                            .n_vocab = 257,
                            .context_length = 512,
                            .norm_eps = 1e-5f,
                            .embedding_scale = 1,
                            .tied = 1,
                            .rope_base = 10000};
}

void support_model_file_of(const char *path, struct hparams hp)
{
    struct err e;
    struct h5 *f = h5_open(path, H5_MODE_CREATE, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert_int_eq(hparams_check(&hp, NULL), 0);
    ck_assert_int_eq(model_file_write_hparams(f, &hp, NULL), 0);
    struct hash_sha256_ctx *h = model_hash_begin(&hp);
    for (int i = 0; i < model_n_tensor(&hp); i++) {
        struct model_tensor t;
        struct rng r;
        char name[sizeof t.name + 1];
        model_tensor_at(&hp, i, &t);
        size_t n = (size_t)t.dim[0] * (size_t)t.dim[1];
        float *x = mem_new(n, sizeof *x);
        rng_init(&r, (uint64_t)hp.n_layer, t.name);
        support_random(&r, x, n);
        for (size_t k = 0; k < n; k++)
            x[k] = t.rank == 1 ? 1 + 0.1f * x[k] : 0.6f * x[k];
        snprintf(name, sizeof name, "/%s", t.name);
        const uint64_t dim[] = {(uint64_t)t.dim[0], (uint64_t)t.dim[1]};
        ck_assert_int_eq(h5_write(f, name, H5_TYPE_F32, t.rank, dim, x, NULL), 0);
        model_hash_tensor(h, &t, "f32", x, n * sizeof *x);
        mem_free(x);
    }
    char hex[HASH_HEX];
    hash_sha256_finish(h, hex);
    ck_assert_int_eq(h5_set_string(f, "/", "sha256", hex, NULL), 0);
    ck_assert_int_eq(h5_set_string(f, "/", "source_sha256", hex, NULL), 0);
    ck_assert_int_eq(h5_set_string(f, "/", "source_name", "made by a test", NULL), 0);
    write_byte_tokenizer(f);
    ck_assert_msg(h5_close(f, &e) == 0, "%s", e.msg);
}

void support_model_file(const char *path, int n_layer, int n_kv_head)
{
    support_model_file_of(path, support_hparams(n_layer, n_kv_head));
}

void support_window_model_file(const char *path)
{
    struct hparams hp = support_hparams(4, 2);
    hp.window = SUPPORT_WINDOW;
    hp.rope_local_base = 300;
    hp.query_scalar = 5;
    hp.attention_cap = 4;
    strcpy(hp.layer_kinds, "fwnw");
    support_model_file_of(path, hp);
}

double support_relative_error(const float *a, const float *b, size_t n)
{
    double worst = 0, scale = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d > worst || isnan(d) ? d : worst;
        scale = fabs((double)b[i]) > scale ? fabs((double)b[i]) : scale;
    }
    return worst / scale;
}

int support_feed(const struct model *m, struct workspace *w, enum forward_phase phase, struct kvcache *c,
                 const int32_t *token, int first, int n, const struct tap *tap, float *logits, struct err *e)
{
    struct forward_row *row = mem_new((size_t)n, sizeof *row);
    struct kvcache *caches[1] = {c};
    for (int i = 0; i < n; i++)
        row[i] = (struct forward_row){.token = token[first + i], .pos = first + i, .want_logits = 1};
    struct forward f = {
        .phase = phase, .row = row, .n_row = n, .cache = caches, .n_cache = 1, .tap = tap, .logits = logits};
    int rc = transformer_forward(m, w, &f, e);
    mem_free(row);
    return rc;
}

float support_at(const struct matrix *m, size_t i)
{
    return matrix_get(m, (int)(i / (size_t)m->cols), (int)(i % (size_t)m->cols));
}

struct json *support_json(const char *path)
{
    size_t n;
    struct err e;
    char *text = fs_read(path, &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    struct json *j = json_parse(path, text, n, &e);
    ck_assert_msg(j != NULL, "%s", e.msg);
    mem_free(text);
    return j;
}

static void texts(const struct json *list, char ***out, int *n)
{
    *out = mem_new((size_t)json_size(list), sizeof **out);
    *n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v))
        (*out)[(*n)++] = mem_strdup(json_string(v));
}

/* `type` has room for 100 tokens more. */
static void append(const struct json *list, enum token_type type, struct tokenizer_data *d)
{
    int n;
    char **more;
    texts(list, &more, &n);
    ck_assert_int_le(n, 50);
    char **all = mem_new((size_t)(d->n_token + n), sizeof *all);
    memcpy(all, d->token, (size_t)d->n_token * sizeof *all);
    for (int i = 0; i < n; i++) {
        d->type[d->n_token + i] = (uint8_t)type;
        all[d->n_token + i] = more[i];
    }
    d->n_token += n;
    mem_free(d->token);
    mem_free(more);
    d->token = all;
}

void support_small_tokenizer(const struct json *j, const char *pre, struct tokenizer_data *d)
{
    *d = (struct tokenizer_data){
        .kind = TOKENIZER_BPE, .pre = mem_strdup(pre), .bos = -1, .eos = -1, .pad = -1, .unk = -1};
    texts(json_get(j, "vocab"), &d->token, &d->n_token);
    texts(json_get(j, "merges"), &d->merge, &d->n_merge);
    d->type = mem_new((size_t)d->n_token + 100, 1);
    append(json_get(j, "control"), TOKEN_CONTROL, d);
    append(json_get(j, "added"), TOKEN_ADDED, d);
}
