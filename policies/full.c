/* full: nothing is pruned. The baseline is a policy like any other. */
#include "policies/policy.h"

extern const struct policy_ops policy_full;
const struct policy_ops policy_full = {
    .abi = POLICY_ABI,
    .name = "full",
    .summary = "the whole cache: the baseline",
    .paper = "none",
    .head_budget = "uniform",
    .keeps_all = 1,
};
