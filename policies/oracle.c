/* oracle: what the reference answer attends to. Not a policy that could be used, but the headroom that is left at a
 * budget: it reads the answer before it prunes.
 *
 *   s_j = mean over i in P and over the KV head's query heads of A(i, j) / sum over prompt entries k of A(i, k)
 *
 * P: the queries that predict the tokens of the first reference answer, teacher-forced on the full cache (the last
 * prompt token, then the answer but for its last token); of several questions on one context, all of theirs.
 *
 * It is greedy, entry by entry and layer by layer, as every scorer here: what is kept is what is attended to most,
 * which need not be the set with the best answer. A reference of a few tokens says little about entries that the model
 * reads while it takes the question in; protect those (`protect`) to ask about the rest. */
#include <string.h>

#include "policies/policy.h"

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++)
        memcpy(out[h], v->answer[h], (size_t)v->head[h].n_entry * sizeof *out[h]);
    return 0;
}

extern const struct policy_ops policy_oracle;
const struct policy_ops policy_oracle = {
    .abi = POLICY_ABI,
    .name = "oracle",
    .summary = "what the reference answer attends to: the headroom at a budget, not a policy to use",
    .paper = "a control; after the oracle keep sets of ZigZagKV and others that look at the generation itself",
    .needs = STATISTIC_ANSWER,
    .head_budget = "uniform",
    .score = score,
};
