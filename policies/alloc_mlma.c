/* mlma: middle layers and metric together. Layer 0 and k middle layers are whole, as in mlp; the others get their
 * ratios as in mga, from s over those others:
 *
 *   rho_l = min(rho_max, t s_l), t such that the sum over layers of rho_l is L rho
 *
 * Paper: Dehghanighobadi and Fischer 2026, arXiv:2604.24647, section 5: MLMA-2L, -4L and -6L, rho_max 0.7.
 * Which layers -4L and -6L protect is not said; here they lie around floor(L/2) as mlp's do. At the paper's keep of 0.4
 * the cap can't hold there: with 28 layers, 4 and 6 middle ones whole ask for a mean ratio of 0.730 and 0.800 in the
 * others. Such cells are n/a, with the numbers; `relax_cap: true` reads the paper as not applying the cap (one entry
 * stays). `fraction` gives k as a part of the depth, rounded, at least 1. The choices of mga's head hold here too. */
#include <math.h>
#include <stddef.h>

#include "policies/allocator_guided.h"

struct config {
    struct allocator_guided_config guided;
    int64_t layers;
    double fraction; /* 0: layers */
    int relax_cap;
};

static const struct param params[] = {
    ALLOCATOR_GUIDED_PROFILE(struct config, guided),
    {"layers", PARAM_INT, offsetof(struct config, layers), "2", 1, 1022, NULL,
     "middle layers that are whole, beside layer 0"},
    {"fraction", PARAM_FLOAT, offsetof(struct config, fraction), "0", 0, 1, NULL,
     "the same as a part of the depth; 0: layers"},
    ALLOCATOR_GUIDED_PARAMS(struct config, guided),
    {"relax_cap", PARAM_BOOL, offsetof(struct config, relax_cap), "false", 0, 0, NULL, "true: rho_max is not applied"},
    {0},
};

static int middle(const struct config *c, int n_layer)
{
    int k = c->fraction > 0 ? (int)floor(c->fraction * n_layer + 0.5) : (int)c->layers;
    return k < 1 ? 1 : k;
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    return allocator_guided_create(self, &c->guided, setup, middle(c, setup->n_layer),
                                   c->relax_cap ? 1 : c->guided.rho_max, e);
}

extern const struct allocator_ops allocator_mlma;
const struct allocator_ops allocator_mlma = {
    .abi = ALLOCATOR_ABI,
    .name = "mlma",
    .summary = "layer 0 and the middle ones whole, the others pruned as they tolerate it",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .create = create,
    .destroy = allocator_guided_destroy,
    .allocate = allocator_guided_allocate,
};
