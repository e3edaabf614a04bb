/* Blocks of a sweep, expanded to cells: the grid over a block's lists, the last axis fastest; the union over blocks;
 * axes that a cell ignores are dropped, and equal cells merge. */
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/layers.h"

enum { MAX_BLOCK = 1000, MAX_POINT = 200000 };

struct block {
    const struct conf *conf;                            /* the block itself, for lines */
    struct choices value[AXES_MOST];                    /* what it says of an axis, or the top of the file */
    struct choices dflt[AXES_MOST];                     /* one or none: then it is the policy's or the task's own */
    struct ready ready;                                 /* of the layer allocators */
    int policy, layer_budget, prefill, decode, windows; /* numbers of these axes */
};

static int needs_budget(const struct block *b)
{
    const struct choices *policy = &b->value[b->policy], *allocator = &b->value[b->layer_budget];
    int pruned = 0, spreads = allocator->n == 0;
    for (int i = 0; i < policy->n; i++)
        pruned |= !((const struct policy_ops *)policy->v[i].noun.ops)->keeps_all;
    for (int i = 0; i < allocator->n; i++)
        spreads |= ((const struct allocator_ops *)allocator->v[i].noun.ops)->budget != ALLOCATOR_ABSOLUTE;
    return pruned && spreads;
}

static const struct choices *said(const struct block *b, int axis)
{
    return b->value[axis].n ? &b->value[axis] : &b->dflt[axis];
}

/* 1 when one of the block's cells could have the value that it gives the axis. */
static int is_asked(const struct block *b, const struct axis *a)
{
    const struct choices *policy = &b->value[b->policy], *allocator = said(b, b->layer_budget);
    for (int p = 0; p < policy->n; p++)
        for (int i = 0; i < allocator->n; i++)
            if (!a->ignored || !a->ignored(policy->v[p].noun.ops, allocator->v[i].noun.ops))
                return 1;
    return 0;
}

/* A block that asks a model for nothing but what it lacks would run as if it had asked for something else. */
static void refuse_lacking(struct load *l, const struct block *b, int axis)
{
    const struct axis *a = axes_at(axis);
    const struct choices *v = &b->value[axis];
    const struct conf *at = conf_get(b->conf, a->key);
    int offers = v->n == 0;
    for (int i = 0; i < v->n; i++)
        offers |= strcmp(v->v[i].params, b->dflt[axis].v[0].params) == 0;
    at = at ? at : conf_get(l->root, a->key);
    for (int m = 0; m < l->x->n_model && !offers && is_asked(b, a); m++) {
        const struct exp_model *model = &l->x->model[m];
        if (model->hp.n_layer && a->lacks(&model->hp))
            experiment_complain(l, at, v->v[0].line,
                                "%s: model '%s' has %s, and so only cells of %s: %s, which is not asked for; leave %s "
                                "out, or add %s to its list",
                                a->key, model->name, a->lacking, a->key, a->dflt, a->key, a->dflt);
    }
}

/* bf16 arithmetic multiplies weights that are held as bf16. A block that says nothing of weights gets them; one that
 * says others contradicts itself. */
static void refuse_wide_weights(struct load *l, const struct block *b)
{
    int arithmetic = axes_find("arithmetic"), weights = axes_find("weight_dtype");
    const struct choices *a = &b->value[arithmetic], *w = &b->value[weights];
    const struct conf *at = conf_get(b->conf, "weight_dtype");
    int narrow = 0, held = w->n == 0;
    struct cell c = {0};
    for (int i = 0; i < a->n; i++) {
        axes_at(arithmetic)->kind->set(axes_at(arithmetic), &a->v[i], &c);
        narrow |= c.arithmetic == MODEL_BF16;
    }
    for (int i = 0; i < w->n; i++) {
        axes_at(weights)->kind->set(axes_at(weights), &w->v[i], &c);
        held |= c.weight_dtype == MODEL_BF16;
    }
    if (narrow && !held)
        experiment_complain(
            l, at ? at : conf_get(l->root, "weight_dtype"), w->v[0].line,
            "weight_dtype: arithmetic: bf16 multiplies weights that are held as bf16, which is not asked "
            "for; leave weight_dtype out, or add bf16 to its list");
}

/* How the block's cells treat the windows of a model: bits of 1 << enum windows. */
static unsigned windows_of(const struct block *b, const struct exp_model *model)
{
    const struct choices *c = said(b, b->windows);
    const struct axis *a = axes_at(b->windows);
    unsigned bits = 0;
    struct cell cell = {0};
    for (int i = 0; i < c->n && !a->lacks(&model->hp); i++) {
        a->kind->set(a, &c->v[i], &cell);
        bits |= 1u << cell.windows;
    }
    return bits ? bits : 1u << WINDOWS_KEEP;
}

