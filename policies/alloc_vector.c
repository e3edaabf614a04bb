/* vector: an absolute fraction for every layer, in exact decimals: m_l = max(1, floor(f_l n)). The cell has no keep. Of
 * a model with windows only the layers that are pruned have a fraction, in their order. */
#include <stddef.h>

#include "harness/base/str.h"
#include "policies/allocator.h"

struct config {
    struct param_decimals keep;
};

static const struct param params[] = {
    {"keep", PARAM_DECIMALS, offsetof(struct config, keep), NULL, 1e-9, 1, NULL, "fraction kept, one per layer"},
    {0},
};

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    const struct config *c = config;
    struct str of = {0};
    if (c->keep.n == s->n_layer)
        return 0;
    allocator_layers_text(s, &of);
    err_set(e, ERR_CONFIG, "vector: %d fractions for %s", c->keep.n, of.p);
    str_free(&of);
    return -1;
}

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = config;
    if (check(config, &(struct allocator_setup){.n_layer = in->n_layer}, e))
        return -1;
    for (int l = 0; l < in->n_layer; l++) {
        int64_t m = decimal_floor_mul(c->keep.v[l], allocator_n(in, l));
        entries[l] = m < 1 ? 1 : m > in->available[l] ? in->available[l] : (int)m;
    }
    return 0;
}

extern const struct allocator_ops allocator_vector;
const struct allocator_ops allocator_vector = {
    .abi = ALLOCATOR_ABI,
    .name = "vector",
    .summary = "an absolute fraction for every layer; takes no keep",
    .paper = "none",
    .budget = ALLOCATOR_ABSOLUTE,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .allocate = allocate,
};
