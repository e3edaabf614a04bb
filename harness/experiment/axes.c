#include "harness/experiment/axes.h"

#include <string.h>

#define FIELD(name) offsetof(struct cell, name), sizeof(((struct cell *)0)->name)

static const struct axis axes[] = {
    {"prune_after", FIELD(prune_after), AXES_SPLIT_PREFILL},
    {"weight_dtype", FIELD(weight_dtype), AXES_SPLIT_WEIGHTS},
    {"max_new_tokens", FIELD(max_new_tokens), AXES_SPLIT_PROMPTS},
};
enum { N_AXIS = sizeof axes / sizeof *axes };

int axes_count(void)
{
    return N_AXIS;
}

const struct axis *axes_at(int i)
{
    return &axes[i];
}

static int same_in(const struct cell *a, const struct cell *b, unsigned splits)
{
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *x = axes_at(i);
        if (x->splits & splits && memcmp((const char *)a + x->offset, (const char *)b + x->offset, x->size) != 0)
            return 0;
    }
    return a->model == b->model;
}

int axes_same_weights(const struct cell *a, const struct cell *b)
{
    return same_in(a, b, AXES_SPLIT_WEIGHTS);
}

int axes_same_prompts(const struct cell *a, const struct cell *b)
{
    return a->task == b->task && same_in(a, b, AXES_SPLIT_PROMPTS);
}

int axes_same_group(const struct cell *a, const struct cell *b)
{
    return a->task == b->task && same_in(a, b, AXES_SPLIT_WEIGHTS | AXES_SPLIT_PROMPTS | AXES_SPLIT_PREFILL);
}
