#include "models/tokenizer_rule.h"

#include <string.h>

/* What the rules have in common: contractions in any case, and how white space ends. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define MARKS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CAPITALS "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALLS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct tokenizer_rule rules[] = {
    {"gpt2", GPT2, 0, 1},
    {"smollm", GPT2, 1, 1},
    {"llama3", SHORT "|" WORD "|\\p{N}{1,3}|" MARKS, 0, 0},
    {"qwen2", SHORT "|" WORD "|\\p{N}|" MARKS, 0, 0},
    {"tekken", CAPITALS "*" SMALLS "+|" CAPITALS "+" SMALLS "*|\\p{N}|" SLASH, 0, 0},
    {"gpt4o", CAPITALS "*" SMALLS "+" SHORT "?|" CAPITALS "+" SMALLS "*" SHORT "?|\\p{N}{1,3}|" SLASH, 0, 0},
};
enum { N_RULE = sizeof rules / sizeof *rules };

const struct tokenizer_rule *tokenizer_rule_find(const char *name)
{
    for (int i = 0; i < N_RULE; i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

const struct tokenizer_rule *tokenizer_rule_of_regex(const char *regex)
{
    for (int i = 0; i < N_RULE; i++)
        if (!rules[i].inside_bytelevel && strcmp(rules[i].regex, regex) == 0)
            return &rules[i];
    return NULL;
}

void tokenizer_rule_list(struct str *out)
{
    for (int i = 0; i < N_RULE; i++)
        str_addf(out, "%s%s", i ? ", " : "", rules[i].name);
}

/* \s and \S mean Unicode's White_Space in tokenizer.json, which is spelt out because PCRE2's \s holds U+180E too; it
 * has not been white space since Unicode 6.3. */
#define WS "\\t-\\r\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

struct regex *tokenizer_rule_compile(const struct tokenizer_rule *r, struct err *e)
{
    struct str pattern = {0};
    int in_class = 0;
    for (const char *p = r->regex; *p; p++) {
        if (p[0] == '\\' && p[1] == 's')
            str_add(&pattern, in_class ? WS : "[" WS "]"), p++;
        else if (p[0] == '\\' && p[1] == 'S')
            str_add(&pattern, "[^" WS "]"), p++; /* never within a class */
        else if (p[0] == '\\')
            str_addn(&pattern, p++, 2);
        else
            str_addc(&pattern, *p);
        in_class = *p == '[' ? 1 : *p == ']' ? 0 : in_class;
    }
    struct regex *compiled = regex_compile(str_c(&pattern), e);
    str_free(&pattern);
    return compiled;
}
