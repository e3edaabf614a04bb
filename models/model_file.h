/* What a model file says besides its weights: hyper-parameters as attributes of the root group, the tokenizer
 * below /tokenizer. Reader and writer stand side by side, so that they can't drift apart. models/README.md
 * documents the layout. */
#ifndef MODELS_MODEL_FILE_H
#define MODELS_MODEL_FILE_H

#include "harness/base/err.h"
#include "harness/base/h5.h"
#include "models/model.h"
#include "models/tokenizer.h"

/* Version 2 stores texts in pieces of fixed size; what it says of a model is what version 1 says. Version 3 has further
 * hyper-parameters, of which a file holds those that are not zero; a model without any is written as version 2. */
enum { MODEL_FILE_PLAIN = 2, MODEL_FILE_VERSION = 3 };

int model_file_write_hparams(struct h5 *f, const struct hparams *hp, struct err *e);
/* Refuses other formats and later versions; the result has passed hparams_check. */
int model_file_read_hparams(const struct h5 *f, struct hparams *hp, struct err *e);

/* The one text form of hyper-parameters: what the model's hash covers. */
struct str;
void model_file_hparams_text(const struct hparams *hp, struct str *out);

int model_file_write_tokenizer(struct h5 *f, const struct tokenizer_data *d, struct err *e);
/* 1: there is one, and the caller owns *d (tokenizer_data_fini); 0: there is none; -1: error. */
int model_file_read_tokenizer(const struct h5 *f, struct tokenizer_data *d, struct err *e);
/* The same made ready, as *out, which stays what it is where there is none; refuses more tokens than n_vocab. */
int model_file_tokenizer(const struct h5 *f, int n_vocab, struct tokenizer **out, struct err *e);

#endif
