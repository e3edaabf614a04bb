/* `baseline`: the cell that differences refer to. A selector names some axes; for every cell, the baseline is the cell
 * of the same model and task that has those values. Where several do, axes that the selector does not name are taken as
 * the compared cell has them: {policy: full} compares with the full cache of the same prune_after, {layer_budget:
 * uniform} with the same policy and budget spread uniformly. Nothing, or still several, is an error. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment_int.h"

enum axis {
    POLICY,
    PARAMS,
    BUDGET,
    LAYER_BUDGET,
    HEADS,
    PROTECT,
    PRUNE_AFTER,
    PREFILL,
    DECODE,
    POSITIONS,
    SEED,
    DTYPE,
    NEW_TOKENS,
    N_AXIS
};

static const char *const axis_names[] = {"policy",        "parameters of the policy",
                                         "keep",          "layer_budget",
                                         "head_budget",   "protect",
                                         "prune_after",   "prefill",
                                         "decode",        "positions",
                                         "policy_seed",   "weight_dtype",
                                         "max_new_tokens"};
struct selector {
    struct load *l;
    int named[N_AXIS];
    struct choices policy, allocator, prefill, decode;
    int with_prefill_params, with_decode_params;
    int with_params, with_allocator_params; /* 0: any parameters will do */
    struct budget budget;
    struct protect protect;
    int64_t seed, new_tokens;
    const char *heads, *prune_after, *positions, *dtype;
};

static const char *one_text(struct selector *s, const char *key, const struct conf *c, const char *const *known, int n)
{
    for (int i = 0; c->kind == CONF_SCALAR && (i < n || !n); i++)
        if (!n || strcmp(c->text, known[i]) == 0)
            return c->text;
    if (c->kind != CONF_SCALAR)
        experiment_complain(s->l, c, c->line, "baseline: %s: one value is expected", key);
    else
        experiment_complain(s->l, c, c->line, "baseline: %s '%s' unknown%s", key, c->text,
                            experiment_hint(c->text, known, n));
    return NULL;
}

static void one_choice(struct selector *s, const char *key, const struct conf *c, int policy)
{
    const char *known[64];
    int n = 0;
    for (; n < 64 && n < (policy ? policy_count() : allocator_count()); n++)
        known[n] = policy ? policy_at(n)->name : allocator_at(n)->name;
    struct choices *out = policy ? &s->policy : &s->allocator;
    int errors = s->l->n_error;
    experiment_choices(s->l, c, key, policy ? experiment_find_policy : experiment_find_allocator, known, n, 0, out);
    if (s->l->n_error == errors && out->n != 1)
        experiment_complain(s->l, c, c->line, "baseline: %s: one value is expected", key);
}

static void one_mode(struct selector *s, const char *key, const struct conf *c, struct choices *out, int *with_params)
{
    int errors = s->l->n_error;
    experiment_mode_choices(s->l, c, key, out);
    if (s->l->n_error == errors && out->n != 1)
        experiment_complain(s->l, c, c->line, "baseline: %s: one value is expected", key);
    *with_params = c->kind == CONF_MAP;
}

static void one_budget(struct selector *s, const char *key, const struct conf *c)
{
    if (s->named[BUDGET])
        experiment_complain(s->l, c, c->line, "%s: the baseline takes one of keep, keep_tokens, keep_bytes", key);
    else if (c->kind != CONF_SCALAR)
        experiment_complain(s->l, c, c->line, "baseline: %s: one value is expected", key);
    else
        experiment_budget(s->l, key, c, &s->budget);
}

