/* DepthKV's way to spread a budget (arXiv:2604.24647, section 5): pruning ratios in proportion to how well a layer
 * tolerates pruning, none above rho_max, and some layers whole. */
#ifndef POLICIES_ALLOCATOR_GUIDED_H
#define POLICIES_ALLOCATOR_GUIDED_H

#include "policies/allocator.h"
#include "policies/allocator_profile.h"

/* From damage to tolerance s > 0: what the paper does not say. */
enum allocator_guided_transform {
    ALLOCATOR_GUIDED_RAW,    /* a metric of tolerance (no damage is positive): itself; else max + min - d, the profile
                                mirrored */
    ALLOCATOR_GUIDED_MINMAX, /* (max - d) / (max - min): the most damaged layer is not pruned */
    ALLOCATOR_GUIDED_RANK    /* 1 for the most damaged, 2, ...; equal ones take the mean of their ranks */
};
extern const char *const allocator_guided_transforms[]; /* in the order of the enum, NULL-terminated */

/* Where the excess of a layer above rho_max goes: to the others in proportion to s, or to each the same. */
enum allocator_guided_redistribution { ALLOCATOR_GUIDED_PROPORTIONAL, ALLOCATOR_GUIDED_EQUAL };
extern const char *const allocator_guided_redistributions[];

/* What mga and mlma have in common: a config holds it and its rows of the parameter table, `create` makes what the
 * others take. */
struct allocator_guided_config {
    struct allocator_profile_choice choice;
    double rho_max;
    int transform, redistribution;
};

#define ALLOCATOR_GUIDED_PROFILE(type, member) \
    ALLOCATOR_PROFILE_PARAMS(type, member.choice), ALLOCATOR_PROFILE_METRIC(type, member.choice)
/* clang-format off */
#define ALLOCATOR_GUIDED_PARAMS(type, member) \
    {"rho_max", PARAM_FLOAT, offsetof(type, member.rho_max), "0.7", 1e-9, 1, NULL, \
     "largest pruning ratio of a layer"}, \
    {"transform", PARAM_ENUM, offsetof(type, member.transform), "minmax", 0, 0, allocator_guided_transforms, \
     "how damage d becomes tolerance: max + min - d (or the metric itself), (max - d) / (max - min), rank"}, \
    {"redistribution", PARAM_ENUM, offsetof(type, member.redistribution), "proportional", 0, 0, \
     allocator_guided_redistributions, "how the excess above rho_max goes to the others"}
/* clang-format on */

/* Layer 0 and the k middle ones whole (k 0: layer 0 alone), the others by the profile, none pruned by more than
 * rho_max. */
int allocator_guided_create(void **self, const struct allocator_guided_config *c, const struct allocator_setup *setup,
                            int k, double rho_max, struct err *e);
void allocator_guided_destroy(void *self); /* NULL is fine */
int allocator_guided_allocate(const void *self, const struct allocator_input *in, int *entries, struct err *e);

/* s[l] of the layers that are not whole[l], from damage d [n_layer]. */
void allocator_guided_tolerance(const double *d, const unsigned char *whole, int n_layer,
                                enum allocator_guided_transform t, double *s);

/* whole[l] = 1 for layer 0 and the k middle ones: floor(L/2) - k/2 + 1, and the k - 1 that follow (for k = 2 the
 * paper's pair floor(L/2), floor(L/2) + 1). ERR_CONFIG when the model has not that many. */
int allocator_guided_middle(int n_layer, int k, unsigned char *whole, struct err *e);

/* Pruning ratios in proportion to s, at most rho_max, that leave exactly in->total with the whole layers whole; then
 * entries. ERR_INFEASIBLE, with the ratio that is needed and the one that can be reached. */
int allocator_guided_spread(const struct allocator_input *in, const unsigned char *whole, const double *s,
                            double rho_max, enum allocator_guided_redistribution how, int *entries, struct err *e);

#endif
