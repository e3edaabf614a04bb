/* Layouts are those of the GGUF specification's reference (ggml's block structs), little-endian throughout:
 *   d, m      16-bit floats: scale and offset
 *   nibbles   byte j of a half block holds value j (low) and value j + half (high)
 *   *_K       blocks of 256 in sub-blocks of 32 (or 16), whose own scales are small integers times d
 * Products are rounded to float before they are added, as NumPy does; -ffp-contract=off keeps it so. */
#include "models/dequant.h"

#include <string.h>

#include "models/half.h"

static float f16_at(const uint8_t *p)
{
    return half_from_f16((uint16_t)(p[0] | p[1] << 8));
}

static void block_f32(const uint8_t *src, float *dst)
{
    memcpy(dst, src, sizeof *dst);
}

static void block_f16(const uint8_t *src, float *dst)
{
    *dst = f16_at(src);
}

static void block_bf16(const uint8_t *src, float *dst)
{
    *dst = half_from_bf16((uint16_t)(src[0] | src[1] << 8));
}

static void block_q8_0(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 32; i++)
        dst[i] = (float)(int8_t)src[2 + i] * d;
}

static void block_q4_0(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)((src[2 + i] & 15) - 8);
        dst[i + 16] = d * (float)((src[2 + i] >> 4) - 8);
    }
}

static void block_q4_1(const uint8_t *src, float *dst)
{
    float d = f16_at(src), m = f16_at(src + 2);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)(src[4 + i] & 15) + m;
        dst[i + 16] = d * (float)(src[4 + i] >> 4) + m;
    }
}

/* Values of the 5-bit blocks: a nibble, and its fifth bit from a word of 32. */
static void five_bits(const uint8_t *high, const uint8_t *low, int q[32])
{
    uint32_t h = (uint32_t)high[0] | (uint32_t)high[1] << 8 | (uint32_t)high[2] << 16 | (uint32_t)high[3] << 24;
    for (int i = 0; i < 16; i++) {
        q[i] = (low[i] & 15) | (int)(h >> i & 1) << 4;
        q[i + 16] = low[i] >> 4 | (int)(h >> (i + 16) & 1) << 4;
    }
}

static void block_q5_0(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    int q[32];
    five_bits(src + 2, src + 6, q);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (float)(q[i] - 16);
}

static void block_q5_1(const uint8_t *src, float *dst)
{
    float d = f16_at(src), m = f16_at(src + 2);
    int q[32];
    five_bits(src + 4, src + 8, q);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (float)q[i] + m;
}

/* Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each lie in the low six bits of bytes
 * 0-3 and 4-7; the last four have their low nibbles in bytes 8-11 and their upper two bits on top of the others. */
static void six_bits(const uint8_t *p, int scale[8], int min[8])
{
    for (int i = 0; i < 4; i++) {
        scale[i] = p[i] & 63;
        min[i] = p[i + 4] & 63;
        scale[i + 4] = (p[i + 8] & 15) | (p[i] >> 6) << 4;
        min[i + 4] = p[i + 8] >> 4 | (p[i + 4] >> 6) << 4;
    }
}

static void block_q4_k(const uint8_t *src, float *dst)
{
    float d = f16_at(src), dmin = f16_at(src + 2);
    const uint8_t *q = src + 16;
    int scale[8], min[8];
    six_bits(src + 4, scale, min);
    for (int s = 0; s < 8; s++) {
        float ds = d * (float)scale[s], ms = dmin * (float)min[s];
        for (int i = 0; i < 32; i++)
            dst[32 * s + i] = ds * (float)(q[32 * (s / 2) + i] >> 4 * (s % 2) & 15) - ms;
    }
}

static void block_q5_k(const uint8_t *src, float *dst)
{
    float d = f16_at(src), dmin = f16_at(src + 2);
    const uint8_t *high = src + 16, *q = src + 48;
    int scale[8], min[8];
    six_bits(src + 4, scale, min);
    for (int s = 0; s < 8; s++) {
        float ds = d * (float)scale[s], ms = dmin * (float)min[s];
        for (int i = 0; i < 32; i++) {
            int v = (q[32 * (s / 2) + i] >> 4 * (s % 2) & 15) | (high[i] >> s & 1) << 4;
            dst[32 * s + i] = ds * (float)v - ms;
        }
    }
}

