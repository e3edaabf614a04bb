#include "harness/prune.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

int prune_budget(const struct budget *b, int n, int n_layer, int n_kv_head, size_t bytes_per_entry, int *m,
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
            return err_set(e, ERR_CONFIG, "keep_bytes %lld is below one entry per layer and head (%lld bytes)",
                           (long long)b->bytes, (long long)one);
    }
    if (want < 1)
        return err_set(e, ERR_CONFIG, "keep_tokens %lld: at least 1 is expected", (long long)want);
    *m = want < n ? (int)want : n;
    return 0;
}

/* Entries of every layer: the allocator's, then whole first layers, whose cost the others share in proportion. */
static int allocate(const struct prune_request *r, int m, int *entries, struct err *e)
{
    int first = r->protect.first_layers, rc = -1, L = r->n_layer;
    int spreads = r->allocator->budget == ALLOCATOR_SPREADS;
    int64_t total = spreads ? (int64_t)m * L : 0, whole = 0, most = 0;
    struct allocator_input in = {
        .n_layer = L,
        .n_kv_head = r->n_kv_head,
        .n = r->n,
        .m = r->allocator->budget == ALLOCATOR_ABSOLUTE ? 0 : m,
        .total = total,
        .available = r->available,
        .score = r->allocator->needs & ALLOCATOR_NEEDS_SCORES ? r->score : NULL,
    };
    double *weight = mem_new((size_t)L, sizeof *weight);
    if (r->allocator->allocate(r->allocator_config, &in, entries, e)) {
        err_wrap(e, "layer_budget '%s'", r->allocator->name);
        goto out;
    }
    if (first > L) {
        err_set(e, ERR_CONFIG, "protect: first_layers %d of a model with %d layers", first, L);
        goto out;
    }
    for (int l = 0; l < L; l++)
        most += r->available[l];
    total = total < most ? total : most; /* a pruned chunk cannot grow back */
    for (int l = 0; l < first; l++)
        whole += r->available[l];
    if (first > 0 && spreads && r->protect.compensate && total < most) {
        if (total - whole < L - first) {
            err_set(e, ERR_CONFIG,
                    "protect: first_layers %d need %lld entries of a total of %lld, which leaves %lld for %d other layers",
                    first, (long long)whole, (long long)total, (long long)(total - whole), L - first);
            goto out;
        }
        for (int l = first; l < L; l++)
            weight[l - first] = entries[l];
        if (first < L &&
            allocator_spread(weight, r->available + first, L - first, total - whole, entries + first, e))
            goto out;
    }
    for (int l = 0; l < first; l++)
        entries[l] = r->available[l];
    int64_t sum = 0;
    for (int l = 0; l < L; l++) {
        sum += entries[l];
        if (entries[l] < 1 || entries[l] > r->available[l]) {
            err_set(e, ERR_POLICY, "layer_budget '%s' gave layer %d %d entries of %d", r->allocator->name, l, entries[l],
                    r->available[l]);
            goto out;
        }
    }
    if (spreads && (r->protect.compensate || first == 0) && sum != total) {
        err_set(e, ERR_POLICY, "layer_budget '%s' spread %lld entries instead of %lld", r->allocator->name,
                (long long)sum, (long long)total);
        goto out;
    }
    rc = 0;
out:
    mem_free(weight);
    return rc;
}

int prune_protect(const struct prune_request *r, int m, unsigned char *mark, int *cut)
{
    struct policy_protection own = {0, 0};
    int n = r->n, used = 0, wanted = 0;
    if (r->policy->protect)
        r->policy->protect(r->policy_config, m, &own);
    int sinks = own.sinks > r->protect.sinks ? own.sinks : r->protect.sinks;
    int recent = own.recent > r->protect.recent ? own.recent : r->protect.recent;
    memset(mark, 0, (size_t)n);
    sinks = sinks < 0 ? 0 : sinks > n ? n : sinks;
    recent = recent < 0 ? 0 : recent > n ? n : recent;
    for (int j = 0; j < sinks; j++, wanted++)
        if (used < m)
            used += mark[j] = 1;
    int begin = r->question_begin < 0 ? 0 : r->question_begin;
    int end = !r->protect.question ? begin : r->question_end < n ? r->question_end : n;
    for (int j = end - 1; j >= begin; j--) {
        wanted += j >= sinks;
        if (!mark[j] && used < m)
            used += mark[j] = 1;
    }
    for (int j = n - 1; j >= n - recent; j--) {
        int counted = j < sinks || (j >= begin && j < end);
        wanted += !counted;
        if (!mark[j] && used < m)
            used += mark[j] = 1;
    }
    if (wanted > m)
        *cut = 1;
    return used;
}

