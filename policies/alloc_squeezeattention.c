/* squeezeattention: layers whose attention changes the residual stream least get a small share.
 *
 *   c_l = mean over prompt tokens of the cosine between the stream before the attention block and after its residual
 *   three groups of layers by k-means over c; those of the group with the largest cosines get p m, the others alike
 *   (L m - n_3 p m) / (L - n_3)
 *
 * Paper: SqueezeAttention, Wang et al. 2024, arXiv:2404.04793. p is tuned per task there. k-means starts from the
 * least, the middle and the largest cosine and so does not depend on chance; a layer halfway between two groups belongs
 * to the lower one. Deviations: the total is exact; nothing is evicted before all layers are known. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"

struct config {
    double p;
};

static const struct param params[] = {
    {"p", PARAM_FLOAT, offsetof(struct config, p), "0.3", 1e-6, 1, NULL,
     "budget of the least important group, as a part of the uniform one"},
    {0},
};

/* group[l] = 0, 1, 2 by ascending cosine. */
static void cluster(const double *x, int n, int *group)
{
    double low = x[0], high = x[0];
    for (int i = 1; i < n; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    double centre[3] = {low, (low + high) / 2, high};
    for (int round = 0, moved = 1; round < 100 && moved; round++) {
        double sum[3] = {0};
        int count[3] = {0};
        moved = round == 0;
        for (int i = 0; i < n; i++) {
            int g = 0;
            for (int k = 1; k < 3; k++)
                if (fabs(x[i] - centre[k]) < fabs(x[i] - centre[g]))
                    g = k;
            moved |= group[i] != g;
            group[i] = g;
            sum[g] += x[i];
            count[g]++;
        }
        for (int k = 0; k < 3; k++)
            if (count[k])
                centre[k] = sum[k] / count[k];
    }
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    int *group = mem_new((size_t)in->n_layer, sizeof *group), small = 0;
    double *weight = mem_new((size_t)in->n_layer, sizeof *weight);
    cluster(in->cosine, in->n_layer, group);
    for (int l = 0; l < in->n_layer; l++)
        small += group[l] == 2;
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = small == in->n_layer || group[l] == 2 ? c->p : (in->n_layer - small * c->p) / (in->n_layer - small);
    int rc = allocator_spread(weight, in->available, in->n_layer, in->total, entries, e);
    mem_free(group);
    mem_free(weight);
    return rc;
}

extern const struct allocator_ops allocator_squeezeattention;
const struct allocator_ops allocator_squeezeattention = {
    .abi = ALLOCATOR_ABI,
    .name = "squeezeattention",
    .summary = "less where attention turns the residual stream least",
    .paper = "Wang et al. 2024, arXiv:2404.04793",
    .needs = STATISTIC_COSINE,
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .allocate = allocate,
};
