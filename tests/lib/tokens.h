/* Ids of many texts against vectors, and tokenizers as a GGUF file has them. */
#ifndef TESTS_TOKENS_H
#define TESTS_TOKENS_H

#include "harness/base/json.h"
#include "models/tokenizer.h"

/* The ids of at least 300 texts are those of `ids`, and their ends ascend to that of the text. */
void tokens_check(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *name);
/* The GGUF file of a model without sizes and weights that holds d, for import_gguf_tokenizer_read; pre and
 * add_space_prefix as llama.cpp has them (NULL, -1: the key is left out). */
void tokens_write_gguf(const char *path, const char *arch, const char *pre, int add_space_prefix,
                       const struct tokenizer_data *d);

#endif