/* A float's order as an unsigned integer, above the slot: the largest key wins, ties go to the later position. */
static uint64_t key_of(float score, int slot)
{
    uint32_t bits;
    score += 0.0f; /* -0 and +0 are equal */
    memcpy(&bits, &score, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)slot;
}

/* Reorders key[0..n) so that the k largest come first (Hoare's selection; keys are distinct). */
static void select_largest(uint64_t *key, int n, int k)
{
    int lo = 0, hi = n - 1;
    while (lo < hi) {
        uint64_t a = key[lo], b = key[lo + (hi - lo) / 2], c = key[hi];
        uint64_t pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
        int i = lo, j = hi;
        while (i <= j) {
            while (key[i] > pivot)
                i++;
            while (key[j] < pivot)
                j--;
            if (i <= j) {
                uint64_t t = key[i];
                key[i++] = key[j];
                key[j--] = t;
            }
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
}

struct scratch {
    unsigned char *mark; /* [n] protected */
    uint64_t *key;       /* [n] */
    float *mean;         /* [n] */
};

/* The m best entries of one score vector, protected ones first. */
static void keep_best(const struct prune_request *r, struct scratch *s, const float *score, int m, int layer, int head,
                      int n_protected, struct keepset *keep)
{
    int n = 0;
    for (int j = 0; j < r->n; j++)
        if (s->mark[j])
            keepset_add(keep, layer, head, j);
        else
            s->key[n++] = key_of(score[j], j);
    if (m > n_protected && m - n_protected < n)
        select_largest(s->key, n, m - n_protected);
    for (int i = 0; i < m - n_protected; i++)
        keepset_add(keep, layer, head, (int)(uint32_t)s->key[i]);
    assert(keepset_count(keep, layer, head) == m);
}

static int refuse_nan(const struct prune_request *r, int layer, struct err *e)
{
    for (int h = 0; h < r->n_kv_head; h++)
        for (int j = 0; j < r->n; j++)
            if (isnan(r->score[layer][h][j]))
                return err_set(e, ERR_POLICY, "policy '%s': the score of layer %d, head %d, position %d is not a number",
                               r->policy->name, layer, h, j);
    return 0;
}

static int cut_layer(const struct prune_request *r, struct scratch *s, int layer, int m, struct keepset *keep, int *cut,
                     struct err *e)
{
    if (m >= r->n) {
        for (int h = 0; h < r->n_kv_head; h++)
            keepset_fill(keep, layer, h);
        return 0;
    }
    if (refuse_nan(r, layer, e))
        return -1;
    int n_protected = prune_protect(r, m, s->mark, cut);
    if (r->heads == HEAD_SHARED)
        for (int j = 0; j < r->n; j++) {
            double sum = 0;
            for (int h = 0; h < r->n_kv_head; h++)
                sum += (double)r->score[layer][h][j];
            if (isnan(sum)) /* infinities of both signs */
                return err_set(e, ERR_POLICY, "policy '%s': the mean score of layer %d, position %d is not a number",
                               r->policy->name, layer, j);
            s->mean[j] = (float)(sum / r->n_kv_head);
        }
    for (int h = 0; h < r->n_kv_head; h++)
        keep_best(r, s, r->heads == HEAD_SHARED ? s->mean : r->score[layer][h], m, layer, h, n_protected, keep);
    return 0;
}

int prune_cut(const struct prune_request *r, struct keepset *keep, struct prune_result *out, struct err *e)
{
    int m = r->n, rc = -1;
    struct scratch s = {0};
    out->protection_cut = 0;
    out->m = r->n;
    for (int l = 0; l < r->n_layer; l++)
        out->entries[l] = r->available[l];
    if (!r->policy->keeps_all) {
        if (r->allocator->budget != ALLOCATOR_ABSOLUTE &&
            prune_budget(&r->budget, r->n, r->n_layer, r->n_kv_head, r->bytes_per_entry, &m, e))
            return -1;
        out->m = m;
        if (allocate(r, m, out->entries, e))
            return -1;
    }
    s.mark = mem_try((size_t)r->n, 1, "protection", e);
    s.key = mem_try((size_t)r->n, sizeof *s.key, "sort keys", e);
    s.mean = mem_try((size_t)r->n, sizeof *s.mean, "mean scores", e);
    if (!s.mark || !s.key || !s.mean)
        goto out;
    for (int l = 0; l < r->n_layer; l++)
        if (cut_layer(r, &s, l, out->entries[l], keep, &out->protection_cut, e))
            goto out;
    rc = 0;
out:
    mem_free(s.mark);
    mem_free(s.key);
    mem_free(s.mean);
    return rc;
}
