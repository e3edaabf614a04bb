/* Which prompt entries stay: one bitmap per (layer, KV head). Small, and all that pruning leaves behind;
 * caches are made from it when a cell is about to decode. */
#ifndef MODELS_KEEPSET_H
#define MODELS_KEEPSET_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

struct keepset {
    int n_layer, n_kv_head, n; /* n: entries before pruning, the same for every head */
    size_t words;              /* uint64 words of one bitmap */
    uint64_t *bits;            /* [n_layer][n_kv_head][words]; bit j of the map = entry j stays */
    int32_t *count;            /* [n_layer][n_kv_head] entries that stay */
};

struct keepset *keepset_create(int n_layer, int n_kv_head, int n, struct err *e); /* empty */
void keepset_destroy(struct keepset *k);
void keepset_fill(struct keepset *k, int layer, int kv_head);           /* all n stay */
void keepset_add(struct keepset *k, int layer, int kv_head, int entry); /* adding twice is harmless */
int keepset_has(const struct keepset *k, int layer, int kv_head, int entry);
int keepset_count(const struct keepset *k, int layer, int kv_head);
const uint64_t *keepset_bits(const struct keepset *k, int layer, int kv_head); /* [words] */
/* Writes the kept entries in ascending order; returns how many. out has room for keepset_count(). */
int keepset_list(const struct keepset *k, int layer, int kv_head, int32_t *out);

#endif
