#include "harness/engine/statistic.h"

#include <string.h>

#define STATISTIC(NAME, name, life, words) extern const struct statistic_ops statistic_##name;
ALL_STATISTICS
#undef STATISTIC

static const struct statistic_ops *const table[STATISTIC_N] = {
#define STATISTIC(NAME, name, life, words) &statistic_##name,
    ALL_STATISTICS
#undef STATISTIC
};

unsigned statistic_tap(unsigned needs)
{
    unsigned tap = 0;
    for (int i = 0; i < STATISTIC_N; i++)
        tap |= needs & 1u << i ? table[i]->tap : 0;
    return tap;
}

size_t statistic_room(unsigned needs, const struct statistic_source *s)
{
    size_t n = 0;
    for (int i = 0; i < STATISTIC_N; i++)
        n += needs & 1u << i && table[i]->room ? table[i]->room(s) : 0;
    return n;
}

void statistic_show(unsigned needs, struct statistic_source *s, const struct statistic_sight *to)
{
    to->view->layer = s->layer;
    to->view->n_row = s->n_row;
    to->view->head = to->head;
    to->view->attention = to->attention;
    for (int i = 0; i < STATISTIC_N; i++)
        if (needs & 1u << i && table[i]->show)
            table[i]->show(s, to);
}

float *statistic_take(struct statistic_source *s, size_t n)
{
    float *p = s->room;
    s->room += n;
    return p;
}

const float *statistic_in_order(struct statistic_source *s, int kv_head, const float *from, size_t width)
{
    if (!s->order)
        return from;
    size_t n = (size_t)s->n[kv_head];
    float *to = statistic_take(s, n * width);
    for (size_t j = 0; j < n; j++)
        memcpy(to + j * width, from + (size_t)s->order[kv_head][j] * width, width * sizeof *to);
    return to;
}

static size_t of_all_heads(const struct statistic_source *s, size_t width)
{
    size_t n = 0;
    for (int h = 0; h < s->hp->n_kv_head; h++)
        n += (size_t)s->n[h];
    return n * width;
}

size_t statistic_copied(const struct statistic_source *s, size_t width)
{
    return s->order ? of_all_heads(s, width) : 0;
}

const float *statistic_held(struct statistic_source *s, int kv_head, struct kv_rows from)
{
    size_t n = (size_t)s->n[kv_head], d = (size_t)s->hp->head_dim;
    if (from.f32)
        return statistic_in_order(s, kv_head, from.f32, d);
    float *to = statistic_take(s, n * d);
    for (size_t j = 0; j < n; j++)
        kvrows_get(to + j * d, kvrows_at(from, (s->order ? (size_t)s->order[kv_head][j] : j) * d), d);
    return to;
}

size_t statistic_held_room(const struct statistic_source *s)
{
    return s->order || kvcache_held_as(s->cache) != MODEL_F32 ? of_all_heads(s, (size_t)s->hp->head_dim) : 0;
}
