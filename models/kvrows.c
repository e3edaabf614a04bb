#include "models/kvrows.h"

#include <assert.h>
#include <string.h>

#include "models/dims.h"
#include "models/half.h"

size_t kvrows_size(enum model_dtype held_as)
{
    assert(held_as == MODEL_F32 || held_as == MODEL_BF16);
    return held_as == MODEL_BF16 ? sizeof(uint16_t) : sizeof(float);
}

struct kv_rows kvrows_in(void *memory, enum model_dtype held_as)
{
    return held_as == MODEL_BF16 ? (struct kv_rows){.bf16 = memory} : (struct kv_rows){.f32 = memory};
}

void *kvrows_memory(struct kv_rows r)
{
    return r.bf16 ? (void *)r.bf16 : (void *)r.f32;
}

struct kv_rows kvrows_at(struct kv_rows r, size_t number)
{
    return r.bf16 ? (struct kv_rows){.bf16 = r.bf16 + number} : (struct kv_rows){.f32 = r.f32 + number};
}

void kvrows_copy(struct kv_rows to, struct kv_rows from, size_t n)
{
    assert(!to.bf16 == !from.bf16);
    memcpy(kvrows_memory(to), kvrows_memory(from), n * (to.bf16 ? sizeof *to.bf16 : sizeof *to.f32));
}

void kvrows_put(struct kv_rows to, const float *x, size_t n)
{
    if (to.bf16)
        half_round_row(to.bf16, x, n);
    else
        memcpy(to.f32, x, n * sizeof *x);
}

void kvrows_get(float *to, struct kv_rows from, size_t n)
{
    if (from.bf16)
        half_widen_row(to, from.bf16, n);
    else
        memcpy(to, from.f32, n * sizeof *to);
}

float kvrows_number(struct kv_rows r, size_t i)
{
    return r.bf16 ? half_from_bf16(r.bf16[i]) : r.f32[i];
}

const float *kvrows_read(struct kv_rows from, size_t n, float *room)
{
    if (!from.bf16)
        return from.f32;
    half_widen_row(room, from.bf16, n);
    return room;
}

size_t kvrows_room(enum model_dtype held_as, size_t n)
{
    return held_as == MODEL_BF16 ? n : 0;
}

void kvrows_put_turned(struct kv_rows to, const float *key, size_t d, const struct rope_table *t, int by)
{
    float aside[DIMS_MAX_HEAD_DIM], *turned = to.bf16 ? aside : to.f32;
    if (!t || by == 0) {
        kvrows_put(to, key, d);
        return;
    }
    memcpy(turned, key, d * sizeof *key);
    rope_back(t, turned, by);
    if (to.bf16)
        kvrows_put(to, turned, d);
}

void kvrows_move(struct kv_rows to, struct kv_rows from, size_t d, const struct rope_table *t, int by)
{
    float aside[DIMS_MAX_HEAD_DIM];
    if (t && by)
        kvrows_put_turned(to, kvrows_read(from, d, aside), d, t, by);
    else
        kvrows_copy(to, from, d);
}
