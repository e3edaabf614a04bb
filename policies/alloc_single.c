/* single: the layer study of DepthKV, section 4: one layer keeps the cell's budget, the others are whole; or, with
 * only: true, all layers keep it but one. */
#include <stddef.h>

#include "policies/allocator.h"

struct config {
    int64_t layer; /* -1: all, which an experiment expands to one cell per layer */
    int only;
};

static const char *const all[] = {"all", NULL};

static const struct param params[] = {
    {"layer", PARAM_INT, offsetof(struct config, layer), NULL, 0, 1023, all,
     "the studied layer, from 0; all: each in turn"},
    {"only", PARAM_BOOL, offsetof(struct config, only), "false", 0, 0, NULL,
     "true: all layers are pruned but this one"},
    {0},
};

static int check(const void *config, int n_layer, struct err *e)
{
    const struct config *c = config;
    if (c->layer >= n_layer)
        return err_set(e, ERR_CONFIG, "single: layer %d of a model with layers 0 to %d", (int)c->layer, n_layer - 1);
    return 0;
}

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = config;
    int found = 0;
    if (!in->number && check(config, in->n_layer, e))
        return -1;
    if (c->layer < 0)
        return err_set(e, ERR_POLICY, "single: one layer is expected here, found all");
    for (int l = 0; l < in->n_layer; l++) {
        int studied = c->layer == (in->number ? in->number[l] : l), m = in->own_m ? in->own_m[l] : in->m;
        entries[l] = studied != c->only && m < in->available[l] ? m : in->available[l];
        found |= studied;
    }
    return found ? 0 : err_set(e, ERR_CONFIG, "single: layer %d is none of those that are pruned", (int)c->layer);
}

extern const struct allocator_ops allocator_single;
const struct allocator_ops allocator_single = {
    .abi = ALLOCATOR_ABI,
    .name = "single",
    .summary = "one layer pruned, the others whole: the sensitivity study",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_PART,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .allocate = allocate,
};
