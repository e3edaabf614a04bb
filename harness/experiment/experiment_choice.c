/* Names with parameters, expanded: {snapkv: {window: 32, kernel: [5, 7]}} is two choices. */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/experiment_habits.h"
#include "harness/experiment/experiment_int.h"

enum { MAX_CHOICES = 4096 };

static const char profile_key[] = "profile"; /* of layer budgets, and of the file: what those have that name none */

int experiment_find_policy(const char *name, struct noun *out)
{
    const struct policy_ops *p = policy_find(name);
    if (p)
        *out = (struct noun){.ops = p, .name = p->name, .params = p->params, .config_size = p->config_size};
    return p ? 0 : -1;
}

int experiment_find_allocator(const char *name, struct noun *out)
{
    const struct allocator_ops *a = allocator_find(name);
    if (a)
        *out = (struct noun){.ops = a, .name = a->name, .params = a->params, .config_size = a->config_size};
    return a ? 0 : -1;
}

static void task_json(const void *ops, const void *config, struct str *out)
{
    dataset_params_json(ops, config, out);
}

int experiment_find_dataset(const char *name, struct noun *out)
{
    const struct dataset_ops *d = dataset_find(name);
    if (d)
        *out = (struct noun){.ops = d,
                             .name = d->name,
                             .params = dataset_params(d),
                             .config_size = dataset_config_size(d),
                             .json = task_json};
    return d ? 0 : -1;
}

void experiment_choices_fini(struct choices *c)
{
    for (int i = 0; i < c->n; i++) {
        param_fini(c->v[i].noun.params, c->v[i].config);
        mem_free(c->v[i].config);
        mem_free(c->v[i].params);
    }
    mem_free(c->v);
    *c = (struct choices){0};
}

/* The alternatives of one parameter: each a list of texts (one text for a scalar). */
struct values {
    const struct param *param;
    const struct conf *node;
    char ***text;
    int *n_text;
    int n;
};

static void add_value(struct values *v, const struct conf *c)
{
    int count = c->kind == CONF_LIST ? c->n : 1;
    char **text = mem_new((size_t)count + 1, sizeof *text);
    for (int i = 0; i < count; i++)
        text[i] = mem_strdup(c->kind == CONF_LIST ? c->item[i]->text : c->text);
    mem_room(&v->text, (size_t)v->n, sizeof *v->text);
    mem_room(&v->n_text, (size_t)v->n, sizeof *v->n_text);
    v->text[v->n] = text;
    v->n_text[v->n++] = count;
}

static void free_values(struct values *v)
{
    for (int i = 0; i < v->n; i++) {
        for (int k = 0; k < v->n_text[i]; k++)
            mem_free(v->text[i][k]);
        mem_free(v->text[i]);
    }
    mem_free(v->text);
    mem_free(v->n_text);
}

static int all_scalars(const struct conf *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->item[i]->kind != CONF_SCALAR)
            return 0;
    return 1;
}

/* A list is an axis, unless the parameter itself is a list: then a list of lists is. */
static int read_values(struct load *l, const struct conf *c, const char *name, const struct all_layers *all,
                       struct values *v)
{
    int list = param_is_list(v->param);
    int is_all = all && strcmp(name, "layer") == 0 && c->kind == CONF_SCALAR && strcmp(c->text, "all") == 0;
    v->node = c;
    if (c->kind == CONF_MAP) {
        experiment_complain(l, c, c->line, "parameter '%s': expected a value, found a map", name);
        return -1;
    }
    if (is_all && all->unlike) {
        experiment_complain(l, c, c->line, "layer: all: %s", all->unlike);
        return -1;
    }
    if (is_all && all->n) {
        for (int i = 0; i < all->n; i++) {
            struct str number = {0};
            str_addf(&number, "%d", all->number[i]);
            struct conf one = {.kind = CONF_SCALAR, .text = number.p};
            add_value(v, &one);
            str_free(&number);
        }
        return 0;
    }
    if (c->kind == CONF_SCALAR || (list && all_scalars(c))) {
        add_value(v, c);
        return 0;
    }
    for (int i = 0; i < c->n; i++) {
        const struct conf *item = c->item[i];
        if (item->kind == CONF_MAP || (item->kind == CONF_LIST && (!list || !all_scalars(item)))) {
            experiment_complain(l, item, item->line, "parameter '%s': nested too deep", name);
            return -1;
        }
        add_value(v, item);
    }
    if (c->n == 0)
        experiment_complain(l, c, c->line, "parameter '%s': an empty list is no axis", name);
    return c->n ? 0 : -1;
}

