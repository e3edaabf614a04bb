/* A file mapped for reading: importers address gigabytes without holding them. */
#ifndef HARNESS_BASE_MAPPED_H
#define HARNESS_BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

struct mapped {
    const uint8_t *p;
    size_t n;
};

/* Refuses folders, devices and empty files. The file must not shrink while it is mapped. */
int mapped_open(const char *path, struct mapped *m, struct err *e);
/* Says that bytes p .. p + n of the mapping won't be needed soon: they stop counting as the process's memory. They
 * may still be read. */
void mapped_release(const struct mapped *m, const uint8_t *p, size_t n);
void mapped_close(struct mapped *m); /* a zeroed struct is fine */

#endif
