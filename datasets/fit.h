/* Meeting a token budget exactly: the largest text that fits. Datasets know no tokenizer, so a text is built,
 * counted by env->prompt_tokens, and built again. */
#ifndef DATASETS_FIT_H
#define DATASETS_FIT_H

#include "datasets/dataset.h"
#include "harness/base/str.h"

/* How much haystack: whole words, then the first letters (UTF-8 characters) of the word that comes next; or how much of
 * a list: whole records, then the first letters of what comes next. */
struct fit_size {
    long words;
    int letters; /* fewer are taken when there are fewer; FIT_BLANK: none, but a blank or line break where hay has one
                  */
};
enum { FIT_BLANK = -1 };

/* Appends the whole context of that size; may leave evidence in ctx. */
typedef void (*fit_build)(void *ctx, struct fit_size size, struct str *context);

/* Finds the largest number of words whose prompt has at most max_tokens tokens; when tokens are left over, adds letters
 * of the next word, so that the budget is met to the token wherever the tokenizer allows it, and never exceeded.
 * The last build is the one left in `out`. ERR_CONFIG with the numbers when not even `min_words` fit. */
int fit_context(const struct dataset_env *env, fit_build build, void *ctx, long min_words, const char *question,
                const char *answer_prefix, int max_tokens, struct str *out, struct err *e);

/* The same for a list: `words` counts its records. What is left over may be as much as a record, so the letters are
 * found by search; nearly every tokenizer lets the budget be met to the token here, too. */
int fit_records(const struct dataset_env *env, fit_build build, void *ctx, long min_records, const char *question,
                const char *answer_prefix, int max_tokens, struct str *out, struct err *e);

/* What `length` leaves for the prompt; ERR_CONFIG when max_new_tokens takes it all, or the model can't hold it. */
int fit_prompt_budget(const struct dataset_env *env, int64_t length, int max_new_tokens, int *out, struct err *e);

/* Bytes of text[0, n) without the rest of a character that the cut at n went through. */
size_t fit_whole_characters(const char *text, size_t n);

#endif
