/* The real model, where it was fetched (make smollm2). */
#ifndef TESTS_SMOLLM2_H
#define TESTS_SMOLLM2_H

#include "models/model.h"

/* $DEPTHKV_SMOLLM2, or the place where `make smollm2` puts it. NULL after printing "SKIP <test>: ..." when there is
 * none; with DEPTHKV_REQUIRE_MODEL=1 the calling test fails instead. */
const char *smollm2_path(const char *test);

#endif
