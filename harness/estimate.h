/* What an experiment will take, before it runs: arithmetic, time and memory of every model, from shapes alone. */
#ifndef HARNESS_ESTIMATE_H
#define HARNESS_ESTIMATE_H

#include <stddef.h>

#include "harness/experiment.h"

struct estimate {
    int groups;                 /* prefills */
    double flop;                /* multiplications and additions, all of them */
    double seconds;             /* at estimate_flops a thread: cautious for a core with AVX2 */
    double weights, full_cache; /* bytes; the cache of the longest prompt */
    double cut_caches;          /* bytes of the caches that decode at once, bounded by `memory` */
};

extern const double estimate_flops;

/* model: index into x->model. memory: bytes for cut caches (--memory). A task without `length` is taken as as long as the
 * model's context. */
void estimate_model(const struct experiment *x, int model, double memory, int threads, struct estimate *out);

#endif
