/* Turning a downloaded model into a model file. A source (GGUF file, Hugging Face folder) is opened and checked
 * whole: hyper-parameters, names and shapes of all tensors, tokenizer. Then its tensors are converted one by one,
 * in the order of the tensor table, so that one tensor is in memory at a time and the model's hash is computed
 * on the way. The file appears under its name only when it is complete. */
#ifndef MODELS_IMPORT_H
#define MODELS_IMPORT_H

#include "harness/base/err.h"
#include "harness/base/hash.h"
#include "harness/base/str.h"
#include "models/model.h"
#include "models/tokenizer.h"

struct import_source {
    struct hparams hp; /* passed hparams_check */
    int has_tokenizer;
    struct tokenizer_data tokenizer;
    struct str notes;      /* lines on what was read but not used, for whoever imports */
    char *name;            /* what it was imported from, without folders */
    char sha256[HASH_HEX]; /* of that file, or of "<sha256>  <name>\n" for every file of the folder used */
    void *ctx;
    /* Fills dst with the tensor's values as float, row-major, Q and K in the order of rotate_half. */
    int (*fetch)(void *ctx, const struct model_tensor *t, float *dst, struct err *e);
    void (*destroy)(void *ctx);
};

struct import_options {
    enum model_dtype dtype; /* of the matrices; vectors stay f32 */
    /* Told before every tensor; NULL: nobody. Non-zero ends the import with ERR_INTERRUPTED. */
    int (*progress)(void *ctx, int done, int total);
    void *ctx;
};

/* path: a folder with config.json, or a GGUF file. On error nothing is left open. */
int import_open(const char *path, struct import_source *s, struct err *e);
void import_close(struct import_source *s);

/* Writes `out`; on error whatever was there before is untouched and nothing is left beside it. */
int import_write(const struct import_source *s, const char *out, const struct import_options *o, struct err *e);

/* For the readers of sources: refuses values that are NaN or infinite, with the tensor's name in the source and the
 * place of the first. x[n] are values first .. of a tensor with rows of `cols` (0: a vector). */
int import_check_finite(const char *path, const char *tensor, const float *x, size_t n, size_t first, size_t cols,
                        struct err *e);

/* Adds `id` to d->eos_extra unless it is eos, there already, or no token. */
void import_add_end(struct tokenizer_data *d, int64_t id);
/* Adds the control tokens that end a turn in the chat template but are not eos (<|im_end|>, <|eot_id|>). */
void import_add_turn_ends(struct tokenizer_data *d);

#endif
