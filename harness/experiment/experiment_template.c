/* `template`: raw, chat, the model's own with a system message, or the pieces of one spelled out:
 *   template: {chat: {system: "..."}}
 *   template: {begin: "<s>", system: "...", user: ["<|user|>\n", "</s>\n"], assistant: "<|assistant|>\n"}
 * begin + system + user[0] stand before a prompt's context, user[1] + assistant behind its question. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment_int.h"

static const char *const keys[] = {"begin", "system", "user", "assistant"};
enum { N_KEY = sizeof keys / sizeof *keys, USER = 2 };

/* A text of the map; NULL and a complaint when it is there and none. An absent one is "". */
static const char *piece(struct load *l, const struct conf *c, const char *key)
{
    if (!c)
        return "";
    if (c->kind == CONF_SCALAR && (c->quoted || *c->text))
        return c->text;
    experiment_complain(l, c, c->line, "template: %s: expected a text; write it in double quotes, \"\" for none", key);
    return NULL;
}

static void spelled(struct load *l, const struct conf *c)
{
    struct experiment *x = l->x;
    const struct conf *user = conf_get(c, "user");
    struct str prefix = {0}, suffix = {0}, name = {0};
    int bad = 0;
    for (int i = 0; i < c->n; i++) {
        int k = 0;
        while (k < N_KEY && strcmp(keys[k], c->key[i]) != 0)
            k++;
        if (k == N_KEY)
            experiment_complain(l, c, c->key_line[i],
                                "template: key '%s' unknown%s; known are begin, system, user, assistant; or chat alone",
                                c->key[i], experiment_hint(c->key[i], keys, N_KEY));
    }
    if (!user || user->kind != CONF_LIST || user->n != 2)
        experiment_complain(l, user ? user : c, user ? user->line : c->line,
                            "template: user: expected two texts, what stands before a user's message and behind it");
    if (!conf_get(c, "assistant"))
        experiment_complain(l, c, c->line,
                            "template: assistant is missing: what stands before the answer (\"\" for nothing)");
    const struct conf *two = user && user->kind == CONF_LIST && user->n == 2 ? user : NULL;
    const char *text[] = {piece(l, conf_get(c, "begin"), "begin"), piece(l, conf_get(c, "system"), "system"),
                          piece(l, two ? two->item[0] : NULL, "user"), piece(l, two ? two->item[1] : NULL, "user"),
                          piece(l, conf_get(c, "assistant"), "assistant")};
    for (int i = 0; i < 5; i++)
        bad |= !text[i];
    for (int i = 0; i < 5 && !bad; i++) {
        static const char *const before[] = {"{\"begin\":", ",\"system\":", ",\"user\":[", ",", "],\"assistant\":"};
        str_add(i < 3 ? &prefix : &suffix, text[i]);
        str_add(&name, before[i]);
        str_add_json(&name, text[i], strlen(text[i]));
    }
    str_addc(&name, '}');
    x->template_prefix = mem_strdup(str_c(&prefix));
    x->template_suffix = mem_strdup(str_c(&suffix));
    x->template_name = str_take(&name);
    str_free(&prefix);
    str_free(&suffix);
}

/* {chat: {system: "..."}} */
static void with_system(struct load *l, const struct conf *c)
{
    struct experiment *x = l->x;
    const struct conf *chat = conf_get(c, "chat"), *system = chat->kind == CONF_MAP ? conf_get(chat, "system") : NULL;
    int bad = c->n != 1 || chat->kind != CONF_MAP || chat->n != 1 || !system;
    const char *text = bad ? NULL : piece(l, system, "chat: system");
    struct str name = {0};
    if (bad)
        experiment_complain(l, c, c->line,
                            "template: chat: expected {chat: {system: \"...\"}} and nothing beside it, or chat alone");
    if (text) {
        str_add(&name, "{\"chat\":{\"system\":");
        str_add_json(&name, text, strlen(text));
        str_add(&name, "}}");
        x->template_system = mem_strdup(text);
    }
    x->template_name = text ? str_take(&name) : mem_strdup("raw"); /* complained of: once is enough */
}

void experiment_template(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *c = conf_get(l->root, "template");
    if (c && c->kind == CONF_MAP) {
        if (conf_get(c, "chat"))
            with_system(l, c);
        else
            spelled(l, c);
        return;
    }
    x->template_name = mem_strdup(c && c->kind == CONF_SCALAR ? c->text : "raw");
    if (c && c->kind == CONF_LIST)
        experiment_complain(
            l, c, c->line,
            "template: expected raw, chat, {chat: {system: \"...\"}}, or pieces {begin, system, user, assistant}");
    else if (strcmp(x->template_name, "raw") != 0 && strcmp(x->template_name, "chat") != 0)
        experiment_complain(l, c, c->line, "template '%s' unknown; raw and chat are known", x->template_name);
}

int experiment_template_of(const char *text, struct experiment *x, struct err *e)
{
    struct str yaml = {0};
    struct load l = {.x = x, .first = e};
    str_addf(&yaml, "template: %s", text);
    *x = (struct experiment){.path = mem_strdup("--template")};
    l.root = conf_parse("--template", yaml.p, yaml.n, e);
    if (l.root && l.root->kind == CONF_MAP && l.root->n == 1)
        experiment_template(&l);
    else if (l.root)
        l.n_error = err_set(e, ERR_CONFIG,
                            "--template: expected raw, chat, {chat: {system: ...}}, or {user: [...], assistant: ...}");
    str_free(&yaml);
    int rc = l.root && !l.n_error ? 0 : -1;
    conf_free(l.root);
    return rc;
}

int experiment_pieces(const struct experiment *x, const struct tokenizer *t, struct template_pieces *out, struct err *e)
{
    if (x->template_system)
        return tokenizer_template_system(t, x->template_system, out, e);
    if (!x->template_prefix)
        return tokenizer_template(t, x->template_name, out, e);
    *out = (struct template_pieces){x->template_prefix, "", 0, "", x->template_suffix, 1, 0};
    return 0;
}
