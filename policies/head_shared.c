/* shared: all KV heads of a layer keep the same positions, those with the best score_j = mean over heads h of s_h(j).
 * What TOVA and DepthKV do. The heads must hold the same entries, which they do when every cut before was shared too.
 */
#include <math.h>

#include "policies/head.h"

static int position(const struct head_input *in, int head, int slot)
{
    return in->pos[head] ? in->pos[head][slot] : slot;
}

static int rank(const struct head_input *in, const float **out, struct err *e)
{
    for (int j = 0; j < in->n[0]; j++) {
        double sum = 0;
        for (int h = 0; h < in->n_kv_head; h++) {
            if (in->n[h] != in->n[0] || position(in, h, j) != position(in, 0, j))
                return err_set(e, ERR_POLICY,
                               "layer %d: heads 0 and %d hold different entries, which shared heads can't", in->layer,
                               h);
            sum += (double)in->score[h][j];
        }
        if (isnan(sum)) /* infinities of both signs */
            return err_set(e, ERR_POLICY, "policy '%s': the mean score of layer %d, position %d is not a number",
                           in->policy, in->layer, position(in, 0, j));
        in->room[j] = (float)(sum / in->n_kv_head);
    }
    for (int h = 0; h < in->n_kv_head; h++)
        out[h] = in->room;
    return 0;
}

const struct head_ops head_shared = {
    .abi = HEAD_ABI,
    .name = "shared",
    .summary = "all heads of a layer keep the same positions",
    .paper = "none",
    .rank = rank,
};
