/* Chat templates, recognised rather than executed: ChatML, with the default system prompt that its source holds.
 *
 * Recognised is Jinja source that writes <|im_start|>ROLE, a line break, the message, <|im_end|>, a line break, and
 * ends with <|im_start|>assistant and a line break. A line break may stand as such or as the escape \n, within the
 * same literal or in one joined to it with +. What wraps this (tools, reasoning) does not matter to a prompt of one
 * user message. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_int.h"

static const char im_start[] = "<|im_start|>", im_end[] = "<|im_end|>";

/* p behind a line break, real or escaped; NULL when there is none at p. */
static const char *after_break(const char *p)
{
    if (*p == '\n')
        return p + 1;
    return p[0] == '\\' && p[1] == 'n' ? p + 2 : NULL;
}

/* The same, where the break may also begin the next literal of a sum: ...' + '\n. */
static const char *after_joined_break(const char *p)
{
    if (*p != '\'' && *p != '"')
        return after_break(p);
    p += 1 + strspn(p + 1, " \t\r\n");
    if (*p != '+' && *p != '~')
        return NULL;
    p += 1 + strspn(p + 1, " \t\r\n");
    return *p == '\'' || *p == '"' ? after_break(p + 1) : NULL;
}

static int is_chatml(const char *source)
{
    static const char assistant[] = "<|im_start|>assistant";
    int opens = 0, closes = 0;
    for (const char *p = strstr(source, assistant); p && !opens; p = strstr(p + 1, assistant))
        opens = after_joined_break(p + strlen(assistant)) != NULL;
    for (const char *p = strstr(source, im_end); p && !closes; p = strstr(p + 1, im_end))
        closes = after_joined_break(p + strlen(im_end)) != NULL;
    return opens && closes;
}

/* Appends the literal text from `at` up to <|im_end|>, unescaped; -1 when the literal, which `quote` delimits (0: the
 * template's own text), ends before. */
static int add_literal(const char *at, char quote, struct str *out)
{
    for (; *at; at++) {
        if (strncmp(at, im_end, strlen(im_end)) == 0)
            return 0;
        if (quote && *at == quote)
            return -1;
        if (!quote && at[0] == '{' && (at[1] == '{' || at[1] == '%'))
            return -1;
        if (quote && *at == '\\' && at[1]) {
            at++;
            str_addc(out, (char)(*at == 'n' ? '\n' : *at == 't' ? '\t' : *at));
        } else {
            str_addc(out, *at);
        }
    }
    return -1;
}

/* The default system message: the first <|im_start|>system whose message is a literal. Others hold what the caller
 * says, or tools. */
static void add_default_system(const char *source, struct str *out)
{
    static const char begin[] = "<|im_start|>system";
    struct str text = {0};
    for (const char *p = strstr(source, begin); p; p = strstr(p + 1, begin)) {
        char quote = (char)(p > source && (p[-1] == '\'' || p[-1] == '"') ? p[-1] : 0);
        const char *at = after_break(p + strlen(begin));
        str_clear(&text);
        if (at && add_literal(at, quote, &text) == 0) {
            str_add(out, "<|im_start|>system\n");
            str_addn(out, str_c(&text), text.n);
            str_add(out, "<|im_end|>\n");
            break;
        }
    }
    str_free(&text);
}

/* The first line that is not blank, cut to what a message can hold. */
static char *beginning(const char *source)
{
    enum { SHOWN = 60 };
    source += strspn(source, " \t\r\n");
    size_t n = strcspn(source, "\r\n");
    if (n > SHOWN)
        for (n = SHOWN; n > 0 && ((unsigned char)source[n] & 0xC0) == 0x80; n--)
            ; /* not within a character */
    return mem_strndup(source, n);
}

void tokenizer_read_template(struct tokenizer *t, const char *source)
{
    if (!source || !source[strspn(source, " \t\r\n")])
        return;
    t->template_begin = beginning(source);
    if (!is_chatml(source) || tokenizer_find(t, im_start) < 0 || tokenizer_find(t, im_end) < 0)
        return;
    struct str prefix = {0};
    add_default_system(source, &prefix);
    str_add(&prefix, "<|im_start|>user\n");
    t->chat_prefix = str_take(&prefix);
}

int tokenizer_template(const struct tokenizer *t, const char *name, struct template_pieces *out, struct err *e)
{
    if (strcmp(name, "raw") == 0) {
        *out = (struct template_pieces){"", ""};
        return 0;
    }
    if (strcmp(name, "chat") != 0)
        return err_set(e, ERR_CONFIG, "template '%s' unknown; raw and chat are known", name);
    if (!t->template_begin)
        return err_set(e, ERR_UNSUPPORTED, "template: chat, but the model has no chat template");
    if (!t->chat_prefix)
        return err_set(e, ERR_UNSUPPORTED, "template: chat, but the model's is not ChatML, the only one known: '%s...'",
                       t->template_begin);
    *out = (struct template_pieces){t->chat_prefix, "<|im_end|>\n<|im_start|>assistant\n"};
    return 0;
}
