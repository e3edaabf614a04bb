#include "models/tokenizer_hash.h"

#include <string.h>

#include "harness/base/str.h"
#include "models/tokenizer.h"

/* With its length, so that a byte can't move from one text to the next. */
static void add_text(struct str *s, const char *name, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    str_addf(s, "%s %lld ", name, text ? (long long)n : -1LL);
    str_addn(s, text ? text : "", n);
    str_addc(s, '\n');
}

static void add_int(struct str *s, const char *name, int64_t v)
{
    str_addf(s, "%s %lld\n", name, (long long)v);
}

void tokenizer_hash(const struct tokenizer_data *d, char hex[HASH_HEX])
{
    struct str s = {0};
    add_text(&s, "kind", tokenizer_kind_name(d->kind));
    add_text(&s, "pre", d->pre);
    add_int(&s, "bos", d->bos);
    add_int(&s, "eos", d->eos);
    add_int(&s, "pad", d->pad);
    add_int(&s, "unk", d->unk);
    add_int(&s, "add_bos", d->add_bos);
    add_text(&s, "chat_template", d->chat_template);
    add_int(&s, "eos_extra", d->n_eos_extra);
    for (int i = 0; i < d->n_eos_extra; i++)
        add_int(&s, "id", d->eos_extra[i]);
    add_int(&s, "token", d->n_token);
    for (int i = 0; i < d->n_token; i++) {
        add_int(&s, "type", d->type ? d->type[i] : TOKEN_NORMAL);
        add_text(&s, "text", d->token[i]);
    }
    add_int(&s, "merge", d->n_merge);
    for (int i = 0; i < d->n_merge; i++)
        add_text(&s, "text", d->merge[i]);
    /* what came later adds nothing where it is not used: older tokenizers keep their identity */
    if (d->normalizer)
        add_int(&s, "normalizer", d->normalizer);
    if (d->ignore_merges)
        add_int(&s, "ignore_merges", 1);
    if (d->space)
        add_int(&s, "space", d->space);
    for (int i = 0; d->score && i < d->n_token; i++)
        str_addf(&s, "score %.9g\n", (double)d->score[i]);
    hash_sha256(s.p, s.n, hex);
    str_free(&s);
}
