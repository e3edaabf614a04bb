/* uniform: every layer the same; a layer that holds fewer entries than others, its own share of what it holds. */
#include "harness/base/mem.h"
#include "policies/allocator.h"

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    (void)config;
    double *weight = mem_new((size_t)in->n_layer, sizeof *weight);
    int differ = allocator_m_differs(in);
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = differ ? in->own_m[l] : 1;
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
