/* Keys and tensor names are those that llama.cpp's converter writes for "llama". It permutes the rows of Q and K
 * within each head so that the two members of a rotated pair become neighbours: row 2 j + s there is row
 * s head_dim / 2 + j of rotate_half's order, which the forward pass here uses; fetch() undoes it. */
#include "models/import_gguf.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/gguf.h"

struct source {
    struct gguf *g;
    char *path;
    int n_head, n_kv_head;
};

/* Our name of a tensor (of a layer: what follows "layers/<l>/") and GGUF's. */
static const struct {
    const char *ours, *theirs;
} names[] = {
    {"embedding", "token_embd.weight"},
    {"output_norm", "output_norm.weight"},
    {"output", "output.weight"},
    {"attn_norm", "attn_norm.weight"},
    {"wq", "attn_q.weight"},
    {"wk", "attn_k.weight"},
    {"wv", "attn_v.weight"},
    {"wo", "attn_output.weight"},
    {"ffn_norm", "ffn_norm.weight"},
    {"gate", "ffn_gate.weight"},
    {"up", "ffn_up.weight"},
    {"down", "ffn_down.weight"},
};

/* The source's name of a tensor, and the short form of ours. */
static const char *translate(const struct model_tensor *t, char *out, size_t size)
{
    int layer = -1;
    const char *leaf = strrchr(t->name, '/');
    leaf = leaf ? leaf + 1 : t->name;
    if (leaf != t->name)
        sscanf(t->name, "layers/%d/", &layer);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].ours, leaf) == 0) {
            if (layer < 0)
                snprintf(out, size, "%s", names[i].theirs);
            else
                snprintf(out, size, "blk.%d.%s", layer, names[i].theirs);
        }
    return leaf;
}

static int read_values(const struct source *s, const struct model_tensor *t, float *dst, struct err *e)
{
    char name[64] = "";
    const char *leaf = translate(t, name, sizeof name);
    const struct gguf_tensor *g = gguf_find(s->g, name);
    if (!g)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->path, name);
    size_t cols = (size_t)g->dim[0], rows = g->n / cols, row_bytes = cols / g->type->values * g->type->bytes;
    int heads = strcmp(leaf, "wq") == 0 ? s->n_head : strcmp(leaf, "wk") == 0 ? s->n_kv_head : 0;
    if (heads == 0) {
        dequant_run(g->type, g->data, dst, g->n);
        gguf_release(s->g, g);
        return import_check_finite(s->path, name, dst, g->n, 0, g->rank > 1 ? cols : 0, e);
    }
    size_t head_dim = rows / (size_t)heads;
    for (size_t r = 0; r < rows; r++) {
        size_t in_head = r % head_dim, pair = in_head / 2, member = in_head % 2;
        size_t to = r - in_head + member * (head_dim / 2) + pair;
        dequant_run(g->type, g->data + r * row_bytes, dst + to * cols, cols);
        if (import_check_finite(s->path, name, dst + to * cols, cols, r * cols, cols, e))
            return -1;
    }
    gguf_release(s->g, g);
    return 0;
}

static int fetch(void *ctx, const struct model_tensor *t, float *dst, struct err *e)
{
    const struct source *s = ctx;
    int rc = read_values(s, t, dst, e);
    return gguf_check(s->g, e) ? -1 : rc;
}

static void destroy(void *ctx)
{
    struct source *s = ctx;
    gguf_close(s->g);
    mem_free(s->path);
    mem_free(s);
}

/* Every tensor of the table is there in the right shape, and nothing is there that would be ignored. */
static int check_tensors(const struct source *s, const struct hparams *hp, struct err *e)
{
    int n = gguf_n_tensor(s->g), rc = -1;
    char *used = mem_new((size_t)n, 1);
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        char name[64] = "";
        model_tensor_at(hp, i, &t);
        translate(&t, name, sizeof name);
        const struct gguf_tensor *g = gguf_find(s->g, name);
        if (!g) {
            err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->path, name);
            goto out;
        }
        uint64_t cols = (uint64_t)(t.rank == 2 ? t.dim[1] : t.dim[0]), rows = (uint64_t)(t.rank == 2 ? t.dim[0] : 1);
        if (g->dim[0] != cols || g->n != cols * rows || g->rank > 2) {
            err_set(e, ERR_SHAPE, "%s: tensor '%s': %llu values in rows of %llu, expected %llu in rows of %llu (%s)",
                    s->path, name, (unsigned long long)g->n, (unsigned long long)g->dim[0],
                    (unsigned long long)(cols * rows), (unsigned long long)cols, t.why);
            goto out;
        }
        used[g - gguf_tensor_at(s->g, 0)] = 1;
    }
    for (int i = 0; i < n; i++)
        if (!used[i]) {
            err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' has no place in a llama model here", s->path,
                    gguf_tensor_at(s->g, i)->name);
            goto out;
        }
    rc = 0;
