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

int layers_explain(const struct hparams *hp, enum windows windows, struct err *e)
{
    int n = model_n_prunable(hp), with_window = hp->n_layer - n;
    struct str s = {0};
    if (!e || !with_window)
        return -1;
    str_addf(&s, "%s; ", e->msg);
    if (windows == WINDOWS_PRUNE)
        str_addf(&s, "windows: prune counts all %d layers, %d of them with a window", hp->n_layer, with_window);
    else
        str_addf(&s, "windows: keep counts the %d layer%s of %d that %s no window", n, n == 1 ? "" : "s", hp->n_layer,
                 n == 1 ? "has" : "have");
    err_set(e, e->code, "%s", s.p);
    str_free(&s);
    return -1;
}

void layers_text(const struct hparams *hp, struct str *out)
{
    int windows = hp->n_layer - model_n_prunable(hp);
    str_addf(out, "%d layer%s", hp->n_layer, hp->n_layer == 1 ? "" : "s");
    if (windows)
        str_addf(out, ", %d of them with a window of %d (not pruned)", windows, hp->window);
}
