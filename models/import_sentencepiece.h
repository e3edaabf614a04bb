/* SentencePiece's own file, tokenizer.model: a protocol buffer of pieces with scores and types, and what is done to a
 * text first. Only its byte-pair encoding with byte fallback is read; everything else that it may ask for is refused.
 */
#ifndef MODELS_IMPORT_SENTENCEPIECE_H
#define MODELS_IMPORT_SENTENCEPIECE_H

#include "models/tokenizer.h"

/* Fills d with the pieces; token, type and score have `room` more elements, and at least n_vocab in all. The file is
 * one of any bytes. */
int import_sentencepiece_read(const char *path, int n_vocab, int room, struct tokenizer_data *d, struct err *e);

#endif
