/* Identity of a tokenizer: SHA-256 over everything that its behaviour depends on. A field that struct tokenizer_data
 * gains is added there: two tokenizers that differ must never look the same to a row. */
#ifndef MODELS_TOKENIZER_HASH_H
#define MODELS_TOKENIZER_HASH_H

#include "harness/base/hash.h"

struct tokenizer_data;
void tokenizer_hash(const struct tokenizer_data *d, char hex[HASH_HEX]);

#endif
