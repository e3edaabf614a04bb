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
    {"ggml.scores", IMPORT_GGUF_USED, 0},
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
    {"ggml.add_space_prefix", IMPORT_GGUF_USED, 0},
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

/* A row for each of llama.cpp's names of a rule that is read here. llama.cpp normalises nothing; the tokenizers that
 * "qwen2" and "olmo" are named after do, and their ids are what the models were trained on. */
static const struct rule {
    const char *theirs, *ours;
    int ignore_merges, add_bos; /* add_bos: where the file doesn't say */
    enum tokenizer_normalizer normalizer;
} rules[] = {
    {"gpt-2", "gpt2", 0, 0, TOKENIZER_AS_IS},
    {"smollm", "smollm", 0, 0, TOKENIZER_AS_IS},
    {"starcoder", "smollm", 0, 0, TOKENIZER_AS_IS},
    {"refact", "smollm", 0, 0, TOKENIZER_AS_IS}, /* Granite's */
    {"olmo", "gpt2", 0, 0, TOKENIZER_NFC},
    {"dbrx", "llama3", 0, 0, TOKENIZER_AS_IS}, /* OLMo 2's and Phi-4's */
    {"llama-bpe", "llama3", 1, 1, TOKENIZER_AS_IS},
    {"qwen2", "qwen2", 0, 0, TOKENIZER_NFC},
    {"tekken", "tekken", 1, 1, TOKENIZER_AS_IS},
    {"gpt-4o", "gpt4o", 0, 0, TOKENIZER_AS_IS},
};
enum { N_RULE = sizeof rules / sizeof *rules };

static int read_list(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    struct gguf_array token, type;
    int have_token = gguf_get_array(g, "tokenizer.ggml.tokens", &token, e);
    int have_type = have_token < 0 ? -1 : gguf_get_array(g, "tokenizer.ggml.token_type", &type, e);
    if (have_type < 0)
        return -1;
    if (!have_token)
        return err_set(e, ERR_FORMAT, "%s: metadata key 'tokenizer.ggml.tokens' missing", path);
    if (token.n > DIMS_MAX_VOCAB || (have_type && type.n != token.n))
        return err_set(e, ERR_FORMAT, "%s: %llu tokens and %llu token types don't fit together", path,
                       (unsigned long long)token.n, (unsigned long long)(have_type ? type.n : 0));
    d->token = mem_new((size_t)token.n + 1, sizeof *d->token);
    d->type = mem_new((size_t)token.n + 1, 1);
    while (token.n > 0) {
        int64_t t = 1;
        char *text = gguf_next_string(&token, e);
        if (!text)
            return err_wrap(e, "%s", path);
        d->token[d->n_token++] = text;
        if (have_type && gguf_next_int(&type, &t, e))
            return err_wrap(e, "%s", path);
        int ours = t == 6 && d->kind == TOKENIZER_SPM ? TOKEN_BYTE : token_type(t);
        if (ours < 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: token %d has type %lld", path, d->n_token - 1, (long long)t);
        d->type[d->n_token - 1] = (uint8_t)ours;
    }
    return 0;
}

static int read_merges(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    struct gguf_array merge;
    int found = gguf_get_array(g, "tokenizer.ggml.merges", &merge, e);
    if (found < 0)
        return -1;
    if (!found || merge.n > 4 * (uint64_t)DIMS_MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "%s: metadata key 'tokenizer.ggml.merges' missing, or has too many", path);
    d->merge = mem_new((size_t)merge.n + 1, sizeof *d->merge);
    while (merge.n > 0) {
        char *text = gguf_next_string(&merge, e);
        if (!text)
            return err_wrap(e, "%s", path);
        d->merge[d->n_merge++] = text;
    }
    return 0;
}

static int read_scores(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    struct gguf_array score;
    int found = gguf_get_array(g, "tokenizer.ggml.scores", &score, e);
    if (found < 0)
        return -1;
    if (!found || score.n != (uint64_t)d->n_token)
        return err_set(e, ERR_FORMAT,
                       "%s: metadata key 'tokenizer.ggml.scores' missing, or not one for each of %d tokens", path,
                       d->n_token);
    d->score = mem_new((size_t)d->n_token + 1, sizeof *d->score);
    for (int i = 0; i < d->n_token; i++) {
        double v;
        if (gguf_next_real(&score, &v, e))
            return err_wrap(e, "%s", path);
        d->score[i] = (float)v;
    }
    return 0;
}

static int read_ids(const struct gguf *g, const char *path, int add_bos, struct tokenizer_data *d, struct err *e)
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
    if (import_gguf_keys_int(g, path, "tokenizer.ggml.add_bos_token", add_bos, &d->add_bos, e))
        return -1;
    if (d->add_bos && d->bos < 0)
        return err_set(e, ERR_FORMAT,
                       "%s: tokenizer.ggml.bos_token_id missing, but BOS goes in front of a text "
                       "(tokenizer.ggml.add_bos_token is true, or absent, which means so here); expected the id, or "
                       "add_bos_token false",
                       path);
    int64_t end = -1;
    if (gguf_get_int(g, "tokenizer.ggml.eot_token_id", &end, e) < 0)
        return -1;
    import_add_end(d, end);
    return 0;
}

