/* The vocabulary of dimensions, used in every name, comment and message of the project.
 *
 *   n_layer    transformer blocks, index l
 *   d_model    width of the residual stream
 *   n_head     query heads, index q
 *   n_kv_head  key/value heads, index h; query head q reads KV head q / n_group
 *   n_group    query heads per KV head = n_head / n_kv_head
 *   head_dim   width of one head
 *   d_ff       width of the feed-forward layer
 *   n_vocab    tokens in the vocabulary
 *   n          prompt entries per KV head at the moment of pruning
 *   m          entries that stay, per layer and KV head
 *   position   index of a token in the sequence; baked into a cached key by RoPE
 *   entry      one cached (key, value, position) of one KV head
 *   slot       place of an entry in an array
 *
 * Tensors are row-major; shapes are written [slowest][...][fastest]. Weight matrices are [out][in]. */
#ifndef MODELS_DIMS_H
#define MODELS_DIMS_H

enum {
    DIMS_MAX_LAYER = 1024,
    DIMS_MAX_HEAD = 1024,
    DIMS_MAX_HEAD_DIM = 1024,
    DIMS_MAX_WIDTH = 1 << 20, /* d_model, d_ff */
    DIMS_MAX_VOCAB = 1 << 22,
    DIMS_MAX_CONTEXT = 1 << 24
};

#endif
