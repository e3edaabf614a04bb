/* What files of kernels begin with: vectors of floats, and multiplication and addition as one instruction, which is
 * asked for in these files only, where every shape of a block contracts alike. Include it last. */
#ifndef MODELS_LANES_H
#define MODELS_LANES_H

#include <stdint.h>
#include <string.h>

#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

typedef float lanes4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float lanes8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float lanes16 __attribute__((vector_size(64), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* bf16 weights lie in pairs, w[columns][2]; part: 0 for the first of each pair, 1 for the second. A bf16 is the upper
 * half of a float. */
#define LANES_WIDEN(NAME, LANES, BYTES) \
    INLINE void NAME(LANES *to, const uint16_t *w, const int part) \
    { \
        typedef uint32_t bits __attribute__((vector_size(BYTES), aligned(4), may_alias)); \
        bits b = *(const bits *)w; \
        if (part) \
            b &= 0xFFFF0000u; \
        else \
            b <<= 16; \
        memcpy(to, &b, sizeof b); \
    }
LANES_WIDEN(lanes8_widen, lanes8, 32)
LANES_WIDEN(lanes16_widen, lanes16, 64)

/* bf16 one behind the other, as caches hold them. */
#define LANES_WIDEN_ROW(NAME, LANES, N) \
    INLINE void NAME(LANES *to, const uint16_t *x) \
    { \
        typedef uint16_t words __attribute__((vector_size(2 * (N)), aligned(2), may_alias)); \
        typedef uint32_t bits __attribute__((vector_size(4 * (N)))); \
        bits b = __builtin_convertvector(*(const words *)x, bits) << 16; \
        memcpy(to, &b, sizeof b); \
    }
LANES_WIDEN_ROW(lanes4_widen_row, lanes4, 4)
LANES_WIDEN_ROW(lanes16_widen_row, lanes16, 16)

#endif
