#include "models/import_hf.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/architecture.h"
#include "models/import_hf_config.h"
#include "models/import_hf_tokenizer.h"
#include "models/safetensors.h"

struct source {
    struct safetensors *st;
    char *folder;
    const char *prefix;    /* of all names but the output matrix's: "model.", or "" in files of the bare model */
    const char *embedding; /* the tensor that holds it, without the prefix */
    const struct architecture *architecture;
    struct hparams hp;
    int around; /* norms behind the sub-layers, too */
};

static const char embed_tokens[] = "embed_tokens.weight", lm_head[] = "lm_head.weight";

/* Our name of a tensor (of a layer: what follows "layers/<l>/") and Hugging Face's, without the prefix. Q and K need no
 * permutation: both sides rotate halves. The norm before the feed-forward has the name of what, where sub-layers are
 * normalised around, is the norm behind attention. */
static const struct {
    const char *ours, *theirs, *around; /* the latter where it differs, unless norms: before */
    const char *fused;                  /* the matrix that it is part of, in an architecture that joins them */
} names[] = {
    {"output_norm", "norm.weight", NULL, NULL},
    {"attn_norm", "input_layernorm.weight", NULL, NULL},
    {"wq", "self_attn.q_proj.weight", NULL, "self_attn.qkv_proj.weight"},
    {"wk", "self_attn.k_proj.weight", NULL, "self_attn.qkv_proj.weight"},
    {"wv", "self_attn.v_proj.weight", NULL, "self_attn.qkv_proj.weight"},
    {"bq", "self_attn.q_proj.bias", NULL, NULL},
    {"bk", "self_attn.k_proj.bias", NULL, NULL},
    {"bv", "self_attn.v_proj.bias", NULL, NULL},
    {"q_norm", "self_attn.q_norm.weight", NULL, NULL},
    {"k_norm", "self_attn.k_norm.weight", NULL, NULL},
    {"wo", "self_attn.o_proj.weight", NULL, NULL},
    {"attn_post_norm", "post_attention_layernorm.weight", NULL, NULL},
    {"ffn_norm", "post_attention_layernorm.weight", "pre_feedforward_layernorm.weight", NULL},
    {"gate", "mlp.gate_proj.weight", NULL, "mlp.gate_up_proj.weight"},
    {"up", "mlp.up_proj.weight", NULL, "mlp.gate_up_proj.weight"},
    {"down", "mlp.down_proj.weight", NULL, NULL},
    {"ffn_post_norm", "post_feedforward_layernorm.weight", NULL, NULL},
};

static void translate(const struct source *s, const struct model_tensor *t, char *out, size_t size)
{
    int layer = -1;
    if (strcmp(t->name, "output") == 0 || (strcmp(t->name, "embedding") == 0 && s->embedding == lm_head)) {
        snprintf(out, size, "%s", lm_head);
        return;
    }
    if (strcmp(t->name, "embedding") == 0) {
        snprintf(out, size, "%s%s", s->prefix, embed_tokens);
        return;
    }
    const char *leaf = strrchr(t->name, '/');
    leaf = leaf ? leaf + 1 : t->name;
    if (leaf != t->name)
        sscanf(t->name, "layers/%d/", &layer);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].ours, leaf) == 0) {
            const char *theirs = s->around && names[i].around               ? names[i].around
                                 : s->architecture->fused && names[i].fused ? names[i].fused
                                                                            : names[i].theirs;
            if (layer < 0)
                snprintf(out, size, "%s%s", s->prefix, theirs);
            else
                snprintf(out, size, "%slayers.%d.%s", s->prefix, layer, theirs);
        }
}

static const struct safetensors_tensor *find(const struct source *s, const struct model_tensor *t, struct err *e)
{
    char name[96] = "";
    translate(s, t, name, sizeof name);
    const struct safetensors_tensor *found = safetensors_find(s->st, name);
    if (!found)
        err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->folder, name);
    return found;
}

static const char *leaf_of(const struct model_tensor *t)
{
    const char *slash = strrchr(t->name, '/');
    return slash ? slash + 1 : t->name;
}

/* Rows of the tensor one by one, each to its place in the head. */
static void read_rows(const struct source *s, const struct safetensors_tensor *found, const struct model_tensor *t,
                      int first, float *dst)
{
    size_t cols = (size_t)t->dim[1];
    for (int r = 0; r < t->dim[0]; r++) {
        int in_head = r % s->hp.head_dim, to = r - in_head + architecture_row(&s->hp, 0, in_head);
        safetensors_read_part(s->st, found, (size_t)(first + r) * cols, cols, dst + (size_t)to * cols);
    }
}