static void read_key(struct selector *s, const char *key, const struct conf *c)
{
    static const struct {
        const char *key;
        enum axis axis;
    } axes[] = {{"policy", POLICY},
                {"keep", BUDGET},
                {"keep_tokens", BUDGET},
                {"keep_bytes", BUDGET},
                {"layer_budget", LAYER_BUDGET},
                {"head_budget", HEADS},
                {"protect", PROTECT},
                {"prune_after", PRUNE_AFTER},
                {"prefill", PREFILL},
                {"decode", DECODE},
                {"positions", POSITIONS},
                {"policy_seed", SEED},
                {"weight_dtype", DTYPE},
                {"max_new_tokens", NEW_TOKENS}};
    int n_heads = 0;
    size_t i = 0;
    while (i < sizeof axes / sizeof *axes && strcmp(axes[i].key, key) != 0)
        i++;
    if (i == sizeof axes / sizeof *axes)
        return; /* check_keys has complained */
    while (head_names()[n_heads])
        n_heads++;
    switch (axes[i].axis) {
    case POLICY:
        one_choice(s, key, c, 1);
        s->with_params = s->named[PARAMS] = c->kind == CONF_MAP;
        break;
    case LAYER_BUDGET:
        one_choice(s, key, c, 0);
        s->with_allocator_params = c->kind == CONF_MAP;
        break;
    case BUDGET: one_budget(s, key, c); break;
    case PROTECT: s->protect = experiment_protect(s->l, c); break;
    case SEED: s->seed = experiment_int(s->l, c, key, 0, INT64_MAX, 1); break;
    case NEW_TOKENS: s->new_tokens = experiment_int(s->l, c, key, 1, 1000000, 1); break;
    case HEADS: s->heads = one_text(s, key, c, head_names(), n_heads); break;
    case PRUNE_AFTER: s->prune_after = one_text(s, key, c, experiment_prune_after_names, 4); break;
    case PREFILL: one_mode(s, key, c, &s->prefill, &s->with_prefill_params); break;
    case DECODE: one_mode(s, key, c, &s->decode, &s->with_decode_params); break;
    case POSITIONS: s->positions = one_text(s, key, c, experiment_positions_names, 2); break;
    default: s->dtype = one_text(s, key, c, experiment_dtype_names, 2);
    }
    s->named[axes[i].axis] = 1;
}

static int same_budget(const struct budget *a, const struct budget *b)
{
    if (a->kind != b->kind)
        return 0;
    return a->kind == BUDGET_KEEP     ? decimal_compare(a->keep, b->keep) == 0
           : a->kind == BUDGET_TOKENS ? a->tokens == b->tokens
           : a->kind == BUDGET_BYTES  ? a->bytes == b->bytes
                                      : 1;
}

static int same_protection(const struct protect *a, const struct protect *b)
{
    return a->sinks == b->sinks && a->recent == b->recent && a->question == b->question &&
           a->first_layers == b->first_layers && (a->compensate == b->compensate || !a->first_layers) &&
           a->alone == b->alone && !a->boundary.den == !b->boundary.den &&
           (!a->boundary.den || decimal_compare(a->boundary, b->boundary) == 0);
}

static int has_allocator(const struct selector *s, const struct cell *c)
{
    struct str json = {0};
    if (!s->allocator.n || s->allocator.v[0].noun.ops != c->allocator)
        return 0;
    str_addf(&json, "{\"%s\":%s}", c->allocator->name, s->allocator.v[0].params);
    int same = !s->with_allocator_params || strcmp(json.p, c->layer_budget) == 0;
    str_free(&json);
    return same;
}

/* 1 when the cell has the selector's value in a named axis. */
static int has_value(const struct selector *s, const struct cell *c, enum axis axis)
{
    switch (axis) {
    case POLICY: return s->policy.n && s->policy.v[0].noun.ops == c->policy;
    case PARAMS: return s->policy.n && strcmp(s->policy.v[0].params, c->params) == 0;
    case BUDGET: return same_budget(&s->budget, &c->budget);
    case LAYER_BUDGET: return has_allocator(s, c);
    case HEADS: return strcmp(s->heads, c->heads->name) == 0;
    case PROTECT: return same_protection(&s->protect, &c->protect);
    case PRUNE_AFTER: return strcmp(s->prune_after, experiment_prune_after_names[c->prune_after]) == 0;
    case PREFILL: return s->prefill.n && experiment_mode_is(&s->prefill.v[0], s->with_prefill_params, c->prefill);
    case DECODE: return s->decode.n && experiment_mode_is(&s->decode.v[0], s->with_decode_params, c->decode);
    case POSITIONS: return strcmp(s->positions, experiment_positions_names[c->packed]) == 0;
    case SEED: return (uint64_t)s->seed == c->policy_seed;
    case DTYPE: return strcmp(s->dtype, experiment_dtype_names[c->weight_dtype == MODEL_BF16]) == 0;
    default: return s->new_tokens == c->max_new_tokens;
    }
}

static int agree(const struct cell *a, const struct cell *b, enum axis axis)
{
    switch (axis) {
    case POLICY: return a->policy == b->policy;
    case PARAMS: return strcmp(a->params, b->params) == 0;
    case BUDGET: return same_budget(&a->budget, &b->budget);
    case LAYER_BUDGET: return strcmp(a->layer_budget, b->layer_budget) == 0;
    case HEADS: return a->heads == b->heads;
    case PROTECT: return same_protection(&a->protect, &b->protect);
    case PRUNE_AFTER: return a->prune_after == b->prune_after;
    case PREFILL: return strcmp(a->prefill, b->prefill) == 0;
    case DECODE: return strcmp(a->decode, b->decode) == 0;
    case POSITIONS: return a->packed == b->packed;
    case SEED: return a->policy_seed == b->policy_seed;
    case DTYPE: return a->weight_dtype == b->weight_dtype;
    default: return a->max_new_tokens == b->max_new_tokens;
    }
}

