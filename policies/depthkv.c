/* depthkv: the token score of the DepthKV paper, section 3; its layer budgets are allocators.
 *   w/o V:  s_j = sum over all query heads q and queries i > j of A_q(i, j)          the diagonal left out
 *   w/ V:   every head's term times ||v_j||_p of its own KV head, p = 1 (the paper's default) or 2
 * One score per layer, so all heads keep the same tokens; no sinks, no recents, as the paper writes none. */
#include <math.h>
#include <stddef.h>

#include "policies/policy.h"

enum { WITHOUT, L1, L2 };

struct config {
    int value;
};

static const char *const values[] = {"none", "l1", "l2", NULL};

static const struct param params[] = {
    {"value", PARAM_ENUM, offsetof(struct config, value), "none", 0, 0, values,
     "norm of the value vector that weights attention: none (w/o V), l1 or l2 (w/ V)"},
    {0},
};

static unsigned needs_of(const void *config)
{
    return STATISTIC_COLUMNS | (((const struct config *)config)->value == WITHOUT ? 0 : STATISTIC_VALUES);
}

static double value_norm(const float *v, int d, int p)
{
    double sum = 0;
    if (p == WITHOUT)
        return 1;
    for (int i = 0; i < d; i++)
        sum += p == L1 ? fabs((double)v[i]) : (double)v[i] * (double)v[i];
    return p == L1 ? sum : sqrt(sum);
}

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    const struct config *c = self;
    int n = v->head[0].n_entry;
    if (policy_same_entries(v, e))
        return -1;
    for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int h = 0; h < v->n_kv_head; h++) {
            double heads = 0;
            for (int g = 0; g < v->n_group; g++)
                heads += (double)v->attention[h * v->n_group + g].off_diagonal[j];
            const float *value = v->head[h].values ? v->head[h].values + (size_t)j * (size_t)v->head_dim : NULL;
            sum += heads * value_norm(value, v->head_dim, c->value);
        }
        for (int h = 0; h < v->n_kv_head; h++)
            out[h][j] = (float)sum;
    }
    return 0;
}

extern const struct policy_ops policy_depthkv;
const struct policy_ops policy_depthkv = {
    .abi = POLICY_ABI,
    .name = "depthkv",
    .summary = "attention summed over all heads and later queries, optionally weighted by value norms",
    .paper = "Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .needs = STATISTIC_COLUMNS | STATISTIC_VALUES,
    .head_budget = "shared",
    .config_size = sizeof(struct config),
    .params = params,
    .needs_of = needs_of,
    .score = score,
};
