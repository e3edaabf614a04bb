#include "harness/engine/entries.h"

#include "harness/base/mem.h"

void entries_of(const struct hparams *hp, const struct kvcache *sealed, struct entries *out)
{
    out->available = mem_new((size_t)hp->n_layer, sizeof *out->available);
    out->head = mem_new((size_t)hp->n_layer * (size_t)hp->n_kv_head, sizeof *out->head);
    for (int i = 0; i < hp->n_layer * hp->n_kv_head; i++) {
        const struct kv_segment *all = kvcache_segment(sealed, i / hp->n_kv_head, i % hp->n_kv_head);
        out->head[i] = (struct prune_head){all->n, all->pos};
        out->available[i / hp->n_kv_head] = all->n;
    }
}

void entries_fini(struct entries *v)
{
    mem_free(v->available);
    mem_free(v->head);
    *v = (struct entries){0};
}
