/* What allocators that look through the last w queries have in common. */
#ifndef POLICIES_ALLOCATOR_WINDOW_H
#define POLICIES_ALLOCATOR_WINDOW_H

#include "policies/allocator.h"

/* Entries of a head before the window itself, at least one: "the context". */
int allocator_window_context(const struct policy_view *v, int head);
/* out[n_entry]: attention that entries of KV head h got from the rows of the view, mean over rows and the group's query
 * heads, then averaged over `kernel` neighbours (odd; 1: not at all; zeros beyond the ends). */
void allocator_window_scores(const struct policy_view *v, int h, int kernel, double *out);
/* w entries for every layer and the rest of the total in proportion to share[n_layer]: w + (m - w) L share_l / sum of
 * share. A budget of at most w entries, or no share at all, is spread alike. */
int allocator_window_spread(const struct allocator_input *in, double w, const double *share, int *entries,
                            struct err *e);

#endif
