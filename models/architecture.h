/* The architectures that can be imported: one row each, with everything that a source does not say but means by the
 * architecture's name. The importers go by the row, and what it implies becomes data of struct hparams: nothing else
 * here knows a name. To add one, add its row (architecture.c), and what its config.json and GGUF may say beyond the
 * others' keys (the tables of import_hf_config.c and import_gguf.c). */
#ifndef MODELS_ARCHITECTURE_H
#define MODELS_ARCHITECTURE_H

#include "harness/base/str.h"
#include "models/model.h"

/* What a source of this architecture may say beyond sizes and rotation. */
enum architecture_option {
    ARCHITECTURE_WINDOW = 1 << 0,        /* sliding_window, layer_types */
    ARCHITECTURE_WINDOW_SWITCH = 1 << 1, /* use_sliding_window: false without it */
    ARCHITECTURE_LOCAL_ROPE = 1 << 2,    /* a rotation of their own for layers with a window */
    ARCHITECTURE_CAPS = 1 << 3,          /* caps on scores and logits */
    ARCHITECTURE_QUERY_SCALAR = 1 << 4,  /* query_pre_attn_scalar */
    ARCHITECTURE_UNROTATED = 1 << 5,     /* layers without rotation: no_rope_layers */
    ARCHITECTURE_MULTIPLIERS = 1 << 6,   /* of embeddings, scores, what sub-layers add, and logits */
    ARCHITECTURE_PARTIAL_ROPE = 1 << 7,  /* partial_rotary_factor: some dimensions of a head rotate */
    ARCHITECTURE_LONGROPE = 1 << 8       /* a factor for each frequency: longrope */
};

/* Which layers have a window where a source does not list them. */
enum architecture_windows {
    ARCHITECTURE_ALL_WINDOWED,
    ARCHITECTURE_LAST_WINDOWED, /* from max_window_layers on */
    ARCHITECTURE_PERIOD         /* all but every period-th */
};

struct architecture {
    const char *gguf; /* general.architecture, in front of its keys; NULL: there is no such GGUF */
    const char *hf;   /* model_type of config.json; NULL: there is no such folder */
    unsigned options; /* enum architecture_option */
    int permuted;     /* GGUF has the rows of Q and K in another order (import_gguf.c) */
    int fused;        /* one matrix for Q, K and V, and one for gate and up */
    enum model_activation activation;
    const char *activation_key; /* of config.json; NULL: hidden_act */
    int qkv_bias, qk_norm;      /* enum model_qk_norm */
    enum model_norms norms;
    int one_plus;       /* Hugging Face stores w of norms that multiply by 1 + w; GGUF has 1 + w */
    int root_embedding; /* embeddings are multiplied by sqrt(d_model) */
    enum architecture_windows windows;
    int period;         /* of windows, or of layers without rotation */
    int scalar_by_head; /* GGUF: the number of layers at which query_scalar is d_model / n_head; Gemma's largest */
    /* What config.json means by leaving a key out; zero: it has to be there. */
    int context, kv_as_heads, tied, head_dim; /* head_dim zero: d_model / n_head */
    int window;
    double norm_eps, rope_base, rope_local_base, query_scalar, attention_cap, logit_cap;
};

/* NULL: none is called so. */
const struct architecture *architecture_of_gguf(const char *name);
const struct architecture *architecture_of_hf(const char *model_type);
/* "llama, ...", for messages. */
void architecture_list_gguf(struct str *out);
void architecture_list_hf(struct str *out);

/* What the architecture implies, into a zeroed struct; everything else is the source's to say. */
void architecture_begin(const struct architecture *a, struct hparams *hp);
/* hp->layer_kinds by the architecture's rule. `from`: the first layer with a window (LAST_WINDOWED), or the period. */
int architecture_set_windows(const struct architecture *a, struct hparams *hp, int from, struct err *e);
/* The same: every period-th layer does not rotate. */
int architecture_set_unrotated(struct hparams *hp, int period, struct err *e);
/* ARCHITECTURE_MULTIPLIERS: of embeddings and scores, and what logits are divided by; residual_scale is set already. */
void architecture_set_multipliers(struct hparams *hp, double embedding, double scores, double logits_divided_by);
/* 1 where the source has the tensor (wq, wk, wv, gate, up) as rows first .. of a matrix of `rows` rows. */
int architecture_fused(const struct architecture *a, const struct hparams *hp, const char *leaf, int *first, int *rows);
/* Where row r of a head of Q or K belongs, so that the members of a pair of the rotation are head_dim / 2 apart: in a
 * source whose pairs are neighbours (`permuted`), or whose rotation pairs the first and second half of rope_dim. */
int architecture_row(const struct hparams *hp, int permuted, int r);
/* longrope: a factor of every pair for sequences of up to `original` tokens, and one for longer ones, which is left out
 * where the context allows none. Refuses factors that are not positive numbers. */
int architecture_set_longrope(struct hparams *hp, const float *short_factor, const float *long_factor, int original,
                              double attention_factor, struct err *e);
/* What follows from the sizes; and of several ways to say the same the plainest is left: a window that no text
 * outgrows is none, a scalar that is head_dim goes without saying. */
void architecture_finish(const struct architecture *a, struct hparams *hp);

#endif
