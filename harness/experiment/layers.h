/* Which layers of a model a cell prunes. A layer with a window holds its last entries and no more, and is pruned only
 * where the cell asks for it (`windows: prune`); harness/README.md defines it. */
#ifndef HARNESS_LAYERS_H
#define HARNESS_LAYERS_H

#include "harness/base/err.h"
#include "harness/experiment/experiment.h"

struct layers {
    int n, n_model;             /* that are pruned; of the whole model */
    int number[DIMS_MAX_LAYER]; /* [n] what the model calls them, ascending */
};

/* 1 when a cell with these `windows` prunes the layer: all but those with a window, or, with windows: prune, these too.
 */
int layers_takes(const struct hparams *hp, enum windows windows, int layer);
int layers_count(const struct hparams *hp, enum windows windows); /* how many it prunes */
void layers_of(const struct hparams *hp, enum windows windows, struct layers *out);
/* What could not be done for want of bytes, or of layers: appends to its message which layers of the model were
 * counted, where it has windows. Returns -1. */
int layers_explain(const struct hparams *hp, enum windows windows, struct err *e);
/* Appends "18 layers", and of a model with windows ", 15 of them with a window of 512 (not pruned)". */
void layers_text(const struct hparams *hp, struct str *out);

#endif
