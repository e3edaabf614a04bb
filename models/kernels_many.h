/* The products of kernels_rows, to the bit, for many rows: tiles of several shapes, of which one is chosen for the
 * processor at hand. A weight that is loaded into a register serves as many rows as a tile has, so a higher tile asks
 * less of the second-level cache, and a wider one less of the first. Which is best depends on the processor; what is
 * computed does not. */
#ifndef MODELS_KERNELS_MANY_H
#define MODELS_KERNELS_MANY_H

#include <stddef.h>

enum { KERNELS_MANY_ROWS = 64, KERNELS_MANY_LANES = 16 }; /* fewer rows are for kernels_rows */

/* y[rows][n] = x[rows][k] . w[k][n] (+ y when add), n a multiple of KERNELS_MANY_LANES; rows of y, x and w are ldy, ldx
 * and ldw apart. Every sum runs over k from the front. `bytes` of memory from `next` on, which are wanted afterwards,
 * may be asked for on the way; NULL: nothing is. Single-threaded. */
void kernels_many(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *w, size_t ldw, int n, int k,
                  int add, const void *next, size_t bytes);

/* Floats from one row of x to the next, n or a few more: an odd number of cache lines, for at a distance of 4096 bytes
 * all rows of a tile would compete for the same few places of the first-level cache. */
size_t kernels_many_apart(size_t n);

/* y[rows][n] = x[rows][k] . z[n][k]^T for any n, in the same order, rows of z ldz apart: some rows of z are turned at a
 * time. room: as many floats as kernels_many_room says. */
void kernels_many_turned(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *z, size_t ldz, int n,
                         int k, float *room);
size_t kernels_many_room(int rows, int k);

/* to[i][r] = x[r][i] for `rows` rows of n numbers; rows of `to` are ld apart, those of x ldx. */
void kernels_many_turn(float *to, size_t ld, const float *x, size_t ldx, int rows, int n);

/* The shapes that this processor can compute, by name: rows x columns. */
int kernels_many_count(void);
const char *kernels_many_name(int i);
int kernels_many_now(void);              /* the chosen one */
void kernels_many_choose(int i);         /* -1: the one that goes with the processor again */
int kernels_many_find(const char *name); /* -1: there is none */

/* The second-level cache of a core, in bytes. */
size_t kernels_many_cache(void);

#endif
