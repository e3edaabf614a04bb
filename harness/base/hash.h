/* SHA-256 (libcrypto) for files, cells and keys, and a fast 64-bit hash for tables. */
#ifndef HARNESS_BASE_HASH_H
#define HARNESS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

enum { HASH_HEX = 65 }; /* 64 hexadecimal digits and the NUL */

void hash_sha256(const void *data, size_t n, char hex[HASH_HEX]);
int hash_sha256_file(const char *path, char hex[HASH_HEX], struct err *e);
uint64_t hash_fnv1a(const void *data, size_t n);

/* Incremental form, for what is not in one piece. */
struct hash_sha256_ctx;
struct hash_sha256_ctx *hash_sha256_create(void);
void hash_sha256_update(struct hash_sha256_ctx *c, const void *data, size_t n);
void hash_sha256_finish(struct hash_sha256_ctx *c, char hex[HASH_HEX]); /* frees c */

#endif
