/* Cosines and sines of the rotation by whole positions: angle = position x frequency in double precision, rounded once.
 * Serves entries whose position is not their token's (positions: packed), and turning kept keys to new positions. */
#ifndef MODELS_ROPE_H
#define MODELS_ROPE_H

#include "harness/base/err.h"

struct rope_table {
    int n, half;          /* positions 0 .. n-1; half = head_dim / 2 */
    float *cosine, *sine; /* [n][half] */
};

/* Room for positions 0 .. n-1; keeps what is there. freq [half]: radians per position. Not for parallel loops. */
int rope_reserve(struct rope_table *t, const double *freq, int half, int n, struct err *e);
void rope_fini(struct rope_table *t); /* a zeroed struct is fine */

/* Turns one rotated key back by `by` >= 0 positions, in place: a key of position p then stands at p - by. */
void rope_back(const struct rope_table *t, float *key, int by);

#endif
