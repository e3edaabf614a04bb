/* The tiny random models of tests/vectors/transformer.json (tests/vectors/make_transformer.py; weights are those of
 * tests/lib/hashed.h), written as a Hugging Face folder or as a GGUF file, imported and opened: so what the row of an
 * architecture implies is proven by the numbers. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <stdint.h>

#include "harness/base/json.h"
#include "models/model.h"

extern const double vectors_tolerance; /* largest |error| over the largest |value| */

enum { VECTORS_N_MODEL = 37 }; /* of transformer.json; a test holds it */

void vectors_open(void); /* fixture: reads the file, makes a folder for sources */
void vectors_close(void);
int vectors_count(void);
const struct json *vectors_model(int i);
const char *vectors_name(const struct json *model);
int vectors_integer(const struct json *v, const char *key); /* the test fails without it */
const struct json *vectors_nth(const struct json *list, int n);
int vectors_tokens(const struct json *list, int32_t *id, int room); /* returns how many */

/* Both write the source, import it and open what came of it; model_close. */
struct model *vectors_folder(const struct json *model);
struct model *vectors_gguf(const struct json *model);

/* Rows `rows` of got [n][width], whose first is row `first`, against the list of rows `want`. */
void vectors_compare(const struct json *rows, const struct json *want, const float *got, int first, int width,
                     const char *what, const char *how);

#endif
