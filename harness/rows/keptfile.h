/* kept.h5: which positions every cell kept, as bitmaps. Every (cell, sample, question) is written to a part file of its
 * own under a temporary name first, so that a killed run leaves whole parts only; the end of a run merges them.
 *   /<cell>/<sample>/<question>   uint64 [n_layer][n_kv_head][words]; bit j of a map = position j stays; attributes
 *                                 n and key, that of the row (rowkey.h) */
#ifndef HARNESS_KEPTFILE_H
#define HARNESS_KEPTFILE_H

#include "harness/rows/record.h"
#include "models/keepset.h"

struct keptfile;

struct keptfile *keptfile_open(const char *dir, struct err *e);
/* 1 when a run has stored what the row with this key kept: here, or in a part. */
int keptfile_has(const struct keptfile *k, const char *cell, int sample, const char *question, const char *key);
/* keep NULL: the row failed, and what an earlier run stored for it is dropped. */
int keptfile_add(struct keptfile *k, const struct row *r, const struct keepset *keep, struct err *e);
/* Parts go before what kept.h5 holds already: rows that were computed again replace their old bitmaps. */
int keptfile_merge(struct keptfile *k, struct err *e);
void keptfile_close(struct keptfile *k); /* accepts NULL */

/* For those who read results: kept.h5 of `dir` as it is. NULL without an error when there is none. */
struct keptfile *keptfile_look(const char *dir, struct err *e);
/* What the row with this key kept, which the caller destroys; *out is NULL where nothing is stored for it. -1: what is
 * stored is no keep set, which is said with file and path. */
int keptfile_read(const struct keptfile *k, const char *cell, int sample, const char *question, const char *key,
                  struct keepset **out, struct err *e);

#endif