static int read_bpe(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    char *pre = NULL;
    const struct rule *rule = NULL;
    if (gguf_get_string(g, "tokenizer.ggml.pre", &pre, e) < 0)
        return -1;
    for (int i = 0; i < N_RULE; i++)
        if (pre && strcmp(pre, rules[i].theirs) == 0)
            rule = &rules[i];
    if (!rule) {
        struct str known = {0};
        for (int i = 0; i < N_RULE; i++)
            str_addf(&known, "%s%s", i ? ", " : "", rules[i].theirs);
        err_set(e, ERR_UNSUPPORTED, "%s: pre-tokenizer '%s'; known: %s", path, pre ? pre : "(none)", str_c(&known));
        str_free(&known);
    }
    mem_free(pre);
    if (!rule)
        return -1;
    d->kind = TOKENIZER_BPE;
    d->pre = mem_strdup(rule->ours);
    d->ignore_merges = rule->ignore_merges;
    d->normalizer = rule->normalizer;
    return read_list(g, path, d, e) || read_merges(g, path, d, e) || read_ids(g, path, rule->add_bos, d, e) ? -1 : 0;
}

/* Phi-3's control and added tokens take the white space behind them, all but three. GGUF has no place to say so, and
 * llama.cpp goes by the model's name. */
static void strip_behind(struct tokenizer_data *d)
{
    static const char *const not_those[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (int i = 0; i < d->n_token; i++) {
        int strips = d->type[i] == TOKEN_CONTROL || d->type[i] == TOKEN_ADDED;
        for (int k = 0; k < 3; k++)
            strips &= strcmp(d->token[i], not_those[k]) != 0;
        if (strips)
            d->type[i] |= TOKEN_RSTRIP;
    }
}

static int is_phi3(const struct gguf *g)
{
    char *arch = NULL;
    int phi3 = gguf_get_string(g, "general.architecture", &arch, NULL) > 0 && strcmp(arch, "phi3") == 0;
    mem_free(arch);
    return phi3;
}

/* SentencePiece's BPE with scores, as llama.cpp has it: a blank in front of every stretch of text unless the file says
 * otherwise. */
static int read_spm(const struct gguf *g, const char *path, struct tokenizer_data *d, struct err *e)
{
    char *pre = NULL;
    int blank = 1;
    if (gguf_get_string(g, "tokenizer.ggml.pre", &pre, e) < 0 ||
        import_gguf_keys_int(g, path, "tokenizer.ggml.add_space_prefix", 1, &blank, e))
        return -1;
    int known = !pre || strcmp(pre, "default") == 0;
    if (!known)
        err_set(e, ERR_UNSUPPORTED, "%s: pre-tokenizer '%s' with tokenizer model 'llama'; known: default", path, pre);
    mem_free(pre);
    d->kind = TOKENIZER_SPM;
    d->space = blank ? TOKENIZER_SPACE_EACH : TOKENIZER_SPACE_NONE;
    if (!known || read_list(g, path, d, e) || read_scores(g, path, d, e) || read_ids(g, path, 1, d, e))
        return -1;
    if (is_phi3(g))
        strip_behind(d);
    return 0;
}

int import_gguf_tokenizer_read(const struct gguf *g, const char *path, struct import_source *out, struct err *e)
{
    struct tokenizer_data *d = &out->tokenizer;
    char *model = NULL;
    int rc = -1, found = gguf_get_string(g, "tokenizer.ggml.model", &model, e);
    if (found <= 0)
        return found;
    if (strcmp(model, "gpt2") == 0)
        rc = read_bpe(g, path, d, e);
    else if (strcmp(model, "llama") == 0)
        rc = read_spm(g, path, d, e);
    else
        err_set(e, ERR_UNSUPPORTED,
                "%s: tokenizer model '%s', expected 'gpt2' (byte-level BPE) or 'llama' (SentencePiece)", path, model);
    mem_free(model);
    if (rc || gguf_get_string(g, "tokenizer.chat_template", &d->chat_template, e) < 0)
        return -1;
    import_add_turn_ends(d);
    out->has_tokenizer = 1;
    return 0;
}
