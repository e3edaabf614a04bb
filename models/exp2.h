/* 2^x for files of kernels, where multiplications and additions are contracted alike. */
#ifndef MODELS_EXP2_H
#define MODELS_EXP2_H

#include <stdint.h>
#include <string.h>

/* 2^x = 2^n 2^r: n = round(x), r = x - n exactly, |r| <= 1/2; 2^r by a polynomial of degree 5, fitted
 * for the least largest relative error (9.2e-8); 2^n is added to the exponent. Branch-free, so that loops over it
 * vectorise. Arguments below `least` count as that: -126, or -127, of which zero comes. */
static inline __attribute__((always_inline)) float exp2_from(float x, const float least)
{
    x = x < least ? least : x > 127.0f ? 127.0f : x;
    float n = x + 12582912.0f;
    uint32_t bits, whole;
    memcpy(&whole, &n, sizeof whole);
    float r = x - (n - 12582912.0f);
    float p = 0.00132647274f;
    p = p * r + 0.00967151310f;
    p = p * r + 0.0555073373f;
    p = p * r + 0.240222421f;
    p = p * r + 0.693146978f;
    p = p * r + 1.0f;
    memcpy(&bits, &p, sizeof bits);
    bits += whole << 23; /* the magic number's own bits fall out at the top */
    memcpy(&p, &bits, sizeof p);
    return p;
}

#endif
