/* Keys and tensor names are those that llama.cpp's converter writes. For "llama" it permutes the rows of Q and K
 * within each head so that the two members of a rotated pair become neighbours: row 2 j + s there is row
 * s head_dim / 2 + j of rotate_half's order, which the forward pass here uses; read_values() undoes it where the
 * architecture's row says so. */
#include "models/import_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/architecture.h"
#include "models/gguf.h"
#include "models/import_gguf_keys.h"
#include "models/import_gguf_tokenizer.h"

struct source {
    struct gguf *g;
    char *path;
    const struct architecture *architecture;
    struct hparams hp;
};

/* Our name of a tensor (of a layer: what follows "layers/<l>/") and GGUF's. */
static const struct {
    const char *ours, *theirs;
    const char *fused; /* the matrix that it is part of, in an architecture that joins them */
} names[] = {
    {"embedding", "token_embd.weight", NULL},
    {"output_norm", "output_norm.weight", NULL},
    {"output", "output.weight", NULL},
    {"attn_norm", "attn_norm.weight", NULL},
    {"wq", "attn_q.weight", "attn_qkv.weight"},
    {"wk", "attn_k.weight", "attn_qkv.weight"},
    {"wv", "attn_v.weight", "attn_qkv.weight"},
    {"bq", "attn_q.bias", NULL},
    {"bk", "attn_k.bias", NULL},
    {"bv", "attn_v.bias", NULL},
    {"q_norm", "attn_q_norm.weight", NULL},
    {"k_norm", "attn_k_norm.weight", NULL},
    {"wo", "attn_output.weight", NULL},
    {"attn_post_norm", "post_attention_norm.weight", NULL},
    {"ffn_post_norm", "post_ffw_norm.weight", NULL},
    {"ffn_norm", "ffn_norm.weight", NULL},
    {"gate", "ffn_gate.weight", "ffn_up.weight"},
    {"up", "ffn_up.weight", "ffn_up.weight"},
    {"down", "ffn_down.weight", NULL},
};

/* The source's name of a tensor, and the short form of ours. */
static const char *translate(const struct source *s, const struct model_tensor *t, char *out, size_t size)
{
    int layer = -1;
    const char *leaf = strrchr(t->name, '/');
    leaf = leaf ? leaf + 1 : t->name;
    if (leaf != t->name)
        sscanf(t->name, "layers/%d/", &layer);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].ours, leaf) == 0) {
            const char *theirs = s->architecture->fused && names[i].fused ? names[i].fused : names[i].theirs;
            if (layer < 0)
                snprintf(out, size, "%s", theirs);
            else
                snprintf(out, size, "blk.%d.%s", layer, theirs);
        }
    return leaf;
}

