/* snapkv: what the last `window` queries attend to, smoothed along the sequence.
 *   a_q(j) = mean over the last w queries of A_q(i, j)              j before the window
 *   s_h(j) = mean over the query heads q of h of pool_kernel(a_q)(j)
 * The window itself stays. Pooling has stride 1, half a kernel of padding on both sides (zeros that count for avg, none
 * for max), and does not reach into the window.
 * "SnapKV" exists with five sets of parameters; the defaults are those of its class: w 64, kernel 5, avg. */
#include <math.h>
#include <stddef.h>

#include "harness/base/mem.h"
#include "policies/policy.h"

enum { AVG, MAX };

struct config {
    int64_t window, kernel;
    int pooling;
};

static const char *const poolings[] = {"avg", "max", NULL};

static const struct param params[] = {
    {"window", PARAM_INT, offsetof(struct config, window), "64", 1, 1e6, NULL, "last queries that vote; they stay"},
    {"kernel", PARAM_INT, offsetof(struct config, kernel), "5", 1, 1e6, NULL, "positions pooled together; 1: none"},
    {"pooling", PARAM_ENUM, offsetof(struct config, pooling), "avg", 0, 0, poolings, "how they are pooled"},
    {0},
};

static int rows(const void *config)
{
    return (int)((const struct config *)config)->window;
}

static void protect(const void *config, int m, struct policy_protection *out)
{
    (void)m;
    out->recent = (int)((const struct config *)config)->window;
}

/* a[0 .. n) around j, in ascending order. A NaN among them is the result, so that the harness sees it. */
static double pool(const double *a, int n, int j, const struct config *c)
{
    int64_t from = j - c->kernel / 2, to = from + c->kernel;
    double sum = 0, top = 0; /* attention is never negative */
    from = from < 0 ? 0 : from;
    to = to > n ? n : to;
    for (int64_t i = from; i < to; i++) {
        sum += a[i];
        top = a[i] > top ? a[i] : top;
    }
    return c->pooling == AVG || isnan(sum) ? sum / (double)c->kernel : top;
}

static int score(void *self, const struct policy_view *v, float *const *out, struct err *e)
{
    const struct config *c = self;
    int most = 0;
    for (int h = 0; h < v->n_kv_head; h++)
        most = v->head[h].n_entry > most ? v->head[h].n_entry : most;
    double *mean = mem_try((size_t)most, sizeof *mean, "snapkv scores", e);
    double *sum = mem_try((size_t)most, sizeof *sum, "snapkv scores", e);
    int rc = -1;
    if (!mean || !sum)
        goto out;
    for (int h = 0; h < v->n_kv_head; h++) {
        int n = v->head[h].n_entry, before = n > v->n_row ? n - v->n_row : 0;
        double best = 0;
        for (int j = 0; j < before; j++)
            sum[j] = 0;
        for (int g = 0; g < v->n_group; g++) {
            const float *row = v->attention[h * v->n_group + g].rows;
            for (int j = 0; j < before; j++)
                mean[j] = 0;
            for (int r = 0; r < v->n_row; r++, row += n)
                for (int j = 0; j < before; j++)
                    mean[j] += (double)row[j];
            for (int j = 0; j < before; j++)
                mean[j] /= v->n_row;
            for (int j = 0; j < before; j++)
                sum[j] += pool(mean, before, j, c);
        }
        for (int j = 0; j < before; j++) {
            sum[j] /= v->n_group;
            out[h][j] = (float)sum[j];
            best = fmax(best, sum[j]);
        }
        for (int j = before; j < n; j++)
            out[h][j] = (float)(best + 1);
    }
    rc = 0;
out:
    mem_free(mean);
    mem_free(sum);
    return rc;
}

extern const struct policy_ops policy_snapkv;
const struct policy_ops policy_snapkv = {
    .abi = POLICY_ABI,
    .name = "snapkv",
    .summary = "what the last window of queries attends to, pooled; the window stays",
    .paper = "Li et al. 2024, arXiv:2404.14469",
    .needs = STATISTIC_ROWS,
    .head_budget = "uniform",
    .config_size = sizeof(struct config),
    .params = params,
    .rows = rows,
    .protect = protect,
    .score = score,
};
