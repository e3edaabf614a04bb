/* How much memory a run may count on. */
#ifndef HARNESS_FREE_MEMORY_H
#define HARNESS_FREE_MEMORY_H

#include <stddef.h>

/* Bytes that the system can still hand to this process: what it says is available, within the limits of its control
 * group and of its address space; or what $DEPTHKV_FREE_MEMORY says ("8G"). 0: not known. */
size_t free_memory(void);

#endif
