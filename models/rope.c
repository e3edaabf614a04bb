#include "models/rope.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

int rope_reserve(struct rope_table *t, const double *freq, int half, int n, struct err *e)
{
    if (n <= t->n)
        return 0;
    n = n < 2 * t->n ? 2 * t->n : n; /* decoding asks for one more at a time */
    float *both = mem_try(2 * (size_t)n, (size_t)half * sizeof *both, "rotations", e);
    if (!both)
        return -1;
    size_t old = (size_t)t->n * (size_t)half;
    float *sine = both + (size_t)n * (size_t)half;
    if (old) {
        memcpy(both, t->cosine, old * sizeof *both);
        memcpy(sine, t->sine, old * sizeof *both);
    }
    for (int p = t->n; p < n; p++)
        for (int i = 0; i < half; i++) {
            double angle = p * freq[i];
            both[(size_t)p * (size_t)half + (size_t)i] = (float)cos(angle);
            sine[(size_t)p * (size_t)half + (size_t)i] = (float)sin(angle);
        }
    mem_free(t->cosine);
    *t = (struct rope_table){n, half, both, sine};
    return 0;
}

void rope_fini(struct rope_table *t)
{
    mem_free(t->cosine); /* one allocation holds both */
    *t = (struct rope_table){0};
}

int rope_set_reserve(struct rope_set *s, const struct model *m, int is_long, int n, struct err *e)
{
    int half = m->hp.head_dim / 2;
    if (is_long)
        return rope_reserve(&s->extended, m->rope_long, half, n, e);
    if (rope_reserve(&s->full, m->rope_freq, half, n, e))
        return -1;
    return m->rope_local == m->rope_freq ? 0 : rope_reserve(&s->local, m->rope_local, half, n, e);
}

void rope_set_fini(struct rope_set *s)
{
    rope_fini(&s->full);
    rope_fini(&s->local);
    rope_fini(&s->extended);
}

const struct rope_table *rope_set_of(const struct rope_set *s, enum model_layer_kind kind, int is_long)
{
    if (kind == MODEL_LAYER_UNROTATED)
        return NULL;
    if (is_long)
        return &s->extended;
    return kind == MODEL_LAYER_WINDOW && s->local.n ? &s->local : &s->full;
}

void rope_back(const struct rope_table *t, float *key, int by)
{
    assert(by >= 0 && by < t->n);
    const float *cosine = t->cosine + (size_t)by * (size_t)t->half, *sine = t->sine + (size_t)by * (size_t)t->half;
    for (int i = 0; i < t->half; i++) {
        float a = key[i], b = key[i + t->half];
        key[i] = a * cosine[i] + b * sine[i];
        key[i + t->half] = b * cosine[i] - a * sine[i];
    }
}
