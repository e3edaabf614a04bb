/* Time that only moves forward, and the process's peak resident memory. */
#ifndef HARNESS_BASE_CLOCK_H
#define HARNESS_BASE_CLOCK_H

#include <stddef.h>

double clock_seconds(void);      /* monotonic, from an arbitrary zero */
size_t clock_peak_rss(void);     /* bytes */
/* The peak starts again from what is resident now. -1 where the system can't (then the peak is the process's). */
int clock_reset_peak_rss(void);

#endif
