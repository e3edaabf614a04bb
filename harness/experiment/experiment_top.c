/* Axes that stand at the top of an experiment, as defaults for all blocks, when every block says its own: no cell uses
 * them, but what is wrong there is refused as anywhere else, and what is right is not passed over in silence. */
#include <string.h>

#include "harness/base/quote.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/experiment_int.h"

/* 1 when the block says something of the axis itself. */
static int is_said(const struct conf *block, int axis)
{
    for (int k = 0; axes_key(axis, k); k++)
        if (conf_get(block, axes_key(axis, k)))
            return 1;
    return 0;
}

/* 1 when there are blocks and all of them do. A block that is no map is refused elsewhere, and may have meant to. */
static int is_overridden(const struct load *l, int axis)
{
    const struct conf *sweep = conf_get(l->root, "sweep");
    int is = sweep && sweep->kind == CONF_LIST && sweep->n > 0;
    for (int i = 0; is && i < sweep->n; i++)
        is = sweep->item[i]->kind != CONF_MAP || is_said(sweep->item[i], axis);
    return is;
}

/* 1 when it is what a block would have without it, as files say that an earlier run has filled in. */
static int is_default(const struct axis *a, const struct conf *c)
{
    return a->dflt && c->kind == CONF_SCALAR && strcmp(c->text, a->dflt) == 0;
}

/* An included file has defaults for many experiments; it need not fit this one. */
static void tell(struct load *l, const char *key, const struct conf *c, int line)
{
    static const char set[] = "--set ";
    if (c->file && strncmp(c->file, set, strlen(set)) == 0)
        experiment_complain(l, c, 0,
                            "--set %s: every block of the sweep has its own, so that no cell would use this one; name "
                            "the block: --set sweep.0.%s=...",
                            key, key);
    if (c->file && strcmp(c->file, l->x->path) != 0)
        return;
    struct str s = {0};
    str_addf(&s, "%s:%d: %s stands at the top, but every block of the sweep has its own: no cell uses it", l->x->path,
             line, key);
    quote_text(QUOTE_LINE, s.p, &l->x->unused);
    str_addc(&l->x->unused, '\n');
    str_free(&s);
}

void experiment_top(struct load *l)
{
    static const struct conf nothing = {.kind = CONF_MAP};
    for (int i = 0; i < axes_count(); i++) {
        struct choices read = {0};
        int bad = l->n_error;
        if (!is_said(l->root, i) || !is_overridden(l, i))
            continue;
        axes_read(l, i, &nothing, &read);
        experiment_choices_fini(&read);
        for (int k = 0; k < l->root->n && l->n_error == bad; k++)
            for (int n = 0; axes_key(i, n); n++)
                if (strcmp(l->root->key[k], axes_key(i, n)) == 0 && !is_default(axes_at(i), l->root->item[k]))
                    tell(l, l->root->key[k], l->root->item[k], l->root->key_line[k]);
    }
}

int experiment_top_is_used(const struct load *l, const char *key)
{
    for (int i = 0; i < axes_count(); i++)
        for (int k = 0; axes_key(i, k); k++)
            if (strcmp(axes_key(i, k), key) == 0)
                return !is_overridden(l, i);
    return 1;
}
