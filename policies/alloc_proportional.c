/* proportional: the cell's total spread in proportion to a weight per layer. */
#include <stddef.h>

#include "policies/allocator.h"

struct config {
    struct param_floats weights;
};

static const struct param params[] = {
    {"weights", PARAM_FLOATS, offsetof(struct config, weights), NULL, 0, 1e12, NULL,
     "share, one per layer; scaled to keep"},
    {0},
};

static int check(const void *config, int n_layer, struct err *e)
{
    const struct config *c = config;
    if (c->weights.n != n_layer)
        return err_set(e, ERR_CONFIG, "proportional: %d weights for a model of %d layers", c->weights.n, n_layer);
    return 0;
}

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = config;
    if (check(config, in->n_layer, e))
        return -1;
    return allocator_spread(c->weights.v, in->available, in->n_layer, in->total, entries, e);
}

extern const struct allocator_ops allocator_proportional;
const struct allocator_ops allocator_proportional = {
    .abi = ALLOCATOR_ABI,
    .name = "proportional",
    .summary = "in proportion to a weight per layer",
    .paper = "none",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .allocate = allocate,
};
