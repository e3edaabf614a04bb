#include "harness/experiment/layers.h"

void layers_of(const struct hparams *hp, enum windows windows, struct layers *out)
{
    out->n = 0;
    out->n_model = hp->n_layer;
    for (int l = 0; l < hp->n_layer; l++)
        if (windows == WINDOWS_PRUNE || model_layer_prunable(hp, l))
            out->number[out->n++] = l;
}

void layers_text(const struct hparams *hp, struct str *out)
{
    int windows = hp->n_layer - model_n_prunable(hp);
    str_addf(out, "%d layer%s", hp->n_layer, hp->n_layer == 1 ? "" : "s");
    if (windows)
        str_addf(out, ", %d of them with a window of %d (not pruned)", windows, hp->window);
}
