#include "models/architecture.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct architecture table[] = {
    {.gguf = "llama",
     .hf = "llama",
     .permuted = 1,
     .context = 2048,
     .kv_as_heads = 1,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
    {.hf = "mistral", /* its GGUF says llama */
     .options = ARCHITECTURE_WINDOW,
     .windows = ARCHITECTURE_ALL_WINDOWED,
     .window = 4096,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
    {.gguf = "qwen2",
     .hf = "qwen2",
     .options = ARCHITECTURE_WINDOW | ARCHITECTURE_WINDOW_SWITCH,
     .qkv_bias = 1,
     .windows = ARCHITECTURE_LAST_WINDOWED,
     .window = 4096,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
    {.gguf = "qwen3",
     .hf = "qwen3",
     .options = ARCHITECTURE_WINDOW | ARCHITECTURE_WINDOW_SWITCH,
     .qk_norm = MODEL_QK_NORM_HEAD,
     .windows = ARCHITECTURE_LAST_WINDOWED,
     .window = 4096,
     .head_dim = 128,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
    {.gguf = "gemma",
     .hf = "gemma",
     .activation = MODEL_GELU_TANH,
     .one_plus = 1,
     .root_embedding = 1,
     .tied = 1,
     .head_dim = 256,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
    {.gguf = "gemma2",
     .hf = "gemma2",
     .options = ARCHITECTURE_WINDOW | ARCHITECTURE_CAPS | ARCHITECTURE_QUERY_SCALAR,
     .activation = MODEL_GELU_TANH,
     .activation_key = "hidden_activation",
     .norms = MODEL_NORMS_AROUND,
     .one_plus = 1,
     .root_embedding = 1,
     .windows = ARCHITECTURE_PERIOD,
     .period = 2,
     .scalar_by_head = 46,
     .tied = 1,
     .head_dim = 256,
     .window = 4096,
     .norm_eps = 1e-6,
     .rope_base = 1e4,
     .query_scalar = 256,
     .attention_cap = 50,
     .logit_cap = 30},
    {.gguf = "gemma3",
     .hf = "gemma3_text",
     .options = ARCHITECTURE_WINDOW | ARCHITECTURE_LOCAL_ROPE | ARCHITECTURE_CAPS | ARCHITECTURE_QUERY_SCALAR,
     .activation = MODEL_GELU_TANH,
     .activation_key = "hidden_activation",
     .qk_norm = MODEL_QK_NORM_HEAD,
     .norms = MODEL_NORMS_AROUND,
     .one_plus = 1,
     .root_embedding = 1,
     .windows = ARCHITECTURE_PERIOD,
     .period = 6,
     .scalar_by_head = 62,
     .tied = 1,
     .head_dim = 256,
     .window = 4096,
     .norm_eps = 1e-6,
     .rope_base = 1e6,
     .rope_local_base = 1e4,
     .query_scalar = 256},
    {.gguf = "phi3",
     .hf = "phi3",
     .options = ARCHITECTURE_WINDOW | ARCHITECTURE_PARTIAL_ROPE | ARCHITECTURE_LONGROPE,
     .fused = 1,
     .windows = ARCHITECTURE_ALL_WINDOWED,
     .context = 4096,
     .kv_as_heads = 1,
     .norm_eps = 1e-5,
     .rope_base = 1e4},
    {.gguf = "olmo2",
     .hf = "olmo2",
     .qk_norm = MODEL_QK_NORM_WHOLE,
     .norms = MODEL_NORMS_AFTER,
     .context = 2048,
     .kv_as_heads = 1,
     .norm_eps = 1e-5,
     .rope_base = 1e4},
    {.gguf = "smollm3",
     .hf = "smollm3",
     .options = ARCHITECTURE_UNROTATED,
     .permuted = 1,
     .period = 4,
     .tied = 1,
     .norm_eps = 1e-6,
     .rope_base = 2e6},
    {.gguf = "granite",
     .hf = "granite",
     .options = ARCHITECTURE_MULTIPLIERS,
     .permuted = 1,
     .context = 2048,
     .kv_as_heads = 1,
     .norm_eps = 1e-6,
     .rope_base = 1e4},
};
enum { N_ARCHITECTURE = sizeof table / sizeof *table };

/* The name at `offset` of a row: that of GGUF or that of Hugging Face. */
static const char *name_at(const struct architecture *a, size_t offset)
{
    const char *name;
    memcpy(&name, (const char *)a + offset, sizeof name);
    return name;
}

static const struct architecture *find(size_t offset, const char *name)
{
    for (int i = 0; i < N_ARCHITECTURE; i++) {
        const char *known = name_at(&table[i], offset);
        if (known && strcmp(known, name) == 0)
            return &table[i];
    }
    return NULL;
}

static void list(size_t offset, struct str *out)
{
    int n = 0;
    for (int i = 0; i < N_ARCHITECTURE; i++)
        if (name_at(&table[i], offset))
            str_addf(out, "%s%s", n++ ? ", " : "", name_at(&table[i], offset));
}

const struct architecture *architecture_of_gguf(const char *name)
{
    return find(offsetof(struct architecture, gguf), name);
}

const struct architecture *architecture_of_hf(const char *model_type)
{
    return find(offsetof(struct architecture, hf), model_type);
}

void architecture_list_gguf(struct str *out)
{
    list(offsetof(struct architecture, gguf), out);
}

void architecture_list_hf(struct str *out)
{
    list(offsetof(struct architecture, hf), out);
}

void architecture_begin(const struct architecture *a, struct hparams *hp)
{
    snprintf(hp->architecture, sizeof hp->architecture, "%s", a->gguf ? a->gguf : a->hf);
    hp->activation = a->activation;
    hp->qkv_bias = a->qkv_bias;
    hp->qk_norm = a->qk_norm;
    hp->norms = a->norms;
}

int architecture_fused(const struct architecture *a, const struct hparams *hp, const char *leaf, int *first, int *rows)
{
    int q = hp->n_head * hp->head_dim, kv = hp->n_kv_head * hp->head_dim;
    const struct {
        const char *leaf;
        int first, rows;
    } parts[] = {{"wq", 0, q + 2 * kv},
                 {"wk", q, q + 2 * kv},
                 {"wv", q + kv, q + 2 * kv},
                 {"gate", 0, 2 * hp->d_ff},
                 {"up", hp->d_ff, 2 * hp->d_ff}};
    for (size_t i = 0; a->fused && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(leaf, parts[i].leaf) == 0) {
            *first = parts[i].first;
            *rows = parts[i].rows;
            return 1;
        }
    return 0;
}

int architecture_row(const struct hparams *hp, int permuted, int r)
{
    int half = hp->head_dim / 2, turning = hp->rope_dim / 2, still = half - turning;
    if (permuted)
        return r % 2 * half + r / 2;
    if (!hp->rope_dim)
        return r;
    if (r < hp->rope_dim)
        return r < turning ? r : half + r - turning;
    r -= hp->rope_dim;
    return r < still ? turning + r : half + turning + r - still;
}

void architecture_finish(const struct architecture *a, struct hparams *hp)
{
    int useless = hp->window >= hp->context_length && hp->rope_local_base == 0;
    if (hp->embedding_scale == 0)
        hp->embedding_scale = a->root_embedding ? sqrtf((float)hp->d_model) : 1;
    if (hp->query_scalar == hp->head_dim)
        hp->query_scalar = 0;
    if (hp->rope_dim == hp->head_dim)
        hp->rope_dim = 0;
    for (char *k = hp->layer_kinds; *k; k++)
        if (*k == MODEL_LAYER_WINDOW && useless)
            *k = MODEL_LAYER_FULL;
    if (!strchr(hp->layer_kinds, MODEL_LAYER_WINDOW)) {
        hp->window = 0;
        hp->rope_local_base = 0;
    }
    if (model_layers_alike(hp))
        memset(hp->layer_kinds, 0, sizeof hp->layer_kinds);
}

static int has_window(const struct architecture *a, int layer, int from)
{
    switch (a->windows) {
    case ARCHITECTURE_LAST_WINDOWED: return layer >= from;
    case ARCHITECTURE_PERIOD: return (layer + 1) % from != 0;
    default: return 1;
    }
}

static int check_layers(const struct hparams *hp, int period, struct err *e)
{
    if (hp->n_layer > DIMS_MAX_LAYER)
        return err_set(e, ERR_SHAPE, "%d layers, expected at most %d", hp->n_layer, DIMS_MAX_LAYER);
    if (period < 1)
        return err_set(e, ERR_SHAPE, "every %d-th layer is of another kind, expected a period of 1 or more", period);
    return 0;
}

int architecture_set_unrotated(struct hparams *hp, int period, struct err *e)
{
    if (check_layers(hp, period, e))
        return -1;
    for (int l = 0; l < hp->n_layer; l++)
        hp->layer_kinds[l] = (l + 1) % period == 0 ? MODEL_LAYER_UNROTATED : MODEL_LAYER_FULL;
    hp->layer_kinds[hp->n_layer] = 0;
    return 0;
}

int architecture_set_windows(const struct architecture *a, struct hparams *hp, int from, struct err *e)
{
    if (check_layers(hp, a->windows == ARCHITECTURE_PERIOD ? from : 1, e))
        return -1;
    for (int l = 0; l < hp->n_layer; l++)
        hp->layer_kinds[l] = hp->window && has_window(a, l, from) ? MODEL_LAYER_WINDOW : MODEL_LAYER_FULL;
    hp->layer_kinds[hp->n_layer] = 0;
    return 0;
}

/* Scores are q . k x scores, so that they are divided by the root of 1 / scores^2. */
void architecture_set_multipliers(struct hparams *hp, double embedding, double scores, double logits_divided_by)
{
    hp->embedding_scale = (float)embedding;
    hp->query_scalar = 1 / (scores * scores);
    hp->logit_scale = 1 / logits_divided_by;
    hp->logit_scale = hp->logit_scale == 1 ? 0 : hp->logit_scale;
    hp->residual_scale = hp->residual_scale == 1 ? 0 : hp->residual_scale;
}

int architecture_set_longrope(struct hparams *hp, const float *short_factor, const float *long_factor, int original,
                              double attention_factor, struct err *e)
{
    int pairs = model_rope_pairs(hp);
    if (pairs > DIMS_MAX_HEAD_DIM / 2)
        return err_set(e, ERR_SHAPE, "head_dim is %d, expected 1 to %d", hp->head_dim, (int)DIMS_MAX_HEAD_DIM);
    hp->rope_scaling = MODEL_ROPE_LONGROPE;
    hp->rope_original_context = original;
    hp->rope_attention_factor = (double)(float)attention_factor; /* GGUF has it so: one model, one identity */
    for (int i = 0; i < pairs; i++) {
        if (!(short_factor[i] > 0 && isfinite(short_factor[i]) && long_factor[i] > 0 && isfinite(long_factor[i])))
            return err_set(e, ERR_FORMAT, "longrope: factors of pair %d are %g and %g, expected numbers above zero", i,
                           (double)short_factor[i], (double)long_factor[i]);
        hp->rope_divisor[i] = short_factor[i];
        hp->rope_long_divisor[i] = model_rope_long(hp, hp->context_length) ? long_factor[i] : 0;
    }
    return 0;
}
