/* Tensor element types of GGUF files, and their way back to float. A quantised row is a sequence of blocks; each
 * holds a fixed number of values and its own scale. Numbers equal those of the gguf Python package bit for bit. */
#ifndef MODELS_DEQUANT_H
#define MODELS_DEQUANT_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/str.h"

struct dequant_type {
    const char *name;
    uint32_t code;                                 /* as GGUF numbers it */
    size_t values;                                 /* per block */
    size_t bytes;                                  /* per block */
    void (*block)(const uint8_t *src, float *dst); /* one block */
};

const struct dequant_type *dequant_find(uint32_t code); /* NULL: none that can be read here */
void dequant_list(struct str *out);                     /* appends "F32 F16 ...", for messages */

/* n values, a multiple of t->values, from n / t->values * t->bytes bytes. */
void dequant_run(const struct dequant_type *t, const uint8_t *src, float *dst, size_t n);

#endif
