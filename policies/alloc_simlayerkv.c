/* simlayerkv: lazy layers, which look at the first and the last entries only, keep just those; the others share the
 * rest.
 *
 *   a layer is lazy where the last query gives more than `threshold` of its attention, mean over query heads, to the
 *   first `sinks` and the last `recent` entries
 *   B_l = min(sinks + recent, m) where lazy; the others share what is left of the total alike
 *
 * Paper: SimLayerKV, Zhang et al. 2024, arXiv:2410.13846: sinks 4, recent 1024, threshold 0.9 for Llama-3 (0.65
 * Llama-2, 0.8 Mistral, 0.85 Qwen). Deviations: there the layers that are not lazy are whole and the total falls out;
 * here the total is given, so they keep what it leaves. The query is the prompt's last one instead of the first decoded
 * token, which is not known when the prompt is cut. Budgets of at most sinks + recent entries are spread alike: choose
 * `recent` below them. */
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"

struct config {
    int64_t sinks, recent;
    double threshold;
};

static const struct param params[] = {
    {"sinks", PARAM_INT, offsetof(struct config, sinks), "4", 0, 1e6, NULL, "first entries of a lazy layer"},
    {"recent", PARAM_INT, offsetof(struct config, recent), "1024", 1, 1e6, NULL, "last entries of a lazy layer"},
    {"threshold", PARAM_FLOAT, offsetof(struct config, threshold), "0.9", 0, 1, NULL,
     "attention above which a layer is lazy"},
    {0},
};

static int rows(const void *config)
{
    (void)config;
    return 1;
}

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    const struct config *c = self;
    double sum = 0;
    (void)e;
    for (int q = 0; q < v->n_head; q++) {
        int n = v->head[q / v->n_group].n_entry;
        const float *row = v->attention[q].rows + (size_t)(v->n_row - 1) * (size_t)n;
        for (int j = 0; j < n; j++)
            sum += j < c->sinks || j >= n - c->recent ? (double)row[j] : 0;
    }
    *stat = sum / v->n_head;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    double small = (double)(c->sinks + c->recent), *weight = mem_new((size_t)in->n_layer, sizeof *weight);
    int lazy = 0;
    small = small < in->m ? small : in->m;
    for (int l = 0; l < in->n_layer; l++)
        lazy += in->stat[l][0] > c->threshold;
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = lazy == in->n_layer || in->stat[l][0] > c->threshold
                        ? small
                        : ((double)in->m * in->n_layer - lazy * small) / (in->n_layer - lazy);
    int rc = allocator_spread(weight, in->available, in->n_layer, in->total, entries, e);
    mem_free(weight);
    return rc;
}

extern const struct allocator_ops allocator_simlayerkv;
const struct allocator_ops allocator_simlayerkv = {
    .abi = ALLOCATOR_ABI,
    .name = "simlayerkv",
    .summary = "lazy layers keep their first and last entries, the others share the rest",
    .paper = "Zhang et al. 2024, arXiv:2410.13846",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_ROWS,
    .rows = rows,
    .allocate = allocate,
};
