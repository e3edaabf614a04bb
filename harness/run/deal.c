#include "harness/run/deal.h"

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/run/estimate.h"

struct deal {
    struct shard which;
    double *load; /* [of] what each has so far; a heap by load, then number */
    int *who;     /* [of] the number of load[i]'s owner, from 0 */
    unsigned char *own;
    int n;
};

struct deal *deal_create(struct shard which)
{
    struct deal *d = mem_new(1, sizeof *d);
    d->which = which;
    d->load = mem_new((size_t)which.of + 1, sizeof *d->load);
    d->who = mem_new((size_t)which.of + 1, sizeof *d->who);
    for (int i = 0; i < which.of; i++)
        d->who[i] = i;
    return d;
}

static int is_less(const struct deal *d, int a, int b)
{
    return d->load[a] != d->load[b] ? d->load[a] < d->load[b] : d->who[a] < d->who[b];
}

/* Gives the one with the least load `cost` more; which one that is, from 0. */
static int give(struct deal *d, double cost)
{
    int taken = d->who[0], at = 0;
    d->load[0] += cost;
    for (;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < d->which.of; child++)
            if (is_less(d, child, least))
                least = child;
        if (least == at)
            return taken;
        double load = d->load[at];
        int who = d->who[at];
        d->load[at] = d->load[least];
        d->who[at] = d->who[least];
        d->load[least] = load;
        d->who[least] = who;
        at = least;
    }
}

/* Seconds that one sample takes on a machine of the assumed rate: what counts is how samples of tasks compare. */
static double cost_of(const struct experiment *x, const struct cell *loaded, int task)
{
    const struct estimate_rates rates = {estimate_flops, estimate_flops};
    double sum = 0;
    for (int c = 0; c < x->n_cell; c++) {
        struct estimate_work w;
        if (x->cell[c].task != task || !axes_same_weights(&x->cell[c], loaded) || !estimate_opens_group(x, c))
            continue;
        estimate_group_work(x, c, &w);
        sum += estimate_seconds(&w, &rates);
    }
    return sum / (x->samples > 0 ? x->samples : 1);
}

int deal_task(struct deal *d, const struct experiment *x, const struct cell *loaded, int task, int n)
{
    if (!d->which.of)
        return n;
    int own = 0;
    double cost = cost_of(x, loaded, task);
    mem_free(d->own);
    d->own = mem_new((size_t)n + 1, 1);
    d->n = n;
    for (int i = 0; i < n; i++) {
        d->own[i] = give(d, cost > 0 ? cost : 1) == d->which.number - 1;
        own += d->own[i];
    }
    return own;
}

int deal_is_own(const struct deal *d, int i)
{
    return !d->which.of || (i < d->n && d->own[i]);
}

void deal_destroy(struct deal *d)
{
    if (!d)
        return;
    mem_free(d->load);
    mem_free(d->who);
    mem_free(d->own);
    mem_free(d);
}
