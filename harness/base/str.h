/* Growable byte strings, and the few text helpers that many modules share.
 * A zeroed struct str is an empty string; `p` is NULL until the first append, then NUL-terminated
 * (the NUL is not counted in `n`; the content may hold NUL bytes). Release with str_free. */
#ifndef HARNESS_BASE_STR_H
#define HARNESS_BASE_STR_H

#include <stddef.h>
#include <stdint.h>

struct str {
    char *p;
    size_t n, cap;
};

void str_add(struct str *s, const char *text);             /* NUL-terminated */
void str_addn(struct str *s, const char *bytes, size_t n); /* n bytes */
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_clear(struct str *s);          /* keeps the memory */
void str_free(struct str *s);           /* leaves a zeroed struct */
const char *str_c(const struct str *s); /* never NULL */
char *str_take(struct str *s);          /* caller frees (mem_free); s is empty after */

/* Shortest text that reads back as exactly this double; locale-independent; nan and inf as such. */
void str_add_double(struct str *s, double x);
/* The code point at p (n > 0 bytes are left) and its length; 0: no well-formed UTF-8 begins there. */
size_t str_point(const char *p, size_t n, int32_t *point);
/* 1: a control character, or one that moves or hides what stands around it: C0, C1, line and paragraph separators,
 * marks, overrides and isolates of direction, byte order marks, annotations, tags, what is no character. */
int str_is_hidden(int32_t point);
/* JSON: quoted and escaped, hidden characters too; bytes that are not UTF-8 become U+FFFD. */
void str_add_json(struct str *s, const char *text, size_t n);
/* JSON number, or null when x is not finite. */
void str_add_json_double(struct str *s, double x);

/* Whole-string conversions, independent of the locale: 0, or -1 when anything is left over or out of range. */
int str_to_int64(const char *text, int64_t *out);
int str_to_double(const char *text, double *out);
/* "8MiB", "512M", "1.5 GB", "4096": a number of bytes >= 1. KiB, MiB, GiB and K, M, G count in 1024s, kB, MB, GB in
 * 1000s. */
int str_to_bytes(const char *text, int64_t *out);

/* Levenshtein distance with adjacent transpositions. */
int str_distance(const char *a, const char *b);
/* The candidate nearest to `name`, or NULL when none is near enough to be a slip. */
const char *str_nearest(const char *name, const char *const *candidate, int n);
/* "; did you mean 'x'?" or "", in a static buffer. */
const char *str_did_you_mean(const char *name, const char *const *candidate, int n);
/* 1 when `other` is most likely meant for `name`: the same letters and digits in another case or with other separators,
 * a plural of it, or one slip in five characters or more. */
int str_is_slip(const char *name, const char *other);

/* Bytes of the well-formed UTF-8 sequence at p, of n that are there; 0: it is none. n >= 1. */
size_t str_utf8_length(const unsigned char *p, size_t n);

#endif
