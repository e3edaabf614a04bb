/* Reading safetensors: one file, or the shards that an index names, as one list of tensors. Files are mapped; the
 * header is checked whole when it is opened (sizes, offsets, overlap, gaps, duplicates), so that later calls can't
 * leave the file. Format: https://huggingface.co/docs/safetensors */
#ifndef MODELS_SAFETENSORS_H
#define MODELS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/hash.h"

enum { SAFETENSORS_MAX_RANK = 8 };
enum safetensors_type { SAFETENSORS_F32, SAFETENSORS_F16, SAFETENSORS_BF16, SAFETENSORS_OTHER };

struct safetensors_tensor {
    char *name;
    enum safetensors_type type;
    char type_name[16];
    int rank;
    uint64_t dim[SAFETENSORS_MAX_RANK]; /* slowest first */
    size_t n;                           /* values */
    const uint8_t *data;                /* inside the mapping, not aligned; enough bytes for all values */
    size_t bytes;
    int file;
};

struct safetensors;

/* folder/model.safetensors, or the shards of folder/model.safetensors.index.json. */
struct safetensors *safetensors_open(const char *folder, struct err *e);
void safetensors_close(struct safetensors *s); /* NULL is fine */

int safetensors_n(const struct safetensors *s);
const struct safetensors_tensor *safetensors_at(const struct safetensors *s, int i); /* in order of name */
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name);
/* All values as float; type must not be OTHER. The file's pages of this tensor are given back. */
void safetensors_read(const struct safetensors *s, const struct safetensors_tensor *t, float *dst);

/* Values [first, first + n) of it, which must be there. */
void safetensors_read_part(const struct safetensors *s, const struct safetensors_tensor *t, size_t first, size_t n,
                           float *dst);

int safetensors_check(const struct safetensors *s,
                      struct err *e); /* -1 when a file became shorter, so that zeros were read */
int safetensors_n_file(const struct safetensors *s);
const char *safetensors_file(const struct safetensors *s, int i); /* its path */

#endif
