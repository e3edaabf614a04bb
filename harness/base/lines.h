/* A text file line by line, in memory for one line, so that files may be larger than memory. */
#ifndef HARNESS_BASE_LINES_H
#define HARNESS_BASE_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

struct lines;

struct lines *lines_open(const char *path, struct err *e); /* NULL on error */
/* 1: the next line without its end, lent until the next call and followed by a NUL; 0: there is none; -1. */
int lines_next(struct lines *l, const char **line, size_t *n, struct err *e);
int lines_is_whole(const struct lines *l);   /* whether the last one ended; 0: the file ends within it */
int lines_number(const struct lines *l);     /* of the last one, from 1 */
int64_t lines_offset(const struct lines *l); /* bytes up to the end of the last one */
void lines_close(struct lines *l);           /* NULL is fine */

#endif
