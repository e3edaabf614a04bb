/* streaming: attention sinks and the most recent entries (StreamingLLM).
 *   keeps the first s positions and the last m - s
 * Deviation: the paper numbers kept entries anew inside the cache; here that is the axis `positions`. */
#include <stddef.h>

#include "policies/policy.h"

struct config {
    int64_t sinks;
};

static const struct param params[] = {
    {"sinks", PARAM_INT, offsetof(struct config, sinks), "4", 0, 1e6, NULL, "first positions that stay"},
    {0},
};

static void protect(const void *config, int m, struct policy_protection *out)
{
    const struct config *c = config;
    out->sinks = c->sinks < m ? (int)c->sinks : m;
    out->recent = m - out->sinks;
}

/* Later is better; the protected sinks come first anyway. */
static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    (void)self;
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++)
        for (int j = 0; j < v->head[h].n_entry; j++)
            out[h][j] = (float)v->head[h].pos[j];
    return 0;
}

extern const struct policy_ops policy_streaming;
const struct policy_ops policy_streaming = {
    .abi = POLICY_ABI,
    .name = "streaming",
    .summary = "the first positions (sinks) and the most recent ones",
    .paper = "Xiao et al. 2023, arXiv:2309.17453",
    .head_budget = "uniform",
    .config_size = sizeof(struct config),
    .params = params,
    .protect = protect,
    .score = score,
};
