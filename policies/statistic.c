#include "policies/statistic.h"

#include <stddef.h>

const struct statistic_words statistic_words[STATISTIC_N] = {
#define STATISTIC(NAME, name, life, words) {#name, words, STATISTIC_##life},
    ALL_STATISTICS
#undef STATISTIC
};

const char *statistic_first(unsigned needs, enum statistic_life life)
{
    for (int i = 0; i < STATISTIC_N; i++)
        if (needs & 1u << i && statistic_words[i].life == life)
            return statistic_words[i].words;
    return NULL;
}