static int read_values(const struct source *s, const struct model_tensor *t, float *dst, struct err *e)
{
    char name[64] = "";
    const char *leaf = translate(s, t, name, sizeof name);
    const struct gguf_tensor *g = gguf_find(s->g, name);
    if (!g)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->path, name);
    size_t cols = (size_t)g->dim[0], n = (size_t)t->dim[0] * (size_t)t->dim[1], rows = n / cols;
    size_t row_bytes = cols / g->type->values * g->type->bytes;
    int first = 0, all;
    architecture_fused(s->architecture, &s->hp, leaf, &first, &all);
    const uint8_t *data = g->data + (size_t)first * row_bytes;
    int turns = strcmp(leaf, "wq") == 0 || strcmp(leaf, "wk") == 0;
    if (!turns || !(s->architecture->permuted || s->hp.rope_dim)) {
        dequant_run(g->type, data, dst, n);
        gguf_release(s->g, g);
        return import_check_finite(s->path, name, dst, n, 0, g->rank > 1 ? cols : 0, e);
    }
    for (size_t r = 0; r < rows; r++) {
        int in_head = (int)(r % (size_t)s->hp.head_dim);
        size_t to = r - (size_t)in_head + (size_t)architecture_row(&s->hp, s->architecture->permuted, in_head);
        dequant_run(g->type, data + r * row_bytes, dst + to * cols, cols);
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

/* Read with the hyper-parameters. */
static const char rope_factors[] = "rope_freqs.weight";
static const char rope_short[] = "rope_factors_short.weight", rope_long[] = "rope_factors_long.weight";

static int is_rope(const struct source *s, const char *name)
{
    return strcmp(name, rope_factors) == 0 || ((s->architecture->options & ARCHITECTURE_LONGROPE) &&
                                               (strcmp(name, rope_short) == 0 || strcmp(name, rope_long) == 0));
}

/* Every tensor of the table is there in the right shape, and nothing is there that would be ignored. */
static int check_tensors(const struct source *s, const struct hparams *hp, struct err *e)
{
    int n = gguf_n_tensor(s->g), rc = -1;
    char *used = mem_new((size_t)n, 1);
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        char name[64] = "";
        int first;
        model_tensor_at(hp, i, &t);
        architecture_fused(s->architecture, hp, strrchr(t.name, '/') ? strrchr(t.name, '/') + 1 : t.name, &first,
                           &t.dim[0]);
        translate(s, &t, name, sizeof name);
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
        if (!used[i] && !is_rope(s, gguf_tensor_at(s->g, i)->name)) {
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
    return import_gguf_keys_int(s->g, s->path, own(s, leaf).key, dflt, out, e);
}

static int own_real(const struct source *s, const char *leaf, double dflt, double *out, struct err *e)
{
    return get_real(s, own(s, leaf).key, dflt, out, e);
}

/* ---- the keys -------------------------------------------------------------------------------- */

/* What may stand behind the architecture's name; all other keys there are refused. */
static const struct import_gguf_key own_keys[] = {
    {"block_count", IMPORT_GGUF_USED, 0},
    {"context_length", IMPORT_GGUF_USED, 0},
    {"embedding_length", IMPORT_GGUF_USED, 0},
    {"feed_forward_length", IMPORT_GGUF_USED, 0},
    {"attention.head_count", IMPORT_GGUF_USED, 0},
    {"attention.head_count_kv", IMPORT_GGUF_USED, 0},
    {"attention.key_length", IMPORT_GGUF_USED, 0},
    {"attention.value_length", IMPORT_GGUF_USED, 0},
    {"attention.layer_norm_rms_epsilon", IMPORT_GGUF_USED, 0},
    {"rope.dimension_count", IMPORT_GGUF_USED, 0},
    {"rope.freq_base", IMPORT_GGUF_USED, 0},
    {"rope.scale_linear", IMPORT_GGUF_USED, 0},
    {"rope.scaling.type", IMPORT_GGUF_USED, 0},
    {"rope.scaling.factor", IMPORT_GGUF_USED, 0},
    {"vocab_size", IMPORT_GGUF_HARMLESS, 0},
    {"rope.scaling.original_context_length", IMPORT_GGUF_USED, 0},
    {"rope.scaling.finetuned", IMPORT_GGUF_HARMLESS, 0},
    {"tensor_data_layout", IMPORT_GGUF_HARMLESS, 0},
    {"attention.layer_norm_epsilon", IMPORT_GGUF_HARMLESS, 0},
    {"expert_used_count", IMPORT_GGUF_HARMLESS, 0},
    {"expert_count", IMPORT_GGUF_OFF, 0},
    {"attention.sliding_window", IMPORT_GGUF_OFF, ARCHITECTURE_WINDOW},
    {"use_parallel_residual", IMPORT_GGUF_OFF, 0},
    {"attention.clamp_kqv", IMPORT_GGUF_OFF, 0},
    {"attention.max_alibi_bias", IMPORT_GGUF_OFF, 0},
    {"attention.scale", IMPORT_GGUF_OFF, ARCHITECTURE_MULTIPLIERS},
    {"attn_logit_softcapping", IMPORT_GGUF_OFF, ARCHITECTURE_CAPS},
    {"final_logit_softcapping", IMPORT_GGUF_OFF, ARCHITECTURE_CAPS},
    {"logit_scale", IMPORT_GGUF_ONE, ARCHITECTURE_MULTIPLIERS},
    {"residual_scale", IMPORT_GGUF_ONE, ARCHITECTURE_MULTIPLIERS},
    {"embedding_scale", IMPORT_GGUF_ONE, ARCHITECTURE_MULTIPLIERS},
    {"rope.scaling.attn_factor", IMPORT_GGUF_ONE, ARCHITECTURE_LONGROPE},
    {"attention.sliding_window_pattern", IMPORT_GGUF_OFF, ARCHITECTURE_WINDOW},
    {"rope.freq_base_swa", IMPORT_GGUF_OFF, ARCHITECTURE_LOCAL_ROPE},
    {0},
};

/* Keys that neither the architecture nor the tokenizer has describe the file. */
static int check_keys(const struct source *s, struct err *e)
{
    char prefix[96];
    snprintf(prefix, sizeof prefix, "%s.", s->architecture->gguf);
    return import_gguf_keys_check(s->g, s->path, prefix, own_keys, s->architecture->options, e) ||
                   import_gguf_tokenizer_check(s->g, s->path, e)
               ? -1
               : 0;
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

/* 1 when the frequencies divided by the file's factors are those of Llama 3.1's scaling with this original context. */
static int is_llama3(const struct hparams *plain, const struct gguf_tensor *g, const float *factor, int original,
                     struct hparams *out)
{
    *out = *plain;
    out->rope_scaling = MODEL_ROPE_LLAMA3;
    out->rope_factor = (double)factor[g->n - 1]; /* the slowest pair's is the whole one */
    out->rope_low_freq_factor = 1;
    out->rope_high_freq_factor = 4;
    out->rope_original_context = original;
    for (size_t i = 0; i < g->n; i++) {
        double want = model_rope_frequency(plain, (int)i, 0) / (double)factor[i];
        if (!(fabs(model_rope_frequency(out, (int)i, 0) / want - 1) < 1e-4))
            return 0;
    }
    return 1;
}

/* llama.cpp writes Llama 3.1's scaling as a factor for each frequency, and not what it was made from. */
static int read_rope_factors(const struct source *s, struct hparams *hp, struct err *e)
{
    const struct gguf_tensor *g = gguf_find(s->g, rope_factors);
    int original = 8192; /* Llama 3's, and the converter's where config.json says nothing */
    if (!g)
        return 0;
    if (own_int(s, "rope.scaling.original_context_length", original, &original, e))
        return -1;
    if (g->n == 0 || g->n != (size_t)hp->head_dim / 2 || hp->rope_scaling != MODEL_ROPE_PLAIN)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: tensor '%s': %zu factors of a rotation, expected %d and no other scaling", s->path,
                       rope_factors, g->n, hp->head_dim / 2);
    float *factor = mem_new(g->n, sizeof *factor);
    struct hparams with;
    dequant_run(g->type, g->data, factor, g->n);
    int found = is_llama3(hp, g, factor, original, &with);
    mem_free(factor);
    if (!found)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: tensor '%s': factors that are not those of Llama 3.1's scaling (1, 4, %d); import the "
                       "Hugging Face folder, whose config.json says what they were made from",
                       s->path, rope_factors, original);
    *hp = with;
    return 0;
}

/* One of the two tensors of longrope; out[pairs]. */
static int read_longrope_factors(const struct source *s, const char *name, int pairs, float *out, struct err *e)
{
    const struct gguf_tensor *g = gguf_find(s->g, name);
    if (!g)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' missing", s->path, name);
    if (g->n != (size_t)pairs)
        return err_set(e, ERR_SHAPE, "%s: tensor '%s': %llu factors of a rotation, expected %d, one for each pair",
                       s->path, name, (unsigned long long)g->n, pairs);
    dequant_run(g->type, g->data, out, g->n);
    for (int i = 0; i < pairs; i++)
        if (!(out[i] > 0 && isfinite(out[i])))
            return err_set(e, ERR_FORMAT, "%s: tensor '%s': factor %d is %g, expected a number above zero", s->path,
                           name, i, (double)out[i]);
    return 0;
}

/* The two tensors say that there is longrope, whatever the type is called. `type` is NULL where there is none. */
static int read_longrope(const struct source *s, const char *type, struct hparams *hp, struct err *e)
{
    int named = type && strcmp(type, "longrope") == 0, has = gguf_find(s->g, rope_short) || gguf_find(s->g, rope_long);
    int original = hp->context_length, pairs = model_rope_pairs(hp), rc = -1;
    double attention = 1;
    if (own_real(s, "rope.scaling.attn_factor", 1, &attention, e) ||
        own_int(s, "rope.scaling.original_context_length", original, &original, e))
        return -1;
    attention = attention == 0 ? 1 : attention;
    if (!named && !has)
        return attention == 1
                   ? 0
                   : err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%s' is %g without tensors '%s' and '%s'", s->path,
                             own(s, "rope.scaling.attn_factor").key, attention, rope_short, rope_long);
    if (hp->rope_scaling != MODEL_ROPE_PLAIN || gguf_find(s->g, rope_factors))
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' beside another scaling of the rotation", s->path,
                       rope_short);
    if (original < 1 || pairs < 1 || pairs > DIMS_MAX_HEAD_DIM / 2)
        return err_set(e, ERR_SHAPE,
                       "%s: %d pairs of a head rotate, at first for %d tokens; expected 1 to %d and 1 or "
                       "more",
                       s->path, pairs, original, DIMS_MAX_HEAD_DIM / 2);
    float *factor = mem_new(2 * (size_t)pairs, sizeof *factor), *longs = factor + pairs;
    if (read_longrope_factors(s, rope_long, pairs, longs, e) == 0 &&
        read_longrope_factors(s, rope_short, pairs, factor, e) == 0)
        rc = architecture_set_longrope(hp, factor, longs, original, attention, e);
    mem_free(factor);
    return rc;
}

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
    if (s->architecture->options & ARCHITECTURE_PARTIAL_ROPE) {
        hp->rope_dim = dims;
    } else if (dims != hp->head_dim) {
        err_set(e, ERR_UNSUPPORTED, "%s: rotation of %d of %d dimensions (%s); whole heads rotate here", s->path, dims,
                hp->head_dim, own(s, "rope.dimension_count").key);
        goto out;
    }
    int none = type && strcmp(type, "none") == 0, can_long = s->architecture->options & ARCHITECTURE_LONGROPE;
    if (type && !none && strcmp(type, "linear") != 0 && !(can_long && strcmp(type, "longrope") == 0)) {
        err_set(e, ERR_UNSUPPORTED, "%s: rope scaling '%s'; known: none, linear%s", s->path, type,
                can_long ? ", longrope" : "");
        goto out;
    }
    if (none || hp->rope_factor == 0)
        hp->rope_factor = 1;
    hp->rope_scaling = hp->rope_factor == 1 ? MODEL_ROPE_PLAIN : MODEL_ROPE_LINEAR;
    rc = read_rope_factors(s, hp, e);
    if (rc == 0 && can_long)
        rc = read_longrope(s, type, hp, e);
