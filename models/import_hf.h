/* A Hugging Face folder of an architecture that architecture.h knows as an import source: config.json in the form of
 * transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters), model.safetensors or its shards, and the
 * tokenizer's files. */
#ifndef MODELS_IMPORT_HF_H
#define MODELS_IMPORT_HF_H

#include "models/import.h"

int import_hf_open(const char *folder, struct import_source *s, struct err *e);

#endif