static int fetch(void *ctx, const struct model_tensor *t, float *dst, struct err *e)
{
    const struct source *s = ctx;
    const struct safetensors_tensor *found = find(s, t, e);
    const char *leaf = leaf_of(t);
    int first = 0, rows;
    size_t n = (size_t)t->dim[0] * (size_t)t->dim[1];
    if (!found)
        return -1;
    int fused = architecture_fused(s->architecture, &s->hp, leaf, &first, &rows);
    if (s->hp.rope_dim && (strcmp(leaf, "wq") == 0 || strcmp(leaf, "wk") == 0))
        read_rows(s, found, t, first, dst);
    else if (fused)
        safetensors_read_part(s->st, found, (size_t)first * (size_t)t->dim[1], n, dst);
    else
        safetensors_read(s->st, found, dst);
    if (safetensors_check(s->st, e))
        return -1;
    return import_check_finite(safetensors_file(s->st, found->file), found->name, dst, n, 0,
                               found->rank == 2 ? (size_t)found->dim[1] : 0, e);
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

/* 1 when both hold the same values in the same shape. Panels of both are compared, so that neither is held whole. */
static int same_values(const struct source *s, const struct safetensors_tensor *a, const struct safetensors_tensor *b)
{
    enum { PANEL = 4096 };
    float x[PANEL], y[PANEL];
    if (a->type == SAFETENSORS_OTHER || b->type == SAFETENSORS_OTHER || a->rank != b->rank ||
        memcmp(a->dim, b->dim, sizeof a->dim) != 0)
        return 0;
    for (size_t i = 0; i < a->n; i += PANEL) {
        size_t n = a->n - i < PANEL ? a->n - i : PANEL;
        safetensors_read_part(s->st, a, i, n, x);
        safetensors_read_part(s->st, b, i, n, y);
        if (memcmp(x, y, n * sizeof *x) != 0)
            return 0;
    }
    return 1;
}

/* Which matrices stand for embedding and output, as transformers 5 reads a config that ties them: a file with one of
 * the two uses it for both, and one with two different ones is not tied, whatever its config says. */
static void settle_tied(struct source *s, struct hparams *hp)
{
    char name[96];
    s->prefix = safetensors_find(s->st, "model.norm.weight") || !safetensors_find(s->st, "norm.weight") ? "model." : "";
    s->embedding = embed_tokens;
    snprintf(name, sizeof name, "%s%s", s->prefix, embed_tokens);
    const struct safetensors_tensor *in = safetensors_find(s->st, name), *out = safetensors_find(s->st, lm_head);
    if (!hp->tied || !out)
        return;
    if (!in)
        s->embedding = lm_head;
    else if (!same_values(s, in, out))
        hp->tied = 0;
}

/* Every tensor of the table is there in the right shape, and nothing is there that would be ignored, but for the
 * rotation tables of old files and an output matrix that equals the embedding. */
static int check_tensors(const struct source *s, const struct hparams *hp, struct err *e)
{
    int n = safetensors_n(s->st), rc = -1;
    char *used = mem_new((size_t)n + 1, 1);
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        int first;
        model_tensor_at(hp, i, &t);
        architecture_fused(s->architecture, hp, leaf_of(&t), &first, &t.dim[0]);
        const struct safetensors_tensor *f = find(s, &t, e);
        if (!f || check_tensor(s, f, &t, e))
            goto out;
        used[f - safetensors_at(s->st, 0)] = 1;
    }
    for (int i = 0; i < n; i++) {
        const char *name = safetensors_at(s->st, i)->name;
        if (used[i] || ends_with(name, ".rotary_emb.inv_freq") || (hp->tied && strcmp(name, lm_head) == 0))
            continue;
        err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' has no place in a %s model here", s->folder, name,
                hp->architecture);
        goto out;
    }
    rc = 0;
out:
    mem_free(used);
    return rc;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* SHA-256 of "<sha256>  <name>\n" for the files that are there, in this order. */
static int hash_folder(const struct source *s, char hex[HASH_HEX], struct err *e)
{
    static const char *const small[] = {
        "config.json",           "generation_config.json", "tokenizer.json",      "special_tokens_map.json",
        "tokenizer_config.json", "added_tokens.json",      "chat_template.jinja", "tokenizer.model"};
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
    if (!config || import_hf_config_read(config, file, &out->hp, &out->notes, e))
        goto out;
    s->st = safetensors_open(folder, e);
    if (!s->st)
        goto out;
    s->around = out->hp.norms != MODEL_NORMS_BEFORE;
    s->architecture = architecture_of_hf(json_string(json_get(config, "model_type")));
    settle_tied(s, &out->hp);
    s->hp = out->hp;
    if (check_tensors(s, &out->hp, e))
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
