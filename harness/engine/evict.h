/* A cache that is cut while its sequence decodes (decode: evict, {interval: N}). It belongs to one sequence alone: all
 * entries lie in tails, an evicted entry's slot goes to a newer one, so positions are distinct but not sorted; the
 * statistics that the policy scores by lie beside the entries (tally.h) and grow with every token. A KV head that held
 * m entries after pruning may grow to m + 1 (interval: m + N) and is then cut back to m. Layers with a window, where
 * the cell leaves them whole, are never cut: their entries leave the window by themselves. Where they are pruned, what
 * has left goes with a cut, and a list that is not above m then stays as it is.
 *
 * Tokens are fed by whoever owns the loop, as rows of evict_cache(v), evict_room(v) at most at a time; evict_row must
 * see every attention row on the way (tap.cell), and evict_fed is called after every pass. */
#ifndef HARNESS_EVICT_H
#define HARNESS_EVICT_H

#include "harness/base/err.h"
#include "harness/engine/tally.h"
#include "harness/experiment/experiment.h"
#include "models/rope.h"

struct evict;

struct evict_setup {
    const struct model *model;
    const struct cell *cell;
    const struct kvcache *cache;      /* the pruned prompt; copied */
    const struct tally *tally;        /* statistics of its entries; copied. NULL: the policy asks for none */
    const struct rope_set *rope;      /* of packed cells: positions 0 .. entries + n_feed; lives as long as v */
    int question_begin, question_end; /* positions of the whole prompt */
    int n_feed;                       /* tokens that will be fed at most */
    uint64_t sample;                  /* hash of the sample */
};

struct evict *evict_create(const struct evict_setup *s, struct err *e);
/* A copy that goes its own way. It borrows the policy's own memory, where there is some: the original must outlive it.
 */
struct evict *evict_clone(const struct evict *v, struct err *e);
void evict_destroy(struct evict *v); /* accepts NULL */

struct kvcache *evict_cache(struct evict *v);
int evict_room(const struct evict *v);            /* tokens that may be fed before the next cut; at least 1 */
size_t evict_peak_bytes(const struct evict *v);   /* of keys and values, the token in flight included */
size_t evict_policy_bytes(const struct evict *v); /* of the statistics that the policy needs */
int evict_protection_cut(const struct evict *v);  /* 1: the protection did not fit, in some cut */

/* One attention row of one query head, the newest entry last. Heads may be served by several threads at once. */
void evict_row(struct evict *v, int layer, int head, const float *weight, int n_key);
/* n_fed[i] tokens were fed to v[i] (NULL: skipped); those that are due are cut, on all threads, with the same bits on
 * any number of them. failed[i] gets why v[i] could not be cut (ERR_OK: it could); it must not be used any more then.
 */
void evict_fed(struct evict *const *v, const int *n_fed, int n, struct err *failed);

#endif
