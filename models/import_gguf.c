/* Keys and tensor names are those that llama.cpp's converter writes. For "llama" it permutes the rows of Q and K
 * within each head so that the two members of a rotated pair become neighbours: row 2 j + s there is row
 * s head_dim / 2 + j of rotate_half's order, which the forward pass here uses; read_values() undoes it where the
 * architecture's row says so. */
#include "models/import_gguf.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/architecture.h"
#include "models/gguf.h"

struct source {
    struct gguf *g;
    char *path;
    const struct architecture *architecture;
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
    if (heads == 0 || !s->architecture->permuted) {
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
            err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' has no place in a %s model here", s->path,
                    gguf_tensor_at(s->g, i)->name, s->architecture->gguf);
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

/* A key of the architecture: "block_count" -> "llama.block_count". */
struct own {
    char key[96];
};

static struct own own(const struct source *s, const char *leaf)
{
    struct own k;
    snprintf(k.key, sizeof k.key, "%s.%s", s->architecture->gguf, leaf);
    return k;
}

static int own_int(const struct source *s, const char *leaf, int dflt, int *out, struct err *e)
{
    return get_int(s, own(s, leaf).key, dflt, out, e);
}

static int own_real(const struct source *s, const char *leaf, double dflt, double *out, struct err *e)
{
    return get_real(s, own(s, leaf).key, dflt, out, e);
}

/* ---- the keys -------------------------------------------------------------------------------- */

enum rule {
    USED,
    HARMLESS, /* changes nothing that is computed here */
    OFF,      /* refused unless 0 or false */
    ONE       /* refused unless 1, or 0, by which llama.cpp means the same */
};

/* What may stand behind the architecture's name ("") and behind "tokenizer."; all other keys there are refused,
 * those elsewhere describe the file. */
static const struct key {
    const char *name;
    enum rule rule;
} own_keys[] =
    {
        {"block_count", USED},
        {"context_length", USED},
        {"embedding_length", USED},
        {"feed_forward_length", USED},
        {"attention.head_count", USED},
        {"attention.head_count_kv", USED},
        {"attention.key_length", USED},
        {"attention.value_length", USED},
        {"attention.layer_norm_rms_epsilon", USED},
        {"rope.dimension_count", USED},
        {"rope.freq_base", USED},
        {"rope.scale_linear", USED},
        {"rope.scaling.type", USED},
        {"rope.scaling.factor", USED},
        {"vocab_size", HARMLESS},
        {"rope.scaling.original_context_length", HARMLESS},
        {"rope.scaling.finetuned", HARMLESS},
        {"tensor_data_layout", HARMLESS},
        {"attention.layer_norm_epsilon", HARMLESS},
        {"expert_used_count", HARMLESS},
        {"expert_count", OFF},
        {"attention.sliding_window", OFF},
        {"use_parallel_residual", OFF},
        {"attention.clamp_kqv", OFF},
        {"attention.max_alibi_bias", OFF},
        {"attention.scale", OFF},
        {"attn_logit_softcapping", OFF},
        {"final_logit_softcapping", OFF},
        {"logit_scale", ONE},
        {"residual_scale", ONE},
        {"embedding_scale", ONE},
        {"rope.scaling.attn_factor", ONE},
        {0},
},
  tokenizer_keys[] = {
      {"ggml.model", USED},
      {"ggml.pre", USED},
      {"ggml.tokens", USED},
      {"ggml.token_type", USED},
      {"ggml.merges", USED},
      {"ggml.bos_token_id", USED},
      {"ggml.eos_token_id", USED},
      {"ggml.eot_token_id", USED},
      {"ggml.eom_token_id", HARMLESS},
      {"ggml.padding_token_id", USED},
      {"ggml.unknown_token_id", USED},
      {"ggml.add_bos_token", USED},
      {"chat_template", USED},
      {"ggml.scores", HARMLESS},
      {"ggml.token_type_count", HARMLESS},
      {"ggml.seperator_token_id", HARMLESS},
      {"ggml.separator_token_id", HARMLESS},
      {"ggml.cls_token_id", HARMLESS},
      {"ggml.mask_token_id", HARMLESS},
      {"ggml.prefix_token_id", HARMLESS},
      {"ggml.suffix_token_id", HARMLESS},
      {"ggml.middle_token_id", HARMLESS},
      {"ggml.fim_pre_token_id", HARMLESS},
      {"ggml.fim_suf_token_id", HARMLESS},
      {"ggml.fim_mid_token_id", HARMLESS},
      {"ggml.fim_pad_token_id", HARMLESS},
      {"ggml.fim_rep_token_id", HARMLESS},
      {"ggml.fim_sep_token_id", HARMLESS},
      {"huggingface.json", HARMLESS},
      {"chat_templates", HARMLESS},
      {"ggml.remove_extra_whitespaces", OFF},
      {"ggml.add_eos_token", OFF},
      {"ggml.add_sep_token", OFF},
      {"ggml.add_space_prefix", OFF},
      {0},
};

/* The row of the key; NULL: the key is no part of any table. *known: whether it has to be in one. */
static const struct key *find_key(const struct source *s, const char *key, int *known)
{
    size_t n = strlen(s->architecture->gguf);
    const struct key *k = NULL;
    if (strncmp(key, s->architecture->gguf, n) == 0 && key[n] == '.') {
        k = own_keys;
        key += n + 1;
    } else if (strncmp(key, "tokenizer.", 10) == 0) {
        k = tokenizer_keys;
        key += 10;
    }
    *known = k && (k == own_keys || strncmp(key, "chat_template.", 14) != 0); /* templates that are not in force */
    while (k && k->name && strcmp(k->name, key) != 0)
        k++;
    return k && k->name ? k : NULL;
}

static int check_key(const struct source *s, const char *key, struct err *e)
{
    double v = 0;
    int known;
    const struct key *k = find_key(s, key, &known);
    if (!k && known)
        return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%.200s' is not known here, and might change the numbers",
                       s->path, key);
    if (!k || (k->rule != OFF && k->rule != ONE))
        return 0;
    if (gguf_get_real(s->g, key, &v, e) < 0)
        return -1;
    if (v != 0 && !(k->rule == ONE && v == 1))
        return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%s' is %g, expected %s: there is no such thing here",
                       s->path, key, v, k->rule == ONE ? "1" : "0");
    return 0;
}

