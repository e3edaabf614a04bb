#include "tests/lib/hashed.h"

#include <stdint.h>
#include <string.h>

static uint64_t finalise(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void hashed_weights(const char *name, float norm_middle, float *dst, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001B3u;
    int norm = strstr(name, "norm") != NULL;
    float scale = norm ? 0.1f : 0.2f, middle = norm ? norm_middle : 0.0f;
    for (size_t i = 0; i < n; i++)
        dst[i] = middle + scale * (2 * ((float)(finalise(h + i) >> 40) / 16777216.0f) - 1);
}
