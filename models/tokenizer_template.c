/* Chat templates, known rather than executed: a template is one of a few texts, byte for byte, whose outcome for a
 * single message of a user is known, or it is refused. tests/vectors/make_templates.py renders every one of them. */
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_int.h"

/* ChatML, as its users wrote it down: with line breaks inside the quotes, or with \n. `brk` is which. */
#define MESSAGE(brk) "{{'<|im_start|>' + message['role'] + '" brk "' + message['content'] + '<|im_end|>' + '" brk "'}}"
#define SPACED(brk) "{{ '<|im_start|>' + message['role'] + '" brk "' + message['content'] + '<|im_end|>' + '" brk "' }}"
#define GENERATE(brk) "{% if add_generation_prompt %}{{ '<|im_start|>assistant" brk "' }}{% endif %}"
#define DEFINED "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
#define PLAIN(message, brk) "{% for message in messages %}" message(brk) "{% endfor %}" GENERATE(brk)
#define WITH_SYSTEM(system, brk) \
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system" brk \
        system "<|im_end|>" brk "' }}{% endif %}" MESSAGE(brk) "{% endfor %}" GENERATE(brk)
#define SMOLLM2 "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

static const struct {
    const char *text, *system; /* system: the message of the turn that comes first; NULL: there is none */
} known[] = {
    {PLAIN(MESSAGE, "\n"), NULL},
    {PLAIN(MESSAGE, "\\n"), NULL},
    {PLAIN(SPACED, "\n"), NULL},
    {PLAIN(SPACED, "\\n"), NULL},
    {DEFINED PLAIN(MESSAGE, "\n"), NULL},
    {DEFINED PLAIN(MESSAGE, "\\n"), NULL},
    {WITH_SYSTEM(SMOLLM2, "\n"), SMOLLM2},
    {WITH_SYSTEM(SMOLLM2, "\\n"), SMOLLM2},
    {WITH_SYSTEM("You are a helpful assistant", "\n"), "You are a helpful assistant"}, /* Qwen1.5 */
    {WITH_SYSTEM("You are a helpful assistant", "\\n"), "You are a helpful assistant"},
    {WITH_SYSTEM("You are a helpful assistant.", "\n"), "You are a helpful assistant."}, /* Qwen2 */
    {WITH_SYSTEM("You are a helpful assistant.", "\\n"), "You are a helpful assistant."},
};
enum { N_KNOWN = sizeof known / sizeof *known };

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
    size_t n = strlen(source);
    n -= source[n - 1] == '\n'; /* a file's last line break, which Jinja leaves out as well */
    t->template_begin = beginning(source);
    t->template_dated = strstr(source, "strftime_now") || strstr(source, "date_string");
    hash_sha256(source, strlen(source), t->template_sha256);
    for (int i = 0; i < N_KNOWN; i++)
        if (strlen(known[i].text) == n && memcmp(known[i].text, source, n) == 0 &&
            tokenizer_find(t, "<|im_start|>") >= 0 && tokenizer_find(t, "<|im_end|>") >= 0) {
            struct str prefix = {0};
            if (known[i].system)
                str_addf(&prefix, "<|im_start|>system\n%s<|im_end|>\n", known[i].system);
            str_add(&prefix, "<|im_start|>user\n");
            t->chat_prefix = str_take(&prefix);
        }
}

int tokenizer_template(const struct tokenizer *t, const char *name, struct template_pieces *out, struct err *e)
{
    if (strcmp(name, "raw") == 0) {
        *out = (struct template_pieces){"", "", 0};
        return 0;
    }
    if (strcmp(name, "chat") != 0)
        return err_set(e, ERR_CONFIG, "template '%s' unknown; raw and chat are known", name);
    if (!t->template_begin)
        return err_set(e, ERR_UNSUPPORTED, "template: chat, but the model has no chat template");
    if (!t->chat_prefix)
        return err_set(
            e, ERR_UNSUPPORTED,
            "template: chat, but the model's is none of those known here: '%s...' (sha256 %.12s%s); an experiment can "
            "spell its pieces out: template: {begin: \"...\", system: \"...\", user: [\"...\", \"...\"], assistant: "
            "\"...\"}",
            t->template_begin, t->template_sha256, t->template_dated ? "; it depends on the date" : "");
    *out = (struct template_pieces){t->chat_prefix, "<|im_end|>\n<|im_start|>assistant\n", 1};
    return 0;
}
