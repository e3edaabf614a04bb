#include "tests/lib/smollm2.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

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

struct json *smollm2_vectors(const char *name, char **text)
{
    size_t n;
    struct err e = {0};
    char *path = fs_join("tests/vectors", name);
    *text = fs_read(path, &n, &e);
    ck_assert_msg(*text != NULL, "%s", e.msg);
    struct json *root = json_parse(path, *text, n, &e);
    ck_assert_msg(root != NULL, "%s", e.msg);
    mem_free(path);
    return root;
}

struct model *smollm2_open(const char *test, const struct json *vectors)
{
    struct err e = {0};
    const char *path = smollm2_path(test), *want = json_string(json_get(vectors, "model_sha256"));
    if (!path)
        return NULL;
    struct model *m = model_open(path, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    ck_assert_msg(want && strcmp(m->sha256, want) == 0, "%s is not the model of the vectors", path);
    return m;
}

int smollm2_integer(const struct json *v, const char *key)
{
    int64_t x = 0;
    ck_assert_msg(json_int64(json_get(v, key), &x) == 0, "the vectors lack %s", key);
    return (int)x;
}

char *smollm2_excerpt(const struct json *v)
{
    size_t n, to = 0, begin = (size_t)smollm2_integer(v, "begin"), end = (size_t)smollm2_integer(v, "end");
    struct err e = {0};
    char *path = fs_join("datasets/books", json_string(json_get(v, "book"))), *text = fs_read(path, &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    for (size_t i = 0; i < n; i++)
        if (text[i] != '\r')
            text[to++] = text[i];
    ck_assert(begin < end && end <= to);
    char *out = mem_strndup(text + begin, end - begin);
    mem_free(text);
    mem_free(path);
    return out;
}

void smollm2_ids(const struct json *list, struct token_ids *out)
{
    for (const struct json *v = json_first(list); v; v = json_next(v))
        token_ids_add(out, (int32_t)json_number(v, -1));
}
