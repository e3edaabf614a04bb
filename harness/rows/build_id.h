/* What computes a number beside the cell's own axes: the *engine*. It is one text, a line each for the sources that any
 * number goes through, the compiler and its flags, the kernels that this processor gets, and the libraries that numbers
 * go through. Rows of two engines may differ in their last bits or more, so that the engine is part of a row's key.
 * Sources of one policy or layer allocator are left to the cells that use it: editing one recomputes those alone. */
#ifndef HARNESS_BUILD_ID_H
#define HARNESS_BUILD_ID_H

#include "harness/base/hash.h"
#include "harness/base/str.h"

struct cell;
enum { BUILD_ID_SHORT = 17 }; /* of an engine in rows: 16 hex digits and the NUL */

void build_id_engine(char hex[HASH_HEX]);                     /* of the text below; the same all along */
void build_id_describe(struct str *out);                      /* "name value" a line; sources as one hash */
void build_id_sources(char hex[HASH_HEX]);                    /* of the engine's sources alone */
void build_id_cell(const struct cell *c, char hex[HASH_HEX]); /* its policy's and allocator's sources */
/* Whether the engine covers the source file at this path: every one but those of a single policy or allocator and those
 * that only report. */
int build_id_covers(const char *path);

#endif
