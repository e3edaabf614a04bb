/* h2o: heavy hitters and recents.
 *   s_h(j) = mean over the query heads q of h of sum over queries i >= j of A_q(i, j)      the diagonal included
 *   normalise: visible divides by n - j, the number of queries that could see j (kvpress's ObservedAttention)
 * The most recent entries stay: half of the budget, or a fixed number.
 * Deviation: pruned once after the prefill; the paper's exact accumulation during decoding is `decode: evict`. */
#include <stddef.h>

#include "policies/policy.h"

enum { NONE, VISIBLE };

struct config {
    int64_t recent; /* -1: half */
    int normalise;
};

static const char *const half[] = {"half", NULL};
static const char *const normalisations[] = {"none", "visible", NULL};

static const struct param params[] = {
    {"recent", PARAM_INT, offsetof(struct config, recent), "half", 0, 1e9, half, "last entries that stay"},
    {"normalise", PARAM_ENUM, offsetof(struct config, normalise), "none", 0, 0, normalisations,
     "divide by the number of queries that could see the entry"},
    {0},
};

static void protect(const void *config, int m, struct policy_protection *out)
{
    const struct config *c = config;
    out->recent = c->recent < 0 ? m / 2 : c->recent < m ? (int)c->recent : m;
}

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    const struct config *c = self;
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++)
        for (int j = 0; j < v->head[h].n_entry; j++) {
            double sum = 0;
            for (int g = 0; g < v->n_group; g++) {
                const struct policy_attention *a = &v->attention[h * v->n_group + g];
                sum += (double)a->off_diagonal[j] + (double)a->diagonal[j];
            }
            sum /= v->n_group;
            int pos = v->head[h].pos[j];
            if (c->normalise == VISIBLE) /* of the queries that were summed, those not before the entry */
                sum /= v->n_seen - (pos > v->first_query ? pos : v->first_query);
            out[h][j] = (float)sum;
        }
    return 0;
}

extern const struct policy_ops policy_h2o;
const struct policy_ops policy_h2o = {
    .abi = POLICY_ABI,
    .name = "h2o",
    .summary = "largest accumulated attention (heavy hitters) and the most recent entries",
    .paper = "Zhang et al. 2023, arXiv:2306.14048",
    .needs = STATISTIC_COLUMNS,
    .head_budget = "uniform",
    .config_size = sizeof(struct config),
    .params = params,
    .protect = protect,
    .score = score,
};
