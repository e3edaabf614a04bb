/* A model that has a shape and nothing else: how long a pass takes follows from the shape alone. */
#include "harness/base/mem.h"
#include "models/model_int.h"

struct model *model_sketch(const struct hparams *hp, enum model_dtype held_as, struct err *e)
{
    void **place = NULL;
    struct model *m = model_lay_out(hp, held_as, &place, e);
    mem_free(place);
    if (!m)
        return NULL;
    /* 0x3C23 is 0.00995 as bfloat16, and twice that number is 0.00997 as float: one filling suits all tensors. */
    uint32_t *word = m->arena, sign = 1;
    for (size_t i = 0; i < m->weight_bytes / 4; i++) {
        sign = sign * 1664525u + 1013904223u;
        word[i] = 0x3C233C23u | (sign & 0x80000000u) | (sign << 8 & 0x8000u);
    }
    model_fill_rope(m);
    return m;
}
