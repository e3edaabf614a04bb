/* Blocks of a sweep, expanded to cells: the grid over a block's lists, the last key fastest; the union over blocks;
 * axes that a cell ignores are dropped, and equal cells merge. */
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment_int.h"

const char *const experiment_block_keys[] = {
    "policy",  "keep",   "keep_tokens", "keep_bytes",  "layer_budget", "head_budget",    "protect", "prune_after",
    "prefill", "decode", "positions",   "policy_seed", "weight_dtype", "max_new_tokens", NULL};

enum { MAX_AXIS = 1024, MAX_BLOCK = 1000, MAX_POINT = 200000 };

struct block {
    const struct conf *conf; /* the block itself, for lines */
    struct choices policy, allocator;
    struct ready ready; /* of the allocators */
    struct budget budget[MAX_AXIS];
    char *budget_text[MAX_AXIS];
    int n_budget;
    int heads[8], n_heads; /* -1: the policy's own */
    struct protect protect[MAX_AXIS];
    int n_protect;
    int after[8], n_after;
    uint64_t seed[MAX_AXIS];
    int n_seed;
    int new_tokens[MAX_AXIS], n_new_tokens; /* 0: the task's */
    struct modes modes;
};

/* The axes of a block's grid; the last one is the fastest. */
enum axis {
    AXIS_POLICY,
    AXIS_BUDGET,
    AXIS_ALLOCATOR,
    AXIS_HEADS,
    AXIS_PROTECT,
    AXIS_AFTER,
    AXIS_PREFILL,
    AXIS_DECODE,
    AXIS_PACKED,
    AXIS_SEED,
    AXIS_DTYPE,
    AXIS_NEW_TOKENS,
    N_AXIS
};

/* The block's value, or the default at the top level. */
static const struct conf *value(const struct load *l, const struct conf *block, const char *key)
{
    const struct conf *c = conf_get(block, key);
    return c ? c : conf_get(l->root, key);
}

/* Calls `one` for a value or every item of a list. */
static void each(struct load *l, struct block *b, const struct conf *c,
                 void (*one)(struct load *l, struct block *b, const struct conf *c))
{
    if (c->kind != CONF_LIST) {
        one(l, b, c);
        return;
    }
    if (c->n == 0)
        experiment_complain(l, c, c->line, "an empty list is no axis");
    for (int i = 0; i < c->n && i < MAX_AXIS; i++)
        one(l, b, c->item[i]);
    if (c->n > MAX_AXIS)
        experiment_complain(l, c, c->line, "more than %d values", MAX_AXIS);
}

static const char *text_of(struct load *l, const struct conf *c)
{
    if (c->kind == CONF_SCALAR)
        return c->text;
    experiment_complain(l, c, c->line, "expected one value, found a list or map");
    return NULL;
}

static void add_budget(struct block *b, struct budget v, const char *text)
{
    if (b->n_budget == MAX_AXIS)
        return;
    b->budget[b->n_budget] = v;
    b->budget_text[b->n_budget++] = mem_strdup(text);
}

int experiment_budget(struct load *l, const char *key, const struct conf *c, struct budget *out)
{
    struct budget v = {.kind = strcmp(key, "keep") == 0          ? BUDGET_KEEP
                               : strcmp(key, "keep_tokens") == 0 ? BUDGET_TOKENS
                                                                 : BUDGET_BYTES};
    const char *t = text_of(l, c), *expected = NULL;
    if (!t)
        return -1;
    if (v.kind == BUDGET_KEEP && (decimal_parse(t, &v.keep, NULL) || v.keep.num <= 0 || v.keep.num > v.keep.den))
        expected = "a fraction in (0, 1]";
    if (v.kind == BUDGET_TOKENS && (str_to_int64(t, &v.tokens) || v.tokens < 1 || v.tokens > 1000000000))
        expected = "a whole number of at least 1";
    if (v.kind == BUDGET_BYTES && str_to_bytes(t, &v.bytes))
        expected = "a size such as 8MiB";
    if (expected) {
        experiment_complain(l, c, c->line, "%s: expected %s, found '%s'", key, expected, t);
        return -1;
    }
    *out = v;
    return 0;
}

