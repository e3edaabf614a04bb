/* free_most: the layers whole that a layer study found to suffer most, the others alike, at uniform's total. It says
 * how much of what a profile gains is one layer's or two: where free_most with one layer does as well as sensitivity,
 * the rest of the profile is worth nothing. `layers` counts from the greatest damage; of equal ones the lower layer
 * comes first. Source: none. */
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_profile.h"

struct config {
    struct allocator_profile_choice choice;
    int64_t layers;
};

struct self {
    int n_layer;
    unsigned char *whole; /* [n_layer] */
};

static const struct param params[] = {
    ALLOCATOR_PROFILE_PARAMS(struct config, choice),
    {"layers", PARAM_INT, offsetof(struct config, layers), "1", 1, 1022, NULL,
     "layers of the greatest damage that are whole"},
    {0},
};

static int check(const void *config, const struct allocator_setup *s, struct err *e)
{
    return allocator_check_whole(((const struct config *)config)->layers, s, e);
}

static void destroy(void *self)
{
    struct self *s = self;
    if (s)
        mem_free(s->whole);
    mem_free(s);
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    struct allocator_profile *p = allocator_profile_read(&c->choice, setup, 0, e);
    if (!p)
        return -1;
    struct self *s = mem_new(1, sizeof *s);
    s->n_layer = p->n_layer;
    s->whole = mem_new((size_t)p->n_layer, 1);
    for (int64_t k = 0; k < c->layers; k++) {
        int most = -1;
        for (int l = 0; l < p->n_layer; l++)
            if (!s->whole[l] && (most < 0 || p->mean[l] > p->mean[most]))
                most = l;
        s->whole[most] = 1;
    }
    allocator_profile_free(p);
    *self = s;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct self *s = self;
    return allocator_spread_rest(in, s->whole, NULL, entries, e);
}

extern const struct allocator_ops allocator_free_most;
const struct allocator_ops allocator_free_most = {
    .abi = ALLOCATOR_ABI,
    .name = "free_most",
    .summary = "the layers that suffer most whole, the others alike: how much of a profile is one layer or two",
    .paper = "none",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .check = check,
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
};