/* Of the n candidates (cells that have what the selector names) those that are most like `c`; returns how many. */
static int narrow(const struct selector *s, const struct cell *cell, const struct cell *c, int *candidate, int n)
{
    for (enum axis a = 0; a < N_AXIS && n > 1; a++) {
        int agreeing = 0;
        /* a seed that the cell does not use is no reason to prefer one */
        if (s->named[a] || (a == SEED && !c->policy->uses_seed))
            continue;
        for (int i = 0; i < n; i++)
            agreeing += agree(&cell[candidate[i]], c, a);
        if (!agreeing)
            continue;
        int kept = 0;
        for (int i = 0; i < n; i++)
            if (agree(&cell[candidate[i]], c, a))
                candidate[kept++] = candidate[i];
        n = kept;
    }
    return n;
}

static void complain_of_several(const struct selector *s, const struct conf *at, const struct cell *cell,
                                const struct cell *c, const int *candidate, int n)
{
    const char *differ = "nothing";
    for (enum axis a = N_AXIS; a-- > 0;)
        if (!agree(&cell[candidate[0]], &cell[candidate[1]], a))
            differ = axis_names[a];
    experiment_complain(
        s->l, at, at->line,
        "baseline: %d cells of task '%s' match for the one of line %d (policy %s); they differ in %s: name it", n,
        s->l->x->task[c->task].label, c->line, c->policy->name, differ);
}

/* Baselines of the cells of one (model, task). */
static void match(struct selector *s, const struct conf *at, int model, int task, int *scratch)
{
    struct experiment *x = s->l->x;
    int n_found = 0, *found = scratch, *candidate = scratch + x->n_cell, told = 0;
    for (int i = 0; i < x->n_cell; i++) {
        int has = x->cell[i].model == model && x->cell[i].task == task;
        for (enum axis a = 0; a < N_AXIS && has; a++)
            has = !s->named[a] || has_value(s, &x->cell[i], a);
        if (has)
            found[n_found++] = i;
    }
    if (!n_found)
        experiment_complain(s->l, at, at->line, "baseline: no cell of task '%s', model '%s' is %s", x->task[task].label,
                            x->model[model].name, x->baseline);
    for (int i = 0; i < x->n_cell && n_found; i++) {
        struct cell *c = &x->cell[i];
        if (c->model != model || c->task != task)
            continue;
        memcpy(candidate, found, (size_t)n_found * sizeof *candidate);
        int n = narrow(s, x->cell, c, candidate, n_found);
        if (n == 1)
            c->baseline = candidate[0] == i ? -1 : candidate[0];
        else if (!c->policy->keeps_all && !told++) /* full is there by itself; nobody asked for its difference */
            complain_of_several(s, at, x->cell, c, candidate, n);
    }
}

void experiment_baseline(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *c = conf_get(l->root, "baseline");
    struct conf *full = c ? NULL : conf_parse(x->path, "{policy: full}", strlen("{policy: full}"), NULL);
    struct selector s = {.l = l};
    struct str text = {0};
    c = c ? c : full;
    conf_print(c, &text);
    x->baseline = str_take(&text);
    for (int i = 0; i < x->n_cell; i++)
        x->cell[i].baseline = -1;
    if (c->kind != CONF_MAP || c->n == 0) {
        experiment_complain(l, c, c->line,
                            "baseline: expected a map that names a cell, such as {policy: random, keep: 0.5}");
    } else {
        experiment_check_keys(l, c, 0);
        for (int i = 0; i < c->n; i++)
            read_key(&s, c->key[i], c->item[i]);
    }
    int *scratch = mem_new(2 * (size_t)x->n_cell + 1, sizeof *scratch);
    for (int m = 0; m < x->n_model && l->n_error == 0; m++)
        for (int t = 0; t < x->n_task; t++)
            match(&s, c, m, t, scratch);
    mem_free(scratch);
    experiment_choices_fini(&s.policy);
    experiment_choices_fini(&s.allocator);
    experiment_choices_fini(&s.prefill);
    experiment_choices_fini(&s.decode);
    conf_free(full);
}
