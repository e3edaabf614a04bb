/* Which sources computed a number. A row's key names the engine's sources and those of its policy and allocator only,
 * so that editing one policy recomputes that policy's cells and no others. */
#ifndef HARNESS_BUILD_ID_H
#define HARNESS_BUILD_ID_H

#include "harness/base/hash.h"

struct cell;

void build_id_engine(char hex[HASH_HEX]);                        /* all sources that numbers go through */
void build_id_cell(const struct cell *c, char hex[HASH_HEX]);    /* its policy's and allocator's sources */

#endif
