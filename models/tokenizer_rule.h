/* Pre-token rules of byte-level BPE: how a text is cut before merging. One row a rule; its name is what model files
 * say, its regular expression is spelt as tokenizer.json spells it. */
#ifndef MODELS_TOKENIZER_RULE_H
#define MODELS_TOKENIZER_RULE_H

#include "harness/base/regex.h"
#include "harness/base/str.h"

struct tokenizer_rule {
    const char *name;
    const char *regex;    /* its matches, and what lies between them, are the pre-tokens */
    int digits;           /* every digit stands alone before that */
    int inside_bytelevel; /* the regular expression is the one inside tokenizer.json's ByteLevel */
};

const struct tokenizer_rule *tokenizer_rule_find(const char *name);      /* NULL: unknown */
const struct tokenizer_rule *tokenizer_rule_of_regex(const char *regex); /* a rule that is spelt out; NULL: unknown */
void tokenizer_rule_list(struct str *out);                               /* their names */
struct regex *tokenizer_rule_compile(const struct tokenizer_rule *r, struct err *e);

#endif
