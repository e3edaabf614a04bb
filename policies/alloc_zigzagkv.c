/* zigzagkv: layers that need more entries to hold most of their attention get more.
 *
 *   a_q(j) = mean over the last w queries of A_q(i, j)
 *   LMBA_l = mean over query heads of the fewest entries with at least `mass` of the sum of a_q
 *   B_l = m (bound + (1 - bound) L LMBA_l / sum of LMBA)
 *
 * Paper: ZigZagKV, Zhong et al. 2024, arXiv:2412.09036 (COLING 2025), equation 6 as cited in a kvpress pull request for
 * it, whose defaults are mass 0.9 and bound 0.2. Deviations: that code takes the mass of whatever scores the policy
 * gives, here it is always attention of the window, so that the layers' shares do not depend on the policy. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/allocator_window.h"

struct config {
    int64_t window;
    double mass, bound;
};

static const struct param params[] = {
    {"window", PARAM_INT, offsetof(struct config, window), "64", 1, 1e6, NULL, "last queries that are looked through"},
    {"mass", PARAM_FLOAT, offsetof(struct config, mass), "0.9", 1e-6, 1, NULL,
     "part of the attention that a layer is to hold"},
    {"bound", PARAM_FLOAT, offsetof(struct config, bound), "0.2", 0, 1, NULL,
     "part of the uniform budget that every layer gets in any case"},
    {0},
};

static int rows(const void *config)
{
    return (int)((const struct config *)config)->window;
}

static int descending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    const struct config *c = self;
    double sum = 0;
    (void)e;
    for (int q = 0; q < v->n_head; q++) {
        int n = v->head[q / v->n_group].n_entry, held = 0;
        double *a = mem_new((size_t)n, sizeof *a), all = 0, mass = 0;
        for (int i = 0; i < v->n_row; i++)
            for (int j = 0; j < n; j++)
                a[j] += (double)v->attention[q].rows[(size_t)i * (size_t)n + (size_t)j];
        qsort(a, (size_t)n, sizeof *a, descending);
        for (int j = 0; j < n; j++)
            all += a[j];
        while (held < n && (held == 0 || mass < c->mass * all))
            mass += a[held++];
        sum += held;
        mem_free(a);
    }
    *stat = sum / v->n_head;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    double *lmba = mem_new((size_t)in->n_layer, sizeof *lmba);
    for (int l = 0; l < in->n_layer; l++)
        lmba[l] = in->stat[l][0];
    int rc = allocator_window_spread(in, c->bound * in->m, lmba, entries, e);
    mem_free(lmba);
    return rc;
}

extern const struct allocator_ops allocator_zigzagkv;
const struct allocator_ops allocator_zigzagkv = {
    .abi = ALLOCATOR_ABI,
    .name = "zigzagkv",
    .summary = "by how many entries hold most of a layer's attention",
    .paper = "Zhong et al. 2024, arXiv:2412.09036",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_ROWS,
    .rows = rows,
    .allocate = allocate,
};
