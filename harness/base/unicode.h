/* Unicode text (utf8proc): code points, lower case, and the character classes of Python's str and re, which the
 * published definitions of the metrics lean on. The only user of utf8proc.h. */
#ifndef HARNESS_BASE_UNICODE_H
#define HARNESS_BASE_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/str.h"

/* The code point at p and its length in bytes; a byte that begins no valid UTF-8 sequence gives U+FFFD and 1, the
 * final NUL 0 and 1. */
size_t unicode_next(const char *p, int32_t *point);
void unicode_append(struct str *s, int32_t point);
/* All code points of a text; caller frees with mem_free; never NULL. */
int32_t *unicode_points(const char *text, size_t *n);

/* Full lower case, independent of the locale: U+0130 becomes i and U+0307, a capital sigma that ends a word
 * becomes the final sigma. Caller frees with mem_free. */
char *unicode_lower(const char *text);

int unicode_is_space(int32_t point); /* str.isspace() */
/* Leaves out the white space of str.strip() at the beginning, at the end, or both. */
void unicode_trim(const char **text, size_t *n, int begin, int end);
int unicode_is_digit(int32_t point); /* \d: decimal digits of any script */
int unicode_is_word(int32_t point);  /* \w: letters, numbers, underscore; no combining marks */

/* Canonical composition (NFC), piece by piece: the bytes of the piece at p, n > 0 bytes of UTF-8, that normalises by
 * itself (one character and the marks and Hangul jamo behind it); appends its NFC form. */
size_t unicode_nfc_piece(const char *p, size_t n, struct str *out);

const char *unicode_version(void); /* of the library; its tables follow it */

#endif
