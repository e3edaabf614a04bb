/* Chat templates, recognised rather than executed: ChatML, with the default system prompt that its source holds. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_int.h"

static const char im_start[] = "<|im_start|>", im_end[] = "<|im_end|>";

/* The literal text after <|im_start|>system up to <|im_end|>, where it is a literal; "\n" may be written as two
 * characters there. */
static void add_default_system(const char *source, struct str *out)
{
    static const char *const begins[] = {"<|im_start|>system\n", "<|im_start|>system\\n"};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(source, begins[i]), *end;
        if (!at)
            continue;
        at += strlen(begins[i]);
        end = strstr(at, im_end);
        if (!end || at[0] == '\'' || at[0] == '"') /* the message's own content follows, no default */
            continue;
        str_add(out, "<|im_start|>system\n");
        for (; at < end; at++)
            if (at[0] == '\\' && at[1] == 'n') {
                str_addc(out, '\n');
                at++;
            } else {
                str_addc(out, *at);
            }
        str_add(out, "<|im_end|>\n");
        return;
    }
}

void tokenizer_read_template(struct tokenizer *t, const char *source)
{
    if (!source)
        return;
    size_t line = strcspn(source, "\n");
    t->template_begin = mem_strndup(source, line < 60 ? line : 60);
    if (!strstr(source, im_start) || !strstr(source, im_end) || tokenizer_find(t, im_start) < 0 ||
        tokenizer_find(t, im_end) < 0)
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
        return err_set(e, ERR_UNSUPPORTED, "the model's chat template is not recognised (only ChatML is): '%s...'",
                       t->template_begin);
    *out = (struct template_pieces){t->chat_prefix, "<|im_end|>\n<|im_start|>assistant\n"};
    return 0;
}
