/* DepthKV's way to spread a budget (arXiv:2604.24647, section 5): pruning ratios in proportion to how well a layer tolerates
 * pruning, none above rho_max, and some layers whole. */
#ifndef POLICIES_ALLOCATOR_GUIDED_H
#define POLICIES_ALLOCATOR_GUIDED_H

#include "policies/allocator.h"

/* From damage to tolerance s > 0: what the paper does not say (PAPER A7). */
enum allocator_guided_transform {
    ALLOCATOR_GUIDED_RAW,    /* a metric of tolerance (no damage is positive): itself; else max + min - d, the profile mirrored */
    ALLOCATOR_GUIDED_MINMAX, /* (max - d) / (max - min): the most damaged layer is not pruned */
    ALLOCATOR_GUIDED_RANK    /* 1 for the most damaged, 2, ...; equal ones take the mean of their ranks */
};
extern const char *const allocator_guided_transforms[]; /* in the order of the enum, NULL-terminated */

/* Where the excess of a layer above rho_max goes: to the others in proportion to s, or to each the same. */
enum allocator_guided_redistribution { ALLOCATOR_GUIDED_PROPORTIONAL, ALLOCATOR_GUIDED_EQUAL };
extern const char *const allocator_guided_redistributions[];

/* s[l] of the layers that are not whole[l], from damage d [n_layer]. */
void allocator_guided_tolerance(const double *d, const unsigned char *whole, int n_layer, enum allocator_guided_transform t, double *s);

/* whole[l] = 1 for layer 0 and the k middle ones: floor(L/2) - k/2 + 1, and the k - 1 that follow (for k = 2 the paper's
 * pair floor(L/2), floor(L/2) + 1). ERR_CONFIG when the model has not that many. */
int allocator_guided_middle(int n_layer, int k, unsigned char *whole, struct err *e);

/* Pruning ratios in proportion to s, at most rho_max, that leave exactly in->total with the whole layers whole; then entries.
 * ERR_INFEASIBLE, with the ratio that is needed and the one that can be reached. */
int allocator_guided_spread(const struct allocator_input *in, const unsigned char *whole, const double *s, double rho_max,
                            enum allocator_guided_redistribution how, int *entries, struct err *e);

#endif
