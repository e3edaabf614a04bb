/* Chat templates, known rather than executed: a template is one of a few texts, byte for byte, whose outcome for a
 * single message of a user is known, or it is refused. tests/vectors/make_templates.py renders every one of them. */
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/base/unicode.h"
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
#define CHATML_SYSTEM "<|im_start|>system\n"
#define CHATML_BETWEEN "<|im_end|>\n<|im_start|>user\n"
#define LLAMA3_SYSTEM "<|start_header_id|>system<|end_header_id|>\n\n"
#define LLAMA31_SYSTEM LLAMA3_SYSTEM "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define LLAMA3_PREFIX "<|start_header_id|>user<|end_header_id|>\n\n"
#define LLAMA3_BETWEEN "<|eot_id|>" LLAMA3_PREFIX
#define LLAMA3_SUFFIX "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
#define PHI3_SUFFIX "<|end|>\n<|assistant|>\n"
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

/* Templates of models, too long to stand here: the SHA-256 of the text without a last line break. `token` has to be a
 * token of the vocabulary; bos: BOS stands in front; trim: white space around the message is taken away. With a message
 * of the system, `system` stands before it and `between` behind it (both NULL: the template raises an exception, or
 * leaves it out); of its text and of the user's, white space is taken away as the last two say. */
enum { BOTH = TEMPLATE_TRIM_FRONT | TEMPLATE_TRIM_END };
static const struct published {
    const char *sha256, *token;
    int bos, trim;
    const char *prefix, *suffix, *system, *between;
    int system_trim, trim_after;
    int not_empty; /* an empty message of the system is left out */
} published[] = {
    /* Qwen2.5-Instruct and -Coder-Instruct */
    {"55b2f4a26ac9ee719330a61a0c39d9e538b0e9322212f048326318cff4f8674a", "<|im_start|>", 0, 0,
     "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
     "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n", CHATML_SYSTEM, CHATML_BETWEEN, 0, 0, 0},
    /* the same where the example of a function call has two braces, as some GGUF files of Qwen2.5-Coder do */
    {"4e9918361c284a93880606d182d64da6a9fe97cdc1f5c5a78c1c8840444246fc", "<|im_start|>", 0, 0,
     "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
     "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n", CHATML_SYSTEM, CHATML_BETWEEN, 0, 0, 0},
    /* Qwen3, without thinking */
    {"87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5", "<|im_start|>", 0, 0, "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", CHATML_SYSTEM, CHATML_BETWEEN, 0, 0, 0},
    /* Gemma 2 */
    {"ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6", "<start_of_turn>", 1, BOTH,
     "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", NULL, NULL, 0, 0, 0},
    /* Gemma 3, which puts it into the user's turn */
    {"8d9e3a3c114fb2053ec500184677af4f7e5f8ec2582443cd535834e68b3ade29", "<start_of_turn>", 1, BOTH,
     "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "<start_of_turn>user\n", "\n\n", 0, BOTH, 0},
    /* Llama 3.1 and 3.3, with the date that it falls back to */
    {"93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7", "<|start_header_id|>", 1, BOTH,
     LLAMA31_SYSTEM LLAMA3_BETWEEN, LLAMA3_SUFFIX, LLAMA31_SYSTEM, LLAMA3_BETWEEN, BOTH, BOTH, 0},
    /* Llama 3, as it came out and later */
    {"b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2", "<|start_header_id|>", 1, BOTH, LLAMA3_PREFIX,
     LLAMA3_SUFFIX, LLAMA3_SYSTEM, LLAMA3_BETWEEN, BOTH, BOTH, 0},
    {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122", "<|start_header_id|>", 1, BOTH, LLAMA3_PREFIX,
     LLAMA3_SUFFIX, LLAMA3_SYSTEM, LLAMA3_BETWEEN, BOTH, BOTH, 0},
    /* Phi-3.5-mini, Phi-3-mini, Phi-3-medium; the latter two leave it out */
    {"78d976a442bcde2f0be15aafbb8e3050e1104f86732266f68403251b89982a90", "<|user|>", 0, 0, "<|user|>\n", PHI3_SUFFIX,
     "<|system|>\n", "<|end|>\n<|user|>\n", 0, 0, 1},
    {"268b6082ceb7176dc6ed80557a2f7837f9f0339592fbee677d405a553af15f88", "<|user|>", 1, 0, "<|user|>\n", PHI3_SUFFIX,
     NULL, NULL, 0, 0, 0},
    {"605841622bcb6572225608f09ec2afcdfb9fb50844ef52715a12689f7b9278b1", "<|user|>", 0, 0, "<|user|>\n", PHI3_SUFFIX,
     NULL, NULL, 0, 0, 0},
    /* Mistral 7B Instruct 0.2, Mistral Nemo, Llama 2; Nemo and Llama 2 put it into the user's turn */
    {"26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7", NULL, 1, 0, "[INST] ", " [/INST]", NULL, NULL,
     0, 0, 0},
    {"e7deee034838db2bfc7487788a3013d8a307ab69f72f3c54a85f06fd76007d4e", NULL, 1, 0, "[INST]", "[/INST]", "[INST]",
     "\n\n", 0, 0, 0},
    {"e8d5b5a546d3f19df16a5320c614fab05bdc4edd50e850f1afd947b503ea41cf", NULL, 1, BOTH, "[INST] ", " [/INST]",
     "[INST] <<SYS>>\n", "\n<</SYS>>\n\n", 0, TEMPLATE_TRIM_END, 0},
};
enum { N_PUBLISHED = sizeof published / sizeof *published };

/* `text` behind BOS, if it stands in front and there is one. */
static char *behind_bos(const struct tokenizer *t, int bos, const char *text)
{
    struct str s = {0};
    if (bos && t->bos >= 0)
        str_addn(&s, t->bytes + t->offset[t->bos], t->length[t->bos]);
    str_add(&s, text);
    return str_take(&s);
}

static void read_published(struct tokenizer *t, const char *source, size_t n)
{
    char sha256[HASH_HEX];
    hash_sha256(source, n, sha256);
    for (int i = 0; i < N_PUBLISHED; i++) {
        const struct published *p = &published[i];
        if (strcmp(p->sha256, sha256) == 0 && (!p->token || tokenizer_find(t, p->token) >= 0))
            t->chat = (struct tokenizer_chat){behind_bos(t, p->bos, p->prefix),
                                              p->suffix,
                                              p->trim,
                                              p->system ? behind_bos(t, p->bos, p->system) : NULL,
                                              p->between,
                                              p->system_trim,
                                              p->trim_after,
                                              p->not_empty};
    }
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
                str_addf(&prefix, CHATML_SYSTEM "%s<|im_end|>\n", known[i].system);
            str_add(&prefix, "<|im_start|>user\n");
            t->chat = (struct tokenizer_chat){.prefix = str_take(&prefix),
                                              .suffix = "<|im_end|>\n<|im_start|>assistant\n",
                                              .system_prefix = mem_strdup(CHATML_SYSTEM),
                                              .between = CHATML_BETWEEN};
        }
    if (!t->chat.prefix)
        read_published(t, source, n);
}

