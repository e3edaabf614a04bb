#include "tests/smollm2.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"

const char *smollm2_path(const char *test)
{
    const char *path = getenv("DEPTHKV_SMOLLM2"), *require = getenv("DEPTHKV_REQUIRE_MODEL");
    if (!path)
        path = "models/cache/smollm2-135m-instruct.h5";
    if (fs_exists(path))
        return path;
    if (require && strcmp(require, "1") == 0)
        ck_abort_msg("%s needs %s (make smollm2)", test, path);
    fprintf(stderr, "SKIP %s: %s is not there (make smollm2)\n", test, path);
    return NULL;
}
