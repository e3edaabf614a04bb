/* answer: what the queries that predict the reference answer gave to every entry of the full cache, [n_entry] a KV
 * head. Gathered by a pass of its own after the prefill (group_read_answers), when all layers are read. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    const float *at = s->answer;
    for (int h = 0; h < s->hp->n_kv_head; h++) {
        to->answer[h] = at;
        at += s->n[h];
    }
    to->view->answer = to->answer;
}

extern const struct statistic_ops statistic_answer;
const struct statistic_ops statistic_answer = {.show = show};