static void one_keep(struct load *l, struct block *b, const struct conf *c)
{
    struct budget v;
    struct str s = {0};
    if (experiment_budget(l, "keep", c, &v))
        return;
    str_add_double(&s, decimal_to_double(v.keep)); /* 0.50 and .5 are one cell */
    add_budget(b, v, s.p);
    str_free(&s);
}

static void one_tokens(struct load *l, struct block *b, const struct conf *c)
{
    struct budget v;
    struct str s = {0};
    if (experiment_budget(l, "keep_tokens", c, &v))
        return;
    str_addf(&s, "%lld", (long long)v.tokens);
    add_budget(b, v, s.p);
    str_free(&s);
}

static void one_bytes(struct load *l, struct block *b, const struct conf *c)
{
    struct budget v;
    struct str s = {0};
    if (experiment_budget(l, "keep_bytes", c, &v))
        return;
    str_addf(&s, "%lld", (long long)v.bytes);
    add_budget(b, v, s.p);
    str_free(&s);
}

static void one_head(struct load *l, struct block *b, const struct conf *c)
{
    const char *t = text_of(l, c);
    for (int i = 0; t && i < head_count(); i++)
        if (strcmp(t, head_at(i)->name) == 0 && b->n_heads < 8) {
            b->heads[b->n_heads++] = i;
            return;
        }
    if (t) {
        struct str known = {0};
        for (int i = 0; i < head_count(); i++)
            str_addf(&known, "%s%s", i ? ", " : "", head_at(i)->name);
        experiment_complain(l, c, c->line, "head_budget '%s' unknown%s; known: %s", t,
                            experiment_hint(t, head_names(), head_count()), known.p);
        str_free(&known);
    }
}

static void one_after(struct load *l, struct block *b, const struct conf *c)
{
    const char *t = text_of(l, c);
    for (int i = 0; t && experiment_prune_after_names[i]; i++)
        if (strcmp(t, experiment_prune_after_names[i]) == 0 && b->n_after < 8) {
            b->after[b->n_after++] = i;
            return;
        }
    if (t)
        experiment_complain(l, c, c->line,
                            "prune_after '%s' unknown%s; context, question, all_but_last, prompt are known", t,
                            experiment_hint(t, experiment_prune_after_names, 4));
}

static void one_seed(struct load *l, struct block *b, const struct conf *c)
{
    if (b->n_seed < MAX_AXIS)
        b->seed[b->n_seed++] = (uint64_t)experiment_int(l, c, "policy_seed", 0, INT64_MAX, 1);
}

static void one_new_tokens(struct load *l, struct block *b, const struct conf *c)
{
    if (b->n_new_tokens < MAX_AXIS)
        b->new_tokens[b->n_new_tokens++] = (int)experiment_int(l, c, "max_new_tokens", 1, 1000000, 1);
}

static int boolean(struct load *l, const struct conf *c, const char *key)
{
    if (c->kind == CONF_SCALAR && (!strcmp(c->text, "true") || !strcmp(c->text, "false")))
        return c->text[0] == 't';
    experiment_complain(l, c, c->line, "protect: %s: true or false is expected, found %s%s%s", key,
                        c->kind == CONF_SCALAR ? "'" : "", c->kind == CONF_SCALAR ? c->text : "a list or map",
                        c->kind == CONF_SCALAR ? "'" : "");
    return 0;
}

/* Both ends together can't take more than there is. */
static struct decimal boundary(struct load *l, const struct conf *c)
{
    struct decimal d = {0, 0}, half = {1, 2};
    if (c->kind != CONF_SCALAR || decimal_parse(c->text, &d, NULL) || d.num < 0 || decimal_compare(d, half) > 0) {
        experiment_complain(l, c, c->line, "protect: boundary: expected a fraction in [0, 0.5], found %s%s%s",
                            c->kind == CONF_SCALAR ? "'" : "", c->kind == CONF_SCALAR ? c->text : "a list or map",
                            c->kind == CONF_SCALAR ? "'" : "");
        return (struct decimal){0, 0};
    }
    return d.num ? d : (struct decimal){0, 0};
}