#define SPELL_OUT \
    "spell its pieces out: {begin: \"...\", system: \"...\", user: [\"...\", \"...\"], assistant: \"...\"}"

int tokenizer_template(const struct tokenizer *t, const char *name, struct template_pieces *out, struct err *e)
{
    if (strcmp(name, "raw") == 0) {
        *out = (struct template_pieces){"", "", 0, "", "", 0, 0};
        return 0;
    }
    if (strcmp(name, "chat") != 0)
        return err_set(e, ERR_CONFIG, "template '%s' unknown; raw and chat are known", name);
    if (!t->template_begin)
        return err_set(e, ERR_UNSUPPORTED,
                       "the model has no chat template (a base model, mostly); take raw, or " SPELL_OUT);
    if (!t->chat.prefix)
        return err_set(
            e, ERR_UNSUPPORTED,
            "the model's chat template is none of those known here: '%s...' (sha256 %.12s%s); take raw, or " SPELL_OUT,
            t->template_begin, t->template_sha256, t->template_dated ? "; it depends on the date" : "");
    *out = (struct template_pieces){t->chat.prefix, "", 0, "", t->chat.suffix, 1, t->chat.trim};
    return 0;
}

int tokenizer_template_system(const struct tokenizer *t, const char *system, struct template_pieces *out, struct err *e)
{
    if (tokenizer_template(t, "chat", out, e))
        return -1;
    if (!t->chat.system_prefix)
        return err_set(e, ERR_UNSUPPORTED,
                       "the model's chat template has no place for a system message: '%s...' (sha256 %.12s); leave it "
                       "out, or " SPELL_OUT,
                       t->template_begin, t->template_sha256);
    if (t->chat.not_empty && !*system)
        return err_set(e, ERR_UNSUPPORTED,
                       "the model's chat template leaves an empty system message out: '%s...' (sha256 %.12s); write "
                       "chat alone",
                       t->template_begin, t->template_sha256);
    *out = (struct template_pieces){t->chat.system_prefix, system, strlen(system),    t->chat.between,
                                    t->chat.suffix,        1,      t->chat.trim_after};
    if (t->chat.system_trim)
        unicode_trim(&out->system, &out->n_system, 1, 1);
    return 0;
}
