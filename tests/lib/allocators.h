/* What the suites of layer allocators share: profiles on disk, layers with random attention, one call from parameters
 * to entries. Every failure on the way fails the calling test. */
#ifndef TESTS_ALLOCATORS_H
#define TESTS_ALLOCATORS_H

#include "harness/base/rng.h"
#include "policies/allocator.h"

enum { ALLOCATORS_MOST_LAYERS = 32, ALLOCATORS_HASH = 65 };
extern const char allocators_sha[ALLOCATORS_HASH]; /* of the model that profiles and setups are of */

struct allocators_study {
    const char *task, *policy;
    double level;
    int only;
    const double *kl,
        *score; /* [n_layer] mean kl; mean score, whose baseline is 1, paired difference NAN; NULL: not measured */
};
/* Writes profile.h5 as harness/report/profile.c does. sha NULL: allocators_sha. */
void allocators_profile(const char *path, const char *sha, int n_layer, const struct allocators_study *s, int n);
/* The same of some layers of a model alone: those with these numbers. windows NULL: it says nothing of them. */
struct allocators_layers {
    int n_layer, n;
    const int64_t *number; /* [n] */
    const char *windows;
};
void allocators_profile_of(const char *path, const char *sha, const struct allocators_layers *of,
                           const struct allocators_study *s, int n);

/* A ready allocator of a model of n_layer layers; params are "name=value" or "name=value,value"; NULL at the end. `dir`
 * is where paths begin.
 */
struct allocators_ready {
    const struct allocator_ops *ops;
    void *config, *self;
    int n_layer;
    char dir[64];
};
/* 0, or -1 and what `check` or `create` said. allocators_fini in either case. */
int allocators_make(struct allocators_ready *a, const char *name, const char *dir, int n_layer,
                    const char *const *params, struct err *e);
void allocators_fini(struct allocators_ready *a);

/* Statistics of random layers, as `observe` makes them; freed by allocators_stats_fini. */
struct allocators_stats {
    double *value, cosine[ALLOCATORS_MOST_LAYERS];
    const double *layer[ALLOCATORS_MOST_LAYERS];
};
void allocators_observe(const struct allocators_ready *a, struct rng *r, int n_kv_head, int n,
                        struct allocators_stats *out);
void allocators_stats_fini(struct allocators_stats *s);

/* Entries for n available ones in every layer and a total of m a layer; with random statistics where it reads any. */
int allocators_spread(const struct allocators_ready *a, int n, int m, const struct allocators_stats *s, int *entries,
                      double *predicted, struct err *e);

#endif
