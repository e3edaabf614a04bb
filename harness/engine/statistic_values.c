/* values: the values of every entry, [n_entry][head_dim] a KV head. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int h = 0; h < s->hp->n_kv_head; h++)
        to->head[h].values = statistic_held(s, h, kvcache_tail(s->cache, s->layer, h)->v);
}

extern const struct statistic_ops statistic_values;
const struct statistic_ops statistic_values = {.room = statistic_held_room, .show = show};
