/* A model that has a shape and nothing else: how long a pass takes follows from the shape alone. */
#include "harness/base/mem.h"
#include "models/model_int.h"

/* Bits that look like chance, the same for the same place on any number of threads. */
static uint32_t mixed(uint64_t i)
{
    i = (i + 1) * 0x9E3779B97F4A7C15u;
    i = (i ^ i >> 30) * 0xBF58476D1CE4E5B9u;
    return (uint32_t)(i >> 32);
}

/* +-(1 + m/128) 2^-7 or 2^-6 as bfloat16, and about the same as float: one filling suits all matrices. Sums over a
 * width of thousands stay near 1, as vectors of ones leave them. */
struct model *model_sketch(const struct hparams *hp, enum model_dtype held_as, struct err *e)
{
    void **place = NULL;
    struct model *m = model_lay_out(hp, held_as, &place, e);
    if (m) {
        uint32_t *word = m->arena;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < m->weight_bytes / 4; i++)
            word[i] = 0x3C003C00u | (mixed(i) & 0x80FF80FFu);
        for (int i = 0; i < model_n_tensor(hp); i++) {
            struct model_tensor t;
            model_tensor_at(hp, i, &t);
            for (int j = 0; t.rank == 1 && j < t.dim[0]; j++)
                ((float *)place[i])[j] = 1;
        }
        model_fill_rope(m);
    }
    mem_free(place);
    return m;
}
