#include "harness/engine/prune.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

struct prune_request prune_request_of(const struct cell *c, const struct hparams *hp)
{
    return (struct prune_request){
        .n_layer = hp->n_layer,
        .n_kv_head = hp->n_kv_head,
        .policy = c->policy,
        .policy_config = c->policy_config,
        .budget = c->budget,
        .bytes_per_entry = 2 * (size_t)hp->head_dim * sizeof(float),
        .allocator = c->allocator,
        .allocator_self = c->allocator_self,
        .heads = c->heads,
        .protect = c->protect,
    };
}

/* Entries of every layer: the allocator's, then whole first layers, whose cost the others share in proportion. */
static int allocate(const struct prune_request *r, int m, int *entries, double *predicted, struct err *e)
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
        .score = r->allocator->needs & STATISTIC_SCORES ? r->score : NULL,
        .stat = r->stat,
        .cosine = r->cosine,
        .predicted = predicted,
    };
    double *weight = mem_new((size_t)L, sizeof *weight);
    if (r->allocator->allocate(r->allocator_self, &in, entries, e)) {
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
            err_set(
                e, ERR_CONFIG,
                "protect: first_layers %d need %lld entries of a total of %lld, which leaves %lld for %d other layers",
                first, (long long)whole, (long long)total, (long long)(total - whole), L - first);
            goto out;
        }
        for (int l = first; l < L; l++)
            weight[l - first] = entries[l];
        if (first < L && allocator_spread(weight, r->available + first, L - first, total - whole, entries + first, e))
            goto out;
    }
    for (int l = 0; l < first; l++)
        entries[l] = r->available[l];
    int64_t sum = 0;
    for (int l = 0; l < L; l++) {
        sum += entries[l];
        if (entries[l] < 1 || entries[l] > r->available[l]) {
            err_set(e, ERR_POLICY, "layer_budget '%s' gave layer %d %d entries of %d", r->allocator->name, l,
                    entries[l], r->available[l]);
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

static int position(const struct prune_head *h, int slot)
{
    return h->pos ? h->pos[slot] : slot;
}

static int largest(int a, int b, int c)
{
    int m = a > b ? a : b;
    return m > c ? m : c;
}

int prune_protect(const struct prune_request *r, const struct prune_head *head, int m, unsigned char *mark, int *cut)
{
    struct policy_protection own = {0, 0};
    int seen = r->n_seen ? r->n_seen : r->n, used = 0, wanted = 0;
    if (r->policy->protect && !r->protect.alone)
        r->policy->protect(r->policy_config, m, &own);
    int edge = r->protect.boundary.den ? (int)decimal_floor_mul(r->protect.boundary, m) : 0;
    int sinks = largest(own.sinks, r->protect.sinks, edge), recent = largest(own.recent, r->protect.recent, edge);
    int from = recent < 0 ? seen : recent > seen ? 0 : seen - recent;
    int begin = r->question_begin, end = r->protect.question ? r->question_end : r->question_begin;
    memset(mark, 0, (size_t)head->n);
    for (int j = 0; j < head->n && position(head, j) < sinks; j++, wanted++)
        if (used < m)
            used += mark[j] = 1;
    for (int pass = 0; pass < 2; pass++)
        for (int j = head->n - 1; j >= 0; j--) {
            int p = position(head, j), asked = p >= begin && p < end;
            if (p < sinks || (pass == 0 ? !asked : asked || p < from))
                continue;
            wanted++;
            if (used < m)
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
    uint64_t *key;      /* [n] */
    float *room;        /* [n] */
    const float **rank; /* [n_kv_head] */
};

/* The m best entries of one head, protected ones first; `stay` comes with the protected ones marked. */
static void keep_best(struct scratch *s, const float *score, int n_entry, int m, int n_protected, unsigned char *stay)
{
    int n = 0;
    for (int j = 0; j < n_entry; j++)
        if (!stay[j])
            s->key[n++] = key_of(score[j], j);
    if (m > n_protected && m - n_protected < n)
        select_largest(s->key, n, m - n_protected);
    for (int i = 0; i < m - n_protected; i++)
        stay[(uint32_t)s->key[i]] = 1;
}

static int refuse_nan(const struct prune_request *r, int layer, const struct prune_head *head,
                      const float *const *score, struct err *e)
{
    for (int h = 0; h < r->n_kv_head; h++)
        for (int j = 0; j < head[h].n; j++)
            if (isnan(score[h][j]))
                return err_set(e, ERR_POLICY,
                               "policy '%s': the score of layer %d, head %d, position %d is not a number",
                               r->policy->name, layer, h, position(&head[h], j));
    return 0;
}

/* What the head rule ranks the entries by; room: [entries of the head that holds most]. */
static int rank_heads(const struct prune_request *r, int layer, const struct prune_head *head,
                      const float *const *score, float *room, const float **rank, struct err *e)
{
    int *n = mem_new((size_t)r->n_kv_head, sizeof *n);
    const int32_t **pos = mem_new((size_t)r->n_kv_head, sizeof *pos);
    for (int h = 0; h < r->n_kv_head; h++) {
        n[h] = head[h].n;
        pos[h] = head[h].pos;
        rank[h] = score[h];
    }
    const struct head_input in = {.policy = r->policy->name,
                                  .layer = layer,
                                  .n_kv_head = r->n_kv_head,
                                  .n = n,
                                  .pos = pos,
                                  .score = score,
                                  .room = room};
    int rc = r->heads && r->heads->rank ? r->heads->rank(&in, rank, e) : 0;
    mem_free(n);
    mem_free(pos);
    return rc;
}

int prune_layer(const struct prune_request *r, int layer, const struct prune_head *head, const float *const *score,
                const int *m, unsigned char *const *stay, int *protection_cut, struct err *e)
{
    int most = 1, pruned = 0, rc = -1;
    struct scratch s = {0};
    for (int h = 0; h < r->n_kv_head; h++) {
        most = head[h].n > most ? head[h].n : most;
        pruned |= m[h] < head[h].n;
        memset(stay[h], 1, (size_t)head[h].n);
    }
    if (!pruned)
        return 0;
    s.key = mem_try((size_t)most, sizeof *s.key, "sort keys", e);
    s.room = mem_try((size_t)most, sizeof *s.room, "mean scores", e);
    s.rank = mem_new((size_t)r->n_kv_head, sizeof *s.rank);
    if (!s.key || !s.room || refuse_nan(r, layer, head, score, e) ||
        rank_heads(r, layer, head, score, s.room, s.rank, e))
        goto out;
    for (int h = 0; h < r->n_kv_head; h++)
        if (m[h] < head[h].n) {
            int n_protected = prune_protect(r, &head[h], m[h], stay[h], protection_cut);
            keep_best(&s, s.rank[h], head[h].n, m[h], n_protected, stay[h]);
        }
    rc = 0;
out:
    mem_free(s.key);
    mem_free(s.room);
    mem_free(s.rank);
    return rc;
}

static int cut_layer(const struct prune_request *r, int layer, int entries, struct keepset *keep, int *cut,
                     struct err *e)
{
    int rc = -1, H = r->n_kv_head;
    size_t widest = 0;
    struct prune_head *head = mem_new((size_t)H, sizeof *head);
    int *m = mem_new((size_t)H, sizeof *m);
    unsigned char **stay = mem_new((size_t)H, sizeof *stay), *mark = NULL;
    for (int h = 0; h < H; h++) {
        head[h] = r->head ? r->head[(size_t)layer * (size_t)H + (size_t)h] : (struct prune_head){r->n, NULL};
        m[h] = entries;
        widest = (size_t)head[h].n > widest ? (size_t)head[h].n : widest;
    }
    mark = mem_try((size_t)H, widest, "protection", e);
    if (!mark)
        goto out;
    for (int h = 0; h < H; h++)
        stay[h] = mark + (size_t)h * widest;
    /* a layer that stays whole was perhaps never scored */
    if (prune_layer(r, layer, head, r->score ? r->score[layer] : NULL, m, stay, cut, e))
        goto out;
    for (int h = 0; h < H; h++) {
        for (int j = 0; j < head[h].n; j++)
            if (stay[h][j])
                keepset_add(keep, layer, h, position(&head[h], j));
        assert(keepset_count(keep, layer, h) == (entries < head[h].n ? entries : head[h].n));
    }
    rc = 0;
out:
    mem_free(mark);
    mem_free(stay);
    mem_free(m);
    mem_free(head);
    return rc;
}

int prune_spread(const struct prune_request *r, struct prune_result *out, struct err *e)
{
    int m = r->n;
    out->m = r->n;
    out->predicted = (double)NAN;
    for (int l = 0; l < r->n_layer; l++)
        out->entries[l] = r->available[l];
    if (!r->policy->keeps_all) {
        if (r->allocator->budget != ALLOCATOR_ABSOLUTE &&
            budget_entries(&r->budget, r->n, r->n_layer, r->n_kv_head, r->bytes_per_entry, &m, e))
            return -1;
        out->m = m;
        if (allocate(r, m, out->entries, &out->predicted, e))
            return -1;
    }
    return 0;
}

int prune_cut(const struct prune_request *r, struct keepset *keep, struct prune_result *out, struct err *e)
{
    out->protection_cut = 0;
    if (prune_spread(r, out, e))
        return -1;
    /* layers are apart in the keep set; of several that fail, the first one's reason is told */
    int failed = r->n_layer, cut = 0;
    struct err *why = mem_new((size_t)r->n_layer, sizeof *why);
#pragma omp parallel for schedule(dynamic, 1) reduction(| \
                                                        : cut) \
    reduction(min \
              : failed) if ((size_t)r->n * (size_t)r->n_layer > 1 << 14)
    for (int l = 0; l < r->n_layer; l++)
        if (cut_layer(r, l, out->entries[l], keep, &cut, &why[l]))
            failed = l < failed ? l : failed;
    out->protection_cut = cut;
    if (failed < r->n_layer && e)
        *e = why[failed];
    mem_free(why);
    return failed < r->n_layer ? -1 : 0;
}