out:
    mem_free(type);
    return rc;
}

/* ---- layers, caps and scales ----------------------------------------------------------------- */

/* A list of whether each layer has a window. */
static int read_window_list(const struct source *s, const char *key, struct hparams *hp, struct err *e)
{
    struct gguf_array list;
    int64_t windowed;
    if (gguf_get_array(s->g, key, &list, e) < 0)
        return -1;
    if (hp->n_layer > DIMS_MAX_LAYER || list.n != (uint64_t)hp->n_layer)
        return err_set(e, ERR_SHAPE, "%s: metadata key '%s' has %llu elements, expected one for each of %d layers",
                       s->path, key, (unsigned long long)list.n, hp->n_layer);
    for (int l = 0; l < hp->n_layer; l++) {
        if (gguf_next_int(&list, &windowed, e))
            return err_wrap(e, "%s", s->path);
        hp->layer_kinds[l] = windowed && hp->window ? MODEL_LAYER_WINDOW : MODEL_LAYER_FULL;
    }
    return 0;
}

/* Which layers have a window: the architecture's rule, which llama.cpp has in its code as well, or what is listed. */
static int read_windows(const struct source *s, struct hparams *hp, struct err *e)
{
    const struct architecture *a = s->architecture;
    struct own pattern = own(s, "attention.sliding_window_pattern");
    int64_t period = a->period;
    if (own_int(s, "attention.sliding_window", 0, &hp->window, e))
        return -1;
    if (hp->window && a->windows == ARCHITECTURE_LAST_WINDOWED)
        return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%s' is %d, but the file does not say for which layers",
                       s->path, own(s, "attention.sliding_window").key, hp->window);
    if ((a->options & ARCHITECTURE_LOCAL_ROPE) &&
        own_real(s, "rope.freq_base_swa", a->rope_local_base, &hp->rope_local_base, e))
        return -1;
    if (gguf_get_int(s->g, pattern.key, &period, NULL) < 0)
        return read_window_list(s, pattern.key, hp, e);
    if (period < 0 || period > DIMS_MAX_LAYER)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is %lld, out of range", s->path, pattern.key,
                       (long long)period);
    return architecture_set_windows(a, hp, (int)period, e) ? err_wrap(e, "%s", s->path) : 0;
}

