/* Text to token ids and back. Immutable after creation; safe to use from several threads.
 *
 * Kinds: byte-level BPE (GPT-2's byte alphabet, merges in rank order) after a pre-token rule (tokenizer_rule.h);
 * SentencePiece's BPE (no pre-tokens, blanks are part of the text, characters without a token fall back to bytes),
 * which joins by the score of what comes out or by a list of merges; and plain bytes. Ids equal those of Hugging Face's
 * tokenizers package and of SentencePiece. */
#ifndef MODELS_TOKENIZER_H
#define MODELS_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/hash.h"

enum { TOKENIZER_MAX_ENDS = 1024 }; /* ids that end a turn beside eos */
enum tokenizer_kind { TOKENIZER_BYTES, TOKENIZER_BPE, TOKENIZER_SPM };
enum tokenizer_normalizer { TOKENIZER_AS_IS, TOKENIZER_NFC };
/* Where SentencePiece puts a blank in front, so that a word at the beginning is the same as within. */
enum tokenizer_space {
    TOKENIZER_SPACE_NONE,
    TOKENIZER_SPACE_FIRST,      /* in front of a text */
    TOKENIZER_SPACE_EACH,       /* in front of a text, and of what follows a control or added token */
    TOKENIZER_SPACE_FIRST_WORD, /* as the two above, unless a blank is there already */
    TOKENIZER_SPACE_EACH_WORD,
    TOKENIZER_N_SPACE
};
enum token_type {
    TOKEN_NORMAL,
    TOKEN_CONTROL, /* special: recognised in text, printed only when asked for */
    TOKEN_ADDED,   /* user-defined: recognised in text, always printed */
    TOKEN_BYTE     /* SPM: "<0x0A>", a byte of a character that has no token */
};
/* How a control or added token is recognised; in struct tokenizer_data its type plus these. */
enum token_flag {
    TOKEN_TYPE = 3,         /* mask of the type */
    TOKEN_LSTRIP = 4,       /* takes the white space before it */
    TOKEN_RSTRIP = 8,       /* ... after it */
    TOKEN_SINGLE_WORD = 16, /* only where no word character touches it */
    TOKEN_NORMALIZED = 32   /* looked for after those that are not */
};

/* What a model file stores; plain data, owned by whoever filled it (tokenizer_data_fini). */
struct tokenizer_data {
    enum tokenizer_kind kind;
    char *pre; /* BPE: pre-token rule by name; NULL for the other kinds */
    enum tokenizer_normalizer normalizer;
    enum tokenizer_space space; /* SPM */
    int ignore_merges;          /* BPE: a pre-token that is a token is that one, whatever merges say */
    int n_token;
    char **token;  /* [n_token] NUL-terminated; BPE: in GPT-2's byte alphabet, as the vocabulary has it; SPM: blanks are
                      U+2581; CONTROL and ADDED: plain UTF-8 */
    uint8_t *type; /* [n_token] enum token_type + enum token_flag */
    int n_merge;
    char **merge;           /* [n_merge] "left right", best rank first */
    float *score;           /* [n_token] SPM that joins by scores (best first), or NULL */
    int bos, eos, pad, unk; /* -1: none; unk is kept for the record, byte-level BPE never gives it */
    int add_bos;
    char *chat_template; /* source text of the template, or NULL */
    int *eos_extra;      /* [n_eos_extra] further ids that end a turn (<|im_end|> when it is not eos) */
    int n_eos_extra;
};
void tokenizer_data_fini(struct tokenizer_data *d);
/* Fills d with a token for every byte, and a control token 256 that ends. */
void tokenizer_data_bytes(struct tokenizer_data *d, const char *end);
const char *tokenizer_kind_name(enum tokenizer_kind k); /* as model files say it */
int tokenizer_kind_find(const char *name);              /* -1: unknown */
/* 1 when byte-level BPE comes down to bytes: no merges, and token i is byte i for every byte. */
int tokenizer_data_is_bytes(const struct tokenizer_data *d);

