/* Progress of a long job on stderr: a bar that redraws itself on a terminal, a line now and then elsewhere. */
#ifndef HARNESS_PROGRESS_H
#define HARNESS_PROGRESS_H

struct progress {
    const char *unit;   /* "groups" */
    long total, done;   /* work units; what was there already is in neither */
    double start, last; /* clock_seconds */
    int terminal, quiet;
    int shown; /* a bar stands on the terminal's current line */
};

void progress_begin(struct progress *p, const char *unit, long total, int quiet);
void progress_step(struct progress *p, const char *label); /* one unit is done; label says which */
void progress_end(struct progress *p);

#endif
