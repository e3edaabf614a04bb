/* What tells cells and lines apart when only their rows are there: their axes, by the table of harness/experiment. */

#include <ctype.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/report/aggregate.h"

static void add_key(const struct agg_cell *c, const char *key, struct str *out)
{
    char *v = json_print(json_get(c->axes, key));
    str_addf(out, "%s\n", v);
    mem_free(v);
}

char *aggregate_axes_join(const struct agg_cell *c, const char *const *keys, int (*has)(const struct axis *a))
{
    struct str s = {0};
    for (; *keys; keys++)
        add_key(c, *keys, &s);
    for (int i = 0; i < axes_count(); i++)
        if (has(axes_at(i))) {
            add_key(c, axes_at(i)->key, &s);
            if (axes_at(i)->keys) /* which of its keys an experiment has used; rows don't say the first */
                add_key(c, "budget_key", &s);
        }
    return str_take(&s);
}

/* 1 when lines that the axis' own default is the same for have different values. */
static int varies(const struct aggregate *a, const struct agg_cell *c, const struct axis *axis)
{
    const struct json *mine = json_get(c->axes, axis->key);
    for (int l = 0; l < a->n_line; l++) {
        const struct agg_cell *other = &a->line[l];
        if (strcmp(other->task_key, c->task_key) == 0 &&
            (axis->dflt_is != AXIS_DEFAULT_OF_POLICY ||
             strcmp(aggregate_text(other, "policy"), aggregate_text(c, "policy")) == 0) &&
            !json_same(json_get(other->axes, axis->key), mine))
            return 1;
    }
    return 0;
}

int aggregate_axes_tells(const struct aggregate *a, const struct agg_cell *c, int axis, struct str *value)
{
    const struct axis *x = axes_at(axis);
    aggregate_axis(c, x->key, value);
    if (!value->n) /* nothing protected, or rows of an older program, which lack it */
        return 0;
    return x->dflt_is == AXIS_DEFAULT_FIXED ? strcmp(value->p, x->dflt) != 0 : varies(a, c, x);
}

void aggregate_axes_notes(const struct aggregate *a, const struct agg_cell *c, int by_key, const char *between,
                          struct str *out)
{
    for (int i = 0; i < 2 * axes_count(); i++) { /* what only varies stands behind what is no default */
        int axis = i % axes_count(), last = i >= axes_count();
        const struct axis *x = axes_at(axis);
        struct str v = {0};
        if (x->shown == AXIS_SHOWN_NOTED && (x->dflt_is != AXIS_DEFAULT_FIXED) == last &&
            aggregate_axes_tells(a, c, axis, &v))
            str_addf(out, "%s%s%s%s", out->n ? "; " : "", by_key ? x->key : x->note, between, v.p);
        str_free(&v);
    }
}

void aggregate_axes_label(const struct agg_cell *c, int axis, struct str *out)
{
    struct str v = {0};
    aggregate_axis(c, axes_at(axis)->key, &v);
    if (v.n && (axes_at(axis)->is_labelled || isdigit((unsigned char)*v.p)))
        str_addf(out, "%s ", axes_at(axis)->note);
    str_add(out, str_c(&v));
    str_free(&v);
}
