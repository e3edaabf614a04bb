/* Where the time goes, for `depthkv bench --timing`. Switched off, begin and end cost a test of one variable.
 *
 *   timing_begin(TIMING_ATTENTION);        serial code, outside parallel loops; sections nest,
 *   ...                                    and a section's time is its own: what inner ones take is theirs
 *   timing_end();
 *
 *   double t = timing_part_begin();        inside a parallel loop, any thread: the seconds count as the share of
 *   ...                                    the wall time that one thread of the team is, and are taken from the
 *   timing_part_end(TIMING_STATISTICS, t); serial section around the loop
 *
 * TIMING_DECODING and TIMING_FORCED are phases too: all sections inside them are kept apart from those of a prefill. */
#ifndef HARNESS_BASE_TIMING_H
#define HARNESS_BASE_TIMING_H

enum timing_kind {
    TIMING_OTHER,
    TIMING_LINEAR, /* weight matrices, and norms, rotations and activations on the way */
    TIMING_ATTENTION,
    TIMING_STATISTICS, /* column sums, rows, entropy for policies */
    TIMING_SCORING,    /* policies' own code */
    TIMING_CUTTING,    /* budgets, keep sets, segments of the cut caches */
    TIMING_DECODING,
    TIMING_FORCED, /* nll, kl, attention mass */
    TIMING_IO,
    TIMING_N_KIND
};
enum timing_phase { TIMING_PHASE_PREFILL, TIMING_PHASE_DECODING, TIMING_PHASE_FORCED, TIMING_N_PHASE };

extern const char *const timing_kind_name[TIMING_N_KIND];
extern const char *const timing_phase_name[TIMING_N_PHASE];

void timing_enable(int on); /* from zero; not within a section */
void timing_begin(enum timing_kind k);
void timing_end(void);
double timing_part_begin(void);
void timing_part_end(enum timing_kind k, double start);

/* Seconds of wall time since timing_enable(1), by phase and kind; time outside all sections is in none. */
void timing_read(double seconds[TIMING_N_PHASE][TIMING_N_KIND]);

#endif
