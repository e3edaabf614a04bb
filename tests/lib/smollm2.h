/* The real model, where it was fetched (make smollm2). */
#ifndef TESTS_SMOLLM2_H
#define TESTS_SMOLLM2_H

#include "harness/base/json.h"
#include "models/model.h"

/* $DEPTHKV_SMOLLM2, or the place where `make smollm2` puts it. NULL after printing "SKIP <test>: ..." when there is
 * none; with DEPTHKV_REQUIRE_MODEL=1 the calling test fails instead. */
const char *smollm2_path(const char *test);

/* What tests/vectors/smollm2.py writes. */
struct json *smollm2_vectors(const char *name, char **text); /* tests/vectors/<name>; *text lives as long */
/* The model, which must be the one that `vectors` were made with; NULL as above. */
struct model *smollm2_open(const char *test, const struct json *vectors);
/* The bytes that "book", "begin" and "end" of v say, with a NUL; mem_free. */
char *smollm2_excerpt(const struct json *v);
void smollm2_ids(const struct json *list, struct token_ids *out); /* appends */
int smollm2_integer(const struct json *v, const char *key);       /* the test fails without it */

#endif
