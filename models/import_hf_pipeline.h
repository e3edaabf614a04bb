/* What a tokenizer.json does to a text before its model and how the model joins: which kind of tokenizer it is. Parts
 * that are not known are refused with their text. */
#ifndef MODELS_IMPORT_HF_PIPELINE_H
#define MODELS_IMPORT_HF_PIPELINE_H

#include "harness/base/json.h"
#include "models/tokenizer.h"

/* Fills kind, pre, normalizer, space and ignore_merges of d. file: for messages. */
int import_hf_pipeline_read(const struct json *root, const char *file, struct tokenizer_data *d, struct err *e);

#endif
