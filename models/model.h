/* A model: hyper-parameters, weights and tokenizer, immutable after load and shared by all cells and
 * threads. Architectures differ in the data of `struct hparams`, never in forks of the forward pass.
 * models/README.md documents the file format. */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/hash.h"
#include "models/dims.h"
#include "models/matrix.h"
#include "models/tokenizer.h"

enum model_activation { MODEL_SILU, MODEL_GELU_TANH };
enum model_rope_scaling { MODEL_ROPE_PLAIN, MODEL_ROPE_LINEAR, MODEL_ROPE_LLAMA3, MODEL_ROPE_LONGROPE };
enum model_norms { MODEL_NORMS_BEFORE, MODEL_NORMS_AROUND, MODEL_NORMS_AFTER }; /* of attention and feed-forward */
enum model_qk_norm { MODEL_QK_NORM_NONE, MODEL_QK_NORM_HEAD, MODEL_QK_NORM_WHOLE };
enum model_dtype { MODEL_F32, MODEL_F16, MODEL_BF16 };

/* What a layer attends to, a letter each in hparams.layer_kinds. */
enum model_layer_kind {
    MODEL_LAYER_FULL = 'f',     /* everything before a token */
    MODEL_LAYER_WINDOW = 'w',   /* the last `window` tokens, its own included */
    MODEL_LAYER_UNROTATED = 'n' /* everything, without positions: queries and keys are not rotated */
};

struct hparams {
    char architecture[32]; /* "llama", ... as the source named it */
    int n_layer, d_model, n_head, n_kv_head, n_group, head_dim, d_ff, n_vocab, context_length;
    float norm_eps;
    float norm_offset;     /* RMSNorm multiplies by (offset + w): 0, or 1 for Gemma */
    float embedding_scale; /* 1, or sqrt(d_model) for Gemma */
    enum model_activation activation;
    int tied;     /* the output matrix is the embedding */
    int qkv_bias; /* Qwen2 */
    int qk_norm;  /* Qwen3: RMSNorm of every query and key head; 2, OLMo 2: of all heads as one vector */
    double rope_base;
    enum model_rope_scaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int rope_original_context;
    /* What follows is zero where an architecture has no such thing. */
    enum model_norms norms; /* Gemma 2: what a sub-layer adds is normalised too; OLMo 2: that alone */
    double query_scalar;    /* scores are q . k / sqrt(query_scalar); 0: head_dim */
    double attention_cap;   /* a score x becomes cap tanh(x / cap); Gemma 2 */
    double logit_cap;       /* the same of logits */
    double residual_scale;  /* what a sub-layer adds is multiplied by it; 0: 1 */
    double logit_scale;     /* logits are multiplied by it; 0: 1 */
    int window;             /* of layers of kind 'w' */
    double rope_local_base; /* these rotate by it, unscaled; 0: as the others */
    int rope_dim;           /* dimensions of a head that rotate; 0: all */
    /* longrope: what each frequency is divided by, as many as pairs rotate: in sequences of up to rope_original_context
     * tokens, and in longer ones (zeros where the context allows none); and what queries and keys are multiplied by. */
    float rope_divisor[DIMS_MAX_HEAD_DIM / 2], rope_long_divisor[DIMS_MAX_HEAD_DIM / 2];
    double rope_attention_factor;
    char layer_kinds[DIMS_MAX_LAYER + 1]; /* enum model_layer_kind, one a layer; "": all are full */
};

enum model_layer_kind model_layer_kind(const struct hparams *hp, int layer);
/* longrope: 1 when a sequence that becomes `longest` tokens long, those to come included, rotates by the long factors,
 * from its first token to its last; always 0 in other models. Decided here and nowhere else. */
int model_rope_long(const struct hparams *hp, int longest);
/* Radians per position of pair i, i + head_dim / 2 of a head, as layers without a window rotate; scaling applied.
 * is_long: model_rope_long. */
double model_rope_frequency(const struct hparams *hp, int pair, int is_long);
/* How many pairs of a head rotate; those after them stand still. */
int model_rope_pairs(const struct hparams *hp);
/* 1 when all layers attend alike. */
int model_layers_alike(const struct hparams *hp);
/* 1 when pruning may take entries from this layer by default: all kinds but MODEL_LAYER_WINDOW, which holds its last
 * `window` entries and no more, whatever is pruned elsewhere. */
int model_layer_prunable(const struct hparams *hp, int layer);
/* How many of the layers are so; 0 where every one has a window. */
int model_n_prunable(const struct hparams *hp);
/* Entries of a KV head after n tokens, of which a layer with a window holds the last: of one layer, and of all
 * together. n may be a mean. */
double model_layer_holds(const struct hparams *hp, int layer, double n);
double model_holds(const struct hparams *hp, double n);

struct model_layer {
    const float *attn_norm;       /* [d_model], or NULL where sub-layers read the stream as it is */
    struct matrix qkv;            /* [(n_head + 2 n_kv_head) head_dim][d_model]: Q, then K, then V rows */
    const float *qkv_bias;        /* [(n_head + 2 n_kv_head) head_dim], or NULL */
    const float *q_norm, *k_norm; /* [head_dim], or of all heads, or NULL */
    struct matrix attn_out;       /* [d_model][n_head head_dim] */
    const float *attn_post_norm;  /* [d_model], or NULL: of what attention adds */
    const float *ffn_norm;        /* [d_model], or NULL as attn_norm */
    struct matrix gate_up;        /* [2 d_ff][d_model]: gate and up rows, interleaved by panels (matrix.h) */
    struct matrix down;           /* [d_model][d_ff] */
    const float *ffn_post_norm;   /* [d_model], or NULL */
};

