/* How often the intervals of harness/stats/stats.h hold the true value: `make intervals` prints the tables of
 * experiments/README.md.
 *
 * Hits and misses are counted out: every outcome of n samples, weighed by its probability. The rest is drawn, with a
 * fixed seed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/stats/stats.h"

enum { DRAWS = 2000, BOOTSTRAPS = 1000, MAX_N = 200, SEEDS = 5 };

static const struct stats_range fraction = {0, 1};
static const double share[] = {0,   0.005, 0.01, 0.02, 0.05, 0.1,  0.2,  0.3,   0.4, 0.5,
                               0.6, 0.7,   0.8,  0.9,  0.95, 0.98, 0.99, 0.995, 1};
enum { N_SHARE = sizeof share / sizeof *share };

struct tally {
    double sum, least, at[2];
    int n, low;
};

static void count(struct tally *t, double covered, double a, double b)
{
    if (!t->n || covered < t->least)
        *t = (struct tally){t->sum, covered, {a, b}, t->n, t->low};
    t->sum += covered;
    t->low += covered < 0.92;
    t->n++;
}

static void print(const char *what, int n, const struct tally *t, double width)
{
    printf("| %s | %d | %.3f | %.3f (%g, %g) | %d of %d | ", what, n, t->sum / t->n, t->least, t->at[0], t->at[1],
           t->low, t->n);
    printf(isnan(width) ? "n/a |\n" : "%.3f |\n", width);
}

static double power(double p, int k)
{
    return k ? k * log(p) : 0;
}

static const struct stats_range difference = {-1, 1};

/* Of n pairs `lost` differ by -1 and `won` by 1. Pairs are means of differences here: the permutation test of
 * stats_paired would take most of the time. */
static struct stats_summary pairs(int n, int lost, int won, const struct stats_range *range)
{
    double x[MAX_N];
    for (int i = 0; i < n; i++)
        x[i] = i < lost ? -1 : i < lost + won;
    return stats_mean(x, n, range);
}

/* Paired hits and misses: exact coverage over a grid of the shares that are lost and won. */
static void paired(const char *what, int n, const struct stats_range *range)
{
    struct stats_summary *s = mem_new((size_t)(n + 1) * (size_t)(n + 1), sizeof *s);
    struct tally t = {0};
    for (int lost = 0; lost <= n; lost++)
        for (int won = 0; lost + won <= n; won++) {
            struct stats_summary *p = &s[lost * (n + 1) + won];
            *p = pairs(n, lost, won, range);
            if (isnan(p->lo)) /* no interval says nothing false, but here it must: a point */
                p->lo = p->hi = p->mean;
        }
    for (int i = 0; i < N_SHARE; i++)
        for (int k = 0; k < N_SHARE; k++) {
            double p = share[i], q = share[k], none = 1 - p - q, covered = 0;
            if (none < -1e-12 || p + q == 0)
                continue;
            for (int lost = 0; lost <= n; lost++)
                for (int won = 0; lost + won <= n; won++) {
                    const struct stats_summary *v = &s[lost * (n + 1) + won];
                    int ties = n - lost - won;
                    if ((lost && p == 0) || (won && q == 0) || (ties && none < 1e-12))
                        continue;
                    if (q - p >= v->lo - 1e-12 && q - p <= v->hi + 1e-12)
                        covered += exp(lgamma(n + 1) - lgamma(lost + 1) - lgamma(won + 1) - lgamma(ties + 1) +
                                       power(p, lost) + power(q, won) + power(none, ties));
                }
            count(&t, covered, p, q);
        }
    const struct stats_summary *tie = &s[0];
    print(what, n, &t, (tie->hi - tie->lo) / 2);
    mem_free(s);
}

static void single(int n)
{
    struct tally t = {0};
    double x[MAX_N], lo[MAX_N + 1], hi[MAX_N + 1];
    for (int k = 0; k <= n; k++) {
        for (int i = 0; i < n; i++)
            x[i] = i < k;
        struct stats_summary s = stats_mean(x, n, &fraction);
        lo[k] = s.lo;
        hi[k] = s.hi;
    }
    for (int i = 1; i < N_SHARE - 1; i++) {
        double covered = 0;
        for (int k = 0; k <= n; k++)
            if (share[i] >= lo[k] && share[i] <= hi[k])
                covered += exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + power(share[i], k) +
                               power(1 - share[i], n - k));
        count(&t, covered, share[i], share[i]);
    }
    print("hits and misses", n, &t, hi[0]);
}

static double normal(struct rng *r)
{
    return sqrt(-2 * log(1 - rng_double(r))) * cos(6.283185307179586 * rng_double(r));
}

/* Four answers a sample, each right with the sample's own probability: scores are multiples of 1/4. The full cache
 * knows `high` of them on average, the pruned one `low` of those. */
static double graded(struct rng *r, double high, double low)
{
    double p = rng_double(r) < high ? 1 - 0.1 * rng_double(r) : rng_double(r),
           kept = rng_double(r) < low ? 1 : low * rng_double(r);
    int a = 0, b = 0;
    for (int i = 0; i < 4; i++) {
        int hit = rng_double(r) < p;
        a += hit;
        b += hit && rng_double(r) < kept;
    }
    return (b - a) / 4.0;
}

static double graded_truth(double high, double low)
{
    double p = high * 0.95 + (1 - high) * 0.5, kept = low + (1 - low) * low / 2;
    return p * kept - p;
}