/* What `layer: all` means in this block: the layers that its cells prune, if they all prune the same. */
static void find_layers(struct load *l, const struct block *b, struct all_layers *out)
{
    struct layers first = {0}, of;
    *out = (struct all_layers){0};
    for (int m = 0; m < l->x->n_model; m++) {
        const struct hparams *hp = &l->x->model[m].hp;
        unsigned windows = windows_of(b, &l->x->model[m]);
        for (int w = 0; w < WINDOWS_N && hp->n_layer; w++) {
            if (!(windows & 1u << w))
                continue;
            layers_of(hp, (enum windows)w, &of);
            if (!first.n_model)
                first = of;
            else if (of.n_model != first.n_model)
                out->unlike = "the models have different numbers of layers; run them one by one";
            else if (of.n != first.n && windows == (1u << WINDOWS_N) - 1)
                out->unlike = "the layers that are pruned with windows: keep are others than with windows: prune; give "
                              "each a block of its own";
            else if (of.n != first.n || memcmp(of.number, first.number, (size_t)of.n * sizeof *of.number) != 0)
                out->unlike = "the models have their windows in different layers; run them one by one";
        }
    }
    out->n = first.n;
    memcpy(out->number, first.number, (size_t)first.n * sizeof *first.number);
}

static void read_axis(struct load *l, struct block *b, int axis, int *given)
{
    given[axis] = axes_read(l, axis, b->conf, &b->value[axis]);
    axes_read_default(l, axis, b->conf, &b->dflt[axis]);
}

static void read_block(struct load *l, struct block *b)
{
    int given[AXES_MOST] = {0}, budget = axes_find("budget");
    read_axis(l, b, b->windows, given); /* says which layers are all of them */
    find_layers(l, b, &l->layers);
    for (int i = 0; i < axes_count(); i++)
        if (i != b->windows)
            read_axis(l, b, i, given);
    for (int i = 0; i < axes_count(); i++)
        if (axes_at(i)->lacks)
            refuse_lacking(l, b, i);
    refuse_wide_weights(l, b);
    if (!given[b->policy])
        experiment_complain(l, b->conf, b->conf->line, "a block of the sweep needs a policy");
    if (!given[budget] && needs_budget(b)) {
        struct str keys = {0};
        experiment_complain(l, b->conf, b->conf->line, "a pruned block needs one of %s", axes_keys(budget, &keys));
        str_free(&keys);
    }
    experiment_modes_check(l, b->conf, &b->value[b->policy], &b->value[b->layer_budget], said(b, b->prefill),
                           said(b, b->decode));
}

/* The canonical JSON of a cell, and its id. */
static void identify(const struct experiment *x, struct cell *c)
{
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
    for (int i = 0; i < axes_count(); i++) {
        if (axes_at(i)->is_later && axes_is_default(x, i, c))
            continue;
        str_addf(&s, ",\"%s\":", axes_at(i)->key);
        axes_json(i, c, &s);
    }
    str_addc(&s, '}');
    hash_sha256(s.p, s.n, hex);
    memcpy(c->id, hex, 16);
    c->id[16] = '\0';
    c->json = str_take(&s);
}

