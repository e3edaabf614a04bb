/* mga: metric-guided allocation. Layer 0 is whole; the pruning ratio of the others follows how well they tolerate pruning:
 *
 *   rho_l = min(rho_max, t s_l), t such that the sum over layers of rho_l is L rho     s_l = transform(damage or metric)
 *
 * that is, ratios in proportion to s_l / sum of s, cut at rho_max, and the excess shared out again among the layers below it
 * until none is left (`redistribution: equal` gives each the same of it instead).
 *
 * Paper: Dehghanighobadi and Fischer 2026, arXiv:2604.24647, section 5: s comes from InfoNCE after attention, rho_max 0.7.
 * Deviations and choices: by default s comes from the damage itself, which that metric stands in for; `metric:` names a
 * dataset of the profile to go by instead. The paper does not say how InfoNCE becomes s: `transform` has three readings.
 * Rounding to whole entries may pass rho_max by less than one entry. A total that needs more than rho_max is n/a. */
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_guided.h"
#include "policies/allocator_profile.h"

struct config {
    struct allocator_profile_choice choice;
    double rho_max;
    int transform, redistribution;
};

struct self {
    const struct config *config;
    unsigned char *whole; /* [n_layer] */
    double *s;            /* [n_layer] tolerance; 0 where whole */
};

static const struct param params[] = {
    ALLOCATOR_PROFILE_PARAMS(struct config, choice),
    ALLOCATOR_PROFILE_METRIC(struct config, choice),
    {"rho_max", PARAM_FLOAT, offsetof(struct config, rho_max), "0.7", 1e-9, 1, NULL, "largest pruning ratio of a layer"},
    {"transform", PARAM_ENUM, offsetof(struct config, transform), "minmax", 0, 0, allocator_guided_transforms,
     "how damage d becomes tolerance: max + min - d (or the metric itself), (max - d) / (max - min), rank"},
    {"redistribution", PARAM_ENUM, offsetof(struct config, redistribution), "proportional", 0, 0, allocator_guided_redistributions,
     "how the excess above rho_max goes to the others"},
    {0},
};

static void destroy(void *self)
{
    struct self *s = self;
    if (!s)
        return;
    mem_free(s->whole);
    mem_free(s->s);
    mem_free(s);
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    struct self *s = mem_new(1, sizeof *s);
    s->config = c;
    s->whole = mem_new((size_t)setup->n_layer, 1);
    s->s = mem_new((size_t)setup->n_layer, sizeof *s->s);
    s->whole[0] = 1;
    struct allocator_profile *p = NULL;
    if (setup->n_layer > 1)
        p = allocator_profile_read(&c->choice, setup, 1, e);
    else
        err_set(e, ERR_CONFIG, "a model of one layer, which stays whole, leaves none to prune");
    if (!p) {
        destroy(s);
        return -1;
    }
    allocator_guided_tolerance(p->mean, s->whole, setup->n_layer, (enum allocator_guided_transform)c->transform, s->s);
    allocator_profile_free(p);
    *self = s;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct self *s = self;
    return allocator_guided_spread(in, s->whole, s->s, s->config->rho_max,
                                   (enum allocator_guided_redistribution)s->config->redistribution, entries, e);
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
    .destroy = destroy,
    .allocate = allocate,
};
