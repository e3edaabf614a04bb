/* sensitivity: what pruning a layer alone was measured to cost decides how much it keeps.
 *
 *   B_l = m (floor + (1 - floor) L d_l / sum of d)       d_l: damage of layer l, 0 where pruning it did no harm
 *
 * `floor` of the uniform budget m goes to every layer before the damages are asked, so that a layer without any still
 * keeps something; what a layer can't hold is shared out in proportion (allocator_spread).
 * Source: none; it is the plainest rule that reads DepthKV's measurement (arXiv:2604.24647, section 4) itself instead
 * of a metric that stands in for it. d is allocator_profile.h's pooled damage. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_profile.h"

struct config {
    struct allocator_profile_choice choice;
    double floor;
};

struct self {
    int n_layer;
    double *weight; /* [n_layer] */
};

static const struct param params[] = {
    ALLOCATOR_PROFILE_PARAMS(struct config, choice),
    {"floor", PARAM_FLOAT, offsetof(struct config, floor), "0.2", 0, 1, NULL,
     "part of the uniform budget that every layer gets in any case"},
    {0},
};

static void destroy(void *self)
{
    struct self *s = self;
    if (s)
        mem_free(s->weight);
    mem_free(s);
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    const struct config *c = config;
    double sum = 0;
    struct allocator_profile *p = allocator_profile_read(&c->choice, setup, 0, e);
    if (!p)
        return -1;
    struct self *s = mem_new(1, sizeof *s);
    s->n_layer = p->n_layer;
    s->weight = mem_new((size_t)p->n_layer, sizeof *s->weight);
    for (int l = 0; l < p->n_layer; l++)
        sum += fmax(p->mean[l], 0);
    for (int l = 0; l < p->n_layer; l++)
        s->weight[l] = c->floor + (sum > 0 ? (1 - c->floor) * p->n_layer * fmax(p->mean[l], 0) / sum : 0);
    allocator_profile_free(p);
    *self = s;
    if (sum > 0)
        return 0;
    destroy(s);
    *self = NULL;
    return err_set(e, ERR_CONFIG, "%s: no layer's pruning did any harm, so there is nothing to go by", c->choice.path);
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct self *s = self;
    return allocator_spread(s->weight, in->available, in->n_layer, in->total, entries, e);
}

extern const struct allocator_ops allocator_sensitivity;
const struct allocator_ops allocator_sensitivity = {
    .abi = ALLOCATOR_ABI,
    .name = "sensitivity",
    .summary = "in proportion to the damage that a layer study measured",
    .paper = "none; the study is that of Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
};
