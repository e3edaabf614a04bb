#include "models/import_gguf_tokenizer.h"

#include <string.h>

#include "harness/base/mem.h"
#include "models/dims.h"
#include "models/import_gguf_keys.h"

/* What may stand behind "tokenizer."; all other keys there are refused. */
static const struct import_gguf_key keys[] = {
    {"ggml.model", IMPORT_GGUF_USED, 0},
    {"ggml.pre", IMPORT_GGUF_USED, 0},
    {"ggml.tokens", IMPORT_GGUF_USED, 0},
    {"ggml.token_type", IMPORT_GGUF_USED, 0},
    {"ggml.merges", IMPORT_GGUF_USED, 0},
    {"ggml.bos_token_id", IMPORT_GGUF_USED, 0},
    {"ggml.eos_token_id", IMPORT_GGUF_USED, 0},
    {"ggml.eot_token_id", IMPORT_GGUF_USED, 0},
    {"ggml.eom_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.padding_token_id", IMPORT_GGUF_USED, 0},
    {"ggml.unknown_token_id", IMPORT_GGUF_USED, 0},
    {"ggml.add_bos_token", IMPORT_GGUF_USED, 0},
    {"chat_template", IMPORT_GGUF_USED, 0},
    {"chat_template.", IMPORT_GGUF_HARMLESS, 0}, /* templates that are not in force */
    {"ggml.scores", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.token_type_count", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.seperator_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.separator_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.cls_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.mask_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.prefix_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.suffix_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.middle_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_pre_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_suf_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_mid_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_pad_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_rep_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.fim_sep_token_id", IMPORT_GGUF_HARMLESS, 0},
    {"huggingface.json", IMPORT_GGUF_HARMLESS, 0},
    {"chat_templates", IMPORT_GGUF_HARMLESS, 0},
    {"ggml.remove_extra_whitespaces", IMPORT_GGUF_OFF, 0},
    {"ggml.add_eos_token", IMPORT_GGUF_OFF, 0},
    {"ggml.add_sep_token", IMPORT_GGUF_OFF, 0},
    {"ggml.add_space_prefix", IMPORT_GGUF_OFF, 0},
    {0},
};

int import_gguf_tokenizer_check(const struct gguf *g, const char *path, struct err *e)
{
    return import_gguf_keys_check(g, path, "tokenizer.", keys, 0, e);
}

/* GGUF's token types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
static int token_type(int64_t v)
{
    static const int ours[] = {-1, TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_ADDED, TOKEN_NORMAL, TOKEN_NORMAL};
    return v >= 1 && v <= 6 ? ours[v] : -1;
}

static int read_tokens(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    struct gguf_array token, type, merge;
    int have_token = gguf_get_array(g, "tokenizer.ggml.tokens", &token, e);
    int have_type = have_token < 0 ? -1 : gguf_get_array(g, "tokenizer.ggml.token_type", &type, e);
    int have_merge = have_type < 0 ? -1 : gguf_get_array(g, "tokenizer.ggml.merges", &merge, e);
    if (have_merge < 0)
        return -1;
    if (!have_token || !have_merge)
        return err_set(e, ERR_FORMAT, "%s: metadata key 'tokenizer.ggml.%s' missing", path,
                       have_token ? "merges" : "tokens");
    if (token.n > DIMS_MAX_VOCAB || merge.n > 4 * (uint64_t)DIMS_MAX_VOCAB || (have_type && type.n != token.n))
        return err_set(e, ERR_FORMAT, "%s: %llu tokens, %llu token types, %llu merges don't fit together", path,
                       (unsigned long long)token.n, (unsigned long long)(have_type ? type.n : 0),
                       (unsigned long long)merge.n);
    d->token = mem_new((size_t)token.n + 1, sizeof *d->token);
    d->type = mem_new((size_t)token.n + 1, 1);
    d->merge = mem_new((size_t)merge.n + 1, sizeof *d->merge);
    while (token.n > 0) {
        int64_t t = 1;
        char *text = gguf_next_string(&token, e);
        if (!text)
            return err_wrap(e, "%s", path);
        d->token[d->n_token] = text;
        if (have_type && gguf_next_int(&type, &t, e)) {
            d->n_token++;
            return err_wrap(e, "%s", path);
        }
        if (token_type(t) < 0)
            return d->n_token++,
                   err_set(e, ERR_UNSUPPORTED, "%s: token %d has type %lld", path, d->n_token - 1, (long long)t);
        d->type[d->n_token++] = (uint8_t)token_type(t);
    }
    while (merge.n > 0) {
        char *text = gguf_next_string(&merge, e);
        if (!text)
            return err_wrap(e, "%s", path);
        d->merge[d->n_merge++] = text;
    }
    return 0;
}

static int read_ids(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    const struct {
        const char *key;
        int *to;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &d->bos},
               {"tokenizer.ggml.eos_token_id", &d->eos},
               {"tokenizer.ggml.padding_token_id", &d->pad},
               {"tokenizer.ggml.unknown_token_id", &d->unk}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t v = -1;
        if (gguf_get_int(g, ids[i].key, &v, e) < 0)
            return -1;
        if (v < -1 || v >= d->n_token)
            return err_set(e, ERR_FORMAT, "%s: %s is %lld, but there are %d tokens", path, ids[i].key, (long long)v,
                           d->n_token);
        *ids[i].to = (int)v;
    }
    /* absent means no: the rule of byte-level BPE */
    if (import_gguf_keys_int(g, path, "tokenizer.ggml.add_bos_token", 0, &d->add_bos, e))
        return -1;
    int64_t end = -1;
    if (gguf_get_int(g, "tokenizer.ggml.eot_token_id", &end, e) < 0)
        return -1;
    import_add_end(d, end);
    return 0;
}

int import_gguf_tokenizer_read(const struct gguf *g, const char *path, struct import_source *out, struct err *e)
{
    static const struct {
        const char *theirs, *ours;
    } rules[] = {{"gpt-2", "gpt2"}, {"smollm", "smollm"}, {"qwen2", "qwen2"}};
    struct tokenizer_data *d = &out->tokenizer;
    char *model = NULL, *pre = NULL;
    int rc = -1, found = gguf_get_string(g, "tokenizer.ggml.model", &model, e);
    if (found <= 0)
        return found;
    if (strcmp(model, "gpt2") != 0) {
        err_set(e, ERR_UNSUPPORTED, "%s: tokenizer model '%s', expected 'gpt2' (byte-level BPE)", path, model);
        goto out;
    }
    if (gguf_get_string(g, "tokenizer.ggml.pre", &pre, e) < 0)
        goto out;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (pre && strcmp(pre, rules[i].theirs) == 0)
            d->pre = mem_strdup(rules[i].ours);
    if (!d->pre) {
        err_set(e, ERR_UNSUPPORTED, "%s: pre-tokenizer '%s'; known: gpt-2, smollm, qwen2", path, pre ? pre : "(none)");
        goto out;
    }
    d->kind = TOKENIZER_BPE;
    if (read_tokens(g, path, d, e) || read_ids(g, path, d, e) ||
        gguf_get_string(g, "tokenizer.chat_template", &d->chat_template, e) < 0)
        goto out;
    import_add_turn_ends(d);
    out->has_tokenizer = 1;
    rc = 0;
out:
    mem_free(pre);
    mem_free(model);
    return rc;
}
