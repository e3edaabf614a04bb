/* What computes a number beside the cell's own axes: the *engine*. It is one text, a line each for the sources that any
 * number goes through, the compiler and its flags, the kernels that this processor gets, and the libraries that numbers
 * go through. Rows of two engines may differ in their last bits or more, so that the engine is part of a row's key.
 * Sources of one policy or layer allocator are left to the cells that use it: editing one recomputes those alone. */
#ifndef HARNESS_BUILD_ID_H
#define HARNESS_BUILD_ID_H

#include "harness/base/hash.h"
#include "harness/base/str.h"

struct cell;
struct source_file;
enum { BUILD_ID_SHORT = 17 }; /* of an engine in rows: 16 hex digits and the NUL */

void build_id_engine(char hex[HASH_HEX]); /* of the text below; the same all along */
void build_id_describe(struct str *out);  /* "name value" a line; sources as one hash */
/* Of a list of files that ends with a NULL path, as source_files of source_id.h is: those of the engine, and those of
 * one cell's policy and allocator. */
void build_id_sources(const struct source_file *file, char hex[HASH_HEX]);
void build_id_cell(const struct cell *c, const struct source_file *file, char hex[HASH_HEX]);
/* Whether the engine covers the source file at this path: that is a matter of its folder, but for exceptions by name. A
 * folder that the rule does not know counts. */
int build_id_covers(const char *path);
/* Why a file of a folder that counts does not; NULL: it does. And the names of exceptions, NULL after the last. */
const char *build_id_exception(const char *path);
const char *build_id_exception_at(int i);

#endif
