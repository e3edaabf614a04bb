/* Private to tokenizer*.c. */
#ifndef MODELS_TOKENIZER_INT_H
#define MODELS_TOKENIZER_INT_H

#include "harness/base/hash.h"
#include "harness/base/regex.h"
#include "models/tokenizer.h"

struct tokenizer_merge {
    int32_t left, right, rank, result; /* rank -1: an empty slot */
};

struct tokenizer {
    enum tokenizer_kind kind;
    int n_token, bos, add_bos;
    char *bytes;            /* raw bytes of all tokens */
    size_t *offset;         /* [n_token] into bytes */
    uint32_t *length;       /* [n_token] */
    uint8_t *type, *is_end; /* [n_token] */
    int *slot;              /* open addressing: bytes -> id */
    size_t slot_mask;
    struct tokenizer_merge *merge; /* open addressing: (left, right) -> merge */
    size_t merge_mask;
    int *special;           /* [n_special] ids that are recognised in text: by first byte, then longest first */
    int n_special;
    size_t special_cap;
    int special_first[257]; /* those that begin with byte b are special[special_first[b]] up to special_first[b + 1] */
    struct regex *words, *digits;     /* digits NULL: no split at digits */
    char *chat_prefix;      /* before the user's text; NULL: no template that is recognised */
    char sha256[HASH_HEX];  /* tokenizer_hash of what it was made from */
    char *template_begin;   /* first line of the model's template, for messages */
};

int tokenizer_lookup(const struct tokenizer *t, const char *bytes, size_t n); /* ordinary tokens; -1: none */
const struct tokenizer_merge *tokenizer_merge_of(const struct tokenizer *t, int32_t left, int32_t right);
void tokenizer_read_template(struct tokenizer *t, const char *source); /* NULL: there is none */

#endif
