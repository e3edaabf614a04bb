#include "harness/base/rng.h"

#include <assert.h>
#include <string.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t rng_mix(uint64_t h, uint64_t x)
{
    uint64_t a = h ^ (x * 0xD6E8FEB86659FD93u + 0x2545F4914F6CDD1Du);
    uint64_t z = splitmix(&a);
    return z ^ splitmix(&a);
}

double rng_unit(uint64_t h)
{
    return (double)(h >> 11) * 0x1.0p-53;
}

void rng_init(struct rng *r, uint64_t seed, const char *stream)
{
    uint64_t x = seed;
    for (const char *p = stream; *p; p++)
        x = rng_mix(x, (unsigned char)*p);
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x; /* reject the ragged end of the range */
    do
        x = rng_u64(r);
    while (x >= limit);
    return x % n;
}

double rng_double(struct rng *r)
{
    return rng_unit(rng_u64(r));
}

void rng_shuffle(struct rng *r, void *array, int n, int size)
{
    unsigned char *a = array, tmp[64];
    assert(size > 0 && size <= (int)sizeof tmp);
    for (int i = n - 1; i > 0; i--) {
        size_t j = (size_t)rng_below(r, (uint64_t)i + 1), w = (size_t)size;
        memcpy(tmp, a + (size_t)i * w, w);
        memcpy(a + (size_t)i * w, a + j * w, w);
        memcpy(a + j * w, tmp, w);
    }
}
