/* mga: metric-guided allocation. Layer 0 is whole; the pruning ratio of the others follows how well they tolerate
 * pruning:
 *
 *   rho_l = min(rho_max, t s_l), t such that the sum over layers of rho_l is L rho
 *   s_l = transform(damage or metric)
 *
 * that is, ratios in proportion to s_l / sum of s, cut at rho_max, and the excess shared out again among the layers
 * below it until none is left (`redistribution: equal` gives each the same of it instead).
 *
 * Paper: Dehghanighobadi and Fischer 2026, arXiv:2604.24647, section 5: s comes from InfoNCE after attention, rho_max
 * 0.7. Deviations and choices: by default s comes from the damage itself, which that metric stands in for; `metric:`
 * names a dataset of the profile to go by instead. The paper does not say how InfoNCE becomes s: `transform` has three
 * readings. Rounding to whole entries may pass rho_max by less than one entry. A total that needs more than rho_max is
 * n/a. */
#include <stddef.h>

#include "policies/allocator_guided.h"

struct config {
    struct allocator_guided_config guided;
};

static const struct param params[] = {
    ALLOCATOR_GUIDED_PROFILE(struct config, guided),
    ALLOCATOR_GUIDED_PARAMS(struct config, guided),
    {0},
};

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    return allocator_guided_create(self, &c->guided, setup, 0, c->guided.rho_max, e);
}

extern const struct allocator_ops allocator_mga;
const struct allocator_ops allocator_mga = {
    .abi = ALLOCATOR_ABI,
    .name = "mga",
    .summary = "layer 0 whole, the others pruned as they tolerate it",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .create = create,
    .destroy = allocator_guided_destroy,
    .allocate = allocator_guided_allocate,
};
