/* Regular expressions over bytes that are mostly UTF-8 (PCRE2 with JIT). A compiled pattern is immutable and may be
 * used from several threads. */
#ifndef HARNESS_BASE_REGEX_H
#define HARNESS_BASE_REGEX_H

#include <stddef.h>

#include "harness/base/err.h"

struct regex;

struct regex *regex_compile(const char *pattern, struct err *e); /* Unicode properties on */
void regex_destroy(struct regex *r);
/* First match at or after `from` in n bytes: 1 and [*begin, *end), 0 when there is none, -1 when the engine gives up
 * (its limits). The text must be UTF-8: callers cut out what is not. Empty matches are passed over. */
int regex_next(const struct regex *r, const char *text, size_t n, size_t from, size_t *begin, size_t *end,
               struct err *e);

const char *regex_version(void); /* of the library, with its date */

#endif
