/* lava: layers whose scores are spread out get more.
 *
 *   s_h(j) = pooled attention of the last w queries x max over k of ||v_h(k)||_1, for the entries before the window
 *   e_l = - sum over heads and entries of p log p / log(their number), p = s / sum of s
 *   B_l = w + (m - w) L e_l / sum of e
 *
 * Paper: LAVa, 2025, arXiv:2509.09754; its LavaKVCluster. Deviations: it sets budgets layer by layer and cuts earlier
 * layers again as later ones become known, which ends in the same shares; its own head allocation and scores are other
 * axes here. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_window.h"

struct config {
    int64_t window, kernel;
};

static const struct param params[] = {
    {"window", PARAM_INT, offsetof(struct config, window), "32", 1, 1e6, NULL,
     "last queries that are looked through, and entries of every layer beside its share"},
    {"kernel", PARAM_INT, offsetof(struct config, kernel), "5", 1, 1023, NULL,
     "neighbours that scores are averaged over (an even number counts as the next odd one)"},
    {0},
};

static int rows(const void *config)
{
    return (int)((const struct config *)config)->window;
}

static double largest_norm(const struct policy_view *v, int h)
{
    double most = 0;
    for (int j = 0; j < v->head[h].n_entry; j++) {
        double norm = 0;
        for (int i = 0; i < v->head_dim; i++)
            norm += fabs((double)v->head[h].values[(size_t)j * (size_t)v->head_dim + (size_t)i]);
        most = fmax(most, norm);
    }
    return most;
}

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    const struct config *c = self;
    double sum = 0, logs = 0; /* of s, of s log s: the entropy of s / sum is log(sum) - logs / sum */
    long size = 0;
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++) {
        int n = allocator_window_context(v, h);
        double *s = mem_new((size_t)v->head[h].n_entry, sizeof *s), norm = largest_norm(v, h);
        allocator_window_scores(v, h, (int)c->kernel | 1, s);
        for (int j = 0; j < n; j++) {
            double x = s[j] * norm;
            sum += x;
            logs += x > 0 ? x * log(x) : 0;
        }
        size += n;
        mem_free(s);
    }
    double entropy = sum > 0 ? log(sum) - logs / sum : 0;
    *stat = size > 1 ? fmax(entropy, 0) / log((double)size) : 0;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    double *share = mem_new((size_t)in->n_layer, sizeof *share);
    for (int l = 0; l < in->n_layer; l++)
        share[l] = in->stat[l][0];
    int rc = allocator_window_spread(in, (double)c->window, share, entries, e);
    mem_free(share);
    return rc;
}

extern const struct allocator_ops allocator_lava;
const struct allocator_ops allocator_lava = {
    .abi = ALLOCATOR_ABI,
    .name = "lava",
    .summary = "by the entropy of a layer's value-weighted window scores",
    .paper = "LAVa 2025, arXiv:2509.09754",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_ROWS | STATISTIC_VALUES,
    .rows = rows,
    .allocate = allocate,
};
