/* d2o: layers whose attention falls on few entries get less.
 *
 *   v_l = variance over entries j of the column sum of A_q(i, j) over queries i >= j, mean over query heads;
 *   then min-max normalised over layers
 *   B_l in proportion to softmax(-v)_l
 *
 * Paper: D2O, Wan et al. 2024, arXiv:2406.13035 (ICLR 2025). `exempt: true` leaves layers 0, 1 and the last one whole,
 * as its code does; there their cost comes on top, here the others pay for it, or the cell is n/a. Deviations: shares
 * are clamped to [1 entry, n] instead of [0.01 n, n]; evicted entries are not merged into kept ones. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"

struct config {
    int exempt;
};

static const struct param params[] = {
    {"exempt", PARAM_BOOL, offsetof(struct config, exempt), "true", 0, 0, NULL,
     "layers 0, 1 and the last one are whole, and the others pay"},
    {0},
};

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    double sum = 0;
    (void)self;
    (void)e;
    for (int q = 0; q < v->n_head; q++) {
        int n = v->head[q / v->n_group].n_entry;
        const struct policy_attention *a = &v->attention[q];
        double mean = 0, square = 0;
        for (int j = 0; j < n; j++)
            mean += ((double)a->off_diagonal[j] + (double)a->diagonal[j]) / n;
        for (int j = 0; j < n; j++) {
            double d = (double)a->off_diagonal[j] + (double)a->diagonal[j] - mean;
            square += d * d;
        }
        sum += square / n;
    }
    *stat = sum / v->n_head;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    int L = in->n_layer;
    unsigned char *whole = mem_new((size_t)L, 1);
    double *weight = mem_new((size_t)L, sizeof *weight), low = (double)INFINITY, high = 0;
    for (int l = 0; l < L; l++) {
        low = fmin(low, in->stat[l][0]);
        high = fmax(high, in->stat[l][0]);
    }
    for (int l = 0; l < L; l++) {
        weight[l] = high > low ? exp(-(in->stat[l][0] - low) / (high - low)) : 1; /* the softmax's sum cancels */
        whole[l] = (unsigned char)(c->exempt && (l < 2 || l == L - 1));
    }
    int rc = allocator_spread_rest(in, whole, weight, entries, e);
    mem_free(whole);
    mem_free(weight);
    return rc;
}

extern const struct allocator_ops allocator_d2o;
const struct allocator_ops allocator_d2o = {
    .abi = ALLOCATOR_ABI,
    .name = "d2o",
    .summary = "less where attention falls on few entries",
    .paper = "Wan et al. 2024, arXiv:2406.13035",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_COLUMNS,
    .allocate = allocate,
};
