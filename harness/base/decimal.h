/* Exact decimal fractions, so that a budget never depends on binary rounding: 0.8 of 1000 is 800 and
 * 0.9 removed of 1000 leaves 100. A value is num / den with den > 0; not reduced. */
#ifndef HARNESS_BASE_DECIMAL_H
#define HARNESS_BASE_DECIMAL_H

#include <stdint.h>

#include "harness/base/err.h"

struct decimal {
    int64_t num, den;
};

/* "0.4", "1", "1e-3", ".5", "-2": at most 12 digits in all. -1 and ERR_CONFIG otherwise. */
int decimal_parse(const char *text, struct decimal *out, struct err *e);
/* floor(d * n), computed in integers; n >= 0, d >= 0. */
int64_t decimal_floor_mul(struct decimal d, int64_t n);
double decimal_to_double(struct decimal d);
/* -1, 0, 1 as a < b, a = b, a > b. */
int decimal_compare(struct decimal a, struct decimal b);

#endif