out:
    mem_free(used);
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* An integer key; `dflt` below zero: it must be there. */
static int get_int(const struct source *s, const char *key, int dflt, int *out, struct err *e)
{
    int64_t v = dflt;
    int found = gguf_get_int(s->g, key, &v, e);
    if (found < 0)
        return -1;
    if (!found && dflt < 0)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' missing", s->path, key);
    if (v < 0 || v > INT_MAX)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is %lld, out of range", s->path, key, (long long)v);
    *out = (int)v;
    return 0;
}

static int get_real(const struct source *s, const char *key, double dflt, double *out, struct err *e)
{
    *out = dflt;
    return gguf_get_real(s->g, key, out, e) < 0 ? -1 : 0;
}

/* ---- the keys -------------------------------------------------------------------------------- */

enum rule {
    USED,
    HARMLESS, /* changes nothing that is computed here */
    OFF,      /* refused unless 0 or false */
    ONE       /* refused unless 1, or 0, by which llama.cpp means the same */
};

/* What may stand under "llama." and "tokenizer."; all other keys there are refused, those elsewhere describe the file.
 */
static const struct {
    const char *key;
    enum rule rule;
} keys[] = {
    {"llama.block_count", USED},
    {"llama.context_length", USED},
    {"llama.embedding_length", USED},
    {"llama.feed_forward_length", USED},
    {"llama.attention.head_count", USED},
    {"llama.attention.head_count_kv", USED},
    {"llama.attention.key_length", USED},
    {"llama.attention.value_length", USED},
    {"llama.attention.layer_norm_rms_epsilon", USED},
    {"llama.rope.dimension_count", USED},
    {"llama.rope.freq_base", USED},
    {"llama.rope.scale_linear", USED},
    {"llama.rope.scaling.type", USED},
    {"llama.rope.scaling.factor", USED},
    {"llama.vocab_size", HARMLESS},
    {"llama.rope.scaling.original_context_length", HARMLESS},
    {"llama.rope.scaling.finetuned", HARMLESS},
    {"llama.tensor_data_layout", HARMLESS},
    {"llama.attention.layer_norm_epsilon", HARMLESS},
    {"llama.expert_used_count", HARMLESS},
    {"llama.expert_count", OFF},
    {"llama.attention.sliding_window", OFF},
    {"llama.use_parallel_residual", OFF},
    {"llama.attention.clamp_kqv", OFF},
    {"llama.attention.max_alibi_bias", OFF},
    {"llama.attention.scale", OFF},
    {"llama.attn_logit_softcapping", OFF},
    {"llama.final_logit_softcapping", OFF},
    {"llama.logit_scale", ONE},
    {"llama.residual_scale", ONE},
    {"llama.embedding_scale", ONE},
    {"llama.rope.scaling.attn_factor", ONE},
    {"tokenizer.ggml.model", USED},
    {"tokenizer.ggml.pre", USED},
    {"tokenizer.ggml.tokens", USED},
    {"tokenizer.ggml.token_type", USED},
    {"tokenizer.ggml.merges", USED},
    {"tokenizer.ggml.bos_token_id", USED},
    {"tokenizer.ggml.eos_token_id", USED},
    {"tokenizer.ggml.eot_token_id", USED},
    {"tokenizer.ggml.eom_token_id", HARMLESS},
    {"tokenizer.ggml.padding_token_id", USED},
    {"tokenizer.ggml.unknown_token_id", USED},
    {"tokenizer.ggml.add_bos_token", USED},
    {"tokenizer.chat_template", USED},
    {"tokenizer.ggml.scores", HARMLESS},
    {"tokenizer.ggml.token_type_count", HARMLESS},
    {"tokenizer.ggml.seperator_token_id", HARMLESS},
    {"tokenizer.ggml.separator_token_id", HARMLESS},
    {"tokenizer.ggml.cls_token_id", HARMLESS},
    {"tokenizer.ggml.mask_token_id", HARMLESS},
    {"tokenizer.ggml.prefix_token_id", HARMLESS},
    {"tokenizer.ggml.suffix_token_id", HARMLESS},
    {"tokenizer.ggml.middle_token_id", HARMLESS},
    {"tokenizer.ggml.fim_pre_token_id", HARMLESS},
    {"tokenizer.ggml.fim_suf_token_id", HARMLESS},
    {"tokenizer.ggml.fim_mid_token_id", HARMLESS},
    {"tokenizer.ggml.fim_pad_token_id", HARMLESS},
    {"tokenizer.ggml.fim_rep_token_id", HARMLESS},
    {"tokenizer.ggml.fim_sep_token_id", HARMLESS},
    {"tokenizer.huggingface.json", HARMLESS},
    {"tokenizer.chat_templates", HARMLESS},
    {"tokenizer.ggml.remove_extra_whitespaces", OFF},
    {"tokenizer.ggml.add_eos_token", OFF},
    {"tokenizer.ggml.add_sep_token", OFF},
    {"tokenizer.ggml.add_space_prefix", OFF},
};
enum { N_KEY = sizeof keys / sizeof *keys };

