/* keys: the rotated keys of every entry, [n_entry][head_dim] a KV head. */
#include "harness/engine/statistic.h"

static void show(struct statistic_source *s, const struct statistic_sight *to)
{
    for (int h = 0; h < s->hp->n_kv_head; h++)
        to->head[h].keys = statistic_held(s, h, kvcache_tail(s->cache, s->layer, h)->k);
}

extern const struct statistic_ops statistic_keys;
const struct statistic_ops statistic_keys = {.room = statistic_held_room, .show = show};
