/* Drawing keys and values: never the same twice, and from one half of their space where a model is trained on the
 * other.
 *
 * The half of a text is a bit of its hash, so that nothing in its look gives it away. Training takes one half,
 * evaluation the other; the halves exist in the compact wording only, since nothing is trained in RULER's, whose
 * evaluation has the whole space as RULER has.
 *
 *     struct draw key;
 *     draw_init(&key, &r, c->wording, c->split);
 *     if (draw_new(&key, DRAW_WORDS, 0, &text, e)) ...
 *     draw_fini(&key);
 */
#ifndef DATASETS_DRAW_H
#define DATASETS_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"

enum draw_wording { DRAW_RULER, DRAW_COMPACT };
enum draw_split { DRAW_EVAL, DRAW_TRAIN };
extern const char *const draw_wordings[], *const draw_splits[]; /* for parameter tables */

/* What can be drawn; `n` of draw_new is in brackets. The first three are RULER's types. */
enum draw_type {
    DRAW_WORDS,   /* adjective-noun */
    DRAW_NUMBERS, /* seven digits, or [n] when it is not 0 */
    DRAW_UUIDS,
    DRAW_LETTERS,  /* [n] small letters */
    DRAW_CAPITALS, /* [n] capital letters */
    DRAW_SYLLABLES /* [n] syllables of a consonant and a vowel */
};
extern const char *const draw_types[]; /* the first three, in the plural as RULER has them */

struct draw {
    struct rng *rng;
    int half;       /* -1: the whole space */
    uint64_t *slot; /* hashes of what was drawn; 0: free */
    size_t n_slot, n;
};

/* Refuses what has no meaning: training in RULER's wording. */
int draw_check(int wording, int split, struct err *e);
void draw_init(struct draw *d, struct rng *r, int wording, int split);
void draw_fini(struct draw *d);
/* Appends a text that this draw has not given before. ERR_CONFIG when none is found: the space is too small. */
int draw_new(struct draw *d, enum draw_type type, int n, struct str *out, struct err *e);
/* Which half a text belongs to: enum draw_split. */
int draw_half(const char *text, size_t n);

#endif