static int check_key(const struct source *s, const char *key, struct err *e)
{
    double v = 0;
    int k = 0;
    if (strncmp(key, "llama.", 6) != 0 && strncmp(key, "tokenizer.", 10) != 0)
        return 0;
    if (strncmp(key, "tokenizer.chat_template.", 24) == 0)
        return 0; /* further templates, by name; the one in force has none */
    while (k < N_KEY && strcmp(keys[k].key, key) != 0)
        k++;
    if (k == N_KEY)
        return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%.200s' is not known here, and might change the numbers",
                       s->path, key);
    if (keys[k].rule != OFF && keys[k].rule != ONE)
        return 0;
    if (gguf_get_real(s->g, key, &v, e) < 0)
        return -1;
    if (v != 0 && !(keys[k].rule == ONE && v == 1))
        return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%s' is %g, expected %s: there is no such thing here",
                       s->path, key, v, keys[k].rule == ONE ? "1" : "0");
    return 0;
}

static int check_keys(const struct source *s, struct err *e)
{
    int64_t parts = 1;
    if (gguf_get_int(s->g, "split.count", &parts, e) < 0)
        return -1;
    if (parts > 1)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: one of %lld files of a model that was split; join them first (llama.cpp's "
                       "llama-gguf-split --merge) and import the whole",
                       s->path, (long long)parts);
    for (int i = 0; i < gguf_n_key(s->g); i++)
        if (check_key(s, gguf_key_at(s->g, i), e))
            return -1;
    return 0;
}

/* ---- hyper-parameters ------------------------------------------------------------------------ */

/* As llama.cpp reads it: the factor's old name counts where the new one is absent, a factor of 0 is 1, and the type is
 * linear where none is given. */
static int read_rope(const struct source *s, struct hparams *hp, struct err *e)
{
    char *type = NULL;
    int dims = 0, rc = -1;
    double old_factor = 0;
    if (get_int(s, "llama.rope.dimension_count", hp->head_dim, &dims, e) ||
        get_real(s, "llama.rope.freq_base", 10000, &hp->rope_base, e) ||
        get_real(s, "llama.rope.scale_linear", 0, &old_factor, e) ||
        get_real(s, "llama.rope.scaling.factor", old_factor, &hp->rope_factor, e) ||
        gguf_get_string(s->g, "llama.rope.scaling.type", &type, e) < 0)
        goto out;
    if (dims != hp->head_dim) {
        err_set(e, ERR_UNSUPPORTED,
                "%s: rotation of %d of %d dimensions (llama.rope.dimension_count); whole heads rotate here", s->path,
                dims, hp->head_dim);
        goto out;
    }
    int none = type && strcmp(type, "none") == 0;
    if (type && !none && strcmp(type, "linear") != 0) {
        err_set(e, ERR_UNSUPPORTED, "%s: rope scaling '%s'; known: none, linear", s->path, type);
        goto out;
    }
    if (gguf_find(s->g, "rope_freqs.weight")) {
        err_set(e, ERR_UNSUPPORTED,
                "%s: tensor 'rope_freqs.weight': a factor for each frequency of the rotation is not read; "
                "import the Hugging Face folder, whose config.json says what it was made from",
                s->path);
        goto out;
    }
    if (none || hp->rope_factor == 0)
        hp->rope_factor = 1;
    hp->rope_scaling = hp->rope_factor == 1 ? MODEL_ROPE_PLAIN : MODEL_ROPE_LINEAR;
    rc = 0;
out:
    mem_free(type);
    return rc;
}