static void add_choice(struct load *l, const struct noun *noun, const struct values *v, const int *at, int n_values,
                       int line, const struct conf *where, struct choices *out)
{
    struct choice c = {.noun = *noun, .line = line, .config = mem_new(1, noun->config_size + 1)};
    struct str json = {0};
    struct err e;
    int bad = 0;
    param_defaults(noun->params, c.config);
    for (int i = 0; i < n_values; i++)
        if (param_set(v[i].param, c.config, (const char *const *)v[i].text[at[i]], v[i].n_text[at[i]], &e)) {
            experiment_complain(l, v[i].node, v[i].node->line, "%s: %s", noun->name, e.msg);
            bad = 1;
        } else if (v[i].param->type == PARAM_PATH) {
            char *path = fs_join(l->x->dir, v[i].text[at[i]][0]);
            if (*v[i].text[at[i]][0] && !fs_exists(path)) {
                experiment_complain(l, v[i].node, v[i].node->line, "%s: parameter '%s': no file '%s'", noun->name,
                                    v[i].param->name, path);
                bad = 1;
            }
            mem_free(path);
        }
    for (const struct param *p = noun->params; p && p->name; p++) {
        int given = p->dflt != NULL;
        for (int i = 0; i < n_values; i++)
            given |= v[i].param == p;
        if (!given) {
            experiment_complain(
                l, where, line, "%s: parameter '%s' is required%s", noun->name, p->name,
                strcmp(p->name, profile_key) == 0 ? "; one at the top of the file serves all: profile: FILE.h5" : "");
            bad = 1;
        }
    }
    if (!bad && out->n >= MAX_CHOICES) {
        experiment_complain(l, where, line, "%s: more than %d combinations", noun->name, MAX_CHOICES);
        bad = 1;
    }
    if (bad) {
        param_fini(noun->params, c.config);
        mem_free(c.config);
        return;
    }
    if (noun->json)
        noun->json(noun->ops, c.config, &json);
    else
        param_json(noun->params, c.config, &json);
    c.params = str_take(&json);
    mem_grow(&out->v, &out->cap, (size_t)out->n + 1, sizeof *out->v);
    out->v[out->n++] = c;
}

/* The file's own `profile`, where a name needs one and does not say which; otherwise NULL. */
static const struct conf *default_profile(const struct load *l, const struct noun *noun, const struct conf *params)
{
    const struct param *p = noun->params ? param_find(noun->params, profile_key) : NULL;
    const struct conf *given = conf_get(l->root, profile_key);
    int needed = p && !p->dflt && !(params && params->kind == CONF_MAP && conf_get(params, profile_key));
    return needed && given && given->kind == CONF_SCALAR ? given : NULL;
}

/* The grid over the parameters' alternatives, the last one fastest. */
static void expand(struct load *l, const struct noun *noun, const struct conf *params, int line,
                   const struct conf *where, const struct all_layers *all, struct choices *out)
{
    const struct conf *profile = default_profile(l, noun, params);
    int n_given = params ? params->n : 0, n = n_given + (profile != NULL), bad = 0;
    struct values *v = mem_new((size_t)n + 1, sizeof *v);
    int *at = mem_new((size_t)n + 1, sizeof *at);
    const char *known[64];
    int n_known = 0;
    for (const struct param *p = noun->params; p && p->name && n_known < 64; p++)
        known[n_known++] = p->name;
    for (int i = 0; i < n_given; i++) {
        v[i].param = param_find(noun->params, params->key[i]);
        if (!v[i].param) {
            struct str hint = {0};
            experiment_habits_parameter(params->key[i], known, n_known, &hint);
            experiment_complain(l, params, params->key_line[i], "%s has no parameter '%s'%s (see: depthkv describe %s)",
                                noun->name, params->key[i],
                                hint.n ? hint.p : experiment_hint(params->key[i], known, n_known), noun->name);
            str_free(&hint);
            bad = 1;
        } else if (read_values(l, params->item[i], params->key[i], all, &v[i])) {
            bad = 1;
        }
    }
    if (profile) {
        v[n - 1].param = param_find(noun->params, profile_key);
        bad |= read_values(l, profile, profile_key, all, &v[n - 1]);
    }
    while (!bad) {
        add_choice(l, noun, v, at, n, line, where, out);
        int i = n - 1;
        while (i >= 0 && ++at[i] == v[i].n)
            at[i--] = 0;
        if (i < 0)
            break;
    }
    for (int i = 0; i < n; i++)
        free_values(&v[i]);
    mem_free(v);
    mem_free(at);
}

