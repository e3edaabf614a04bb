#include "harness/experiment/axes_nouns.h"

#include <string.h>

#include "harness/base/mem.h"

/* The canonical JSON of a choice: just the name, {"name": {parameters}}, or {"name": its only parameter}. */
static char *text_of(const struct choice *c)
{
    struct str s = {0};
    const char *value = c->noun.bare ? strchr(c->params, ':') + 1 : c->params;
    if (!c->noun.params)
        str_addf(&s, "\"%s\"", c->noun.name);
    else
        str_addf(&s, "{\"%s\":%.*s}", c->noun.name, (int)strlen(value) - c->noun.bare, value);
    return str_take(&s);
}

static void json_text(const struct axis *a, const struct cell *c, struct str *out)
{
    char *text;
    memcpy(&text, (const char *)c + a->field, sizeof text);
    str_add(out, text);
}

/* ---- policy --------------------------------------------------------------------------------- */

static void read_policy(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                        struct choices *out)
{
    const char *known[64];
    int n = 0;
    (void)a;
    for (; n < policy_count() && n < 64; n++)
        known[n] = policy_at(n)->name;
    experiment_choices(l, c, key, experiment_find_policy, known, n, NULL, out);
}

static void set_policy(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    c->policy = v->noun.ops;
    c->policy_config = v->config;
}

static void json_policy(const struct axis *a, const struct cell *c, struct str *out)
{
    (void)a;
    str_addf(out, "\"%s\"", c->policy->name);
}

const struct axis_kind axes_nouns_policy = {read_policy, set_policy, json_policy, NULL, 1, 0};

static void set_params(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    c->params = mem_strdup(v->params);
}

const struct axis_kind axes_nouns_params = {NULL, set_params, json_text, NULL, 0, 1};

/* ---- layer allocators ----------------------------------------------------------------------- */

static void read_layer_budget(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                              struct choices *out)
{
    const char *known[64];
    int n = 0;
    (void)a;
    for (; n < allocator_count() && n < 64; n++)
        known[n] = allocator_at(n)->name;
    experiment_choices(l, c, key, experiment_find_allocator, known, n, &l->layers, out);
}

/* What an allocator was made ready with is for the caller to add. */
static void set_layer_budget(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    c->allocator = v->noun.ops;
    c->allocator_config = v->noun.params ? v->config : NULL;
    c->allocator_self = c->allocator_config;
    c->layer_budget = text_of(v);
}

const struct axis_kind axes_nouns_layer_budget = {read_layer_budget, set_layer_budget, json_text, NULL, 1, 1};

/* ---- head rules ----------------------------------------------------------------------------- */

static int find_head(const char *name, struct noun *out)
{
    const struct head_ops *h = head_find(name);
    if (h)
        *out = (struct noun){.ops = h, .name = h->name};
    return h ? 0 : -1;
}

static void read_head_budget(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                             struct choices *out)
{
    (void)a;
    experiment_choices(l, c, key, find_head, head_names(), head_count(), NULL, out);
}

static void set_head_budget(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    c->heads = v->noun.ops;
}

static void json_head_budget(const struct axis *a, const struct cell *c, struct str *out)
{
    (void)a;
    str_addf(out, "\"%s\"", c->heads->name);
}

const struct axis_kind axes_nouns_head_budget = {read_head_budget, set_head_budget, json_head_budget, NULL, 1, 0};

/* ---- modes ---------------------------------------------------------------------------------- */

static void read_mode(struct load *l, const char *key, const struct conf *c, const struct mode *table,
                      int (*find)(const char *name, struct noun *out), struct choices *out)
{
    const char *known[8];
    int n = 0;
    for (; table[n].name && n < 8; n++)
        known[n] = table[n].name;
    experiment_choices(l, c, key, find, known, n, NULL, out);
}

static void read_prefill(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                         struct choices *out)
{
    (void)a;
    read_mode(l, key, c, experiment_prefills, experiment_find_prefill, out);
}

static void set_prefill(const struct axis *a, const struct choice *v, struct cell *c)
{
    struct str s = {0};
    (void)a;
    if (!v->noun.params) {
        c->chunk = (struct chunking){0};
        c->prefill = text_of(v);
        return;
    }
    c->chunk = *(const struct chunking *)v->config;
    if (!(policy_needs_of(c->policy, c->policy_config) & (STATISTIC_COLUMNS | STATISTIC_ROWS)))
        c->chunk.carry = 1; /* there is nothing to carry */
    str_addf(&s, "{\"%s\":", v->noun.name);
    param_json(v->noun.params, &c->chunk, &s);
    str_addc(&s, '}');
    c->prefill = str_take(&s);
}

const struct axis_kind axes_nouns_prefill = {read_prefill, set_prefill, json_text, NULL, 1, 1};

static void read_decode(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                        struct choices *out)
{
    (void)a;
    read_mode(l, key, c, experiment_decodes, experiment_find_decode, out);
}

static void set_decode(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    c->cut_every = v->noun.params ? ((const struct interval *)v->config)->every : v->noun.ops == &experiment_decodes[1];
    c->decode = text_of(v);
}

const struct axis_kind axes_nouns_decode = {read_decode, set_decode, json_text, NULL, 1, 1};
