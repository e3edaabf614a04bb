/* How much of a cache may stay, and what of it stays in any case: an experiment's words for prune.h. */
#ifndef HARNESS_BUDGET_H
#define HARNESS_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/decimal.h"
#include "harness/base/err.h"

enum budget_kind { BUDGET_NONE, BUDGET_KEEP, BUDGET_TOKENS, BUDGET_BYTES };

struct budget {
    enum budget_kind kind;
    struct decimal keep; /* BUDGET_KEEP: fraction kept, in (0, 1] */
    int64_t tokens, bytes;
};

/* The experiment's `protect`. */
struct protect {
    int sinks, recent;
    int question;     /* 1: prompt tokens of the question are protected where they are in the cache */
    int first_layers; /* k: layers 0 .. k-1 are whole */
    int compensate;   /* 1: the other layers pay for them; 0: the total grows */
    int alone; /* 1 (own: false): the policy's own protection does not apply, so that all policies have the same */
    struct decimal boundary; /* fraction of a layer's entries kept at either end of the sequence; den 0: none */
};

/* m of one layer and KV head for n prompt entries; bytes_per_entry = bytes of one (key, value) pair of one head.
 * ERR_CONFIG for a budget below one entry per layer and head. */
int budget_entries(const struct budget *b, int n, int n_layer, int n_kv_head, size_t bytes_per_entry, int *m,
                   struct err *e);

#endif
