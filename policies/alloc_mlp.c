/* mlp: middle-layer protection. Layer 0 and k middle layers keep everything, the others are pruned by one common ratio:
 *
 *   whole: 0, and floor(L/2) - k/2 + 1 .. floor(L/2) + k/2       k = 2: floor(L/2), floor(L/2) + 1
 *   the others: (total - whole) / (L - 1 - k) each
 *
 * Paper: Dehghanighobadi and Fischer 2026, arXiv:2604.24647, section 5. Indices are from 0 and layer 0 counts in the
 * total (the paper's text says neither, but leaves layer 0 whole and asks for one mean ratio). The paper's k is 2. */
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_guided.h"

struct config {
    int64_t layers;
};

static const struct param params[] = {
    {"layers", PARAM_INT, offsetof(struct config, layers), "2", 1, 1022, NULL,
     "middle layers that are whole, beside layer 0"},
    {0},
};

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    unsigned char *whole = mem_new((size_t)s->n_layer + 1, 1);
    int rc = allocator_guided_middle(s->n_layer, (int)((const struct config *)config)->layers, whole, e);
    mem_free(whole);
    return rc;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    unsigned char *whole = mem_new((size_t)in->n_layer, 1);
    int rc = allocator_guided_middle(in->n_layer, (int)c->layers, whole, e)
                 ? -1
                 : allocator_spread_rest(in, whole, NULL, entries, e);
    mem_free(whole);
    return rc;
}

extern const struct allocator_ops allocator_mlp;
const struct allocator_ops allocator_mlp = {
    .abi = ALLOCATOR_ABI,
    .name = "mlp",
    .summary = "layer 0 and the middle ones whole, the others alike",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .allocate = allocate,
};
