#include "harness/experiment/budget.h"

int budget_entries(const struct budget *b, int n, int n_layer, int n_kv_head, size_t bytes_per_entry, int *m,
                   struct err *e)
{
    int64_t want = n;
    if (b->kind == BUDGET_KEEP) {
        if (b->keep.num <= 0 || b->keep.num > b->keep.den)
            return err_set(e, ERR_CONFIG, "keep %g: expected a fraction in (0, 1]", decimal_to_double(b->keep));
        want = decimal_floor_mul(b->keep, n);
        want = want < 1 ? 1 : want;
    } else if (b->kind == BUDGET_TOKENS) {
        want = b->tokens;
    } else if (b->kind == BUDGET_BYTES) {
        int64_t one = (int64_t)n_layer * n_kv_head * (int64_t)bytes_per_entry;
        want = b->bytes / one;
        if (want < 1)
            return err_set(e, ERR_CONFIG,
                           "keep_bytes %lld is below one entry of %d layer%s with %d KV head%s of %zu bytes each (%lld "
                           "bytes)",
                           (long long)b->bytes, n_layer, n_layer == 1 ? "" : "s", n_kv_head, n_kv_head == 1 ? "" : "s",
                           bytes_per_entry, (long long)one);
    }
    if (want < 1)
        return err_set(e, ERR_CONFIG, "keep_tokens %lld: at least 1 is expected", (long long)want);
    *m = want < n ? (int)want : n;
    return 0;
}
