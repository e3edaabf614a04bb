#include "models/import_hf.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/import_hf_tokenizer.h"
#include "models/safetensors.h"

struct source {
    struct safetensors *st;
    char *folder;
};

/* Our name of a tensor (of a layer: what follows "layers/<l>/") and Hugging Face's. Q and K need no permutation:
 * both sides rotate halves. */
static const struct {
    const char *ours, *theirs;
} names[] = {
    {"embedding", "model.embed_tokens.weight"},   {"output_norm", "model.norm.weight"},
    {"output", "lm_head.weight"},                 {"attn_norm", "input_layernorm.weight"},
    {"wq", "self_attn.q_proj.weight"},            {"wk", "self_attn.k_proj.weight"},
    {"wv", "self_attn.v_proj.weight"},            {"wo", "self_attn.o_proj.weight"},
    {"ffn_norm", "post_attention_layernorm.weight"}, {"gate", "mlp.gate_proj.weight"},
    {"up", "mlp.up_proj.weight"},                 {"down", "mlp.down_proj.weight"},
};

static void translate(const struct model_tensor *t, char *out, size_t size)
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
                snprintf(out, size, "model.layers.%d.%s", layer, names[i].theirs);
        }
}

static const struct safetensors_tensor *find(const struct source *s, const struct model_tensor *t, struct err *e)
{
    char name[96] = "";
    translate(t, name, sizeof name);
    const struct safetensors_tensor *found = safetensors_find(s->st, name);
    if (!found)
        err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->folder, name);
    return found;
}

static int fetch(void *ctx, const struct model_tensor *t, float *dst, struct err *e)
{
    const struct source *s = ctx;
    const struct safetensors_tensor *found = find(s, t, e);
    if (!found)
        return -1;
    safetensors_read(s->st, found, dst);
    return 0;
}

static void destroy(void *ctx)
{
    struct source *s = ctx;
    safetensors_close(s->st);
    mem_free(s->folder);
    mem_free(s);
}

static int check_tensor(const struct source *s, const struct safetensors_tensor *f, const struct model_tensor *t,
                        struct err *e)
{
    struct str shape = {0};
    int rc = 0;
    if (f->type == SAFETENSORS_OTHER)
        rc = err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s': dtype %s, expected F32, F16 or BF16",
                     safetensors_file(s->st, f->file), f->name, f->type_name);
    else if (f->rank != t->rank || f->dim[0] != (uint64_t)t->dim[0] ||
             (t->rank == 2 && f->dim[1] != (uint64_t)t->dim[1])) {
        for (int i = 0; i < f->rank; i++)
            str_addf(&shape, "%s%llu", i ? "," : "", (unsigned long long)f->dim[i]);
        rc = err_set(e, ERR_SHAPE, "%s: tensor '%s': shape (%s), expected (%d%s%.0d) from %s",
                     safetensors_file(s->st, f->file), f->name, str_c(&shape), t->dim[0], t->rank == 2 ? "," : "",
                     t->rank == 2 ? t->dim[1] : 0, t->why);
    }
    str_free(&shape);
    return rc;
}

static int ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

/* Every tensor of the table is there in the right shape, and nothing is there that would be ignored, but for the
 * rotation tables of old files and an output matrix that the config says is the embedding. */
static int check_tensors(const struct source *s, const struct hparams *hp, struct err *e)
{
    int n = safetensors_n(s->st), rc = -1;
    char *used = mem_new((size_t)n + 1, 1);
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        model_tensor_at(hp, i, &t);
        const struct safetensors_tensor *f = find(s, &t, e);
        if (!f || check_tensor(s, f, &t, e))
            goto out;
        used[f - safetensors_at(s->st, 0)] = 1;
    }
    for (int i = 0; i < n; i++) {
        const char *name = safetensors_at(s->st, i)->name;
        if (used[i] || ends_with(name, ".rotary_emb.inv_freq") || (hp->tied && strcmp(name, "lm_head.weight") == 0))
            continue;
        err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' has no place in a llama model here", s->folder, name);
        goto out;
    }
    rc = 0;
