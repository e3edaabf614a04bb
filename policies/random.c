/* random: the control that every method has to beat.
 *   s(l, h, j) = hash(policy_seed, sample, layer, head, position) as a number in [0, 1)
 * The score does not depend on the budget, so smaller budgets keep subsets of larger ones. */
#include "harness/base/rng.h"
#include "policies/policy.h"

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    (void)e;
    uint64_t base = rng_mix(rng_mix(v->policy_seed, v->sample), (uint64_t)v->layer);
    for (int h = 0; h < v->n_kv_head; h++) {
        uint64_t head = rng_mix(base, (uint64_t)h);
        for (int j = 0; j < v->head[h].n_entry; j++)
            out[h][j] = (float)rng_unit(rng_mix(head, (uint64_t)v->head[h].pos[j]));
    }
    return 0;
}

extern const struct policy_ops policy_random;
const struct policy_ops policy_random = {
    .abi = POLICY_ABI,
    .name = "random",
    .summary = "uniformly random entries per head: the control",
    .paper = "none",
    .head_budget = "uniform",
    .uses_seed = 1,
    .score = score,
};
