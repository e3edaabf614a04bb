/* The registry of layer allocators, and the one exact spreading rule. */
#include "policies/allocator.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/param_check.h"
#include "harness/base/str.h"

#define ALL_ALLOCATORS \
    ALLOCATOR(uniform) \
    ALLOCATOR(vector) \
    ALLOCATOR(proportional) \
    ALLOCATOR(single) \
    ALLOCATOR(sensitivity) \
    ALLOCATOR(free_first) \
    ALLOCATOR(free_most) \
    ALLOCATOR(mlp) \
    ALLOCATOR(mga) \
    ALLOCATOR(mlma) \
    ALLOCATOR(knapsack) \
    ALLOCATOR(pyramidkv) \
    ALLOCATOR(zigzagkv) \
    ALLOCATOR(cake) \
    ALLOCATOR(squeezeattention) \
    ALLOCATOR(dynamickv) \
    ALLOCATOR(d2o) \
    ALLOCATOR(lava) \
    ALLOCATOR(simlayerkv)

#define ALLOCATOR(stem) extern const struct allocator_ops allocator_##stem;
ALL_ALLOCATORS
#undef ALLOCATOR

static const struct allocator_ops *const table[] = {
#define ALLOCATOR(stem) &allocator_##stem,
    ALL_ALLOCATORS
#undef ALLOCATOR
};

int allocator_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct allocator_ops *allocator_at(int i)
{
    return table[i];
}

