#include "policies/allocator_window.h"

#include <string.h>

#include "harness/base/mem.h"

int allocator_window_context(const struct policy_view *v, int head)
{
    int n = v->head[head].n_entry;
    return n > v->n_row ? n - v->n_row : n;
}

void allocator_window_scores(const struct policy_view *v, int h, int kernel, double *out)
{
    int n = v->head[h].n_entry, half = kernel / 2;
    double *mean = mem_new((size_t)n, sizeof *mean);
    for (int g = 0; g < v->n_group; g++)
        for (int i = 0; i < v->n_row; i++) {
            const float *row = v->attention[h * v->n_group + g].rows + (size_t)i * (size_t)n;
            for (int j = 0; j < n; j++)
                mean[j] += (double)row[j];
        }
    for (int j = 0; j < n; j++)
        mean[j] /= (double)v->n_group * v->n_row;
    for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int k = j - half; k <= j + half; k++)
            sum += k >= 0 && k < n ? mean[k] : 0;
        out[j] = sum / kernel;
    }
    mem_free(mean);
}

int allocator_window_spread(const struct allocator_input *in, double w, const double *share, int *entries,
                            struct err *e)
{
    double *weight = mem_new((size_t)in->n_layer, sizeof *weight), sum = 0;
    for (int l = 0; l < in->n_layer; l++)
        sum += share[l];
    for (int l = 0; l < in->n_layer; l++)
        weight[l] = in->m > w && sum > 0 ? w + (in->m - w) * in->n_layer * share[l] / sum : 1;
    int rc = allocator_spread(weight, in->available, in->n_layer, in->total, entries, e);
    mem_free(weight);
    return rc;
}
