/* A model for a command: what its file says of itself is checked on the way in. */
#ifndef HARNESS_OPEN_MODEL_H
#define HARNESS_OPEN_MODEL_H

#include "harness/base/err.h"
#include "models/model.h"

/* model_open of the file that data_dir_model finds, with a warning on stderr when the model is not what its file says.
 * The caller owns it; NULL and `e`. */
struct model *open_model(const char *path, enum model_dtype held_as, enum model_dtype arithmetic, struct err *e);

#endif