struct tokenizer;

/* Checks everything (duplicate tokens of either sort, merges whose parts or result are no tokens, ids out of range,
 * unknown `pre`); copies what it needs. `name` names the source in messages. */
struct tokenizer *tokenizer_create(const struct tokenizer_data *d, const char *name, struct err *e);
void tokenizer_destroy(struct tokenizer *t);

struct token_ids {
    int32_t *id;
    int n;
    size_t cap;
};
void token_ids_add(struct token_ids *ids, int32_t id);
void token_ids_free(struct token_ids *ids); /* leaves a zeroed struct */

/* Appends the ids of n bytes of text. Control and added tokens that stand in the text are recognised. Never adds
 * BOS: that is the caller's (tokenizer_add_bos says whether). Any bytes are accepted, UTF-8 or not. A byte that the
 * vocabulary has no token for gets no id, as in the tokenizers package (SmolLM2 lacks 0x04 and twenty more). Ids that
 * stand in `out` already are the beginning of the text: an SPM puts a blank in front only where that is none but BOS,
 * or, by its rule, ends in a control or added token. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out, struct err *e);
/* As tokenizer_encode, of a text that stands behind another one, which is not in `out`. */
int tokenizer_encode_behind(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out,
                            struct err *e);
/* As tokenizer_encode, and for every id the byte in `text` where its token ends (end[i] - begin of the next; for
 * evidence spans and cuts; several may end at one byte where a normaliser or a blank in front makes the text longer).
 * end has room for out->n - (out->n before) values when the call returns; grown by it. */
int tokenizer_encode_offsets(const struct tokenizer *t, const char *text, size_t n, struct token_ids *out,
                             struct token_ids *end, struct err *e);

struct str;
/* Appends the bytes of one token or of many; the exact inverse of encoding where every byte has a token, but for the
 * blank that an SPM puts in front, and what a normaliser changes. Control tokens are left out unless with_control. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, int n, int with_control, struct str *out);

int tokenizer_n_token(const struct tokenizer *t);
void tokenizer_sha256(const struct tokenizer *t, char hex[HASH_HEX]); /* its identity: tokenizer_hash of its data */
/* Tells t how many rows the embedding has. More tokens than that are fine if they are control or added ones that
 * nothing here puts into a prompt (a padding token, mostly): a text that holds one is then refused. */
int tokenizer_set_rows(struct tokenizer *t, int n_vocab, const char *name, struct err *e);
int tokenizer_bos(const struct tokenizer *t); /* -1: none */
int tokenizer_add_bos(const struct tokenizer *t);
int tokenizer_is_end(const struct tokenizer *t, int32_t id);      /* 1 for eos and whatever else ends a turn */
int tokenizer_find(const struct tokenizer *t, const char *token); /* id of exactly this token text, or -1 */

/* A prompt is prefix + system + between + context + question + suffix + answer prefix. "raw": all are empty. "chat":
 * the model's own template, when it is one of those known; otherwise ERR_UNSUPPORTED naming it. Static strings or owned
 * by t. */
enum template_trim { TEMPLATE_TRIM_FRONT = 1, TEMPLATE_TRIM_END = 2 };
struct template_pieces {
    const char *prefix;
    const char *system; /* the message of a system turn, n_system bytes of what the caller gave */
    size_t n_system;
    const char *between; /* what stands behind it; without one, system and between are "" */
    const char *suffix;
    int whole; /* they are all that stands around the text: no BOS but what they hold */
    int trim;  /* white space at the beginning of the context, at the end of the question is left out */
};
int tokenizer_template(const struct tokenizer *t, const char *template_name, struct template_pieces *out,
                       struct err *e);
/* "chat" with a system message, which has to live as long as *out; refused where the template has no place for one. */
int tokenizer_template_system(const struct tokenizer *t, const char *system, struct template_pieces *out,
                              struct err *e);

#endif
