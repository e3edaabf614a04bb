/* Which metadata keys of a GGUF file may stand there: a table for each family of keys that the numbers depend on. */
#ifndef MODELS_IMPORT_GGUF_KEYS_H
#define MODELS_IMPORT_GGUF_KEYS_H

#include "models/gguf.h"

enum import_gguf_rule {
    IMPORT_GGUF_USED,
    IMPORT_GGUF_HARMLESS, /* changes nothing that is computed here */
    IMPORT_GGUF_OFF,      /* refused unless 0 or false */
    IMPORT_GGUF_ONE       /* refused unless 1, or 0, by which llama.cpp means the same */
};

struct import_gguf_key {
    const char *name; /* without the prefix of its family; ends in '.': all keys that begin so. NULL ends a table */
    enum import_gguf_rule rule;
    unsigned used_with; /* options of an architecture: read where it has one of them, otherwise the rule holds */
};

/* Refuses a key that begins with `prefix` and has no row, or whose value its row forbids. */
int import_gguf_keys_check(const struct gguf *g, const char *path, const char *prefix,
                           const struct import_gguf_key *table, unsigned options, struct err *e);

/* An integer that is not negative; `dflt` below zero: it must be there. */
int import_gguf_keys_int(const struct gguf *g, const char *path, const char *key, int dflt, int *out, struct err *e);

#endif
