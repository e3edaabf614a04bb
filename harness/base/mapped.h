/* A file mapped for reading: importers address gigabytes without holding them. */
#ifndef HARNESS_BASE_MAPPED_H
#define HARNESS_BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

struct mapped {
    const uint8_t *p;
    size_t n;
    int slot; /* which of the mappings that are watched */
};

/* Refuses folders, devices and empty files. Where the file shrinks while it is mapped, or can't be read, zeros are read
 * in its place, and mapped_check tells. Not for use from several threads at once, and for at most MAPPED_MAX files. */
enum { MAPPED_MAX = 8192 };
int mapped_open(const char *path, struct mapped *m, struct err *e);
/* Says that bytes p .. p + n of the mapping won't be needed soon: they stop counting as the process's memory. They
 * may still be read. */
void mapped_release(const struct mapped *m, const uint8_t *p, size_t n);
/* 0 while everything that was read of it was there; otherwise an error that names the file. */
int mapped_check(const struct mapped *m, const char *path, struct err *e);
void mapped_close(struct mapped *m); /* a zeroed struct is fine */

#endif
