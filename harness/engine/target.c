#include "harness/engine/target.h"

#include <string.h>

#include "harness/base/unicode.h"

static int begins_with_space(const char *text)
{
    int32_t c;
    unicode_next(text, &c);
    return *text && unicode_is_space(c);
}

/* 1 when the last character is white space; the text isn't empty. */
static int ends_in_space(const char *text)
{
    const char *last = text + strlen(text) - 1;
    for (int back = 0; back < 3 && last > text && ((unsigned char)*last & 0xC0) == 0x80; back++)
        last--;
    return begins_with_space(last);
}

void target_text(const char *const *before, int n, const char *delimiter, const char *answer, struct str *out)
{
    if (!*answer)
        return;
    while (n > 0 && !*before[n - 1])
        n--;
    if ((n == 0 || !ends_in_space(before[n - 1])) && !begins_with_space(answer))
        str_add(out, delimiter);
    str_add(out, answer);
}

int target_encode(const struct tokenizer *t, const char *const *before, int n, const char *delimiter,
                  const char *answer, struct token_ids *out, struct err *e)
{
    struct str text = {0};
    target_text(before, n, delimiter, answer, &text);
    int rc = text.n ? tokenizer_encode_behind(t, text.p, text.n, out, e) : 0;
    str_free(&text);
    return rc;
}
