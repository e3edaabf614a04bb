/* Sequences that continue a pruned cache: greedy decoding of many as one batch, and teacher forcing. What a sequence
 * writes, to the last bit of its logits, does not depend on which others run beside it. */
#ifndef HARNESS_DECODE_H
#define HARNESS_DECODE_H

#include "harness/base/str.h"
#include "harness/engine/evict.h"
#include "models/kvcache.h"
#include "models/transformer.h"

struct sequence {
    struct kvcache *cache; /* owned; segments hold the pruned prompt, tails what is fed here. NULL with `evict` */
    struct evict *evict;   /* owned; its cache is cut while it decodes. NULL: frozen */
    int forced;            /* 1: decode_forced may follow, so that an `evict` must decode in a copy of its state */
    int n;                 /* prompt tokens that were read before pruning; the next one stands at position n */
    const int32_t *held;   /* [n_held] prompt tokens fed after pruning; borrowed */
    int n_held;
    const float *first_logits; /* [n_vocab] what the prefill predicts to follow; read when n_held is 0 */
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

/* Looks on while sequences decode. `step` is called before the next token of every sequence that has not ended is
 * chosen: active[i] is the index of one of them, logits[i] [n_vocab] what it predicts to be its token number out.n. A
 * callback that returns non-zero (error filled) ends the decoding. */
struct decode_watch {
    void *ctx;
    int (*step)(void *ctx, const int *active, const float *const *logits, int n, struct err *e);
};

/* Feeds what was held back, then decodes greedily (ties: the lowest id) until every sequence has ended, or, between two
 * steps, somebody asks to stop (ERR_INTERRUPTED). watch may be NULL. */
int decode_greedy(const struct model *m, struct workspace *w, struct sequence *const *s, int n_sequence,
                  const struct decode_watch *watch, struct err *e);

/* Teacher forcing, after decode_greedy: a sequence is fed tokens that are given, `target`, in place of those that it
 * chose, and at every step one sees how likely it finds the next of them. What is looked at are the predictions of
 * target[from] to target[n_target - 1]; those before it were seen while it decoded.
 *
 * The sequence itself must have chosen target[0] to target[from - 2]: their entries lie in its cache and are used
 * again. All later entries are forgotten, and target[from - 1] is the first token that is fed. With from 0 that is the
 * last token that was held back, which predicts target[0]; where nothing was held back the prefill has predicted it,
 * and from is at least 1. The cache is left as the pass leaves it: afterwards only forced passes may follow.
 *
 * A sequence with `evict` can't go back, as entries are gone: it is fed from its last held-back token on, in a copy of
 * the state that it began to decode in, with all cuts on the way. When that fails, the sequence's err tells.
 *
 * All sequences are fed together. `take` (may be NULL) gets the logits of item i in the order of the targets, n rows
 * [n_vocab] at a time; it is called for several items at once, on several threads. */
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
