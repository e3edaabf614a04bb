/* knapsack: the levels that a layer study measured are the items; the choice of one level a layer with the least damage
 * in all, within the total, by dynamic programming over entries.
 *
 *   minimise the sum of d_l(k_l), where the sum of c_l(k_l) <= total
 *   c_l(k) = max(1, floor(level_k n)); level 1 costs what the layer has and does no damage
 *
 * What is left over, less than an item, goes where the next level helps most per entry (linear between levels), and
 * what helps nowhere to the layer with the fewest entries, so that the total is exact.
 *
 * It assumes that damages add up over layers. They need not: rows hold `predicted`, the damage that the answer would
 * have then, to be compared with the measured one. A total below the profile's lowest level is n/a.
 * Source: none; MoE-nD (arXiv:2604.17695) upgrades layers greedily by damage per byte instead. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/allocator_profile.h"

struct config {
    struct allocator_profile_choice choice;
};

static const struct param params[] = {ALLOCATOR_PROFILE_PARAMS(struct config, choice), {0}};

struct items {
    int n_layer, n_level; /* level 1 with it */
    const struct allocator_profile *profile;
    int *cost; /* [n_layer][n_level] ascending */
};

static void destroy(void *self)
{
    allocator_profile_free(self);
}

static int create(void **self, const void *config, const struct allocator_setup *setup, struct err *e)
{
    struct allocator_profile *p = allocator_profile_read(&((const struct config *)config)->choice, setup, 0, e);
    if (p && p->n_level > UINT8_MAX - 1) {
        err_set(e, ERR_CONFIG, "%d levels; at most %d are expected", p->n_level, UINT8_MAX - 1);
        destroy(p);
        return -1;
    }
    for (int k = 0; p && k < p->n_level; k++)
        if (isnan(p->level[k])) {
            err_set(e, ERR_CONFIG,
                    "%s: a study whose layers kept different shares of what they have (keep_tokens or keep_bytes with "
                    "windows: prune) has no level to choose; study with keep",
                    ((const struct config *)config)->choice.path);
            destroy(p);
            return -1;
        }
    *self = p;
    return p ? 0 : -1;
}

static double damage(const struct items *t, int l, int k)
{
    return k < t->profile->n_level && t->profile->level[k] < 1
               ? t->profile->damage[(size_t)k * (size_t)t->n_layer + (size_t)l]
               : 0;
}

static int cost(const struct items *t, int l, int k)
{
    return t->cost[l * t->n_level + k];
}

static void make_items(const struct allocator_profile *p, const struct allocator_input *in, struct items *t)
{
    *t = (struct items){.n_layer = in->n_layer, .n_level = p->n_level, .profile = p};
    t->n_level += p->level[p->n_level - 1] < 1;
    t->cost = mem_new((size_t)t->n_layer * (size_t)t->n_level, sizeof *t->cost);
    for (int l = 0; l < t->n_layer; l++)
        for (int k = 0, n = allocator_n(in, l); k < t->n_level; k++) {
            double m = k < p->n_level ? floor(p->level[k] * n + 1e-9) : n; /* levels are read as binary fractions */
            m = k == t->n_level - 1 ? in->available[l] : m;
            t->cost[l * t->n_level + k] = m < 1 ? 1 : m > in->available[l] ? in->available[l] : (int)m;
        }
}

