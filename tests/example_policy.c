/* vnorm: a small value vector adds little to the output, whatever attention it gets.
 *   s_j = ||v_j||_2       the last `recent` entries are protected */
#include <math.h>

#include "policies/policy.h"

struct config {
    int64_t recent;
};

static const struct param params[] = {
    {"recent", PARAM_INT, offsetof(struct config, recent), "8", 0, 1e6, NULL, "last entries that stay"},
    {0},
};

static void protect(const void *config, int m, struct policy_protection *out)
{
    const struct config *c = config;
    out->recent = c->recent < m ? (int)c->recent : m;
}

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self; /* the config */
    (void)e;    /* nothing can go wrong here */
    for (int h = 0; h < v->n_kv_head; h++)
        for (int j = 0; j < v->head[h].n_entry; j++) {
            double sum = 0;
            for (int i = 0; i < v->head_dim; i++)
                sum += pow((double)v->head[h].values[(size_t)j * (size_t)v->head_dim + (size_t)i], 2);
            out[h][j] = (float)sqrt(sum);
        }
    return 0;
}

const struct policy_ops policy_vnorm = {
    .abi = POLICY_ABI,
    .name = "vnorm",
    .summary = "largest value norms",
    .paper = "an example",
    .needs = STATISTIC_VALUES,
    .head_budget = "uniform",
    .config_size = sizeof(struct config),
    .params = params,
    .protect = protect,
    .score = score,
};
