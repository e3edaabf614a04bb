/* The two 16-bit floats, as bits in a uint16_t. Conversions to them round to nearest, ties to even. */
#ifndef MODELS_HALF_H
#define MODELS_HALF_H

#include <stddef.h>
#include <stdint.h>

float half_from_f16(uint16_t h);  /* IEEE binary16: exact, subnormals and infinities too */
uint16_t half_to_f16(float x);    /* beyond 65504: infinity */
float half_from_bf16(uint16_t h); /* the upper half of a float: exact */
uint16_t half_to_bf16(float x);
float half_round_bf16(float x); /* to bf16 and back; what is below 2^-126 becomes zero, as in products of bf16 */
void half_round_row(uint16_t *to, const float *x, size_t n); /* n numbers to bf16 by half_round_bf16's rule */
void half_round_floats(float *to, const float *x, size_t n); /* and back; `to` may be x */
void half_widen_row(float *to, const uint16_t *x, size_t n); /* n bf16 to floats, exactly */

/* The bits of half_round_bf16's number, as a bf16, of those of a float: without a branch, so that vectors do it. */
static inline uint32_t half_bits_bf16(uint32_t u)
{
    uint32_t nan = (u & 0x7FFFFFFF) > 0x7F800000, near = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    uint32_t h = nan ? u >> 16 | 0x40 : near;
    return h & 0x7F80 ? h : h & 0x8000;
}

/* The first of n values that is no number (NaN or infinite); n when there is none. Told by the bits, because compilers
 * may take isnan for false. */
size_t half_find_bad_f32(const float *x, size_t n);
size_t half_find_bad_f16(const uint16_t *x, size_t n);
size_t half_find_bad_bf16(const uint16_t *x, size_t n);

#endif
