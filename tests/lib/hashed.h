/* Random weights that tests and Python scripts make alike without a file: tests/vectors/llama64.py, `hashed`. */
#ifndef TESTS_HASHED_H
#define TESTS_HASHED_H

#include <stddef.h>

/* Fills dst[n] of the tensor: 0.2 (2 u - 1) with u in [0, 1); for norms norm_middle + 0.1 (2 u - 1). */
void hashed_weights(const char *name, float norm_middle, float *dst, size_t n);

#endif