static void block_q6_k(const uint8_t *src, float *dst)
{
    const uint8_t *low = src, *high = src + 128, *scale = src + 192;
    float d = f16_at(src + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, r = i % 128; /* each half of the block: 64 bytes of nibbles, 32 bytes of bit pairs */
        int nibble = low[64 * half + r % 64] >> 4 * (r / 64) & 15;
        int pair = high[32 * half + r % 32] >> 2 * (r / 32) & 3;
        float ds = d * (float)(int8_t)scale[i / 16];
        dst[i] = ds * (float)((nibble | pair << 4) - 32);
    }
}

static void block_q2_k(const uint8_t *src, float *dst)
{
    const uint8_t *scale = src, *q = src + 16;
    float d = f16_at(src + 80), dmin = f16_at(src + 82);
    for (int i = 0; i < 256; i++) { /* each half of the block: 32 bytes, each of four pairs of bits 32 apart */
        int v = q[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
        float ds = d * (float)(scale[i / 16] & 15), ms = dmin * (float)(scale[i / 16] >> 4);
        dst[i] = ds * (float)v - ms;
    }
}

/* Sixteen 6-bit scales in 12 bytes: low nibbles in the first eight, first all low ones; the upper pairs of bits in the
 * last four. Values have their third bit apart, and it counts -4 where it is not set. */
static void block_q3_k(const uint8_t *src, float *dst)
{
    const uint8_t *high = src, *q = src + 32, *scale = src + 96;
    float d = f16_at(src + 108);
    for (int i = 0; i < 256; i++) {
        int s = i / 16, six = (scale[s % 8] >> 4 * (s / 8) & 15) | (scale[8 + s % 4] >> 2 * (s / 4) & 3) << 4;
        int v = q[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
        v -= high[i % 32] >> (i / 32) & 1 ? 0 : 4;
        float ds = d * (float)(six - 32);
        dst[i] = ds * (float)v;
    }
}

/* What the nibbles of IQ4 types stand for. */
static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void block_iq4_nl(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)iq4_levels[src[2 + i] & 15];
        dst[i + 16] = d * (float)iq4_levels[src[2 + i] >> 4];
    }
}

/* Eight sub-blocks, whose 6-bit scales have their low nibbles in four bytes and their upper pairs of bits in a word. */
static void block_iq4_xs(const uint8_t *src, float *dst)
{
    const uint8_t *low = src + 4, *q = src + 8;
    float d = f16_at(src);
    int high = src[2] | src[3] << 8;
    for (int s = 0; s < 8; s++) {
        float ds = d * (float)(((low[s / 2] >> 4 * (s % 2) & 15) | (high >> 2 * s & 3) << 4) - 32);
        for (int i = 0; i < 32; i++)
            dst[32 * s + i] = ds * (float)iq4_levels[q[16 * s + i % 16] >> 4 * (i / 16) & 15];
    }
}

static const struct dequant_type types[] = {
    {"F32", 0, 1, 4, block_f32},        {"F16", 1, 1, 2, block_f16},          {"BF16", 30, 1, 2, block_bf16},
    {"Q8_0", 8, 32, 34, block_q8_0},    {"Q4_0", 2, 32, 18, block_q4_0},      {"Q4_1", 3, 32, 20, block_q4_1},
    {"Q5_0", 6, 32, 22, block_q5_0},    {"Q5_1", 7, 32, 24, block_q5_1},      {"Q2_K", 10, 256, 84, block_q2_k},
    {"Q3_K", 11, 256, 110, block_q3_k}, {"Q4_K", 12, 256, 144, block_q4_k},   {"Q5_K", 13, 256, 176, block_q5_k},
    {"Q6_K", 14, 256, 210, block_q6_k}, {"IQ4_NL", 20, 32, 18, block_iq4_nl}, {"IQ4_XS", 23, 256, 136, block_iq4_xs},
};
enum { N_TYPE = sizeof types / sizeof *types };

const struct dequant_type *dequant_find(uint32_t code)
{
    for (int i = 0; i < N_TYPE; i++)
        if (types[i].code == code)
            return &types[i];
    return NULL;
}

void dequant_list(struct str *out)
{
    for (int i = 0; i < N_TYPE; i++)
        str_addf(out, "%s%s", i ? " " : "", types[i].name);
}

void dequant_run(const struct dequant_type *t, const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i += t->values, src += t->bytes)
        t->block(src, dst + i);
}
