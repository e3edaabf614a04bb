/* The added and special tokens of a Hugging Face folder: those of tokenizer.json, and those that tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json add to them, as transformers 5 does. */
#ifndef MODELS_IMPORT_HF_ADDED_H
#define MODELS_IMPORT_HF_ADDED_H

#include "harness/base/json.h"
#include "models/tokenizer.h"

enum { IMPORT_HF_ADDED_MAX_NEW = 1024 }; /* tokens that tokenizer.json does not have; d->token has room for them */

struct import_hf_names {
    const char *folder;
    const struct json *tokenizer, *config, *map, *list; /* the four files; NULL: not there */
    int n_vocab; /* tokens of the vocabulary, without those that are added to it */
};

/* Type and flags of a description {content, special, lstrip, ...}; -1 and an error when something is of a wrong kind.
 */
int import_hf_added_type(const struct json *v, const char *file, struct err *e);

/* Adds to d what the other files say, and refuses what contradicts. */
int import_hf_added_read(const struct import_hf_names *f, struct tokenizer_data *d, struct err *e);

/* The token that is called "eos_token" and the like; -1: none is. */
int import_hf_added_named(const struct import_hf_names *f, const struct tokenizer_data *d, const char *key);

#endif
