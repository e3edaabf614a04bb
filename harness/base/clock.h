/* Time that only moves forward, and the process's peak resident memory. */
#ifndef HARNESS_BASE_CLOCK_H
#define HARNESS_BASE_CLOCK_H

#include <stddef.h>

double clock_seconds(void);  /* monotonic, from an arbitrary zero */
size_t clock_peak_rss(void); /* bytes */
/* CPU seconds that everything else on the machine has taken since it started, all CPUs together; -1: unknown. The
 * difference of two calls tells whether a measurement had the machine for itself. */
double clock_other_cpu_seconds(void);
/* The peak starts again from what is resident now. -1 where the system can't (then the peak is the process's). */
int clock_reset_peak_rss(void);

#endif