static int check_keys(const struct source *s, struct err *e)
{
    for (int i = 0; i < gguf_n_key(s->g); i++)
        if (check_key(s, gguf_key_at(s->g, i), e))
            return -1;
    return 0;
}

/* Files of a model that was split have its keys in the first of them alone, if at all. */
static int check_whole(const struct source *s, struct err *e)
{
    int64_t parts = 1;
    if (gguf_get_int(s->g, "split.count", &parts, e) < 0)
        return -1;
    if (parts <= 1)
        return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: one of %lld files of a model that was split; join them first (llama.cpp's "
                   "llama-gguf-split --merge) and import the whole",
                   s->path, (long long)parts);
}

/* ---- hyper-parameters ------------------------------------------------------------------------ */

/* As llama.cpp reads it: the factor's old name counts where the new one is absent, a factor of 0 is 1, and the type is
 * linear where none is given. */
static int read_rope(const struct source *s, struct hparams *hp, struct err *e)
{
    char *type = NULL;
    int dims = 0, rc = -1;
    double old_factor = 0;
    if (own_int(s, "rope.dimension_count", hp->head_dim, &dims, e) ||
        own_real(s, "rope.freq_base", 10000, &hp->rope_base, e) ||
        own_real(s, "rope.scale_linear", 0, &old_factor, e) ||
        own_real(s, "rope.scaling.factor", old_factor, &hp->rope_factor, e) ||
        gguf_get_string(s->g, own(s, "rope.scaling.type").key, &type, e) < 0)
        goto out;
    if (dims != hp->head_dim) {
        err_set(e, ERR_UNSUPPORTED, "%s: rotation of %d of %d dimensions (%s); whole heads rotate here", s->path, dims,
                hp->head_dim, own(s, "rope.dimension_count").key);
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

static int find_architecture(struct source *s, struct err *e)
{
    char *name = NULL;
    int found = gguf_get_string(s->g, "general.architecture", &name, e);
    if (found < 0)
        return -1;
    s->architecture = found ? architecture_of_gguf(name) : NULL;
    if (!s->architecture) {
        struct str known = {0};
        architecture_list_gguf(&known);
        err_set(e, found ? ERR_UNSUPPORTED : ERR_FORMAT, "%s: architecture '%s'; known: %s", s->path,
                found ? name : "(none)", str_c(&known));
        str_free(&known);
    }
    mem_free(name);
    return s->architecture ? 0 : -1;
}

static int read_hparams(struct source *s, struct hparams *hp, struct err *e)
{
    double eps = 0;
    int value_dim = 0;
    const struct gguf_tensor *embedding = gguf_find(s->g, "token_embd.weight");
    if (check_whole(s, e) || find_architecture(s, e) || check_keys(s, e))
        return -1;
    architecture_begin(s->architecture, hp);
    if (!embedding || embedding->rank != 2 || embedding->dim[1] > DIMS_MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "%s: tensor 'token_embd.weight' missing, or not a matrix of at most %d rows",
                       s->path, (int)DIMS_MAX_VOCAB);
    if (own_int(s, "block_count", -1, &hp->n_layer, e) || own_int(s, "context_length", -1, &hp->context_length, e) ||
        own_int(s, "embedding_length", -1, &hp->d_model, e) || own_int(s, "feed_forward_length", -1, &hp->d_ff, e) ||
        own_int(s, "attention.head_count", -1, &hp->n_head, e) ||
        own_int(s, "attention.head_count_kv", hp->n_head, &hp->n_kv_head, e) ||
        own_int(s, "attention.key_length", hp->n_head ? hp->d_model / hp->n_head : 0, &hp->head_dim, e) ||
        own_int(s, "attention.value_length", hp->head_dim, &value_dim, e) ||
        own_real(s, "attention.layer_norm_rms_epsilon", 1e-5, &eps, e) || read_rope(s, hp, e))
        return -1;
    if (value_dim != hp->head_dim)
        return err_set(e, ERR_UNSUPPORTED, "%s: keys of %d and values of %d dimensions", s->path, hp->head_dim,
                       value_dim);
    hp->n_vocab = (int)embedding->dim[1];
    hp->norm_eps = (float)eps;
    hp->tied = gguf_find(s->g, "output.weight") == NULL;
    return hparams_check(hp, e) ? err_wrap(e, "%s", s->path) : 0;
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