struct protect experiment_protect(struct load *l, const struct conf *c)
{
    static const char *const known[] = {"sinks", "recent", "question", "first_layers", "compensate", "own", "boundary"};
    struct protect p = {.compensate = 1};
    if (c->kind == CONF_SCALAR && strcmp(c->text, "none") != 0)
        experiment_complain(l, c, c->line, "protect: expected a map such as {sinks: 4, recent: 32}, found '%s'",
                            c->text);
    for (int i = 0; c->kind == CONF_MAP && i < c->n; i++) {
        const char *key = c->key[i];
        if (!strcmp(key, known[0]))
            p.sinks = (int)experiment_int(l, c->item[i], key, 0, 100000000, 0);
        else if (!strcmp(key, known[1]))
            p.recent = (int)experiment_int(l, c->item[i], key, 0, 100000000, 0);
        else if (!strcmp(key, known[2]))
            p.question = boolean(l, c->item[i], key);
        else if (!strcmp(key, known[3]))
            p.first_layers = (int)experiment_int(l, c->item[i], key, 0, DIMS_MAX_LAYER, 0);
        else if (!strcmp(key, known[4]))
            p.compensate = boolean(l, c->item[i], key);
        else if (!strcmp(key, known[5]))
            p.alone = !boolean(l, c->item[i], key);
        else if (!strcmp(key, known[6]))
            p.boundary = boundary(l, c->item[i]);
        else
            experiment_complain(l, c, c->key_line[i], "protect: key '%s' unknown%s", key,
                                experiment_hint(key, known, 7));
    }
    return p;
}

static void one_protect(struct load *l, struct block *b, const struct conf *c)
{
    struct protect p = experiment_protect(l, c);
    if (b->n_protect < MAX_AXIS)
        b->protect[b->n_protect++] = p;
}

/* 1 when one is given, right or wrong. */
static int read_budgets(struct load *l, struct block *b)
{
    static const char *const keys[] = {"keep", "keep_tokens", "keep_bytes"};
    static void (*const one[])(struct load *, struct block *, const struct conf *) = {one_keep, one_tokens, one_bytes};
    int in_block = 0;
    for (int i = 0; i < 3; i++)
        in_block += conf_get(b->conf, keys[i]) != NULL;
    int given = 0;
    for (int i = 0; i < 3; i++) {
        /* a budget in the block replaces every default, whatever its unit */
        const struct conf *c = in_block ? conf_get(b->conf, keys[i]) : conf_get(l->root, keys[i]);
        if (!c)
            continue;
        if (given++)
            experiment_complain(l, c, c->line, "%s: a block takes one of keep, keep_tokens, keep_bytes", keys[i]);
        else
            each(l, b, c, one[i]);
    }
    return given > 0;
}

static int needs_budget(const struct block *b)
{
    int pruned = 0, spreads = b->allocator.n == 0;
    for (int i = 0; i < b->policy.n; i++)
        pruned |= !((const struct policy_ops *)b->policy.v[i].noun.ops)->keeps_all;
    for (int i = 0; i < b->allocator.n; i++)
        spreads |= ((const struct allocator_ops *)b->allocator.v[i].noun.ops)->budget != ALLOCATOR_ABSOLUTE;
    return pruned && spreads;
}

