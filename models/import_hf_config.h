/* config.json of a Hugging Face folder -> hyper-parameters, as transformers 5 reads it. Every key is used,
 * known to change nothing, or refused by name where its value would change the arithmetic; what is not known is told.
 */
#ifndef MODELS_IMPORT_HF_CONFIG_H
#define MODELS_IMPORT_HF_CONFIG_H

#include "harness/base/json.h"
#include "harness/base/str.h"
#include "models/model.h"

/* hp->tied is what the file says; whether it is so depends on the tensors. `notes` gets a line for what is not known.
 */
int import_hf_config_read(const struct json *config, const char *file, struct hparams *hp, struct str *notes,
                          struct err *e);

#endif
