#include "policies/allocator_guided.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

const char *const allocator_guided_transforms[] = {"raw", "minmax", "rank", NULL};
const char *const allocator_guided_redistributions[] = {"proportional", "equal", NULL};

static const double SLACK = 1e-6; /* entries: 1 - rho_max is rounded */

void allocator_guided_tolerance(const double *d, const unsigned char *whole, int n_layer,
                                enum allocator_guided_transform t, double *s)
{
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (int l = 0; l < n_layer; l++)
        if (!whole[l]) {
            low = fmin(low, d[l]);
            high = fmax(high, d[l]);
        }
    for (int l = 0; l < n_layer; l++) {
        double more = 0, same = 0;
        for (int j = 0; j < n_layer; j++)
            if (!whole[j]) {
                more += d[j] > d[l];
                same += j != l && d[j] == d[l];
            }
        if (whole[l])
            s[l] = 0;
        else if (t == ALLOCATOR_GUIDED_RANK)
            s[l] = 1 + more + same / 2;
        else if (t == ALLOCATOR_GUIDED_MINMAX)
            s[l] = high > low ? (high - d[l]) / (high - low) : 1;
        else
            s[l] = high <= 0 ? -d[l] : high + low - d[l];
    }
    double least = (double)INFINITY;
    for (int l = 0; l < n_layer; l++)
        if (!whole[l])
            least = fmin(least, s[l]);
    for (int l = 0; l < n_layer && least < 0; l++) /* damages of both signs: shares need s >= 0 */
        s[l] -= whole[l] ? 0 : least;
}

int allocator_guided_middle(int n_layer, int k, unsigned char *whole, struct err *e)
{
    int begin = n_layer / 2 - k / 2 + 1;
    if (k < 1 || begin < 1 || begin + k > n_layer || k + 2 > n_layer)
        return err_set(e, ERR_INFEASIBLE,
                       "%d middle layers (from layer %d) and layer 0 of %d layers that are pruned leave none to prune",
                       k, begin, n_layer);
    memset(whole, 0, (size_t)n_layer);
    whole[0] = 1;
    memset(whole + begin, 1, (size_t)k);
    return 0;
}

/* Removed entries of the n layers in proportion to s; what goes beyond a bound is shared out equally until nothing
 * does. */
static void spread_equally(const double *s, const double *low, const double *high, int n, double total, double *removed)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += s[i];
    for (int i = 0; i < n; i++)
        removed[i] = sum > 0 ? total * s[i] / sum : total / n;
    for (int round = 0; round <= 2 * n; round++) {
        double left = total;
        int n_free = 0;
        for (int i = 0; i < n; i++) {
            removed[i] = removed[i] < low[i] ? low[i] : removed[i] > high[i] ? high[i] : removed[i];
            left -= removed[i];
        }
        for (int i = 0; i < n; i++)
            n_free += left > 0 ? removed[i] < high[i] : removed[i] > low[i];
        if (fabs(left) < SLACK || n_free == 0)
            return;
        for (int i = 0; i < n; i++)
            if (left > 0 ? removed[i] < high[i] : removed[i] > low[i])
                removed[i] += left / n_free;
    }
}

int allocator_guided_spread(const struct allocator_input *in, const unsigned char *whole, const double *s,
                            double rho_max, enum allocator_guided_redistribution how, int *entries, struct err *e)
{
    int n = 0, rc = -1;
    size_t L = (size_t)in->n_layer;
    double most = 0, spent = 0, reach = 0, others = 0, all = 0;
    double *low = mem_new(L, sizeof *low), *high = mem_new(L, sizeof *high), *weight = mem_new(L, sizeof *weight),
           *removed = mem_new(L, sizeof *removed), *kept = mem_new(L, sizeof *kept);
    for (int l = 0; l < in->n_layer; l++) {
        most += in->available[l];
        all += allocator_n(in, l);
        if (whole[l]) {
            spent += in->available[l];
            continue;
        }
        /* of n entries; what an earlier chunk lost is removed already */
        int n_l = allocator_n(in, l);
        low[n] = n_l > in->available[l] ? n_l - in->available[l] : 0;
        high[n] = fmax(fmin(rho_max * n_l, n_l - 1), low[n]);
        reach += n_l - high[n];
        others += n_l;
        weight[n++] = s[l];
    }
    double total = fmin((double)in->total, most), rest = total - spent;
    if (rest < reach - SLACK) {
        err_set(e, ERR_INFEASIBLE,
                "keeping %.0f of %.0f entries with %d of %d layers whole needs a mean pruning ratio of %.3f in the "
                "others, above rho_max %g: "
                "at least %.0f are kept",
                total, all, in->n_layer - n, in->n_layer, 1 - rest / others, rho_max, spent + reach);
        goto out;
    }
    double to_remove = others - rest;
    if (how == ALLOCATOR_GUIDED_EQUAL)
        spread_equally(weight, low, high, n, to_remove, removed);
    else
        allocator_shares(weight, low, high, n, to_remove, removed);
    for (int l = in->n_layer - 1; l >= 0; l--)
        if (!whole[l])
            kept[l] = fmax(allocator_n(in, l) - removed[--n], 0);
    rc = allocator_spread_rest(in, whole, kept, entries, e);
out:
    mem_free(low);
    mem_free(high);
    mem_free(weight);
    mem_free(removed);
    mem_free(kept);
    return rc;
}

struct self {
    unsigned char *whole; /* [n_layer] */
    double *s;            /* [n_layer] tolerance; 0 where whole */
    double rho_max;
    enum allocator_guided_redistribution how;
};

void allocator_guided_destroy(void *self)
{
    struct self *s = self;
    if (!s)
        return;
    mem_free(s->whole);
    mem_free(s->s);
    mem_free(s);
}

static int choose_whole(int n_layer, int k, unsigned char *whole, struct err *e)
{
    if (k)
        return allocator_guided_middle(n_layer, k, whole, e);
    whole[0] = 1;
    return n_layer > 1
               ? 0
               : err_set(e, ERR_INFEASIBLE, "one layer that is pruned, which stays whole, leaves none to prune");
}

int allocator_guided_create(void **self, const struct allocator_guided_config *c, const struct allocator_setup *setup,
                            int k, double rho_max, struct err *e)
{
    struct self *s = mem_new(1, sizeof *s);
    s->whole = mem_new((size_t)setup->n_layer, 1);
    s->s = mem_new((size_t)setup->n_layer, sizeof *s->s);
    s->rho_max = rho_max;
    s->how = (enum allocator_guided_redistribution)c->redistribution;
    struct allocator_profile *p =
        choose_whole(setup->n_layer, k, s->whole, e) ? NULL : allocator_profile_read(&c->choice, setup, 1, e);
    if (!p) {
        allocator_guided_destroy(s);
        return -1;
    }
    allocator_guided_tolerance(p->mean, s->whole, setup->n_layer, (enum allocator_guided_transform)c->transform, s->s);
    allocator_profile_free(p);
    *self = s;
    return 0;
}

int allocator_guided_allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e)
{
    const struct self *s = self;
    return allocator_guided_spread(in, s->whole, s->s, s->rho_max, s->how, entries, e);
}