static void read_block(struct load *l, struct block *b, int n_layer)
{
    const char *policies[64], *allocators[64];
    int n_policy = 0, n_allocator = 0;
    const struct conf *c;
    for (; n_policy < policy_count() && n_policy < 64; n_policy++)
        policies[n_policy] = policy_at(n_policy)->name;
    for (; n_allocator < allocator_count() && n_allocator < 64; n_allocator++)
        allocators[n_allocator] = allocator_at(n_allocator)->name;
    if ((c = value(l, b->conf, "policy")))
        experiment_choices(l, c, "policy", experiment_find_policy, policies, n_policy, 0, &b->policy);
    else
        experiment_complain(l, b->conf, b->conf->line, "a block of the sweep needs a policy");
    if ((c = value(l, b->conf, "layer_budget")))
        experiment_choices(l, c, "layer_budget", experiment_find_allocator, allocators, n_allocator, n_layer,
                           &b->allocator);
    int given = read_budgets(l, b);
    if ((c = value(l, b->conf, "head_budget")))
        each(l, b, c, one_head);
    if ((c = value(l, b->conf, "protect")))
        each(l, b, c, one_protect);
    if ((c = value(l, b->conf, "prune_after")))
        each(l, b, c, one_after);
    if ((c = value(l, b->conf, "policy_seed")))
        each(l, b, c, one_seed);
    if ((c = value(l, b->conf, "max_new_tokens")))
        each(l, b, c, one_new_tokens);
    experiment_modes_read(l, b->conf, &b->modes);
    experiment_modes_check(l, b->conf, &b->policy, &b->allocator, &b->modes);
    if (!given && needs_budget(b))
        experiment_complain(l, b->conf, b->conf->line, "a pruned block needs one of keep, keep_tokens, keep_bytes");
    if (!b->n_budget)
        add_budget(b, (struct budget){.kind = BUDGET_NONE}, "");
    if (!b->n_heads)
        b->heads[b->n_heads++] = -1;
    if (!b->n_protect)
        b->protect[b->n_protect++] = (struct protect){.compensate = 1};
    if (!b->n_after)
        b->after[b->n_after++] = PRUNE_AFTER_ALL_BUT_LAST;
    if (!b->n_seed)
        b->seed[b->n_seed++] = 1;
    if (!b->n_new_tokens)
        b->new_tokens[b->n_new_tokens++] = 0;
}

static char *protect_text(const struct protect *p)
{
    struct str s = {0};
    const char *comma = "";
    str_addc(&s, '{');
    const struct {
        const char *key;
        int v;
    } number[] = {{"sinks", p->sinks}, {"recent", p->recent}, {"first_layers", p->first_layers}};
    for (int i = 0; i < 3; i++)
        if (number[i].v) {
            str_addf(&s, "%s\"%s\":%d", comma, number[i].key, number[i].v);
            comma = ",";
        }
    if (p->question) {
        str_addf(&s, "%s\"question\":true", comma);
        comma = ",";
    }
    if (p->first_layers && !p->compensate) {
        str_addf(&s, "%s\"compensate\":false", comma);
        comma = ",";
    }
    if (p->alone) {
        str_addf(&s, "%s\"own\":false", comma);
        comma = ",";
    }
    if (p->boundary.den) {
        str_addf(&s, "%s\"boundary\":", comma);
        str_add_json_double(&s, decimal_to_double(p->boundary));
    }
    str_addc(&s, '}');
    return str_take(&s);
}

/* The canonical JSON of a cell, and its id. */
static void identify(const struct experiment *x, struct cell *c)
{
    static const char *const kinds[] = {"none", "keep", "keep_tokens", "keep_bytes"};
    const struct exp_task *t = &x->task[c->task];
    struct str s = {0};
    char hex[HASH_HEX];
    str_add(&s, "{\"model\":");
    str_add_json(&s, x->model[c->model].name, strlen(x->model[c->model].name));
    str_addf(&s, ",\"task\":\"%s\",\"label\":", t->ops->name);
    str_add_json(&s, t->label, strlen(t->label));
    str_addf(&s, ",\"task_version\":%d,\"task_params\":%s,\"template\":", t->ops->version, t->params);
    str_add_json(&s, x->template_name, strlen(x->template_name));
    str_addf(&s, ",\"seed\":%llu", (unsigned long long)x->seed);
    str_addf(&s, ",\"policy\":\"%s\",\"params\":%s,\"budget\":\"%s %s\",\"layer_budget\":%s,\"head_budget\":\"%s\"",
             c->policy->name, c->params, kinds[c->budget.kind], c->budget_text, c->layer_budget, c->heads->name);
    str_addf(&s, ",\"protect\":%s,\"prune_after\":\"%s\",\"prefill\":%s,\"decode\":%s,\"positions\":\"%s\"",
             c->protect_json, experiment_prune_after_names[c->prune_after], c->prefill, c->decode,
             experiment_positions_names[c->packed]);
    str_addf(&s, ",\"policy_seed\":%llu,\"weight_dtype\":\"%s\",\"max_new_tokens\":%d}",
             (unsigned long long)c->policy_seed, experiment_dtype_names[c->weight_dtype == MODEL_BF16],
             c->max_new_tokens);
    hash_sha256(s.p, s.n, hex);
    memcpy(c->id, hex, 16);
    c->id[16] = '\0';
    c->json = str_take(&s);
}