static void free_cell(struct cell *c)
{
    axes_free(c);
    mem_free(c->json);
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

/* What an axis says at a point of the grid; NULL: the policy's or the task's own. */
static const struct choice *choice_at(const struct block *b, const int *at, int axis)
{
    const struct choices *c = said(b, axis);
    return c->n ? &c->v[b->value[axis].n ? at[axis] : 0] : NULL;
}

/* A cell from one point of a block's grid; what the cell ignores takes its default. `policy`: the point's, or full. */
static struct cell make_cell(const struct experiment *x, const struct block *b, int model, int task, const int *at,
                             const struct choice *policy)
{
    const struct choice *allocator = choice_at(b, at, b->layer_budget);
    struct cell c = {.model = model, .task = task, .line = b->value[b->policy].v[at[b->policy]].line};
    for (int i = 0; i < axes_count(); i++) {
        const struct axis *a = axes_at(i);
        const struct choice *v = choice_at(b, at, i);
        if (i == b->policy || a->is_part)
            v = policy;
        else if ((a->ignored && a->ignored(policy->noun.ops, allocator->noun.ops)) ||
                 (a->lacks && a->lacks(&x->model[model].hp)))
            v = b->dflt[i].n ? &b->dflt[i].v[0] : NULL;
        if (v)
            a->kind->set(a, v, &c);
        else
            a->own(x, &c);
    }
    for (int i = 0; i < axes_count(); i++)
        if (axes_at(i)->bound)
            axes_at(i)->bound(&c);
    int n = b->value[b->layer_budget].n, k = at[b->layer_budget];
    if (n && !c.policy->keeps_all)
        experiment_allocators_give(x, &b->ready, k, &c);
    return c;
}

static void grid(const struct block *b, int n[AXES_MOST])
{
    for (int i = 0; i < axes_count(); i++)
        n[i] = b->value[i].n ? b->value[i].n : 1;
}

/* Before any is made: a few lines of YAML multiply to more than memory holds. */
static void check_size(struct load *l, const struct block *block, int n_block)
{
    double points = 0, times = (double)l->x->n_model * l->x->n_task;
    for (int i = 0; i < n_block; i++) {
        int n[AXES_MOST];
        double mine = times;
        grid(&block[i], n);
        for (int k = 0; k < axes_count(); k++)
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

/* The full cache of the cell's group, unless it is there. */
static void add_full(const struct experiment *x, const struct block *b, const struct cell *c, const int *at,
                     struct cells *full)
{
    const struct choice policy = {.noun = {.ops = policy_find("full"), .name = "full"}, .params = (char[]){"{}"}};
    for (size_t k = 0; k < full->n; k++)
        if (axes_same_group(&full->v[k], c))
            return;
    add_cell(x, full, make_cell(x, b, c->model, c->task, at, &policy));
}

/* `full` first, once for every group that the cells of this task make; it is added where a block names none. */
static void expand_block(struct load *l, const struct block *b, int model, int task, struct cells *full,
                         struct cells *all)
{
    int n[AXES_MOST], at[AXES_MOST] = {0};
    grid(b, n);
    for (int i = 0; i >= 0;) {
        struct cell c = make_cell(l->x, b, model, task, at, &b->value[b->policy].v[at[b->policy]]);
        add_full(l->x, b, &c, at, full);
        if (c.policy->keeps_all)
            axes_free(&c);
        else
            add_cell(l->x, all, c);
        i = axes_count() - 1;
        while (i >= 0 && ++at[i] == n[i])
            at[i--] = 0;
    }
}

static void move_cells(struct cells *from, struct cells *to)
{
    for (size_t i = 0; i < from->n; i++) {
        mem_grow(&to->v, &to->cap, to->n + 1, sizeof *to->v);
        to->v[to->n++] = from->v[i];
    }
    mem_free(from->v);
    mem_free(from->slot);
}

/* What cells borrow of nouns goes to the experiment. */
static void keep_configs(struct experiment *x, struct choices *c)
{
    for (int i = 0; i < c->n && c->v[i].noun.ops; i++) {
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
    unsigned *windows = mem_new((size_t)x->n_model + 1, sizeof *windows);
    struct block *block = mem_new((size_t)sweep->n, sizeof *block);
    for (int i = 0; i < sweep->n; i++) {
        block[i] = (struct block){.conf = sweep->item[i],
                                  .policy = axes_find("policy"),
                                  .layer_budget = axes_find("layer_budget"),
                                  .prefill = axes_find("prefill"),
                                  .decode = axes_find("decode"),
                                  .windows = axes_find("windows")};
        if (sweep->item[i]->kind != CONF_MAP) {
            experiment_complain(l, sweep->item[i], sweep->item[i]->line,
                                "sweep: a block is a map such as {policy: h2o, keep: 0.5}");
            continue;
        }
        read_block(l, &block[i]);
        const struct conf *at = conf_get(block[i].conf, "layer_budget");
        for (int m = 0; m < x->n_model; m++)
            windows[m] = windows_of(&block[i], &x->model[m]);
        experiment_allocators(l, at ? at : conf_get(l->root, "layer_budget"), &block[i].value[block[i].layer_budget],
                              windows, &block[i].ready);
    }
    l->layers = (struct all_layers){0};
    mem_free(windows);
    check_size(l, block, sweep->n);
    for (int m = 0; m < x->n_model && l->n_error == 0; m++)
        for (int t = 0; t < x->n_task; t++) {
            struct cells full = {0}, mine = {0};
            for (int i = 0; i < sweep->n; i++)
                expand_block(l, &block[i], m, t, &full, &mine);
            move_cells(&full, &all);
            move_cells(&mine, &all);
        }
    x->cell = all.v;
    x->n_cell = (int)all.n;
    for (int i = 0; i < sweep->n; i++) {
        for (int k = 0; k < axes_count(); k++) {
            keep_configs(x, &block[i].value[k]);
            keep_configs(x, &block[i].dflt[k]);
        }
        experiment_allocators_fini(&block[i].ready);
    }
    mem_free(block);
}
