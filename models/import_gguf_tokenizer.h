/* The tokenizer that a GGUF file holds: keys below "tokenizer.". */
#ifndef MODELS_IMPORT_GGUF_TOKENIZER_H
#define MODELS_IMPORT_GGUF_TOKENIZER_H

#include "models/gguf.h"
#include "models/import.h"

int import_gguf_tokenizer_check(const struct gguf *g, const char *path, struct err *e); /* refuses keys not known */
/* Fills out->tokenizer and out->has_tokenizer, which stays 0 where the file has none; path for messages. */
int import_gguf_tokenizer_read(const struct gguf *g, const char *path, struct import_source *out, struct err *e);

#endif
