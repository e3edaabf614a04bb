/* cosine: how little the attention of a layer turns the residual stream, mean over the prompt's tokens. It is known
 * when the layer's residual is added, after the layer was shown, so it comes with the allocator's input (observe.c). */
#include "harness/engine/statistic.h"

extern const struct statistic_ops statistic_cosine;
const struct statistic_ops statistic_cosine = {0};
