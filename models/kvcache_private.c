/* Caches that belong to one sequence alone: gathered from another cache, then cut again and again. */
#include <assert.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/kvcache_int.h"

int kvcache_kept_slots(const struct kvcache *c, const struct keepset *keep, int layer, int kv_head, int32_t *slot)
{
    size_t i = kvcache_index(c, layer, kv_head);
    const struct kv_segment *seg = c->segment[i];
    int n_segment = seg ? seg->n : 0, n = 0;
    for (int j = 0; j < n_segment + c->tail[i].n; j++)
        if (!keep || keepset_has(keep, layer, kv_head, j < n_segment ? seg->pos[j] : c->tail[i].pos[j - n_segment]))
            slot[n++] = j;
    return n;
}

/* Copies one head's slots into c's empty tail; with a rope each key is turned to its rank. A packed cache's keys stand
 * at their slots, counted from its origin, another's at their tokens' positions. */
static void copy_head(struct kvcache *c, const struct kvcache *from, size_t i, const int32_t *slot, int n,
                      const struct rope_table *rope)
{
    const struct kv_segment *seg = from->segment[i];
    const struct kv_tail *tail = &from->tail[i];
    struct kv_tail *to = &c->tail[i];
    int n_segment = seg ? seg->n : 0;
    size_t d = (size_t)c->head_dim;
    for (int j = 0; j < n; j++) {
        int in_segment = slot[j] < n_segment;
        size_t at = (size_t)(in_segment ? slot[j] : slot[j] - n_segment);
        to->pos[j] = in_segment ? seg->pos[at] : tail->pos[at];
        int back = (from->packed ? from->origin[i] + slot[j] : to->pos[j]) - (c->origin[i] + j);
        kvrows_move(kvrows_at(to->k, (size_t)j * d), kvrows_at(in_segment ? seg->k : tail->k, at * d), d, rope, back);
        kvrows_copy(kvrows_at(to->v, (size_t)j * d), kvrows_at(in_segment ? seg->v : tail->v, at * d), d);
    }
    to->n = n;
}

/* Where rank 0 of a head stands of which nothing is left behind. */
static int first_place(const struct kvcache *from, int layer, size_t i, int slot)
{
    const struct kv_segment *seg = from->segment[i];
    int n_segment = seg ? seg->n : 0, oldest = kvcache_oldest(from, layer);
    int pos = slot < n_segment ? seg->pos[slot] : from->tail[i].pos[slot - n_segment];
    return pos < oldest ? pos : oldest;
}

struct kvcache *kvcache_gather(const struct kvcache *from, const struct keepset *keep, int room, int window_room,
                               const struct rope_set *rope, struct err *e)
{
    int heads = from->n_layer * from->n_kv_head, rc = -1;
    struct kvcache *c = kvcache_create_like(from);
    int32_t **slot = mem_new((size_t)heads, sizeof *slot);
    int *n = mem_new((size_t)heads, sizeof *n);
    assert(rope || !from->packed || !keep); /* cutting a packed cache turns its keys */
    c->n_seen = from->n_seen;
    c->packed = from->packed || rope;
    for (int i = 0; i < heads; i++) {
        int l = i / c->n_kv_head, h = i % c->n_kv_head;
        slot[i] = mem_try((size_t)kvcache_n_entry(from, l, h) + 1, sizeof **slot, "slots of kept entries", e);
        if (!slot[i])
            goto out;
        n[i] = kvcache_kept_slots(from, keep, l, h, slot[i]);
        if (from->packed) /* ranks count on from behind what has left the window and is not taken */
            c->origin[i] = from->origin[i] + (keep ? kvcache_n_left(from, (size_t)i) : 0);
        else if (rope) /* all that lie in memory: from the first of them on */
            c->origin[i] = keep || !n[i] ? kvcache_oldest(from, l) : first_place(from, l, (size_t)i, slot[i][0]);
        if (kvcache_alloc_tail(c, (size_t)i, n[i] + (c->kind[l] == MODEL_LAYER_WINDOW ? window_room : room), e))
            goto out;
    }
#pragma omp parallel for schedule(static)
    for (int i = 0; i < heads; i++)
        copy_head(c, from, (size_t)i, slot[i], n[i],
                  rope ? rope_set_of(rope, c->kind[i / c->n_kv_head], c->is_long) : NULL);
    rc = 0;
out:
    for (int i = 0; i < heads; i++)
        mem_free(slot[i]);
    mem_free(slot);
    mem_free(n);
    if (rc)
        kvcache_destroy(c);
    return rc ? NULL : c;
}

int kvcache_evict(struct kvcache *c, int layer, int kv_head, const unsigned char *stay, int32_t *to)
{
    size_t i = kvcache_index(c, layer, kv_head), d = (size_t)c->head_dim;
    struct kv_tail *t = &c->tail[i];
    int hole = 0, last = t->n - 1, oldest = kvcache_oldest(c, layer);
    assert(!c->segment[i]);
    for (int slot = 0; slot < t->n; slot++)
        c->origin[i] += !stay[slot] && t->pos[slot] < oldest;
    for (int slot = 0; slot < t->n; slot++)
        to[slot] = stay[slot] ? slot : -1;
    for (;; hole++, last--) {
        while (hole <= last && stay[hole])
            hole++;
        while (last > hole && !stay[last])
            last--;
        if (hole >= last)
            break;
        kvrows_copy(kvrows_at(t->k, (size_t)hole * d), kvrows_at(t->k, (size_t)last * d), d);
        kvrows_copy(kvrows_at(t->v, (size_t)hole * d), kvrows_at(t->v, (size_t)last * d), d);
        t->pos[hole] = t->pos[last];
        to[last] = hole;
    }
    return t->n = hole;
}