/* level[l] of the best choice within `total`; ties go to the cheaper level. */
static int choose(const struct items *t, int64_t total, int *level, struct err *e)
{
    size_t width = (size_t)total + 1;
    int rc = -1;
    double *best = mem_try(width, sizeof *best, "knapsack", e), *next = mem_try(width, sizeof *next, "knapsack", e);
    uint8_t *choice = mem_try((size_t)t->n_layer, width, "knapsack", e);
    if (!best || !next || !choice)
        goto out;
    for (int l = 0; l < t->n_layer; l++) {
        for (size_t c = 0; c < width; c++)
            next[c] = (double)INFINITY;
        for (int k = 0; k < t->n_level; k++) {
            size_t first = (size_t)cost(t, l, k);
            double d = damage(t, l, k);
            for (size_t c = first; c < width; c++)
                if (best[c - first] + d < next[c]) {
                    next[c] = best[c - first] + d;
                    choice[(size_t)l * width + c] = (uint8_t)k;
                }
        }
        double *swap = best;
        best = next;
        next = swap;
    }
    size_t c = (size_t)total;
    for (int l = t->n_layer - 1; l >= 0; l--) {
        level[l] = choice[(size_t)l * width + c];
        c -= (size_t)cost(t, l, level[l]);
    }
    rc = 0;
out:
    mem_free(best);
    mem_free(next);
    mem_free(choice);
    return rc;
}

/* Gives out what is left of the total. */
static void fill(const struct items *t, const int *available, int64_t left, int *level, int *entries)
{
    while (left > 0) {
        int at = -1;
        double top = 0;
        for (int l = 0; l < t->n_layer; l++) {
            while (level[l] + 1 < t->n_level && cost(t, l, level[l] + 1) <= entries[l])
                level[l]++;
            if (level[l] + 1 == t->n_level)
                continue;
            double gain = (damage(t, l, level[l]) - damage(t, l, level[l] + 1)) /
                          (cost(t, l, level[l] + 1) - cost(t, l, level[l]));
            if (gain > top) {
                top = gain;
                at = l;
            }
        }
        int64_t step = at >= 0 ? cost(t, at, level[at] + 1) - entries[at] : 1;
        for (int l = 0; l < t->n_layer && top <= 0; l++)
            if (entries[l] < available[l] && (at < 0 || entries[l] < entries[at]))
                at = l;
        step = step < left ? step : left;
        entries[at] += (int)step;
        left -= step;
    }
}

/* Linear between levels. */
static double predict(const struct items *t, const int *entries)
{
    double sum = 0;
    for (int l = 0; l < t->n_layer; l++) {
        int k = 0;
        while (k + 1 < t->n_level && cost(t, l, k + 1) <= entries[l])
            k++;
        sum += damage(t, l, k);
        if (k + 1 < t->n_level)
            sum += (damage(t, l, k + 1) - damage(t, l, k)) * (entries[l] - cost(t, l, k)) /
                   (cost(t, l, k + 1) - cost(t, l, k));
    }
    return sum;
}

static int allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct allocator_profile *p = self;
    struct items t;
    int64_t most = 0, least = 0;
    int rc = -1, *level = mem_new((size_t)in->n_layer, sizeof *level);
    make_items(p, in, &t);
    for (int l = 0; l < in->n_layer; l++) {
        most += in->available[l];
        least += cost(&t, l, 0);
    }
    int64_t total = in->total < most ? in->total : most;
    if (total < least) {
        err_set(e, ERR_INFEASIBLE,
                "the profile's lowest level, %g, takes %lld entries in all layers; the total is %lld", p->level[0],
                (long long)least, (long long)total);
        goto out;
    }
    if (choose(&t, total, level, e))
        goto out;
    for (int l = 0; l < in->n_layer; l++)
        total -= entries[l] = cost(&t, l, level[l]);
    fill(&t, in->available, total, level, entries);
    if (in->predicted)
        *in->predicted = predict(&t, entries);
    rc = 0;
out:
    mem_free(level);
    mem_free(t.cost);
    return rc;
}

extern const struct allocator_ops allocator_knapsack;
const struct allocator_ops allocator_knapsack = {
    .abi = ALLOCATOR_ABI,
    .name = "knapsack",
    .summary = "the levels of a layer study with the least summed damage, by dynamic programming",
    .paper = "none; the study is that of Dehghanighobadi and Fischer 2026, arXiv:2604.24647",
    .budget = ALLOCATOR_SPREADS,
    .config_size = sizeof(struct config),
    .params = params,
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
};
