/* gnuplot as a process: never through a shell, never without a limit, never left behind. */
#ifndef HARNESS_GNUPLOT_H
#define HARNESS_GNUPLOT_H

#include "harness/base/str.h"

enum gnuplot_end { GNUPLOT_DONE, GNUPLOT_FAILED, GNUPLOT_LATE, GNUPLOT_ABSENT, GNUPLOT_INTERRUPTED };

extern int gnuplot_limit_s; /* seconds that one script may take: 60 */

/* Runs `script` in `folder`, whose picture name.svg and name.png it makes; they are removed first, and again when it
 * fails, so that no picture stays beside data that it does not show. `why`: what gnuplot says, where it failed. */
enum gnuplot_end gnuplot_run(const char *folder, const char *name, struct str *why);
void gnuplot_remove(const char *folder, const char *name); /* its pictures */

#endif
