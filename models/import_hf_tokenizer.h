/* The tokenizer of a Hugging Face folder: tokenizer.json for tokens, merges and the pre-token rule;
 * tokenizer_config.json, generation_config.json and config.json for special ids and the chat template. */
#ifndef MODELS_IMPORT_HF_TOKENIZER_H
#define MODELS_IMPORT_HF_TOKENIZER_H

#include "harness/base/err.h"
#include "harness/base/json.h"
#include "models/tokenizer.h"

/* 1: *d is filled (also in part on error: the caller frees it); 0: the folder has no tokenizer.json; -1: error.
 * Ids below n_vocab that no token has are filled with "[PAD<id>]". */
int import_hf_tokenizer_read(const char *folder, const struct json *config, int n_vocab, struct tokenizer_data *d,
                             struct err *e);

#endif