static int read_hparams(const struct source *s, struct hparams *hp, struct err *e)
{
    char *arch = NULL;
    double eps = 0;
    int value_dim = 0, rc = -1;
    const struct gguf_tensor *embedding = gguf_find(s->g, "token_embd.weight");
    int found = check_keys(s, e) ? -1 : gguf_get_string(s->g, "general.architecture", &arch, e);
    if (found < 0)
        goto out;
    if (!found || strcmp(arch, "llama") != 0) {
        err_set(e, found ? ERR_UNSUPPORTED : ERR_FORMAT, "%s: architecture '%s', expected 'llama'", s->path,
                found ? arch : "(none)");
        goto out;
    }
    if (!embedding || embedding->rank != 2 || embedding->dim[1] > DIMS_MAX_VOCAB) {
        err_set(e, ERR_FORMAT, "%s: tensor 'token_embd.weight' missing, or not a matrix of at most %d rows", s->path,
                (int)DIMS_MAX_VOCAB);
        goto out;
    }
    if (get_int(s, "llama.block_count", -1, &hp->n_layer, e) ||
        get_int(s, "llama.context_length", -1, &hp->context_length, e) ||
        get_int(s, "llama.embedding_length", -1, &hp->d_model, e) ||
        get_int(s, "llama.feed_forward_length", -1, &hp->d_ff, e) ||
        get_int(s, "llama.attention.head_count", -1, &hp->n_head, e) ||
        get_int(s, "llama.attention.head_count_kv", hp->n_head, &hp->n_kv_head, e) ||
        get_int(s, "llama.attention.key_length", hp->n_head ? hp->d_model / hp->n_head : 0, &hp->head_dim, e) ||
        get_int(s, "llama.attention.value_length", hp->head_dim, &value_dim, e) ||
        get_real(s, "llama.attention.layer_norm_rms_epsilon", 1e-5, &eps, e) || read_rope(s, hp, e))
        goto out;
    if (value_dim != hp->head_dim) {
        err_set(e, ERR_UNSUPPORTED, "%s: keys of %d and values of %d dimensions", s->path, hp->head_dim, value_dim);
        goto out;
    }
    snprintf(hp->architecture, sizeof hp->architecture, "%s", arch);
    hp->n_vocab = (int)embedding->dim[1];
    hp->norm_eps = (float)eps;
    hp->embedding_scale = 1;
    hp->activation = MODEL_SILU;
    hp->tied = gguf_find(s->g, "output.weight") == NULL;
    rc = hparams_check(hp, e) ? err_wrap(e, "%s", s->path) : 0;
out:
    mem_free(arch);
    return rc;
}

/* ---- tokenizer ------------------------------------------------------------------------------- */

