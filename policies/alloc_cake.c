/* cake: layers whose attention is spread out, and moves from query to query, get more.
 *
 *   over the last w queries i and the entries j before them: H = - sum of A log A, mean over queries and query heads;
 *   V = sum over j of the variance over queries of A(i, j), mean over query heads
 *   P_l = H^(1 / tau1) V^(1 / tau2)        B_l = w + (m - w) L P_l / sum of P
 *
 * Paper: CAKE, Qin et al. 2025, arXiv:2503.12491 (ICLR 2025). Deviations: the paper caps B_l at n and shares the excess
 * evenly, here it goes in proportion like everywhere; CAKE cuts layer by layer during the prefill so that memory stays
 * bounded, here all layers are known first (the entries are those of its end); tau1 and tau2 are tuned per model there.
 */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/allocator_window.h"

struct config {
    int64_t window;
    double tau1, tau2;
};

static const struct param params[] = {
    {"window", PARAM_INT, offsetof(struct config, window), "32", 1, 1e6, NULL,
     "last queries that are looked through, and entries of every layer beside its share"},
    {"tau1", PARAM_FLOAT, offsetof(struct config, tau1), "1", 1e-3, 1e3, NULL, "temperature of the entropy"},
    {"tau2", PARAM_FLOAT, offsetof(struct config, tau2), "1", 1e-3, 1e3, NULL,
     "temperature of the variance over queries"},
    {0},
};

static int rows(const void *config)
{
    return (int)((const struct config *)config)->window;
}

static size_t n_stat(const void *config, const struct policy_view *shape)
{
    (void)config;
    (void)shape;
    return 2; /* H, V */
}

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    (void)self;
    (void)e;
    stat[0] = stat[1] = 0;
    for (int q = 0; q < v->n_head; q++) {
        int h = q / v->n_group, n = v->head[h].n_entry, context = allocator_window_context(v, h);
        const float *rows = v->attention[q].rows;
        for (int j = 0; j < context; j++) {
            double mean = 0, square = 0;
            for (int i = 0; i < v->n_row; i++) {
                double a = (double)rows[(size_t)i * (size_t)n + (size_t)j];
                mean += a / v->n_row;
                stat[0] -= a > 0 ? a * log(a) / v->n_row : 0;
            }
            for (int i = 0; i < v->n_row; i++) {
                double d = (double)rows[(size_t)i * (size_t)n + (size_t)j] - mean;
                square += d * d;
            }
            stat[1] += square / v->n_row;
        }
    }
    stat[0] /= v->n_head;
    stat[1] /= v->n_head;
    return 0;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    double *p = mem_new((size_t)in->n_layer, sizeof *p), most_h = 0, most_v = 0;
    for (int l = 0; l < in->n_layer; l++) {
        most_h = fmax(most_h, in->stat[l][0]);
        most_v = fmax(most_v, in->stat[l][1]);
    }
    for (int l = 0; l < in->n_layer; l++) /* against the largest, so that small temperatures do not underflow */
        p[l] = most_h > 0 && most_v > 0
                   ? pow(in->stat[l][0] / most_h, 1 / c->tau1) * pow(in->stat[l][1] / most_v, 1 / c->tau2)
                   : 1;
    int rc = allocator_window_spread(in, (double)c->window, p, entries, e);
    mem_free(p);
    return rc;
}

extern const struct allocator_ops allocator_cake;
const struct allocator_ops allocator_cake = {
    .abi = ALLOCATOR_ABI,
    .name = "cake",
    .summary = "by the spread of attention over entries and over queries",
    .paper = "Qin et al. 2025, arXiv:2503.12491",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_ROWS,
    .rows = rows,
    .n_stat = n_stat,
    .allocate = allocate,
};
