/* What a model is expected to write after a prompt: the first reference answer, with the delimiter that stands between
 * the two. Prompts end without white space ("... is:") and answers begin without ("54522"), while models write a blank
 * between them (" 54522"); so the task's target_delimiter (a blank, unless it says otherwise) comes in front of the
 * answer, but where the prompt ends in white space already, or the answer begins with it. lm-evaluation-harness follows
 * the same rule. Everything that reads an answer's tokens (nll, the oracle, yap) reads these, from struct prompt. */
#ifndef HARNESS_TARGET_H
#define HARNESS_TARGET_H

#include "harness/base/str.h"
#include "models/tokenizer.h"

/* Appends the delimiter where the rule asks for it, and the answer. `before` holds the n texts that the prompt is made
 * of, in their order; the last one that isn't empty ends it. White space is that of str.isspace() (a no-break space is,
 * a zero-width space is not). An empty answer has no target: nothing is appended. */
void target_text(const char *const *before, int n, const char *delimiter, const char *answer, struct str *out);
/* The same as tokens, encoded apart from the prompt. */
int target_encode(const struct tokenizer *t, const char *const *before, int n, const char *delimiter,
                  const char *answer, struct token_ids *out, struct err *e);

#endif
