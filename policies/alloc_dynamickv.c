/* dynamickv: layers that hold more of the best entries of all layers get more.
 *
 *   per KV head: scores of the entries before the window, mean attention of the last w queries, averaged over `kernel`;
 *   of each head the best min(r_max (m - w), n - w) are candidates;
 *   of all candidates the best (m - w) H L are counted
 *   B_l = w + (m - w) L count_l / sum of count
 *
 * Paper: DynamicKV, Zhou et al. 2024, arXiv:2412.14838; its dynamic_v11.py with r_max 10. Deviations: it counts query
 * heads, here KV heads share their group's mean, since they are what is stored; it updates budgets every few layers of
 * the prefill, here once, when all are known. Ties: the lower layer, head and position. It holds n doubles a KV head
 * and layer. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/allocator_window.h"

struct config {
    int64_t window, kernel;
    double r_max;
};

static const struct param params[] = {
    {"window", PARAM_INT, offsetof(struct config, window), "64", 1, 1e6, NULL,
     "last queries that are looked through, and entries of every layer beside its share"},
    {"kernel", PARAM_INT, offsetof(struct config, kernel), "5", 1, 1023, NULL,
     "neighbours that scores are averaged over (an even number counts as the next odd one)"},
    {"r_max", PARAM_FLOAT, offsetof(struct config, r_max), "10", 1, 1e6, NULL, "most that a layer can get, in budgets"},
    {0},
};

static int rows(const void *config)
{
    return (int)((const struct config *)config)->window;
}

/* Scores of the context, then nothing (-1) for the window: [n_kv_head][n]. */
static size_t n_stat(const void *config, const struct policy_view *shape)
{
    (void)config;
    return (size_t)shape->n_kv_head * (size_t)shape->n_seen;
}

static int observe(const void *self, const struct policy_view *v, double *stat, struct err *e)
{
    const struct config *c = self;
    (void)e;
    for (int h = 0; h < v->n_kv_head; h++) {
        double *score = stat + (size_t)h * (size_t)v->n_seen;
        allocator_window_scores(v, h, (int)c->kernel | 1, score);
        for (int j = allocator_window_context(v, h); j < v->n_seen; j++)
            score[j] = -1;
    }
    return 0;
}

struct candidate {
    double score;
    int layer, order;
};

static int best_first(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->score < b->score || a->score > b->score)
        return a->score < b->score ? 1 : -1;
    return a->layer != b->layer ? a->layer - b->layer : a->order - b->order;
}

/* The best `most` entries of one head, at out; returns how many. */
static int take_head(const double *score, int n, int layer, int head, int most, struct candidate *out)
{
    int found = 0;
    for (int j = 0; j < n; j++)
        if (score[j] >= 0)
            out[found++] = (struct candidate){score[j], layer, head * n + j};
    qsort(out, (size_t)found, sizeof *out, best_first);
    return found < most ? found : most;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct config *c = self;
    size_t per_layer = (size_t)in->n_kv_head * (size_t)in->n, n = 0;
    double b = in->m > c->window ? in->m - (double)c->window : 0, most = c->r_max * b;
    int rc = -1;
    double *count = mem_new((size_t)in->n_layer, sizeof *count);
    struct candidate *all = mem_try((size_t)in->n_layer * per_layer + 1, sizeof *all, "candidates of dynamickv", e);
    if (!all)
        goto out;
    for (int l = 0; l < in->n_layer; l++)
        for (int h = 0; h < in->n_kv_head; h++)
            n += (size_t)take_head(in->stat[l] + (size_t)h * (size_t)in->n, in->n, l, h,
                                   most < in->n ? (int)most : in->n, all + n);
    qsort(all, n, sizeof *all, best_first);
    for (size_t i = 0; i < n && (double)i < b * in->n_kv_head * in->n_layer; i++)
        count[all[i].layer]++;
    rc = allocator_window_spread(in, (double)c->window, count, entries, e);
out:
    mem_free(all);
    mem_free(count);
    return rc;
}

extern const struct allocator_ops allocator_dynamickv;
const struct allocator_ops allocator_dynamickv = {
    .abi = ALLOCATOR_ABI,
    .name = "dynamickv",
    .summary = "by how many of the best entries of all layers lie in a layer",
    .paper = "Zhou et al. 2024, arXiv:2412.14838",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .observe = observe,
    .needs = STATISTIC_ROWS,
    .rows = rows,
    .n_stat = n_stat,
    .allocate = allocate,
};
