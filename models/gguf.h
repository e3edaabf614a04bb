/* Reading GGUF version 3: metadata by key, tensors by name, values as float. The file is mapped; everything in
 * it is checked when it is opened (lengths, types, duplicate keys and tensors, offsets against the file's end), so
 * that later calls can't leave it. Written from the specification:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef MODELS_GGUF_H
#define MODELS_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "models/dequant.h"

enum { GGUF_MAX_RANK = 4 };

/* Value types as the file numbers them. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPE
};

struct gguf_tensor {
    const char *name;
    int rank;
    uint64_t dim[GGUF_MAX_RANK]; /* as in the file: fastest first */
    const struct dequant_type *type;
    const uint8_t *data; /* inside the mapping; enough bytes for all values */
    size_t n;            /* values */
};

struct gguf;

struct gguf *gguf_open(const char *path, struct err *e);
void gguf_close(struct gguf *g); /* NULL is fine */

/* Metadata. The *_get functions return 1 when the key is there with a fitting type, 0 when it is absent, and -1
 * with an error that names the key when it is something else. */
int gguf_n_key(const struct gguf *g);
const char *gguf_key_at(const struct gguf *g, int i); /* in order of name */
int gguf_has(const struct gguf *g, const char *key);
int gguf_get_int(const struct gguf *g, const char *key, int64_t *out, struct err *e);  /* any integer or bool */
int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e);  /* any number */
int gguf_get_string(const struct gguf *g, const char *key, char **out, struct err *e); /* mem_free; no NUL inside */

/* Arrays: length, and then one element after the other. Elements are visited in order only. */
struct gguf_array {
    enum gguf_type type;
    uint64_t n; /* elements left */
    const uint8_t *at;
    const char *key;
};
int gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out, struct err *e);
char *gguf_next_string(struct gguf_array *a, struct err *e);          /* mem_free; NULL and error */
int gguf_next_int(struct gguf_array *a, int64_t *out, struct err *e); /* 0 or -1 */
int gguf_next_real(struct gguf_array *a, double *out, struct err *e); /* any number */

int gguf_n_tensor(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, int i);       /* in order of name */
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name); /* NULL when absent */
int gguf_check(const struct gguf *g, struct err *e); /* -1 when the file became shorter, so that zeros were read */
void gguf_release(const struct gguf *g, const struct gguf_tensor *t); /* read it again if need be, but not soon */

#endif
