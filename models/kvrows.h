/* Keys, or values, as a cache holds them: numbers one behind the other, head_dim to an entry, as floats or as bf16.
 * What moves, fills or reads them goes by these functions, or takes the words as they lie; nothing else knows the form.
 *
 * bf16 are rounded when they are put there (to nearest, ties to even; what is below 2^-126 becomes zero, as in products
 * of bf16: kernels_bf16.h), and before anybody reads them: attention of the tokens that they belong to sees what is
 * held. Widening is exact. */
#ifndef MODELS_KVROWS_H
#define MODELS_KVROWS_H

#include <stddef.h>
#include <stdint.h>

#include "models/model.h"
#include "models/rope.h"

/* One of the two is set; neither: there is no memory. */
struct kv_rows {
    float *f32;
    uint16_t *bf16;
};

size_t kvrows_size(enum model_dtype held_as);                       /* bytes of a number */
struct kv_rows kvrows_in(void *memory, enum model_dtype held_as);   /* NULL: none */
void *kvrows_memory(struct kv_rows r);                              /* to free */
struct kv_rows kvrows_at(struct kv_rows r, size_t number);          /* those from this number on */
void kvrows_copy(struct kv_rows to, struct kv_rows from, size_t n); /* n numbers of one form, without overlap */
void kvrows_put(struct kv_rows to, const float *x, size_t n);       /* rounded where they are held so */
void kvrows_get(float *to, struct kv_rows from, size_t n);
float kvrows_number(struct kv_rows r, size_t i); /* slow: reference kernels and tests */
/* The same numbers as floats: where they lie, or in `room`, which has place for n where they are bf16. */
const float *kvrows_read(struct kv_rows from, size_t n, float *room);
/* Floats of such room. */
size_t kvrows_room(enum model_dtype held_as, size_t n);

/* A rotated key of d numbers, from elsewhere, turned back by `by` positions (rope_back) and rounded once. t NULL or by
 * 0: as it is. The first takes floats, the second what another cache holds in the same form. */
void kvrows_put_turned(struct kv_rows to, const float *key, size_t d, const struct rope_table *t, int by);
void kvrows_move(struct kv_rows to, struct kv_rows from, size_t d, const struct rope_table *t, int by);

#endif