out:
    mem_free(used);
    return rc;
}

/* ---- config.json ----------------------------------------------------------------------------- */

/* A key that is absent or null takes the default; a default below zero: it must be there. */
static int get_int(const struct json *o, const char *file, const char *key, int dflt, int *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    int64_t i = dflt;
    if (v && !json_is_null(v) && (json_int64(v, &i) || i < 0 || i > INT_MAX))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is no integer from 0 to %d", file, key, INT_MAX);
    if (i < 0)
        return err_set(e, ERR_FORMAT, "%s: key '%s' missing", file, key);
    *out = (int)i;
    return 0;
}

static int get_real(const struct json *o, const char *file, const char *key, double dflt, double *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    if (v && !json_is_null(v) && !json_is_number(v))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is no number", file, key);
    *out = json_number(v, dflt);
    return 0;
}

/* Refuses a key whose value changes the arithmetic in a way that nothing here does. */
static int refuse_true(const struct json *o, const char *file, const char *key, struct err *e)
{
    return json_bool(json_get(o, key), 0) ? err_set(e, ERR_UNSUPPORTED, "%s: %s is true", file, key) : 0;
}

static int require_word(const struct json *o, const char *file, const char *key, const char *want, struct err *e)
{
    const char *s = json_string(json_get(o, key));
    if (s && strcmp(s, want) == 0)
        return 0;
    return err_set(e, s ? ERR_UNSUPPORTED : ERR_FORMAT, "%s: %s is '%s', expected '%s'", file, key, s ? s : "(none)",
                   want);
}

/* transformers 4: rope_theta beside rope_scaling {rope_type or type, factor, ...}, which may be null.
 * transformers 5: all of it, rope_theta too, in rope_parameters. */
