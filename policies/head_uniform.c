/* uniform: every KV head keeps its own best entries, as many as every other head of the layer. */
#include "policies/head.h"

const struct head_ops head_uniform = {
    .abi = HEAD_ABI,
    .name = "uniform",
    .summary = "every KV head its own top entries",
    .paper = "none",
};