/* A map of several keys; mostly a name's parameters stand beside it instead of inside: {snapkv: , window: 32}. */
static void complain_of_map(struct load *l, const struct conf *c, const char *what,
                            int (*find)(const char *name, struct noun *out))
{
    struct noun noun = {0};
    const char *beside = NULL;
    int line = c->line;
    if (c->n > 1 && find(c->key[0], &noun) == 0 && c->item[0]->kind == CONF_SCALAR && !*c->item[0]->text)
        for (int i = 1; i < c->n && !beside; i++)
            if (param_find(noun.params, c->key[i])) {
                beside = c->key[i];
                line = c->key_line[i];
            }
    if (beside)
        experiment_complain(l, c, line,
                            "%s: '%s' stands beside %s instead of inside: indent it further than %s, or write "
                            "{%s: {%s: ...}}",
                            what, beside, noun.name, noun.name, noun.name, beside);
    else
        experiment_complain(l, c, c->line, "%s: expected a name or {name: {parameters}}, found a map of %d keys%s",
                            what, c->n, c->n > 1 && find(c->key[0], &noun) == 0 ? "; several are a list: [a, b]" : "");
}

void experiment_choices(struct load *l, const struct conf *c, const char *what,
                        int (*find)(const char *name, struct noun *out), const char *const *known, int n_known,
                        const struct all_layers *all, struct choices *out)
{
    if (c->kind == CONF_LIST) {
        for (int i = 0; i < c->n; i++)
            experiment_choices(l, c->item[i], what, find, known, n_known, all, out);
        if (c->n == 0)
            experiment_complain(l, c, c->line, "%s: the list is empty", what);
        return;
    }
    const char *name = c->kind == CONF_SCALAR ? c->text : c->n == 1 ? c->key[0] : NULL;
    const struct conf *params = c->kind == CONF_MAP && c->n == 1 ? c->item[0] : NULL;
    struct noun noun;
    if (!name) {
        complain_of_map(l, c, what, find);
        return;
    }
    if (find(name, &noun)) {
        struct str hint = {0};
        experiment_habits_name(what, name, &hint);
        experiment_complain(l, c, c->line, "%s '%s' unknown%s (see: depthkv list)", what, name,
                            hint.n ? hint.p : experiment_hint(name, known, n_known));
        str_free(&hint);
        return;
    }
    if (params && params->kind == CONF_SCALAR && *params->text == '\0')
        params = NULL; /* "- passkey:" with nothing behind it */
    if (params && noun.params && noun.params->name &&
        ((params->kind == CONF_LIST && param_is_list(noun.params)) || (params->kind != CONF_MAP && noun.bare))) {
        /* {vector: [...]}, {proportional: [[...], [...]]}, {interval: 512}: the first parameter, without its name */
        char *key[1] = {mem_strdup(noun.params->name)};
        int line[1] = {params->line};
        struct conf *item[1] = {conf_copy(params)};
        struct conf map = {
            .kind = CONF_MAP, .file = c->file, .line = c->line, .key = key, .key_line = line, .item = item, .n = 1};
        expand(l, &noun, &map, c->line, c, all, out);
        conf_free(item[0]);
        mem_free(key[0]);
        return;
    }
    if (params && params->kind != CONF_MAP) {
        experiment_complain(l, params, params->line, "%s '%s': expected {parameter: value}", what, name);
        return;
    }
    expand(l, &noun, params, c->line, c, all, out);
}
