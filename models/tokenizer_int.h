/* Private to tokenizer*.c. */
#ifndef MODELS_TOKENIZER_INT_H
#define MODELS_TOKENIZER_INT_H

#include "harness/base/hash.h"
#include "harness/base/regex.h"
#include "harness/base/str.h"
#include "models/tokenizer.h"

struct tokenizer_merge {
    int32_t left, right, rank, result; /* rank -1: an empty slot */
};

struct tokenizer {
    enum tokenizer_kind kind;
    enum tokenizer_normalizer normalizer;
    enum tokenizer_space space;
    int ignore_merges, by_score;
    int32_t *rank;    /* [n_token] by_score: 0 is the best, equal scores have equal ranks */
    int byte_id[256]; /* SPM */
    uint32_t longest; /* SPM: bytes of the longest token that merges lead to */
    int n_token, bos, add_bos;
    char *bytes;                    /* raw bytes of all tokens */
    size_t *offset;                 /* [n_token] into bytes */
    uint32_t *length;               /* [n_token] */
    uint8_t *type, *flags, *is_end; /* [n_token] */
    int n_row;                      /* ids from here on have no row in the embedding */
    int any_flag;                   /* of all tokens together */
    struct regex *word_character;   /* NULL: no token has to be a word of its own */
    int *slot;                      /* open addressing: bytes -> id */
    size_t slot_mask;
    struct tokenizer_merge *merge; /* open addressing: (left, right) -> merge */
    size_t merge_mask;
    int *special; /* [n_special] ids that are recognised in text, as a dictionary sorts them */
    int n_special;
    size_t special_cap;
    int special_first[257]; /* those that begin with byte b are special[special_first[b]] up to special_first[b + 1] */
    struct regex *words, *digits; /* digits NULL: no split at digits */
    struct tokenizer_chat {
        char *prefix;       /* before the user's text; NULL: no template that is known */
        const char *suffix; /* behind it */
        int trim;
        char *system_prefix;         /* before the text of a system turn; NULL: there is none */
        const char *between;         /* from there to the user's text */
        int system_trim, trim_after; /* of the system turn's text, and of the user's behind it */
        int not_empty;               /* a system turn has to hold something */
    } chat;
    char sha256[HASH_HEX]; /* tokenizer_hash of what it was made from */
    char *template_begin;  /* first line of the model's template, for messages */
    char template_sha256[HASH_HEX];
    int template_dated; /* it asks for the date */
};

int tokenizer_lookup(const struct tokenizer *t, const char *bytes, size_t n); /* ordinary tokens; -1: none */
const struct tokenizer_merge *tokenizer_merge_of(const struct tokenizer *t, int32_t left, int32_t right);

/* Byte-pair merges over symbols (tokenizer_merge.c). */
struct tokenizer_symbol {
    int32_t id; /* -1: a character without a token, SPM */
    int prev, next;
    uint32_t at, bytes; /* of the text; bytes 0: joined to the one before */
};
struct tokenizer_work {
    const char *text;
    struct tokenizer_symbol *symbol; /* a linked list that begins with the first */
    size_t symbol_cap;
    struct tokenizer_candidate *heap;
    size_t heap_cap;
    int heap_n;
};
void tokenizer_merge_run(const struct tokenizer *t, struct tokenizer_work *w, int n); /* of n > 0 symbols */
void tokenizer_work_free(struct tokenizer_work *w);

/* A piece of a text, changed, and where every one of its bytes comes from. */
struct tokenizer_changed {
    struct str text;
    uint32_t *end; /* [text.n + 1] end[i]: how many bytes of the original the first i stand for */
    size_t cap;
};
/* 1 and *out filled when the normaliser may change text[0, n); 0 otherwise. What is no UTF-8 stays as it is. */
int tokenizer_normalize(const struct tokenizer *t, const char *text, size_t n, struct tokenizer_changed *out);
/* The same of SPM's blanks: U+2581 is one, and with `blank` there is one in front. Any bytes. */
int tokenizer_unescape(const char *text, size_t n, int blank, struct tokenizer_changed *out);
void tokenizer_changed_free(struct tokenizer_changed *c);
int tokenizer_prepare_added(struct tokenizer *t, struct err *e); /* once the special tokens are known */

/* The next control or added token of the piece [begin, end) of a text: 1 and *m, 0 when there is none, or -1. m begins
 * with scan = end = begin, and goes from call to call. */
struct tokenizer_added {
    int id;
    size_t begin, end; /* with the white space that it takes */
    size_t scan;
};
int tokenizer_next_added(const struct tokenizer *t, const char *text, size_t begin, size_t end, int pass,
                         struct tokenizer_added *m, struct err *e);
void tokenizer_read_template(struct tokenizer *t, const char *source); /* NULL: there is none */

#endif
