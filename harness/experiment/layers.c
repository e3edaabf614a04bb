#include "harness/experiment/layers.h"

int layers_takes(const struct hparams *hp, enum windows windows, int layer)
{
    return windows == WINDOWS_PRUNE || model_layer_prunable(hp, layer);
}

int layers_count(const struct hparams *hp, enum windows windows)
{
    return windows == WINDOWS_PRUNE ? hp->n_layer : model_n_prunable(hp);
}

void layers_of(const struct hparams *hp, enum windows windows, struct layers *out)
{
    out->n = 0;
    out->n_model = hp->n_layer;
    for (int l = 0; l < hp->n_layer; l++)
        if (layers_takes(hp, windows, l))
            out->number[out->n++] = l;
}

void layers_text(const struct hparams *hp, struct str *out)
{
    int windows = hp->n_layer - model_n_prunable(hp);
    str_addf(out, "%d layer%s", hp->n_layer, hp->n_layer == 1 ? "" : "s");
    if (windows)
        str_addf(out, ", %d of them with a window of %d (not pruned)", windows, hp->window);
}
