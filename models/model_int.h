/* Private to model*.c: a model's memory, which is filled from a file or from elsewhere. */
#ifndef MODELS_MODEL_INT_H
#define MODELS_MODEL_INT_H

#include "harness/base/h5.h"
#include "models/model.h"

/* A model with its arena laid out and only the matrices' padding written; (*place)[i] is where tensor i, if it is a
 * vector, belongs. The caller frees *place. */
struct model *model_lay_out(const struct hparams *hp, enum model_dtype held_as, void ***place, struct err *e);
/* Rows [from, from + n) of tensor i, row-major in src (f32, or bf16 for matrices of a model held so), to their place.
 */
void model_put(struct model *m, int i, void *place, const void *src, int from, int n);
void model_fill_rope(struct model *m);

/* Every tensor against the table, and all of them against the file's size; type[model_n_tensor] is how each is stored.
 */
int model_open_check(const struct h5 *f, const struct hparams *hp, enum h5_type *type, struct err *e);
/* Path, source and hashes as the file states them. */
int model_open_identity(const struct h5 *f, struct model *m, struct err *e);

/* What model_hash_tensor puts before a tensor's bytes. */
void model_hash_name(struct hash_sha256_ctx *c, const struct model_tensor *t, const char *type);

#endif
