/* tova: what the last query attends to (Token Omission Via Attention).
 *   s_j = mean over all query heads of A(n, j)      one keep set per layer; the last entry stays
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
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++)
        for (int j = 0; j < v->head[h].n_entry; j++) {
            double sum = 0;
            if (h > 0 && v->head[h].n_entry == v->head[0].n_entry && v->head[h].pos[j] == v->head[0].pos[j]) {
                out[h][j] = out[0][j]; /* all heads hold the same positions: one score per layer */
                continue;
            }
            for (int q = 0; q < v->n_head; q++)
                if (j < v->head[q / v->n_group].n_entry)
                    sum += (double)v->attention[q].rows[(size_t)(v->n_row - 1) * (size_t)v->head[q / v->n_group].n_entry + (size_t)j];
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
    .needs = POLICY_NEEDS_ROWS,
    .head_budget = "shared",
    .rows = rows,
    .protect = protect,
    .score = score,
};
