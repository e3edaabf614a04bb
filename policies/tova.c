/* tova: what the last query attends to (Token Omission Via Attention).
 *   s_j = mean over all query heads of A(n, j), n the last query      one score per layer; the last entry stays
 * Deviation: pruned once after the prefill; the paper drops one entry at every decoding step (`decode: evict`). */
#include "policies/policy.h"

static int rows(const void *config)
{
    (void)config;
    return 1;
}

static void protect(const void *config, int m, struct policy_protection *out)
{
    (void)config;
    (void)m;
    out->recent = 1;
}

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    if (policy_same_entries(v, e))
        return -1;
    size_t n = (size_t)v->head[0].n_entry, last = (size_t)(v->n_row - 1) * n;
    for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (int q = 0; q < v->n_head; q++)
            sum += (double)v->attention[q].rows[last + j];
        for (int h = 0; h < v->n_kv_head; h++)
            out[h][j] = (float)(sum / v->n_head);
    }
    return 0;
}

extern const struct policy_ops policy_tova;
const struct policy_ops policy_tova = {
    .abi = POLICY_ABI,
    .name = "tova",
    .summary = "what the last query attends to; one keep set per layer",
    .paper = "Oren et al. 2024, arXiv:2401.06104",
    .needs = STATISTIC_ROWS,
    .head_budget = "shared",
    .rows = rows,
    .protect = protect,
    .score = score,
};
