/* Models and numbers that several suites share. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include "harness/base/json.h"
#include "harness/base/rng.h"
#include "models/model.h"
#include "models/transformer.h"

/* 1 under `make check-long` (DEPTHKV_LONG=1): real models then compute all that there are vectors of. In the everyday
 * tests, which have minutes for everything, they compute a part of each kind. */
int support_is_long(void);

/* A random Llama-shaped model without tokenizer; the same seed gives the same weights. */
struct model *support_tiny_model(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied,
                                 uint64_t seed);
/* The same model held as bf16, and multiplying in bf16. */
struct model *support_tiny_bf16(int n_layer, int n_head, int n_kv_head, int head_dim, int d_ff, int n_vocab, int tied,
                                uint64_t seed);
/* A model file that model_open reads: `n_layer` layers, 2 query heads for each of `n_kv_head` KV heads, head_dim 8,
 * context 512; tokens are the 256 bytes and an end of text. Its matrices are large enough that pruning shows. */
void support_model_file(const char *path, int n_layer, int n_kv_head);
/* What it has, to be changed and written with the same tokenizer: n_vocab stays. */
struct hparams support_hparams(int n_layer, int n_kv_head);
void support_model_file_of(const char *path, struct hparams hp);
/* The same with four layers, 2 KV heads and all that layers may differ in: the second and the last have a window of
 * SUPPORT_WINDOW tokens and a rotation of their own, the third none; scores have a scale and a cap. */
enum { SUPPORT_WINDOW = 23 };
void support_window_model_file(const char *path);
void support_random(struct rng *r, float *x, size_t n); /* uniform in [-1, 1) */
/* Largest |a - b| / max|b|. */
double support_relative_error(const float *a, const float *b, size_t n);
/* Feeds tokens first .. first + n of `token` into one cache as one call; logits of all rows [n][n_vocab]. */
int support_feed(const struct model *m, struct workspace *w, enum forward_phase phase, struct kvcache *c,
                 const int32_t *token, int first, int n, const struct tap *tap, float *logits, struct err *e);

/* The file as JSON, which the caller frees; fails the test when it can't be read. */
struct json *support_json(const char *path);
/* tests/vectors/tokenizer_small.json as tokenizer data: byte-level BPE of 700 tokens and a few control and added ones.
 */
void support_small_tokenizer(const struct json *j, const char *pre, struct tokenizer_data *d);

/* Element i of a matrix in row-major order. */
float support_at(const struct matrix *m, size_t i);

#endif
