#include "harness/engine/row.h"

#include <math.h>

void row_unknown(struct row *r)
{
    r->keep = r->level = r->predicted = r->nll = r->kl = r->top1 = r->kl_max = (double)NAN;
    r->prefill_s = r->decode_s = (double)NAN;
    for (int i = 0; i < ROW_MAX_METRIC; i++)
        r->metric[i] = (double)NAN;
}
