/* keydiff: keys that differ from the others.
 *   a = mean_j k_j / ||k_j||,   s_j = -cos(k_j, a)      per KV head, on rotated keys
 * Deviation: the paper applies it block by block; here the whole prompt is one block (kvpress's plain form). */
#include <math.h>

#include "harness/base/mem.h"
#include "policies/policy.h"

static double norm(const float *k, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (double)k[i] * (double)k[i];
    return sqrt(sum);
}

static const double EPS = 1e-12; /* a zero key has no direction */

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    (void)e;
    size_t d = (size_t)v->head_dim;
    double *anchor = mem_new(d, sizeof *anchor);
    for (int h = 0; h < v->n_kv_head; h++) {
        int n = v->head[h].n_entry;
        double length = 0;
        for (size_t i = 0; i < d; i++)
            anchor[i] = 0;
        for (int j = 0; j < n; j++) {
            const float *k = v->head[h].keys + (size_t)j * d;
            double by = 1 / fmax(norm(k, d), EPS);
            for (size_t i = 0; i < d; i++)
                anchor[i] += (double)k[i] * by / n;
        }
        for (size_t i = 0; i < d; i++)
            length += anchor[i] * anchor[i];
        length = sqrt(length);
        for (int j = 0; j < n; j++) {
            const float *k = v->head[h].keys + (size_t)j * d;
            double dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += (double)k[i] * anchor[i];
            out[h][j] = (float)(-dot / fmax(norm(k, d) * length, EPS));
        }
    }
    mem_free(anchor);
    return 0;
}

extern const struct policy_ops policy_keydiff;
const struct policy_ops policy_keydiff = {
    .abi = POLICY_ABI,
    .name = "keydiff",
    .summary = "keys least like the mean direction of all keys",
    .paper = "Park et al. 2025, arXiv:2504.15364",
    .needs = STATISTIC_KEYS,
    .head_budget = "uniform",
    .score = score,
};
