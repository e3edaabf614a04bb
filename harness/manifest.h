/* manifest.json: what a run was made with, so that a result can be audited without its author. */
#ifndef HARNESS_MANIFEST_H
#define HARNESS_MANIFEST_H

#include "harness/experiment.h"

void manifest_cpu(struct str *out); /* the processor's name; nothing where the system does not tell */

int manifest_write(const char *dir, const struct experiment *x, int argc, char **argv, struct err *e);

#endif
