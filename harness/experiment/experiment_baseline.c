/* `baseline`: the cell that differences refer to. A selector names some axes; for every cell, the baseline is the cell
 * of the same model and task that has those values. Where several do, axes that the selector does not name are taken as
 * the compared cell has them: {policy: full} compares with the full cache of the same prune_after, {layer_budget:
 * uniform} with the same policy and budget spread uniformly. Nothing, or still several, is an error. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"

struct selector {
    struct load *l;
    int named[AXES_MOST], exact[AXES_MOST]; /* exact: with its parameters; otherwise any will do */
    struct choices value[AXES_MOST];        /* one of each axis that is named */
};

static void read_key(struct selector *s, const char *key, const struct conf *c)
{
    int i = 0, errors = s->l->n_error;
    struct str keys = {0};
    for (int found = 0; i < axes_count() && !found; i += !found)
        for (int k = 0; axes_key(i, k) && !found; k++)
            found = strcmp(axes_key(i, k), key) == 0;
    if (i == axes_count())
        return; /* check_keys has complained */
    if (s->named[i])
        experiment_complain(s->l, c, c->line, "%s: the baseline takes one of %s", key, axes_keys(i, &keys));
    else if (c->kind != CONF_LIST)
        axes_read_key(s->l, i, key, c, &s->value[i]);
    if (s->l->n_error == errors && s->value[i].n != 1) /* a list, also one of parameters */
        experiment_complain(s->l, c, c->line, "baseline: %s: one value is expected", key);
    s->named[i] = 1;
    s->exact[i] = c->kind == CONF_MAP;
    if (i + 1 < axes_count() && axes_at(i + 1)->is_part)
        s->named[i + 1] = s->exact[i + 1] = s->exact[i];
    str_free(&keys);
}

/* 1 when the cell has the selector's value in every axis that it names. */
static int is_named(const struct selector *s, const struct cell *c)
{
    int is = 1;
    for (int i = 0; i < axes_count() && is; i++)
        is = !s->named[i] || axes_is(i, &s->value[i - axes_at(i)->is_part].v[0], s->exact[i], c);
    return is;
}

/* Of the n candidates (cells that have what the selector names) those that are most like `c`; returns how many. */
static int narrow(const struct selector *s, const struct cell *cell, const struct cell *c, int *candidate, int n)
{
    for (int a = 0; a < axes_count() && n > 1; a++) {
        int agreeing = 0;
        /* a seed that the cell does not use is no reason to prefer one */
        if (s->named[a] || (axes_at(a)->shown == AXIS_SHOWN_POOLED && axes_at(a)->ignored(c->policy, c->allocator)))
            continue;
        for (int i = 0; i < n; i++)
            agreeing += axes_same(a, &cell[candidate[i]], c);
        if (!agreeing)
            continue;
        int kept = 0;
        for (int i = 0; i < n; i++)
            if (axes_same(a, &cell[candidate[i]], c))
                candidate[kept++] = candidate[i];
        n = kept;
    }
    return n;
}

static void complain_of_several(const struct selector *s, const struct conf *at, const struct cell *cell,
                                const struct cell *c, const int *candidate, int n)
{
    const char *differ = "nothing";
    for (int a = axes_count(); a-- > 0;)
        if (!axes_same(a, &cell[candidate[0]], &cell[candidate[1]]))
            differ = axes_word(a);
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
        const struct cell *c = &x->cell[i];
        if (c->model == model && c->task == task && is_named(s, c))
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
    for (int i = 0; i < axes_count(); i++)
        experiment_choices_fini(&s.value[i]);
    conf_free(full);
}
