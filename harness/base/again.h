/* The process starts its own program again, with the environment as it is now: for what libraries read while they are
 * loaded and never after. */
#ifndef HARNESS_BASE_AGAIN_H
#define HARNESS_BASE_AGAIN_H

#include "harness/base/err.h"

/* Same program, same arguments, same process number; returns only where that can't be done: -1. Also right where the
 * program was given to the loader (ld-linux.so --library-path lib ./depthkv ...): then the loader is what is started,
 * with all that it was told. */
int again_start(struct err *e);

#endif