static int read_rope(const struct json *c, const char *file, struct hparams *hp, struct err *e)
{
    const struct json *v5 = json_get(c, "rope_parameters"), *o = v5 ? v5 : json_get(c, "rope_scaling");
    double partial = 1;
    if (o && !json_is_null(o) && !json_is_object(o))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is no object", file, v5 ? "rope_parameters" : "rope_scaling");
    if (get_real(c, file, "rope_theta", 10000, &hp->rope_base, e) ||
        get_real(o, file, "rope_theta", hp->rope_base, &hp->rope_base, e) ||
        get_real(c, file, "partial_rotary_factor", 1, &partial, e) ||
        get_real(o, file, "partial_rotary_factor", partial, &partial, e))
        return -1;
    if (partial != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g", file, partial);
    const char *type = json_string(json_get(o, "rope_type"));
    type = type ? type : json_string(json_get(o, "type"));
    hp->rope_factor = 1;
    if (!type || strcmp(type, "default") == 0) {
        hp->rope_scaling = MODEL_ROPE_PLAIN;
        return 0;
    }
    if (strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: rope_type '%s'; known: default, linear, llama3", file, type);
    if (get_real(o, file, "factor", -1, &hp->rope_factor, e))
        return -1;
    hp->rope_scaling = MODEL_ROPE_LINEAR;
    if (type[1] == 'i')
        return 0;
    hp->rope_scaling = MODEL_ROPE_LLAMA3;
    return get_real(o, file, "low_freq_factor", -1, &hp->rope_low_freq_factor, e) ||
                   get_real(o, file, "high_freq_factor", -1, &hp->rope_high_freq_factor, e) ||
                   get_int(o, file, "original_max_position_embeddings", -1, &hp->rope_original_context, e)
               ? -1
               : 0;
}

static int read_hparams(const struct json *c, const char *file, struct hparams *hp, struct err *e)
{
    double eps = 0;
    const char *dup;
    if (!json_is_object(c))
        return err_set(e, ERR_FORMAT, "%s: no JSON object", file);
    if (json_has_duplicate(c, &dup))
        return err_set(e, ERR_FORMAT, "%s: key '%s' appears twice", file, dup);
    if (require_word(c, file, "model_type", "llama", e) || refuse_true(c, file, "attention_bias", e) ||
        refuse_true(c, file, "mlp_bias", e))
        return -1;
    if (json_get(c, "hidden_act") && require_word(c, file, "hidden_act", "silu", e))
        return -1;
    if (json_get(c, "quantization_config"))
        return err_set(e, ERR_UNSUPPORTED, "%s: quantization_config: quantised weights", file);
    if (get_int(c, file, "num_hidden_layers", -1, &hp->n_layer, e) ||
        get_int(c, file, "hidden_size", -1, &hp->d_model, e) ||
        get_int(c, file, "num_attention_heads", -1, &hp->n_head, e) ||
        get_int(c, file, "num_key_value_heads", hp->n_head, &hp->n_kv_head, e) ||
        get_int(c, file, "head_dim", hp->n_head ? hp->d_model / hp->n_head : 0, &hp->head_dim, e) ||
        get_int(c, file, "intermediate_size", -1, &hp->d_ff, e) ||
        get_int(c, file, "vocab_size", -1, &hp->n_vocab, e) ||
        get_int(c, file, "max_position_embeddings", 2048, &hp->context_length, e) ||
        get_real(c, file, "rms_norm_eps", 1e-6, &eps, e) || read_rope(c, file, hp, e))
        return -1;
    snprintf(hp->architecture, sizeof hp->architecture, "llama");
    hp->norm_eps = (float)eps;
    hp->embedding_scale = 1;
    hp->activation = MODEL_SILU;
    hp->tied = json_bool(json_get(c, "tie_word_embeddings"), 0);
    return hparams_check(hp, e) ? err_wrap(e, "%s", file) : 0;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* SHA-256 of "<sha256>  <name>\n" for the files that are there, in this order. */
static int hash_folder(const struct source *s, char hex[HASH_HEX], struct err *e)
{
    static const char *const small[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json", "chat_template.jinja"};
    enum { N_SMALL = sizeof small / sizeof *small };
    struct str list = {0};
    int rc = 0;
    for (int i = 0; i < N_SMALL + safetensors_n_file(s->st) && rc == 0; i++) {
        char one[HASH_HEX];
        char *path = i < N_SMALL ? fs_join(s->folder, small[i]) : mem_strdup(safetensors_file(s->st, i - N_SMALL));
        if (fs_exists(path)) {
            rc = hash_sha256_file(path, one, e);
            if (rc == 0)
                str_addf(&list, "%s  %s\n", one, fs_basename(path));
        }
        mem_free(path);
    }
    if (rc == 0)
        hash_sha256(list.p, list.n, hex);
    str_free(&list);
    return rc;
}

/* The folder's own name, however it was written ("models/x/", "."). */
static char *folder_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *trimmed = mem_strndup(path, n), *name = mem_strdup(fs_basename(trimmed));
    mem_free(trimmed);
    return name;
}

int import_hf_open(const char *folder, struct import_source *out, struct err *e)
{
    struct source *s = mem_new(1, sizeof *s);
    char *file = fs_join(folder, "config.json"), *text = NULL;
    struct json *config = NULL;
    size_t n = 0;
    int rc = -1;
    out->ctx = s;
    out->fetch = fetch;
    out->destroy = destroy;
    s->folder = mem_strdup(folder);
    text = fs_read(file, &n, e);
    config = text ? json_parse(file, text, n, e) : NULL;
    if (!config || read_hparams(config, file, &out->hp, e))
        goto out;
    s->st = safetensors_open(folder, e);
    if (!s->st || check_tensors(s, &out->hp, e))
        goto out;
    int found = import_hf_tokenizer_read(folder, config, out->hp.n_vocab, &out->tokenizer, e);
    if (found < 0 || hash_folder(s, out->sha256, e))
        goto out;
    out->has_tokenizer = found;
    out->name = folder_name(folder);
    rc = 0;
out:
    json_free(config);
    mem_free(text);
    mem_free(file);
    return rc;
}
