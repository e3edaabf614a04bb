/* uniform: every layer the same. */
#include "harness/base/mem.h"
#include "policies/allocator.h"

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    (void)config;
    double *weight = mem_new((size_t)in->n_layer, sizeof *weight);
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = 1;
    int rc = allocator_spread(weight, in->available, in->n_layer, in->total, entries, e);
    mem_free(weight);
    return rc;
}

extern const struct allocator_ops allocator_uniform;
const struct allocator_ops allocator_uniform = {
    .abi = ALLOCATOR_ABI,
    .name = "uniform",
    .summary = "every layer the same",
    .paper = "none",
    .budget = ALLOCATOR_SPREADS,
    .allocate = allocate,
};
