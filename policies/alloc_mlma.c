/* mlma: middle layers and metric together. Layer 0 and k middle layers are whole, as in mlp; the others get their ratios as
 * in mga, from s over those others:
 *
 *   rho_l = min(rho_max, t s_l), t such that the sum over layers of rho_l is L rho
 *
 * Paper: Dehghanighobadi and Fischer 2026, arXiv:2604.24647, section 5: MLMA-2L, -4L and -6L, rho_max 0.7.
 * Which layers -4L and -6L protect is not said; here they lie around floor(L/2) as mlp's do. At the paper's keep of 0.4 the cap
 * can't hold there: with 28 layers, 4 and 6 middle ones whole ask for a mean ratio of 0.730 and 0.800 in the others. Such cells
 * are n/a, with the numbers; `relax_cap: true` reads the paper as not applying the cap (one entry stays). `fraction` gives k as a
 * part of the depth, rounded, at least 1. The choices of mga's head hold here too. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_guided.h"
#include "policies/allocator_profile.h"

struct config {
    struct allocator_profile_choice choice;
    double rho_max;
    int transform, redistribution;
    int64_t layers;
    double fraction; /* 0: layers */
    int relax_cap;
};

struct self {
    const struct config *config;
    unsigned char *whole; /* [n_layer] */
    double *s;            /* [n_layer] tolerance; 0 where whole */
};

static const struct param params[] = {
    ALLOCATOR_PROFILE_PARAMS(struct config, choice),
    ALLOCATOR_PROFILE_METRIC(struct config, choice),
    {"layers", PARAM_INT, offsetof(struct config, layers), "2", 1, 1022, NULL, "middle layers that are whole, beside layer 0"},
    {"fraction", PARAM_FLOAT, offsetof(struct config, fraction), "0", 0, 1, NULL, "the same as a part of the depth; 0: layers"},
    {"rho_max", PARAM_FLOAT, offsetof(struct config, rho_max), "0.7", 1e-9, 1, NULL, "largest pruning ratio of a layer"},
    {"transform", PARAM_ENUM, offsetof(struct config, transform), "minmax", 0, 0, allocator_guided_transforms,
     "how damage d becomes tolerance: max + min - d (or the metric itself), (max - d) / (max - min), rank"},
    {"redistribution", PARAM_ENUM, offsetof(struct config, redistribution), "proportional", 0, 0, allocator_guided_redistributions,
     "how the excess above rho_max goes to the others"},
    {"relax_cap", PARAM_BOOL, offsetof(struct config, relax_cap), "false", 0, 0, NULL, "true: rho_max is not applied"},
    {0},
};

static void destroy(void *self)
{
    struct self *s = self;
    if (!s)
        return;
    mem_free(s->whole);
    mem_free(s->s);
    mem_free(s);
}

static int middle(const struct config *c, int n_layer)
{
    int k = c->fraction > 0 ? (int)floor(c->fraction * n_layer + 0.5) : (int)c->layers;
    return k < 1 ? 1 : k;
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    struct self *s = mem_new(1, sizeof *s);
    s->config = c;
    s->whole = mem_new((size_t)setup->n_layer, 1);
    s->s = mem_new((size_t)setup->n_layer, sizeof *s->s);
    struct allocator_profile *p = allocator_guided_middle(setup->n_layer, middle(c, setup->n_layer), s->whole, e)
                                      ? NULL
                                      : allocator_profile_read(&c->choice, setup, 1, e);
    if (!p) {
        destroy(s);
        return -1;
    }
    allocator_guided_tolerance(p->mean, s->whole, setup->n_layer, (enum allocator_guided_transform)c->transform, s->s);
    allocator_profile_free(p);
    *self = s;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct self *s = self;
    return allocator_guided_spread(in, s->whole, s->s, s->config->relax_cap ? 1 : s->config->rho_max,
                                   (enum allocator_guided_redistribution)s->config->redistribution, entries, e);
}

extern const struct allocator_ops allocator_mlma;
const struct allocator_ops allocator_mlma = {
    .abi = ALLOCATOR_ABI,
    .name = "mlma",
    .summary = "layer 0 and the middle ones whole, the others pruned as they tolerate it",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
};
