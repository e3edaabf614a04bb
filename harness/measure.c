#include "harness/measure.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/decode.h"

/* ln sum exp(x), shifted by the maximum; summed in index order. */
static double log_sum_exp(const float *x, int n)
{
    float top = x[decode_argmax(x, n)];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)(x[i] - top));
    return (double)top + log(sum);
}

double measure_nll(const float *logits, const int32_t *target, int n_target, int n_vocab)
{
    double *loss = mem_new((size_t)n_target + 1, sizeof *loss), sum = 0;
#pragma omp parallel for schedule(static)
    for (int t = 0; t < n_target; t++) {
        const float *x = logits + (size_t)t * (size_t)n_vocab;
        loss[t] = log_sum_exp(x, n_vocab) - (double)x[target[t]];
    }
    for (int t = 0; t < n_target; t++)
        sum += loss[t];
    mem_free(loss);
    return n_target ? sum / n_target : (double)NAN;
}

int measure_reference(struct reference *r, const float *logits, int n_step, int n_vocab, struct err *e)
{
    size_t n = (size_t)n_step * (size_t)n_vocab;
    *r = (struct reference){.n_step = n_step, .n_vocab = n_vocab};
    r->logits = mem_try(n, sizeof *r->logits, "reference logits", e);
    if (!r->logits)
        return -1;
    memcpy(r->logits, logits, n * sizeof *logits);
    r->log_sum = mem_new((size_t)n_step + 1, sizeof *r->log_sum);
    r->top = mem_new((size_t)n_step + 1, sizeof *r->top);
#pragma omp parallel for schedule(static)
    for (int t = 0; t < n_step; t++) {
        r->log_sum[t] = log_sum_exp(logits + (size_t)t * (size_t)n_vocab, n_vocab);
        r->top[t] = decode_argmax(logits + (size_t)t * (size_t)n_vocab, n_vocab);
    }
    return 0;
}

void measure_reference_fini(struct reference *r)
{
    mem_free(r->logits);
    mem_free(r->log_sum);
    mem_free(r->top);
    *r = (struct reference){0};
}

static double step_kl(const float *full, double full_sum, const float *cell, double cell_sum, int n)
{
    double kl = 0;
    for (int i = 0; i < n; i++) {
        double lp = (double)full[i] - full_sum, lq = (double)cell[i] - cell_sum;
        kl += exp(lp) * (lp - lq);
    }
    return kl > 0 ? kl : 0; /* rounding may leave -1e-17 where the two are equal */
}

void measure_divergence(const struct reference *r, const float *logits, struct divergence *out)
{
    int n = r->n_step;
    double *kl = mem_new((size_t)n + 1, sizeof *kl);
    int *same = mem_new((size_t)n + 1, sizeof *same);
#pragma omp parallel for schedule(static)
    for (int t = 0; t < n; t++) {
        const float *x = logits + (size_t)t * (size_t)r->n_vocab;
        kl[t] = step_kl(r->logits + (size_t)t * (size_t)r->n_vocab, r->log_sum[t], x, log_sum_exp(x, r->n_vocab),
                        r->n_vocab);
        same[t] = decode_argmax(x, r->n_vocab) == r->top[t];
    }
    *out = (struct divergence){.first = -1};
    int agree = 0;
    for (int t = 0; t < n; t++) {
        out->kl += kl[t];
        if (kl[t] > out->kl_max)
            out->kl_max = kl[t];
        agree += same[t];
        if (!same[t] && out->first < 0)
            out->first = t;
    }
    out->kl = n ? out->kl / n : (double)NAN;
    out->top1 = n ? (double)agree / n : (double)NAN;
    mem_free(kl);
    mem_free(same);
}
