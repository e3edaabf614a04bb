/* manifest.json: what a run was made with, so that a result can be audited without its author; and which cell every
 * cell's differences refer to, which `report` needs. Written when a run begins, and again when it has ended. `engines`
 * lists every engine (build_id.h) that has written rows here; all else is of the last run. */
#ifndef HARNESS_MANIFEST_H
#define HARNESS_MANIFEST_H

#include "harness/experiment/experiment.h"

void manifest_cpu(struct str *out); /* the processor's name; nothing where the system does not tell */

/* argv: the command line, for the record. finished 0: the run goes on. */
int manifest_write(const char *dir, const struct experiment *x, int argc, char *const *argv, int finished,
                   struct err *e);

#endif
