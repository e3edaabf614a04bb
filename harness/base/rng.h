/* Seeded random numbers, the same on every machine. A generator belongs to a named stream, so that a
 * new consumer never shifts the numbers of the others. xoshiro256** seeded through splitmix64
 * (Blackman and Vigna, 2018). */
#ifndef HARNESS_BASE_RNG_H
#define HARNESS_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed, const char *stream);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n); n >= 1; no modulo bias */
double rng_double(struct rng *r);              /* uniform in [0, 1), 53 bits */
void rng_shuffle(struct rng *r, void *array, int n, int size_of_element); /* Fisher-Yates */

/* Stateless mixing: a good 64-bit hash of (h, x); chain it over several values. */
uint64_t rng_mix(uint64_t h, uint64_t x);
double rng_unit(uint64_t h); /* the hash as a double in [0, 1) */

#endif
