#include "harness/run/jobs.h"

#include "models/model.h"

/* Weights in a layer's matrices that one thread is worth waking for, with a margin: a loop over one layer then takes
 * some hundred microseconds on one thread and is shared by as many as there are such parts. Four threads make the least
 * machine on which a small model leaves some idle. */
enum { LAYER_PART = 1 << 20, LEAST_THREADS = 4 };

static double layer_weights(const struct hparams *hp)
{
    double d = hp->d_model, kv = (double)hp->n_kv_head * hp->head_dim, q = (double)hp->n_head * hp->head_dim;
    return d * (2 * q + 2 * kv + 3.0 * hp->d_ff);
}

double jobs_peak(const struct estimate_group *g, double memory, int jobs)
{
    double one = estimate_peak(g, memory / jobs) - g->weights;
    return g->weights + jobs * one;
}

double jobs_memory(const struct experiment *x, int model, int threads, double memory, int jobs)
{
    double most = 0;
    for (int c = 0; c < x->n_cell; c++) {
        struct estimate_group g;
        if ((model >= 0 && x->cell[c].model != model) || !estimate_opens_group(x, c))
            continue;
        estimate_group(x, c, 0, threads / jobs > 0 ? threads / jobs : 1, &g);
        double peak = jobs_peak(&g, memory, jobs);
        most = peak > most ? peak : most;
    }
    return most;
}

void jobs_choose(const struct experiment *x, int threads, double memory, double free, struct jobs_choice *out)
{
    double smallest = 0;
    for (int m = 0; m < x->n_model; m++) {
        double w = layer_weights(&x->model[m].hp);
        smallest = m == 0 || w < smallest ? w : smallest;
    }
    int of_one = 1 + (int)(smallest / LAYER_PART);
    out->best = threads < LEAST_THREADS || of_one > threads ? 1 : threads / of_one;
    out->best = out->best < x->samples ? out->best : x->samples > 1 ? x->samples : 1;
    out->most = threads;
    while (out->most > 1 && free > 0 && jobs_memory(x, -1, threads, memory, out->most) > free)
        out->most--;
    out->best = out->best < out->most ? out->best : out->most;
}
