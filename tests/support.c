#include "tests/support.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

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

struct model *support_tiny_model(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied,
                                 uint64_t seed)
{
    struct hparams hp = {
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
    return model_build(&hp, fetch, &seed, NULL);
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
    struct forward f = {.phase = phase, .row = row, .n_row = n, .cache = caches, .n_cache = 1, .tap = tap, .logits = logits};
    int rc = transformer_forward(m, w, &f, e);
    mem_free(row);
    return rc;
}

float support_at(const struct matrix *m, size_t i)
{
    return matrix_get(m, (int)(i / (size_t)m->cols), (int)(i % (size_t)m->cols));
}
