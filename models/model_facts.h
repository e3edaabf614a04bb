/* What a model file tells of its model without a weight being read: sizes, types, source, tokenizer. */
#ifndef MODELS_MODEL_FACTS_H
#define MODELS_MODEL_FACTS_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/hash.h"
#include "models/model.h"
#include "models/tokenizer.h"

struct model_facts {
    struct hparams hp;
    char *path, *source_name;
    char source_sha256[HASH_HEX], sha256[HASH_HEX]; /* as the file states them */
    uint64_t parameters;                            /* all */
    uint64_t embedding, output;                     /* of these; output is 0 when it is the embedding */
    uint64_t file_bytes, stored_bytes;              /* of the file, and of its tensors */
    uint64_t held_f32, held_bf16;                   /* bytes in memory: model_held_bytes */
    int n_f32, n_f16, n_bf16;                       /* matrices stored so */
    int has_tokenizer;
    struct tokenizer_data tokenizer; /* where has_tokenizer */
    char tokenizer_sha256[HASH_HEX];
    int knows_template;     /* template: chat works */
    struct err no_template; /* otherwise why not */
};

/* Every shape and type is checked as model_open does. 0, or -1 and `e`; then there is nothing to free. */
int model_facts_read(const char *path, struct model_facts *out, struct err *e);
void model_facts_fini(struct model_facts *f);

#endif