static int read_options(const struct source *s, struct hparams *hp, struct err *e)
{
    const struct architecture *a = s->architecture;
    double embedding = 0, scores = 0, logits = 0;
    if ((a->options & ARCHITECTURE_CAPS) &&
        (own_real(s, "attn_logit_softcapping", a->attention_cap, &hp->attention_cap, e) ||
         own_real(s, "final_logit_softcapping", a->logit_cap, &hp->logit_cap, e)))
        return -1;
    if (a->options & ARCHITECTURE_QUERY_SCALAR)
        hp->query_scalar = hp->n_layer == a->scalar_by_head && hp->n_head ? hp->d_model / hp->n_head : 0;
    if (!(a->options & ARCHITECTURE_MULTIPLIERS))
        return 0;
    if (own_real(s, "embedding_scale", 1, &embedding, e) || own_real(s, "residual_scale", 1, &hp->residual_scale, e) ||
        own_real(s, "attention.scale", 0, &scores, e) || own_real(s, "logit_scale", 1, &logits, e))
        return -1;
    architecture_set_multipliers(hp, embedding, scores, logits);
    return 0;
}

static int read_layers(const struct source *s, struct hparams *hp, struct err *e)
{
    const struct architecture *a = s->architecture;
    if ((a->options & ARCHITECTURE_WINDOW) && read_windows(s, hp, e))
        return -1;
    if ((a->options & ARCHITECTURE_UNROTATED) && architecture_set_unrotated(hp, a->period, e))
        return err_wrap(e, "%s", s->path);
    return read_options(s, hp, e);
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
        own_real(s, "attention.layer_norm_rms_epsilon", 1e-5, &eps, e) || read_rope(s, hp, e) || read_layers(s, hp, e))
        return -1;
    if (value_dim != hp->head_dim)
        return err_set(e, ERR_UNSUPPORTED, "%s: keys of %d and values of %d dimensions", s->path, hp->head_dim,
                       value_dim);
    hp->n_vocab = (int)embedding->dim[1];
    hp->norm_eps = (float)eps;
    hp->tied = gguf_find(s->g, "output.weight") == NULL;
    architecture_finish(s->architecture, hp);
    return hparams_check(hp, e) ? err_wrap(e, "%s", s->path) : 0;
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
    s->hp = out->hp;
    if (check_tensors(s, &out->hp, e) || import_gguf_tokenizer_read(s->g, s->path, out, e) ||
        hash_sha256_file(path, out->sha256, e) || gguf_check(s->g, e))
        return -1;
    out->name = mem_strdup(fs_basename(path));
    return 0;
}
