/* pyramidkv: an arithmetic fall with depth.
 *
 *   low = (m - w) / beta, high = 2 (m - w) - low; where high would pass n - w: high = n - w, low = 2 (m - w) - high
 *   B_l = high - l (high - low) / (L - 1) + w
 *
 * Paper: PyramidKV, Cai et al. 2024, arXiv:2406.02069; the rule as in KVCache-Factory's pyramidkv_utils.py, beta 20.
 * w is the window that the paper keeps in every layer beside the fall (its code: 8 to 64). Here protection is an axis
 * of its own, and w only the part of the budget that does not fall. Deviations: their integer division loses entries,
 * here the total is exact; their code falls back to uniform where n is small, here a budget of at most w is uniform and
 * nothing else is. */
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"

struct config {
    double beta;
    int64_t window;
};

static const struct param params[] = {
    {"beta", PARAM_FLOAT, offsetof(struct config, beta), "20", 1, 1e6, NULL,
     "how steep: the last layer gets the beta-th part of the mean"},
    {"window", PARAM_INT, offsetof(struct config, window), "64", 0, 1e6, NULL,
     "entries of every layer that take no part in the fall"},
    {0},
};

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    double *weight = mem_new((size_t)in->n_layer, sizeof *weight), w = (double)c->window, b = in->m - w;
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = 1;
    if (b > 0 && in->n_layer > 1) {
        double low = b / c->beta, high = 2 * b - low;
        if (high > in->n - w) {
            high = in->n - w;
            low = 2 * b - high;
        }
        for (int l = 0; l < in->n_layer; l++)
            weight[l] = high - l * (high - low) / (in->n_layer - 1) + w;
    }
    int rc = allocator_spread(weight, in->available, in->n_layer, in->total, entries, e);
    mem_free(weight);
    return rc;
}

extern const struct allocator_ops allocator_pyramidkv;
const struct allocator_ops allocator_pyramidkv = {
    .abi = ALLOCATOR_ABI,
    .name = "pyramidkv",
    .summary = "falls with depth",
    .paper = "Cai et al. 2024, arXiv:2406.02069",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .allocate = allocate,
};
