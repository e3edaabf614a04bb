/* A model of a given shape, made in memory from random numbers: how fast one of that size is, where there is none. */
#ifndef HARNESS_BENCH_SHAPE_H
#define HARNESS_BENCH_SHAPE_H

#include "harness/base/str.h"
#include "models/model.h"

/* By name (bench_shapes.h). Its tokens are bytes and an end of text, as those of `make size`; its context is 131072
 * tokens. NULL: ERR_USAGE names those that there are, or there is not enough memory. */
struct model *bench_shape_model(const char *name, enum model_dtype held_as, struct err *e);
void bench_shape_names(struct str *out); /* "tiny, smollm2-135m, ..." */

/* Writes what an experiment reads of a model file before its weights. */
int bench_shape_file(const struct hparams *hp, const char *path, struct err *e);

#endif
