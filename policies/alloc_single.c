/* single: the layer study of DepthKV, section 4: one layer keeps the cell's budget, the others are whole; or, with
 * only: true, all layers keep it but one. */
#include <stddef.h>

#include "harness/base/str.h"
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

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    const struct config *c = config;
    int n = s->n_model_layer > s->n_layer ? s->n_model_layer : s->n_layer;
    if (c->layer >= n)
        return err_set(e, ERR_CONFIG, "single: layer %d of a model with layers 0 to %d", (int)c->layer, n - 1);
    if (c->layer < 0 || allocator_layer_of(s->number, s->n_layer, c->layer) >= 0)
        return 0;
    struct str pruned = {0};
    for (int l = 0; l < s->n_layer; l++)
        str_addf(&pruned, "%s%d", l ? ", " : "", s->number ? s->number[l] : l);
    err_set(e, ERR_CONFIG, "single: layer %d has a window and is not pruned (windows: keep); the layers that are: %s",
            (int)c->layer, pruned.n ? pruned.p : "none");
    str_free(&pruned);
    return -1;
}

static int allocate(const void *config, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = config;
    int studied = allocator_layer_of(in->number, in->n_layer, c->layer);
    if (c->layer < 0)
        return err_set(e, ERR_POLICY, "single: one layer is expected here, found all");
    if (studied < 0)
        return err_set(e, ERR_POLICY, "single: layer %d is none of those that are pruned", (int)c->layer);
    double kept = 0, held = 0;
    for (int l = 0; l < in->n_layer; l++) {
        int pruned = c->only ? l != studied : l == studied, m = allocator_m(in, l);
        entries[l] = pruned && m < in->available[l] ? m : in->available[l];
        kept += pruned ? m : 0;
        held += pruned ? allocator_n(in, l) : 0;
    }
    if (in->level && held > 0)
        *in->level = kept / held;
    return 0;
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
