/* The architectures that can be imported: one row each, with everything that a source does not say but means by the
 * architecture's name. The importers go by the row, and what it implies becomes data of struct hparams: nothing else
 * here knows a name. To add one, add its row (architecture.c), and what its config.json and GGUF may say beyond the
 * others' keys (the tables of import_hf_config.c and import_gguf.c). */
#ifndef MODELS_ARCHITECTURE_H
#define MODELS_ARCHITECTURE_H

#include "harness/base/str.h"
#include "models/model.h"

struct architecture {
    const char *gguf; /* general.architecture, in front of its keys; NULL: there is no such GGUF */
    const char *hf;   /* model_type of config.json; NULL: there is no such folder */
    int permuted;     /* GGUF has the rows of Q and K in another order (import_gguf.c) */
    enum model_activation activation;
};

/* NULL: none is called so. */
const struct architecture *architecture_of_gguf(const char *name);
const struct architecture *architecture_of_hf(const char *model_type);
/* "llama, ...", for messages. */
void architecture_list_gguf(struct str *out);
void architecture_list_hf(struct str *out);

/* What the architecture implies, into a zeroed struct; sizes are the source's to say. */
void architecture_begin(const struct architecture *a, struct hparams *hp);

#endif
