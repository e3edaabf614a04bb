#include "models/half.h"

#include <math.h>
#include <string.h>

#include "harness/base/cpu.h"

static float from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

float half_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31)
        return from_bits(sign | 0x7F800000 | mantissa << 13);
    if (exponent == 0) {
        float x = (float)mantissa * 0x1p-24f; /* subnormal: exact */
        return sign ? -x : x;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13); /* 112 = 127 - 15, the two biases */
}

uint16_t half_to_f16(float x)
{
    uint32_t u = to_bits(x), sign = u >> 16 & 0x8000, a = u & 0x7FFFFFFF;
    if (a > 0x7F800000)
        return (uint16_t)(sign | 0x7E00); /* NaN */
    if (a >= 0x477FF000)
        return (uint16_t)(sign | 0x7C00); /* 65520 and above rounds to infinity */
    if (a < 0x38800000)                   /* below 2^-14: counted in steps of 2^-24, the addition rounds */
        return (uint16_t)(sign | (uint32_t)nearbyintf(fabsf(x) * 0x1p24f));
    uint32_t odd = a >> 13 & 1;
    return (uint16_t)(sign | ((a - (112u << 23) + 0xFFF + odd) >> 13));
}

float half_from_bf16(uint16_t h)
{
    return from_bits((uint32_t)h << 16);
}

uint16_t half_to_bf16(float x)
{
    uint32_t u = to_bits(x);
    if ((u & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(u >> 16 | 0x40); /* stays a NaN */
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

float half_round_bf16(float x)
{
    uint16_t h = half_to_bf16(x);
    return half_from_bf16(h & 0x7F80 ? h : h & 0x8000);
}

CPU_CLONES void half_round_row(uint16_t *to, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        to[i] = (uint16_t)half_bits_bf16(u);
    }
}

CPU_CLONES void half_round_floats(float *to, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        u = half_bits_bf16(u) << 16;
        memcpy(to + i, &u, sizeof u);
    }
}

CPU_CLONES void half_widen_row(float *to, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(to + i, &u, sizeof u);
    }
}

/* Whole panels are looked at without a branch, so that the good ones go at the speed of memory. */
enum { PANEL = 1024 };

size_t half_find_bad_f32(const float *x, size_t n)
{
    for (size_t at = 0; at < n; at += PANEL) {
        size_t end = n - at < PANEL ? n : at + PANEL;
        uint32_t bad = 0;
        for (size_t i = at; i < end; i++)
            bad += (to_bits(x[i]) & 0x7F800000) == 0x7F800000;
        for (size_t i = at; i < end && bad; i++)
            if ((to_bits(x[i]) & 0x7F800000) == 0x7F800000)
                return i;
    }
    return n;
}

/* `exponent`: its bits, all of them set in what is no number. */
static size_t find_bad(const uint16_t *x, size_t n, uint16_t exponent)
{
    for (size_t at = 0; at < n; at += PANEL) {
        size_t end = n - at < PANEL ? n : at + PANEL;
        uint32_t bad = 0;
        for (size_t i = at; i < end; i++)
            bad += (x[i] & exponent) == exponent;
        for (size_t i = at; i < end && bad; i++)
            if ((x[i] & exponent) == exponent)
                return i;
    }
    return n;
}

size_t half_find_bad_f16(const uint16_t *x, size_t n)
{
    return find_bad(x, n, 0x7C00);
}

size_t half_find_bad_bf16(const uint16_t *x, size_t n)
{
    return find_bad(x, n, 0x7F80);
}
