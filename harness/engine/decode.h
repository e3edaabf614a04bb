/* Sequences that continue a pruned cache: greedy decoding of many as one batch, and teacher forcing. A sequence's
 * bits do not depend on which others run beside it. */
#ifndef HARNESS_DECODE_H
#define HARNESS_DECODE_H

#include "harness/base/str.h"
#include "harness/engine/evict.h"
#include "models/kvcache.h"
#include "models/transformer.h"

struct sequence {
    struct kvcache *cache; /* owned; segments hold the pruned prompt, tails what is fed here. NULL with `evict` */
    struct evict *evict;   /* owned; its cache is cut while it decodes. NULL: frozen */
    int forced;            /* 1: forced passes may follow, which begin in the state before decoding */
    int n;                 /* prompt tokens fed before pruning: the first held-back token's position */
    const int32_t *held;   /* [n_held] prompt tokens fed after pruning; borrowed */
    int n_held;
    const float *first_logits; /* [n_vocab] from the prefill; needed when n_held is 0 */
    char *const *stop;         /* [n_stop] */
    int n_stop, max_new_tokens;
    int fixed_length;             /* 1: exactly max_new_tokens, whatever they are (benchmarks) */
    struct token_ids out;         /* generated ids, the ending one included */
    struct str text;              /* their text, cut before the stop string */
    const char *finish_reason;    /* "eos", "stop", "length", or "failed"; NULL while running */
    size_t bytes_end, bytes_peak; /* of its cache, when decoding has ended */
    int protection_cut;           /* 1: the protection did not fit, in some cut while decoding */
    struct err err;               /* why it failed */
};

void decode_sequence_fini(struct sequence *s);

/* Room that a sequence's tail needs for `longest` generated or forced tokens. */
int decode_tail_capacity(int n_held, int longest);

/* Looks on while sequences decode: before every step's tokens are chosen, the logits of the sequences that still run.
 * active[i]: index of a sequence; its logits [n_vocab] predict its token out.n. A callback that returns non-zero (error
 * filled) ends the decoding. */
struct decode_watch {
    void *ctx;
    int (*step)(void *ctx, const int *active, const float *const *logits, int n, struct err *e);
};

/* Feeds what was held back, then decodes greedily (ties: the lowest id) until every sequence has ended, or, between two
 * steps, somebody asks to stop (ERR_INTERRUPTED). watch may be NULL. */
int decode_greedy(const struct model *m, struct workspace *w, struct sequence *const *s, int n_sequence,
                  const struct decode_watch *watch, struct err *e);

/* Teacher forcing: for every sequence the logits that predict target[from .. n_target), as one chunk each, batched over
 * sequences. The sequence has been decoded, and its own first from - 1 tokens are those of the target; from 0 begins
 * with the held-back tokens' last (with nothing held back the prefill predicts target[0], so from is at least 1).
 * `take` (may be NULL) gets them in that order, n rows [n_vocab] at a time, for several sequences at once on several
 * threads. The caches are left with what these passes did not need rewound: only forced passes may follow. A sequence
 * with `evict` is fed from its last held-back token on, token by token between its cuts, in a copy of its state; when
 * it fails, its err tells. */
struct forced {
    struct sequence *s;
    const int32_t *target;
    int n_target, from;
};
int decode_forced(const struct model *m, struct workspace *w, const struct forced *f, int n_forced,
                  const struct tap *tap, void (*take)(void *ctx, int i, const float *logits, int n), void *ctx,
                  struct err *e);

int decode_argmax(const float *logits, int n); /* ties: the lowest index */

#endif
