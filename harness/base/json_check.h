/* What is wrong with a JSON text, and where: the grammar of RFC 8259 to the letter, before the library reads it. The
 * library is lenient in places (numbers as 01 or 1.) and reads texts only up to a NUL; and it can't say why it gave up.
 */
#ifndef HARNESS_BASE_JSON_CHECK_H
#define HARNESS_BASE_JSON_CHECK_H

#include <stddef.h>

struct json_fault {
    size_t at; /* byte */
    char why[160];
};

/* 0, or -1 and the first fault. A byte order mark may stand in front; what is nested deeper than 1000 is refused. */
int json_check(const char *text, size_t n, struct json_fault *out);

#endif