const struct allocator_ops *allocator_find(const char *name)
{
    for (int i = 0; i < allocator_count(); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

int allocator_validate(const struct allocator_ops *a, struct err *e)
{
    if (a->abi != ALLOCATOR_ABI)
        return err_set(e, ERR_POLICY, "allocator ABI %d, expected %d", a->abi, ALLOCATOR_ABI);
    if (!a->name || strspn(a->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(a->name) || !*a->name)
        return err_set(e, ERR_POLICY, "allocator name '%s': lower-case letters, digits and _ are expected",
                       a->name ? a->name : "");
    if (!!a->create != !!a->destroy)
        return err_set(e, ERR_POLICY, "allocator '%s' has only one of create and destroy", a->name);
    if ((a->needs & STATISTIC_OF_VIEW || a->rows || a->n_stat) && !a->observe)
        return err_set(e, ERR_POLICY, "allocator '%s' asks for statistics but does not observe", a->name);
    if (!(a->needs & STATISTIC_ROWS) != !a->rows)
        return err_set(e, ERR_POLICY, "allocator '%s': rows and STATISTIC_ROWS go together", a->name);
    if (a->needs & ~(unsigned)(STATISTIC_OF_VIEW | STATISTIC_COSINE | STATISTIC_SCORES))
        return err_set(e, ERR_POLICY, "allocator '%s' asks for what no allocator gets", a->name);
    if (!a->summary || !a->paper || !a->allocate)
        return err_set(e, ERR_POLICY, "allocator '%s' lacks its summary, paper or allocate", a->name);
    if (param_check(a->params, a->config_size, e))
        return err_wrap(e, "allocator '%s'", a->name);
    return 0;
}

/* Shares nearer than this are the same number: rounding in the division must not decide who gets the last entry, or
 * weights 1 : 3 and 0.1 : 0.3 would be spread differently. Shares stay below 2^31, so their rounding errors are below
 * 1e-6, and different fractions of weights that people write are much further apart. */
static const double SAME = 1e-6;

/* A round gives every free layer its proportion of what is left; of those that leave their bounds, the side with the
 * larger total violation is fixed at its bound, and the rest share again. Ends after at most n rounds, because each
 * fixes one layer or more. */
void allocator_shares(const double *weight, const double *low, const double *high, int n, double total, double *share)
{
    char *fixed = mem_new((size_t)n, 1);
    for (int round = 0; round <= n; round++) {
        double left = total, sum = 0, violation = 0;
        int n_free = 0;
        for (int i = 0; i < n; i++)
            if (fixed[i]) {
                left -= share[i];
            } else {
                sum += weight[i];
                n_free++;
            }
        for (int i = 0; i < n; i++)
            if (!fixed[i]) {
                share[i] = sum > 0 ? left * weight[i] / sum : left / n_free;
                double kept = share[i] < low[i] ? low[i] : share[i] > high[i] ? high[i] : share[i];
                violation += kept - share[i];
            }
        int moved = 0;
        for (int i = 0; i < n; i++) {
            if (fixed[i])
                continue;
            if (share[i] < low[i] && violation >= 0) {
                share[i] = low[i];
                fixed[i] = 1;
                moved = 1;
            } else if (share[i] > high[i] && violation <= 0) {
                share[i] = high[i];
                fixed[i] = 1;
                moved = 1;
            }
        }
        if (!moved)
            break;
    }
    mem_free(fixed);
}

int allocator_n(const struct allocator_input *in, int layer)
{
    return in->own_n ? in->own_n[layer] : in->n;
}

int allocator_m(const struct allocator_input *in, int layer)
{
    return in->own_m ? in->own_m[layer] : in->m;
}

int allocator_m_differs(const struct allocator_input *in)
{
    for (int l = 1; in->own_m && l < in->n_layer; l++)
        if (in->own_m[l] != in->own_m[0])
            return 1;
    return 0;
}

int allocator_layer_of(const int *number, int n, int64_t model_layer)
{
    for (int l = 0; l < n; l++)
        if ((number ? number[l] : l) == model_layer)
            return l;
    return -1;
}

void allocator_layers_text(const struct allocator_setup *s, struct str *out)
{
    if (s->n_model_layer > s->n_layer)
        str_addf(out, "the %d layers that are pruned of a model of %d", s->n_layer, s->n_model_layer);
    else
        str_addf(out, "a model of %d layers", s->n_layer);
}

int allocator_check_whole(int64_t layers, const struct allocator_setup *s, struct err *e)
{
    struct str of = {0};
    if (layers < s->n_layer)
        return 0;
    allocator_layers_text(s, &of);
    err_set(e, ERR_INFEASIBLE, "%d whole layers of %s leave none to prune", (int)layers, of.p);
    str_free(&of);
    return -1;
}

int allocator_spread(const double *weight, const int *available, int n, int64_t total, int *out, struct err *e)
{
    int64_t most = 0, given = 0;
    double top = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(weight[i]) || weight[i] < 0)
            return err_set(e, ERR_POLICY, "layer %d of %d that share: weight %g; finite and not negative is expected",
                           i, n, weight[i]);
        if (available[i] < 1)
            return err_set(e, ERR_POLICY, "layer %d of %d that share has no entry to keep", i, n);
        most += available[i];
        top = fmax(top, weight[i]);
    }
    total = total < n ? n : total > most ? most : total;
    double *share = mem_new((size_t)n, sizeof *share), *scaled = mem_new((size_t)n, sizeof *scaled);
    double *low = mem_new((size_t)n, sizeof *low), *high = mem_new((size_t)n, sizeof *high);
    int exponent;
    (void)frexp(top, &exponent);
    for (int i = 0; i < n; i++) {
        low[i] = 1;
        high[i] = available[i];
        scaled[i] = top > 0 ? ldexp(weight[i], -exponent) : 1; /* exact, and sums of huge weights stay finite */
    }
    allocator_shares(scaled, low, high, n, (double)total, share);
    for (int i = 0; i < n; i++) {
        out[i] = (int)floor(share[i] + SAME);
        out[i] = out[i] < 1 ? 1 : out[i] > available[i] ? available[i] : out[i];
        given += out[i];
    }
    for (; given < total; given++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (out[i] < available[i] && (best < 0 || share[i] - out[i] > share[best] - out[best] + SAME))
                best = i;
        out[best]++;
    }
    mem_free(share);
    mem_free(scaled);
    mem_free(low);
    mem_free(high);
    return 0;
}

int allocator_spread_rest(const struct allocator_input *in, const unsigned char *whole, const double *weight,
                          int *entries, struct err *e)
{
    int n = 0, n_whole = 0, differ = allocator_m_differs(in), rc = -1;
    int64_t spent = 0, most = 0;
    double *w = mem_new((size_t)in->n_layer, sizeof *w);
    int *available = mem_new((size_t)in->n_layer, sizeof *available), *out = mem_new((size_t)in->n_layer, sizeof *out);
    for (int l = 0; l < in->n_layer; l++) {
        most += in->available[l];
        if (whole[l]) {
            spent += in->available[l];
            n_whole++;
        } else {
            w[n] = weight ? weight[l] : differ ? in->own_m[l] : 1;
            available[n++] = in->available[l];
        }
    }
    int64_t total = in->total < most ? in->total : most;
    if (total - spent < n) {
        err_set(e, ERR_INFEASIBLE,
                "%d whole layers need %lld entries of a total of %lld, which leaves %lld for %d others", n_whole,
                (long long)spent, (long long)total, (long long)(total - spent), n);
        goto out;
    }
    if (n && allocator_spread(w, available, n, total - spent, out, e))
        goto out;
    for (int l = in->n_layer - 1; l >= 0; l--)
        entries[l] = whole[l] ? in->available[l] : out[--n];
    rc = 0;
out:
    mem_free(w);
    mem_free(available);
    mem_free(out);
    return rc;
}
