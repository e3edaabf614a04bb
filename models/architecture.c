#include "models/architecture.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct architecture table[] = {
    {.gguf = "llama", .hf = "llama", .permuted = 1, .activation = MODEL_SILU},
};
enum { N_ARCHITECTURE = sizeof table / sizeof *table };

/* The name at `offset` of a row: that of GGUF or that of Hugging Face. */
static const char *name_at(const struct architecture *a, size_t offset)
{
    const char *name;
    memcpy(&name, (const char *)a + offset, sizeof name);
    return name;
}

static const struct architecture *find(size_t offset, const char *name)
{
    for (int i = 0; i < N_ARCHITECTURE; i++) {
        const char *known = name_at(&table[i], offset);
        if (known && strcmp(known, name) == 0)
            return &table[i];
    }
    return NULL;
}

static void list(size_t offset, struct str *out)
{
    for (int i = 0; i < N_ARCHITECTURE; i++)
        if (name_at(&table[i], offset))
            str_addf(out, "%s%s", out->n ? ", " : "", name_at(&table[i], offset));
}

const struct architecture *architecture_of_gguf(const char *name)
{
    return find(offsetof(struct architecture, gguf), name);
}

const struct architecture *architecture_of_hf(const char *model_type)
{
    return find(offsetof(struct architecture, hf), model_type);
}

void architecture_list_gguf(struct str *out)
{
    list(offsetof(struct architecture, gguf), out);
}

void architecture_list_hf(struct str *out)
{
    list(offsetof(struct architecture, hf), out);
}

void architecture_begin(const struct architecture *a, struct hparams *hp)
{
    snprintf(hp->architecture, sizeof hp->architecture, "%s", a->hf ? a->hf : a->gguf);
    hp->activation = a->activation;
    hp->embedding_scale = 1;
}
