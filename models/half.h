/* The two 16-bit floats, as bits in a uint16_t. Conversions to them round to nearest, ties to even. */
#ifndef MODELS_HALF_H
#define MODELS_HALF_H

#include <stdint.h>

float half_from_f16(uint16_t h);  /* IEEE binary16: exact, subnormals and infinities too */
uint16_t half_to_f16(float x);    /* beyond 65504: infinity */
float half_from_bf16(uint16_t h); /* the upper half of a float: exact */
uint16_t half_to_bf16(float x);

#endif