static void draw_graded(int n)
{
    static const double levels[] = {0, 0.3, 0.7, 0.9, 0.98, 1};
    struct tally t = {0};
    struct rng r;
    rng_init(&r, 1, "graded");
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 5; k++) {
            int covered = 0;
            double truth = graded_truth(levels[i], levels[k]);
            for (int d = 0; d < DRAWS; d++) {
                double x[MAX_N];
                for (int s = 0; s < n; s++)
                    x[s] = graded(&r, levels[i], levels[k]);
                struct stats_summary p = stats_mean(x, n, &difference);
                covered += truth >= p.lo && truth <= p.hi;
            }
            count(&t, (double)covered / DRAWS, levels[i], levels[k]);
        }
    print("graded, paired", n, &t, pairs(n, 0, 0, &difference).hi);
}

/* `random` with five seeds over n contexts, against a full cache that always hits: a share of the seeds do what their
 * context does, the others hit by themselves. */
static void draw_clusters(int n)
{
    static const double means[] = {0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99}, agree[] = {0, 0.5, 0.9};
    struct tally t = {0};
    struct rng r;
    rng_init(&r, 1, "clusters");
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 3; k++) {
            int covered = 0;
            for (int d = 0; d < DRAWS; d++) {
                double x[MAX_N * SEEDS];
                int64_t group[MAX_N * SEEDS];
                for (int s = 0; s < n; s++) {
                    int own = rng_double(&r) < means[i];
                    for (int j = 0; j < SEEDS; j++) {
                        int at = s * SEEDS + j;
                        x[at] = (rng_double(&r) < agree[k] ? own : rng_double(&r) < means[i]) - 1;
                        group[at] = s;
                    }
                }
                struct stats_summary p = stats_mean_clustered(x, group, n * SEEDS, &difference);
                covered += means[i] - 1 >= p.lo && means[i] - 1 <= p.hi;
            }
            count(&t, (double)covered / DRAWS, means[i], agree[k]);
        }
    print("five seeds, paired", n, &t, pairs(n, 0, 0, &difference).hi);
}

/* Five tasks of n samples each, pooled as harness/report/pool.h has it: most tasks lose nothing, or all. */
static void draw_pooled(int n)
{
    static const double lost[][5] = {
        {0, 0, 0, 0, 0.01}, {0.01, 0.01, 0.02, 0.05, 0.1}, {0.05, 0.1, 0.3, 0.5, 0.9}, {0.9, 0.95, 0.98, 0.99, 1}};
    struct tally t = {0};
    struct rng r;
    rng_init(&r, 1, "pooled");
    for (int i = 0; i < 4; i++) {
        int covered = 0;
        double truth = 0;
        for (int k = 0; k < 5; k++)
            truth -= lost[i][k] / 5;
        for (int d = 0; d < DRAWS; d++) {
            double mean = 0, below = 0, above = 0;
            for (int k = 0; k < 5; k++) {
                int fewer = 0;
                for (int s = 0; s < n; s++)
                    fewer += rng_double(&r) < lost[i][k];
                struct stats_summary p = pairs(n, fewer, 0, &difference);
                mean += p.mean / 5;
                below += (p.mean - p.lo) * (p.mean - p.lo);
                above += (p.hi - p.mean) * (p.hi - p.mean);
            }
            covered += truth >= mean - sqrt(below) / 5 && truth <= mean + sqrt(above) / 5;
        }
        count(&t, (double)covered / DRAWS, lost[i][0], lost[i][4]);
    }
    print("five tasks pooled, paired", n, &t, pairs(n, 0, 0, &difference).hi / sqrt(5));
}

/* kl and nll: no range, bootstrap percentiles; log-normal with sigma. */
static void draw_unbounded(int n)
{
    static const double sigmas[] = {0.25, 0.5, 1};
    struct tally t = {0};
    struct rng r;
    rng_init(&r, 1, "unbounded");
    for (int i = 0; i < 3; i++) {
        int covered = 0;
        double truth = exp(sigmas[i] * sigmas[i] / 2);
        for (int d = 0; d < BOOTSTRAPS; d++) {
            double x[MAX_N];
            for (int s = 0; s < n; s++)
                x[s] = exp(sigmas[i] * normal(&r));
            struct stats_summary p = stats_mean(x, n, NULL);
            covered += truth >= p.lo && truth <= p.hi;
        }
        count(&t, (double)covered / BOOTSTRAPS, sigmas[i], 0);
    }
    print("log-normal, bootstrap", n, &t, (double)NAN);
}

int main(void)
{
    static const int sizes[] = {4, 8, 16, 50, 200};
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("| what | n | mean coverage | least (where) | below 0.92 | half width of n ties |\n| --- | ---: | ---: | ---: "
         "| ---: | ---: |");
    for (int i = 0; i < 5; i++)
        single(sizes[i]);
    for (int i = 0; i < 5; i++)
        paired("hits and misses, paired", sizes[i], &difference);
    for (int i = 0; i < 3; i++)
        paired("the same, bootstrap", sizes[i], NULL);
    for (int i = 0; i < 4; i++)
        draw_graded(sizes[i]);
    for (int i = 0; i < 4; i++)
        draw_clusters(sizes[i]);
    for (int i = 0; i < 4; i++)
        draw_pooled(sizes[i]);
    for (int i = 0; i < 4; i++)
        draw_unbounded(sizes[i]);
    return 0;
}