static void free_cell(struct cell *c)
{
    char *owned[] = {c->params, c->budget_text, c->layer_budget, c->protect_json, c->prefill, c->decode, c->json};
    for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
        mem_free(owned[k]);
}

struct cells {
    struct cell *v;
    size_t n, cap;
    size_t *slot; /* open addressing by id: index + 1 */
    size_t mask;
};

/* Where a cell of this content is, or would be put. */
static size_t *find_cell(const struct cells *all, const struct cell *c)
{
    uint64_t hash;
    memcpy(&hash, c->id, sizeof hash); /* of SHA-256, but only hexadecimal digits */
    size_t i = (size_t)(hash * 0x9E3779B97F4A7C15u >> 32) & all->mask;
    while (all->slot[i] && strcmp(all->v[all->slot[i] - 1].json, c->json) != 0)
        i = (i + 1) & all->mask;
    return &all->slot[i];
}

static void more_slots(struct cells *all)
{
    mem_free(all->slot);
    all->mask = all->mask ? 2 * all->mask + 1 : 255;
    all->slot = mem_new(all->mask + 1, sizeof *all->slot);
    for (size_t i = 0; i < all->n; i++)
        *find_cell(all, &all->v[i]) = i + 1;
}

static void add_cell(const struct experiment *x, struct cells *all, struct cell c)
{
    identify(x, &c);
    if (2 * (all->n + 1) > all->mask)
        more_slots(all);
    size_t *at = find_cell(all, &c);
    if (*at) {
        free_cell(&c);
        return;
    }
    mem_grow(&all->v, &all->cap, all->n + 1, sizeof *all->v);
    all->v[all->n++] = c;
    *at = all->n;
}

/* A cell from one point of a block's grid; what the cell ignores takes its default. */
static struct cell make_cell(const struct experiment *x, const struct block *b, int model, int task, const int *at)
{
    const struct choice *policy = &b->policy.v[at[AXIS_POLICY]],
                        *alloc = b->allocator.n ? &b->allocator.v[at[AXIS_ALLOCATOR]] : NULL;
    const struct policy_ops *ops = policy->noun.ops;
    const struct exp_task *et = &x->task[task];
    struct cell c = {.model = model,
                     .task = task,
                     .policy = ops,
                     .policy_config = policy->config,
                     .params = mem_strdup(policy->params),
                     .line = policy->line,
                     .prune_after = (enum prune_after)b->after[at[AXIS_AFTER]],
                     .policy_seed = ops->uses_seed ? b->seed[at[AXIS_SEED]] : 1};
    struct str layer = {0};
    int prunes = !ops->keeps_all;
    experiment_modes_apply(&b->modes, prunes ? at[AXIS_PREFILL] : -1, prunes ? at[AXIS_DECODE] : -1,
                           prunes ? at[AXIS_PACKED] : -1, at[AXIS_DTYPE], &c);
    c.allocator = alloc && prunes ? alloc->noun.ops : allocator_find("uniform");
    c.allocator_config = alloc && prunes ? alloc->config : NULL;
    c.allocator_self = c.allocator_config;
    if (alloc && prunes && c.allocator->create)
        c.allocator_self = b->ready.self[model * b->allocator.n + at[AXIS_ALLOCATOR]];
    if (alloc && prunes)
        memcpy(c.inputs, b->ready.inputs[at[AXIS_ALLOCATOR]], sizeof c.inputs);
    if (alloc && prunes)
        c.calibration = b->ready.calibration[at[AXIS_ALLOCATOR]];
    if (c.allocator->config_size)
        str_addf(&layer, "{\"%s\":%s}", c.allocator->name, alloc->params);
    else
        str_addf(&layer, "\"%s\"", c.allocator->name);
    c.layer_budget = str_take(&layer);
    int budgeted = prunes && c.allocator->budget != ALLOCATOR_ABSOLUTE, heads = b->heads[at[AXIS_HEADS]];
    c.budget = budgeted ? b->budget[at[AXIS_BUDGET]] : (struct budget){.kind = BUDGET_NONE};
    c.budget_text = mem_strdup(budgeted ? b->budget_text[at[AXIS_BUDGET]] : "");
    c.heads = heads >= 0 && prunes ? head_at(heads) : head_find(ops->head_budget);
    c.protect = prunes ? b->protect[at[AXIS_PROTECT]] : (struct protect){.compensate = 1};
    c.protect_json = protect_text(&c.protect);
    c.max_new_tokens = b->new_tokens[at[AXIS_NEW_TOKENS]];
    if (!c.max_new_tokens)
        c.max_new_tokens =
            et->ops->max_new_tokens_of ? et->ops->max_new_tokens_of(et->config) : et->ops->max_new_tokens;
    return c;
}

