/* free_first: the first layers whole, the others alike, at uniform's total. The control that DepthKV's allocators need:
 * they all leave layer 0 unpruned, which uniform does not, so that a gain may be layer 0's and not the metric's. Under
 * uniform, `protect: {first_layers: 1}` gives the same entries; as an allocator it stands in one list with the rest.
 * Source: none. */
#include <stddef.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"

struct config {
    int64_t layers;
};

static const struct param params[] = {
    {"layers", PARAM_INT, offsetof(struct config, layers), "1", 1, 1022, NULL, "first layers that are whole"},
    {0},
};

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    return allocator_check_whole(((const struct config *)config)->layers, s, e);
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    if (check(self, &(struct allocator_setup){.n_layer = in->n_layer}, e))
        return -1;
    unsigned char *whole = mem_new((size_t)in->n_layer, 1);
    memset(whole, 1, (size_t)c->layers);
    int rc = allocator_spread_rest(in, whole, NULL, entries, e);
    mem_free(whole);
    return rc;
}

extern const struct allocator_ops allocator_free_first;
const struct allocator_ops allocator_free_first = {
    .abi = ALLOCATOR_ABI,
    .name = "free_first",
    .summary = "the first layers whole, the others alike: the control of all that leave layer 0 alone",
    .paper = "none",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .allocate = allocate,
};
