#include "harness/engine/prune.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/layers.h"
#include "models/kvcache.h"

struct prune_request prune_request_of(const struct cell *c, const struct hparams *hp)
{
    return (struct prune_request){
        .n_layer = hp->n_layer,
        .n_kv_head = hp->n_kv_head,
        .hp = hp,
        .windows = c->windows,
        .policy = c->policy,
        .policy_config = c->policy_config,
        .budget = c->budget,
        .bytes_per_entry = kvcache_entry_bytes(hp, c->cache_dtype),
        .allocator = c->allocator,
        .allocator_self = c->allocator_self,
        .infeasible = c->infeasible,
        .heads = c->heads,
        .protect = c->protect,
    };
}

int prune_takes(const struct cell *c, const struct hparams *hp, int layer)
{
    return layers_takes(hp, c->windows, layer);
}

int prune_holds(const struct hparams *hp, int layer, int n)
{
    return hp ? (int)model_layer_holds(hp, layer, n) : n;
}

/* The layers that are pruned, side by side, as allocators see them: layer i is layer number[i] of the model. */
struct pruned {
    int n;
    int *number, *available, *entries;
    int *own_n, *own_m; /* entries that a layer's budget is of, and what it comes to */
    const float *const **score;
    const double **stat;
    double *cosine, *weight;
};

static void pruned_fini(struct pruned *p)
{
    mem_free(p->number);
    mem_free(p->available);
    mem_free(p->entries);
    mem_free(p->own_n);
    mem_free(p->own_m);
    mem_free(p->score);
    mem_free(p->stat);
    mem_free(p->cosine);
    mem_free(p->weight);
}

static void pruned_init(struct pruned *p, const struct prune_request *r)
{
    size_t L = (size_t)r->n_layer;
    *p = (struct pruned){.number = mem_new(L, sizeof *p->number),
                         .available = mem_new(L, sizeof *p->available),
                         .entries = mem_new(L, sizeof *p->entries),
                         .own_n = mem_new(L, sizeof *p->own_n),
                         .own_m = mem_new(L, sizeof *p->own_m),
                         .score = mem_new(L, sizeof *p->score),
                         .stat = mem_new(L, sizeof *p->stat),
                         .cosine = mem_new(L, sizeof *p->cosine),
                         .weight = mem_new(L, sizeof *p->weight)};
    for (int l = 0; l < r->n_layer; l++) {
        if (r->hp && !layers_takes(r->hp, r->windows, l))
            continue;
        int i = p->n++;
        p->number[i] = l;
        p->available[i] = r->available[l];
        p->own_n[i] = prune_holds(r->hp, l, r->n);
        p->score[i] = r->score ? r->score[l] : NULL;
        p->stat[i] = r->stat ? r->stat[l] : NULL;
        p->cosine[i] = r->cosine ? r->cosine[l] : 0;
    }
}

/* What the budget makes of every layer by itself; of one without a window: *m. */
static int own_budgets(const struct prune_request *r, struct pruned *p, int *m, struct err *e)
{
    if (r->allocator->budget == ALLOCATOR_ABSOLUTE)
        return 0;
    for (int i = -1; i < p->n; i++)
        if (budget_entries(&r->budget, i < 0 ? r->n : p->own_n[i], p->n, r->n_kv_head, r->bytes_per_entry,
                           i < 0 ? m : &p->own_m[i], e))
            return r->hp ? layers_explain(r->hp, r->windows, e) : -1;
    return 0;
}

/* The first layers stay whole; the others share what is left in proportion to what they had. */
static int pay_for_first(const struct prune_request *r, struct pruned *p, int64_t total, struct err *e)
{
    int first = r->protect.first_layers;
    int64_t whole = 0;
    for (int i = 0; i < first; i++)
        whole += p->available[i];
    if (total - whole < p->n - first) {
        err_set(e, ERR_CONFIG,
                "protect: first_layers %d need %lld entries of a total of %lld, which leaves %lld for %d other layers",
                first, (long long)whole, (long long)total, (long long)(total - whole), p->n - first);
        return r->hp ? layers_explain(r->hp, r->windows, e) : -1;
    }
    for (int i = first; i < p->n; i++)
        p->weight[i - first] = p->entries[i];
    return first < p->n
               ? allocator_spread(p->weight, p->available + first, p->n - first, total - whole, p->entries + first, e)
               : 0;
}