static void grid(const struct block *b, int n[N_AXIS])
{
    const struct modes *m = &b->modes;
    const int size[N_AXIS] = {[AXIS_POLICY] = b->policy.n,   [AXIS_BUDGET] = b->n_budget,
                              [AXIS_HEADS] = b->n_heads,     [AXIS_ALLOCATOR] = b->allocator.n ? b->allocator.n : 1,
                              [AXIS_PROTECT] = b->n_protect, [AXIS_AFTER] = b->n_after,
                              [AXIS_PREFILL] = m->prefill.n, [AXIS_DECODE] = m->decode.n,
                              [AXIS_PACKED] = m->n_packed,   [AXIS_SEED] = b->n_seed,
                              [AXIS_DTYPE] = m->n_dtype,     [AXIS_NEW_TOKENS] = b->n_new_tokens};
    memcpy(n, size, sizeof size);
}

/* Before any is made: a few lines of YAML multiply to more than memory holds. */
static void check_size(struct load *l, const struct block *block, int n_block)
{
    double points = 0, times = (double)l->x->n_model * l->x->n_task;
    for (int i = 0; i < n_block; i++) {
        int n[N_AXIS];
        double mine = times;
        grid(&block[i], n);
        for (int k = 0; k < N_AXIS; k++)
            mine *= n[k];
        points += mine;
        if (points > MAX_POINT) {
            experiment_complain(l, block[i].conf, block[i].conf->line,
                                "sweep: with this block %.0f cells over %d models and %d "
                                "tasks, before equal ones merge; at most %d in one experiment",
                                points, l->x->n_model, l->x->n_task, MAX_POINT);
            return;
        }
    }
}

static void expand_block(struct load *l, const struct block *b, int model, int task, struct cells *all)
{
    int n[N_AXIS], at[N_AXIS] = {0};
    grid(b, n);
    for (;;) {
        for (int i = 0; i < N_AXIS; i++)
            if (n[i] == 0)
                return;
        add_cell(l->x, all, make_cell(l->x, b, model, task, at));
        int i = N_AXIS - 1;
        while (i >= 0 && ++at[i] == n[i])
            at[i--] = 0;
        if (i < 0)
            return;
    }
}