/* GGUF's token types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
static int token_type(int64_t v)
{
    static const int ours[] = {-1, TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_ADDED, TOKEN_NORMAL, TOKEN_NORMAL};
    return v >= 1 && v <= 6 ? ours[v] : -1;
}

static int read_tokens(const struct source *s, struct tokenizer_data *d, struct err *e)
{
    struct gguf_array token, type, merge;
    int have_token = gguf_get_array(s->g, "tokenizer.ggml.tokens", &token, e);
    int have_type = have_token < 0 ? -1 : gguf_get_array(s->g, "tokenizer.ggml.token_type", &type, e);
    int have_merge = have_type < 0 ? -1 : gguf_get_array(s->g, "tokenizer.ggml.merges", &merge, e);
    if (have_merge < 0)
        return -1;
    if (!have_token || !have_merge)
        return err_set(e, ERR_FORMAT, "%s: metadata key 'tokenizer.ggml.%s' missing", s->path,
                       have_token ? "merges" : "tokens");
    if (token.n > DIMS_MAX_VOCAB || merge.n > 4 * (uint64_t)DIMS_MAX_VOCAB || (have_type && type.n != token.n))
        return err_set(e, ERR_FORMAT, "%s: %llu tokens, %llu token types, %llu merges don't fit together", s->path,
                       (unsigned long long)token.n, (unsigned long long)(have_type ? type.n : 0),
                       (unsigned long long)merge.n);
    d->token = mem_new((size_t)token.n + 1, sizeof *d->token);
    d->type = mem_new((size_t)token.n + 1, 1);
    d->merge = mem_new((size_t)merge.n + 1, sizeof *d->merge);
    while (token.n > 0) {
        int64_t t = 1;
        char *text = gguf_next_string(&token, e);
        if (!text)
            return err_wrap(e, "%s", s->path);
        d->token[d->n_token] = text;
        if (have_type && gguf_next_int(&type, &t, e)) {
            d->n_token++;
            return err_wrap(e, "%s", s->path);
        }
        if (token_type(t) < 0)
            return d->n_token++,
                   err_set(e, ERR_UNSUPPORTED, "%s: token %d has type %lld", s->path, d->n_token - 1, (long long)t);
        d->type[d->n_token++] = (uint8_t)token_type(t);
    }
    while (merge.n > 0) {
        char *text = gguf_next_string(&merge, e);
        if (!text)
            return err_wrap(e, "%s", s->path);
        d->merge[d->n_merge++] = text;
    }
    return 0;
}

static int read_ids(const struct source *s, struct tokenizer_data *d, struct err *e)
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
        if (gguf_get_int(s->g, ids[i].key, &v, e) < 0)
            return -1;
        if (v < -1 || v >= d->n_token)
            return err_set(e, ERR_FORMAT, "%s: %s is %lld, but there are %d tokens", s->path, ids[i].key, (long long)v,
                           d->n_token);
        *ids[i].to = (int)v;
    }
    /* absent means no: the rule of byte-level BPE */
    if (get_int(s, "tokenizer.ggml.add_bos_token", 0, &d->add_bos, e))
        return -1;
    int64_t end = -1;
    if (gguf_get_int(s->g, "tokenizer.ggml.eot_token_id", &end, e) < 0)
        return -1;
    import_add_end(d, end);
    return 0;
}

static int read_tokenizer(const struct source *s, struct import_source *out, struct err *e)
{
    static const struct {
        const char *theirs, *ours;
    } rules[] = {{"gpt-2", "gpt2"}, {"smollm", "smollm"}};
    struct tokenizer_data *d = &out->tokenizer;
    char *model = NULL, *pre = NULL;
    int rc = -1, found = gguf_get_string(s->g, "tokenizer.ggml.model", &model, e);
    if (found <= 0)
        return found;
    if (strcmp(model, "gpt2") != 0) {
        err_set(e, ERR_UNSUPPORTED, "%s: tokenizer model '%s', expected 'gpt2' (byte-level BPE)", s->path, model);
        goto out;
    }
    if (gguf_get_string(s->g, "tokenizer.ggml.pre", &pre, e) < 0)
        goto out;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (pre && strcmp(pre, rules[i].theirs) == 0)
            d->pre = mem_strdup(rules[i].ours);
    if (!d->pre) {
        err_set(e, ERR_UNSUPPORTED, "%s: pre-tokenizer '%s'; known: gpt-2, smollm", s->path, pre ? pre : "(none)");
        goto out;
    }
    d->kind = TOKENIZER_BPE;
    if (read_tokens(s, d, e) || read_ids(s, d, e) ||
        gguf_get_string(s->g, "tokenizer.chat_template", &d->chat_template, e) < 0)
        goto out;
    import_add_turn_ends(d);
    out->has_tokenizer = 1;
    rc = 0;
out:
    mem_free(pre);
    mem_free(model);
    return rc;
}

int import_gguf_open(const char *path, struct import_source *out, struct err *e)
{
    struct source *s = mem_new(1, sizeof *s);
    out->ctx = s;
    out->fetch = fetch;
    out->destroy = destroy;
    s->path = mem_strdup(path);
    s->g = gguf_open(path, e);
    if (!s->g || read_hparams(s, &out->hp, e))
        return -1;
    s->n_head = out->hp.n_head;
    s->n_kv_head = out->hp.n_kv_head;
    if (check_tensors(s, &out->hp, e) || read_tokenizer(s, out, e) || hash_sha256_file(path, out->sha256, e) ||
        gguf_check(s->g, e))
        return -1;
    out->name = mem_strdup(fs_basename(path));
    return 0;
}
