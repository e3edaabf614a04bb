/* Cosines and sines of the rotation by whole positions: angle = position x frequency in double precision, rounded once.
 * Serves entries whose position is not their token's (positions: packed), and turning kept keys to new positions. */
#ifndef MODELS_ROPE_H
#define MODELS_ROPE_H

#include "harness/base/err.h"
#include "models/model.h"

struct rope_table {
    int n, half;          /* positions 0 .. n-1; half = head_dim / 2 */
    float *cosine, *sine; /* [n][half] */
};

/* Room for positions 0 .. n-1; keeps what is there. freq [half]: radians per position. Not for parallel loops. */
int rope_reserve(struct rope_table *t, const double *freq, int half, int n, struct err *e);
void rope_fini(struct rope_table *t); /* a zeroed struct is fine */

/* The tables of all layers of a model: those with a window may turn by frequencies of their own, and so may long
 * sequences (model_rope_long). */
struct rope_set {
    struct rope_table full, local; /* local stays empty where all layers turn alike */
    struct rope_table extended;    /* of long sequences, whose layers all turn alike */
};
/* is_long: what is turned belongs to long sequences (kvcache_is_long). */
int rope_set_reserve(struct rope_set *s, const struct model *m, int is_long, int n, struct err *e);
void rope_set_fini(struct rope_set *s);
/* The table of a layer; NULL: it does not rotate at all. */
const struct rope_table *rope_set_of(const struct rope_set *s, enum model_layer_kind kind, int is_long);

/* Turns one rotated key back by `by` >= 0 positions, in place: a key of position p then stands at p - by. */
void rope_back(const struct rope_table *t, float *key, int by);

#endif
