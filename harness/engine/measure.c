#include "harness/engine/measure.h"

#include <math.h>
#include <string.h>

#include "harness/base/cpu.h"
#include "harness/base/mem.h"
#include "harness/engine/decode.h"

enum { LANES = 8 }; /* of every sum: a fixed order, whatever the machine's registers */

/* e^x for x <= 0 (below -700 as for -700): 2^n e^r with |r| <= ln(2)/2, ln 2 in two parts, e^r by its series up to
 * r^13; relative error below 4e-16. No branch, no table, so that loops over it become vectors. */
static inline __attribute__((always_inline)) double fast_exp(double x)
{
    static const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to a whole number */
    x = x < -700 ? -700 : x;
    double n = x * 1.4426950408889634074 + magic;
    uint64_t whole, bits;
    memcpy(&whole, &n, sizeof whole);
    n -= magic;
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &p, sizeof bits);
    bits += whole << 52;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static double add_lanes(const double *part)
{
    double sum = 0;
    for (int j = 0; j < LANES; j++)
        sum += part[j];
    return sum;
}

CPU_CLONES static double exp_sum(const float *x, int n, double top)
{
    double part[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            part[j] += fast_exp((double)x[i + j] - top);
    for (int j = 0; i + j < n; j++)
        part[j] += fast_exp((double)x[i + j] - top);
    return add_lanes(part);
}

CPU_CLONES static double kl_sum(const float *full, double full_sum, const float *cell, double cell_sum, int n)
{
    double part[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double lp = (double)full[i + j] - full_sum, lq = (double)cell[i + j] - cell_sum;
            part[j] += fast_exp(lp) * (lp - lq);
        }
    for (int j = 0; i + j < n; j++) {
        double lp = (double)full[i + j] - full_sum, lq = (double)cell[i + j] - cell_sum;
        part[j] += fast_exp(lp) * (lp - lq);
    }
    return add_lanes(part);
}

/* ln sum exp(x), shifted by the maximum. */
static double log_sum_exp(const float *x, int n, int top)
{
    return (double)x[top] + log(exp_sum(x, n, (double)x[top]));
}

double measure_loss(const float *logits, int32_t target, int n_vocab)
{
    return log_sum_exp(logits, n_vocab, decode_argmax(logits, n_vocab)) - (double)logits[target];
}

int measure_reference_add(struct reference *r, const float *logits, int n_vocab, struct err *e)
{
    size_t step = (size_t)r->n_step, vocab = (size_t)n_vocab;
    if (step == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16, room = r->cap, tops = r->cap;
        float *more = mem_try_raw(cap, vocab * sizeof *more, "reference logits", e);
        if (!more)
            return -1;
        if (step)
            memcpy(more, r->logits, step * vocab * sizeof *more);
        mem_free(r->logits);
        r->logits = more;
        mem_grow(&r->log_sum, &room, cap, sizeof *r->log_sum);
        mem_grow(&r->top, &tops, cap, sizeof *r->top);
        r->cap = cap;
    }
    r->n_vocab = n_vocab;
    memcpy(r->logits + step * vocab, logits, vocab * sizeof *logits);
    r->top[step] = decode_argmax(logits, n_vocab);
    r->log_sum[step] = log_sum_exp(logits, n_vocab, r->top[step]);
    r->n_step++;
    return 0;
}

void measure_reference_fini(struct reference *r)
{
    mem_free(r->logits);
    mem_free(r->log_sum);
    mem_free(r->top);
    *r = (struct reference){0};
}

void measure_divergence_begin(struct divergence *d)
{
    *d = (struct divergence){.first = -1};
}

void measure_divergence_add(struct divergence *d, const struct reference *r, const float *logits)
{
    int t = d->n++, n = r->n_vocab, top = decode_argmax(logits, n);
    double kl = kl_sum(r->logits + (size_t)t * (size_t)n, r->log_sum[t], logits, log_sum_exp(logits, n, top), n);
    kl = kl < 0 ? 0 : kl; /* rounding may leave -1e-17 where the two are nearly equal; NaN stays */
    d->kl += kl;
    d->kl_max = kl > d->kl_max || isnan(kl) ? kl : d->kl_max;
    d->top1 += top == r->top[t];
    if (top != r->top[t] && d->first < 0)
        d->first = t;
}

void measure_divergence_end(struct divergence *d)
{
    d->kl = d->n ? d->kl / d->n : (double)NAN;
    d->top1 = d->n ? d->top1 / d->n : (double)NAN;
    d->kl_max = d->n ? d->kl_max : (double)NAN;
}
