/* Calibration and evaluation are disjoint: a profile that was measured on a single prompt that an experiment is judged
 * by is refused, before anything runs. */
#ifndef HARNESS_CALIBRATION_H
#define HARNESS_CALIBRATION_H

#include "harness/experiment/experiment.h"

/* Encodes every prompt of the cells that read a profile, as a run does, with the model's tokenizer alone: no weights
 * are read. ERR_CONFIG with file, line, profile, task and sample for the first one that the profile was measured on.
 * Costs nothing where no cell reads a profile. */
int calibration_check(const struct experiment *x, struct err *e);

#endif
