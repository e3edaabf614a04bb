/* manifest.json: what a run was made with, so that a result can be audited without its author; and which cell every
 * cell's differences refer to, which `report` needs. Written when a run begins, and again when it has ended. */
#ifndef HARNESS_MANIFEST_H
#define HARNESS_MANIFEST_H

#include "harness/experiment.h"

/* argv: the command line, for the record. finished 0: the run goes on. */
int manifest_write(const char *dir, const struct experiment *x, int argc, char *const *argv, int finished, struct err *e);

#endif