static int check_entries(const struct prune_request *r, const struct pruned *p, int64_t total, struct err *e)
{
    int64_t sum = 0;
    for (int i = 0; i < p->n; i++) {
        sum += p->entries[i];
        if (p->entries[i] < 1 || p->entries[i] > p->available[i])
            return err_set(e, ERR_POLICY, "layer_budget '%s' gave layer %d %d entries of %d", r->allocator->name,
                           p->number[i], p->entries[i], p->available[i]);
    }
    if (r->allocator->budget == ALLOCATOR_SPREADS && (r->protect.compensate || r->protect.first_layers == 0) &&
        sum != total)
        return err_set(e, ERR_POLICY, "layer_budget '%s' spread %lld entries instead of %lld", r->allocator->name,
                       (long long)sum, (long long)total);
    return 0;
}

/* Entries of every pruned layer: the allocator's, then whole first layers, whose cost the others share in proportion.
 */
static int allocate(const struct prune_request *r, struct pruned *p, int m, struct prune_result *out, struct err *e)
{
    int first = r->protect.first_layers, spreads = r->allocator->budget == ALLOCATOR_SPREADS;
    int64_t total = 0, most = 0;
    if (r->infeasible)
        return err_set(e, ERR_INFEASIBLE, "layer_budget '%s': %s", r->allocator->name, r->infeasible);
    for (int i = 0; i < p->n; i++) {
        total += spreads ? p->own_m[i] : 0;
        most += p->available[i];
    }
    struct allocator_input in = {
        .n_layer = p->n,
        .n_kv_head = r->n_kv_head,
        .n = r->n,
        .m = r->allocator->budget == ALLOCATOR_ABSOLUTE ? 0 : m,
        .total = total,
        .available = p->available,
        .own_n = p->own_n,
        .own_m = p->own_m,
        .number = p->number,
        .score = r->score && r->allocator->needs & STATISTIC_SCORES ? p->score : NULL,
        .stat = r->stat ? p->stat : NULL,
        .cosine = r->cosine ? p->cosine : NULL,
        .predicted = &out->predicted,
        .level = &out->level,
    };
    if (r->allocator->allocate(r->allocator_self, &in, p->entries, e)) {
        err_wrap(e, "layer_budget '%s'", r->allocator->name);
        return -1;
    }
    if (first > p->n) {
        err_set(e, ERR_CONFIG, "protect: first_layers %d of a model with %d layers%s", first, p->n,
                p->n < r->n_layer ? " that are pruned" : "");
        return r->hp ? layers_explain(r->hp, r->windows, e) : -1;
    }
    total = total < most ? total : most; /* a pruned chunk cannot grow back */
    if (first > 0 && spreads && r->protect.compensate && total < most && pay_for_first(r, p, total, e))
        return -1;
    for (int i = 0; i < first; i++)
        p->entries[i] = p->available[i];
    return check_entries(r, p, total, e);
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
    int m = r->n, rc = 0;
    struct pruned p;
    out->m = r->n;
    out->level = out->predicted = (double)NAN;
    for (int l = 0; l < r->n_layer; l++)
        out->entries[l] = r->available[l];
    if (r->policy->keeps_all)
        return 0;
    pruned_init(&p, r);
    if (!p.n)
        rc =
            err_set(e, ERR_CONFIG, "every layer of this model has a window, and none can be pruned with windows: keep");
    else
        rc = own_budgets(r, &p, &m, e) || allocate(r, &p, m, out, e) ? -1 : 0;
    out->m = m;
    for (int i = 0; i < p.n && rc == 0; i++)
        out->entries[p.number[i]] = p.entries[i];
    pruned_fini(&p);
    return rc;
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
