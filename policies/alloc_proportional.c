/* proportional: the cell's total spread in proportion to a weight per layer. */
#include <stddef.h>

#include "harness/base/str.h"
#include "policies/allocator.h"

struct config {
    struct param_floats weights;
};

static const struct param params[] = {
    {"weights", PARAM_FLOATS, offsetof(struct config, weights), NULL, 0, 1e12, NULL,
     "share, one per layer; scaled to keep"},
    {0},
};

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    const struct config *c = config;
    struct str of = {0};
    if (c->weights.n == s->n_layer)
        return 0;
    allocator_layers_text(s, &of);
    err_set(e, ERR_CONFIG, "proportional: %d weights for %s", c->weights.n, of.p);
    str_free(&of);
    return -1;
}

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = config;
    if (check(config, &(struct allocator_setup){.n_layer = in->n_layer}, e))
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