struct model {
    struct hparams hp;
    struct matrix embedding;     /* [n_vocab][d_model] */
    struct matrix output;        /* [n_vocab][d_model]; the embedding's memory when tied */
    const float *output_norm;    /* [d_model] */
    struct model_layer *layer;   /* [n_layer] */
    double *rope_freq;           /* [head_dim / 2] radians per position, scaling applied */
    double *rope_local;          /* the same of layers with a window; rope_freq itself where they rotate alike */
    double *rope_long;           /* rope_freq of long sequences (model_rope_long); itself where there are none */
    struct tokenizer *tokenizer; /* NULL when the file has none */
    char *path, *source_name;
    char source_sha256[HASH_HEX]; /* of the file or folder that was imported */
    char sha256[HASH_HEX];        /* of the weights and hyper-parameters as loaded: the model's identity */
    char stated_sha256[HASH_HEX]; /* what the file says it is: another one when it was changed after import; "": no file
                                   */
    char tokenizer_sha256[HASH_HEX]; /* tokenizer_hash of the one that was loaded; "": there is none */
    size_t weight_bytes;             /* held in memory */
    enum model_dtype arithmetic;     /* of products: MODEL_F32, or MODEL_BF16 (transformer.h, kernels_bf16.h), for which
                                        weights have to be held as bf16; set once, before the first pass */
    void *arena;                     /* all weights, one allocation */
};

/* Opens, checks every attribute, shape and type, reads. NULL and an error that names dataset path, expected
 * and found. model_close accepts NULL. */
struct model *model_open(const char *path, enum model_dtype held_as, struct err *e);
void model_close(struct model *m);

/* 1 when the model is not what its file says: it was changed after it was imported. Appends a sentence that tells so.
 */
struct str;
int model_open_changed(const struct model *m, struct str *out);

/* model->sha256 as model_open finds it, from the weights, which are read and not kept. */
int model_open_hash(const char *path, char sha256[HASH_HEX], struct err *e);
/* Hyper-parameters alone (cheap: `check`, and experiments that expand `layer: all`); the hash as the file states it. */
int model_open_hparams(const char *path, struct hparams *hp, char sha256[HASH_HEX], struct err *e);
/* The tokenizer alone, without the weights; the caller's. *out is NULL when the file has none. */
int model_open_tokenizer(const char *path, struct tokenizer **out, struct err *e);

/* Derives n_group and refuses what no transformer here can be (zero, huge, indivisible). */
int hparams_check(struct hparams *hp, struct err *e);

/* The tensors that hyper-parameters imply, in the order in which a model file stores and hashes them:
 *   embedding                       [n_vocab][d_model]
 *   layers/<l>/attn_norm            [d_model]                      unless norms: after
 *   layers/<l>/wq                   [n_head head_dim][d_model]
 *   layers/<l>/wk wv                [n_kv_head head_dim][d_model]
 *   layers/<l>/bq bk bv             [rows of wq wk wv]             when qkv_bias
 *   layers/<l>/q_norm k_norm        [head_dim] or [rows of wq wk]  when qk_norm
 *   layers/<l>/wo                   [d_model][n_head head_dim]
 *   layers/<l>/attn_post_norm       [d_model]                      unless norms: before
 *   layers/<l>/ffn_norm             [d_model]                      unless norms: after
 *   layers/<l>/gate up              [d_ff][d_model]
 *   layers/<l>/down                 [d_model][d_ff]
 *   layers/<l>/ffn_post_norm        [d_model]                      unless norms: before
 *   output_norm                     [d_model]
 *   output                          [n_vocab][d_model]             unless tied
 * hp must have passed hparams_check. */
struct model_tensor {
    char name[40];
    int rank;        /* 1 or 2 */
    int dim[2];      /* slowest first; dim[1] is 1 for rank 1 */
    const char *why; /* the shape in words, for messages */
};
int model_n_tensor(const struct hparams *hp);
void model_tensor_at(const struct hparams *hp, int i, struct model_tensor *out);
/* Bytes that all of them take in memory: matrices in float32 or bfloat16, vectors in float32, padding included. */
size_t model_held_bytes(const struct hparams *hp, enum model_dtype held_as);

/* Builds a model in memory from separate float tensors, as tests and importers need it: `fetch` is asked for
 * every tensor of the table above by its name and must fill dst[n] with its n values, row-major. Weights are held
 * as float, or, by the second, as float or bf16; the model has no tokenizer, path or source. */
struct model *model_build(const struct hparams *hp,
                          int (*fetch)(void *ctx, const char *name, float *dst, size_t n, struct err *e), void *ctx,
                          struct err *e);
struct model *model_build_held(const struct hparams *hp, enum model_dtype held_as,
                               int (*fetch)(void *ctx, const char *name, float *dst, size_t n, struct err *e),
                               void *ctx, struct err *e);

/* A model of this shape whose weights are small numbers without a meaning, to see how long passes take. */
struct model *model_sketch(const struct hparams *hp, enum model_dtype held_as, struct err *e);

/* Identity of a model: SHA-256 over its hyper-parameters as text, then for every tensor its name, element type
 * ("f32", "f16", "bf16"), shape and bytes as stored. The importer feeds it tensor by tensor. */
struct hash_sha256_ctx *model_hash_begin(const struct hparams *hp);
void model_hash_tensor(struct hash_sha256_ctx *c, const struct model_tensor *t, const char *type, const void *data,
                       size_t bytes);

#endif
