/* knorm: keys of small norm attract attention (L2 norm).
 *   s_j = -||k_j||_2      on rotated keys; rotation does not change the norm
 * Deviation: the paper leaves the first two layers whole; here that is `protect: {first_layers: 2}`. */
#include <math.h>

#include "policies/policy.h"

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    (void)e;
    size_t d = (size_t)v->head_dim;
    for (int h = 0; h < v->n_kv_head; h++)
        for (int j = 0; j < v->head[h].n_entry; j++) {
            const float *k = v->head[h].keys + (size_t)j * d;
            double sum = 0;
            for (size_t i = 0; i < d; i++)
                sum += (double)k[i] * (double)k[i];
            out[h][j] = (float)-sqrt(sum);
        }
    return 0;
}

extern const struct policy_ops policy_knorm;
const struct policy_ops policy_knorm = {
    .abi = POLICY_ABI,
    .name = "knorm",
    .summary = "smallest key norms",
    .paper = "Devoto et al. 2024, arXiv:2406.11430",
    .needs = STATISTIC_KEYS,
    .head_budget = "uniform",
    .score = score,
};