/* `full` first, once for every prune_after, weight_dtype and number of new tokens that the cells of this task use. */
static void order_cells(struct experiment *x, struct cells *mine, struct cells *out)
{
    struct cells full = {0};
    for (size_t i = 0; i < mine->n; i++) {
        int there = 0;
        for (size_t k = 0; k < full.n && !there; k++)
            there = full.v[k].prune_after == mine->v[i].prune_after &&
                    full.v[k].max_new_tokens == mine->v[i].max_new_tokens &&
                    full.v[k].weight_dtype == mine->v[i].weight_dtype;
        if (there)
            continue;
        struct cell c = {.model = mine->v[i].model,
                         .task = mine->v[i].task,
                         .policy = policy_find("full"),
                         .allocator = allocator_find("uniform"),
                         .heads = head_find("uniform"),
                         .prune_after = mine->v[i].prune_after,
                         .policy_seed = 1,
                         .protect = {.compensate = 1},
                         .max_new_tokens = mine->v[i].max_new_tokens,
                         .weight_dtype = mine->v[i].weight_dtype,
                         .line = mine->v[i].line};
        c.params = mem_strdup("{}");
        c.budget_text = mem_strdup("");
        c.layer_budget = mem_strdup("\"uniform\"");
        c.protect_json = mem_strdup("{}");
        c.prefill = mem_strdup("\"full\"");
        c.decode = mem_strdup("\"frozen\"");
        add_cell(x, &full, c);
    }
    for (size_t i = 0; i < full.n; i++) {
        mem_grow(&out->v, &out->cap, out->n + 1, sizeof *out->v);
        out->v[out->n++] = full.v[i];
    }
    for (size_t i = 0; i < mine->n; i++) {
        if (mine->v[i].policy->keeps_all) {
            free_cell(&mine->v[i]);
            continue;
        }
        mem_grow(&out->v, &out->cap, out->n + 1, sizeof *out->v);
        out->v[out->n++] = mine->v[i];
    }
    mem_free(full.v);
    mem_free(full.slot);
    mem_free(mine->v);
    mem_free(mine->slot);
    *mine = (struct cells){0};
}

static void keep_configs(struct experiment *x, struct choices *c)
{
    for (int i = 0; i < c->n; i++) {
        size_t cap = (size_t)x->n_owned;
        mem_grow(&x->owned, &cap, (size_t)x->n_owned + 1, sizeof *x->owned);
        x->owned[x->n_owned++] = (struct exp_owned){c->v[i].noun.params, c->v[i].config};
        c->v[i].config = NULL;
        c->v[i].noun.params = NULL;
    }
    experiment_choices_fini(c);
}

void experiment_cells(struct load *l)
{
    struct experiment *x = l->x;
    const struct conf *sweep = conf_get(l->root, "sweep");
    struct cells all = {0};
    if (!sweep || sweep->kind != CONF_LIST || sweep->n == 0) {
        experiment_complain(l, sweep ? sweep : l->root, sweep ? sweep->line : l->root->line,
                            "sweep: expected a list of blocks");
        return;
    }
    if (sweep->n > MAX_BLOCK) {
        experiment_complain(l, sweep, sweep->line, "sweep: %d blocks; at most %d", sweep->n, MAX_BLOCK);
        return;
    }
    int n_layer = x->n_model ? x->model[0].hp.n_layer : 0;
    for (int m = 1; m < x->n_model; m++)
        if (x->model[m].hp.n_layer != x->model[0].hp.n_layer)
            n_layer = -1;
    struct block *block = mem_new((size_t)sweep->n, sizeof *block);
    for (int i = 0; i < sweep->n; i++) {
        block[i].conf = sweep->item[i];
        if (sweep->item[i]->kind != CONF_MAP) {
            experiment_complain(l, sweep->item[i], sweep->item[i]->line,
                                "sweep: a block is a map such as {policy: h2o, keep: 0.5}");
            continue;
        }
        read_block(l, &block[i], n_layer);
        experiment_allocators(l, value(l, block[i].conf, "layer_budget"), &block[i].allocator, &block[i].ready);
    }
    check_size(l, block, sweep->n);
    for (int m = 0; m < x->n_model && l->n_error == 0; m++)
        for (int t = 0; t < x->n_task; t++) {
            struct cells mine = {0};
            for (int i = 0; i < sweep->n; i++)
                expand_block(l, &block[i], m, t, &mine);
            order_cells(x, &mine, &all);
        }
    x->cell = all.v;
    x->n_cell = (int)all.n;
    for (int i = 0; i < sweep->n; i++) {
        keep_configs(x, &block[i].policy);
        keep_configs(x, &block[i].allocator);
        experiment_modes_fini(&block[i].modes);
        experiment_allocators_fini(&block[i].ready);
        for (int g = 0; g < block[i].n_budget; g++)
            mem_free(block[i].budget_text[g]);
    }
    mem_free(block);
}
