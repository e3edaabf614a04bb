#include "harness/experiment/axes_values.h"

#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment_habits.h"

static const char *text_of(struct load *l, const struct conf *c, const char *key)
{
    if (c->kind == CONF_SCALAR)
        return c->text;
    experiment_complain(l, c, c->line, "%s: expected one value, found a list or map", key);
    return NULL;
}

/* Takes the canonical text. */
static void add(struct choices *out, const void *field, size_t size, char *text, int line)
{
    struct choice c = {.config = mem_new(1, size), .params = text, .line = line};
    memcpy(c.config, field, size);
    mem_grow(&out->v, &out->cap, (size_t)out->n + 1, sizeof *out->v);
    out->v[out->n++] = c;
}

/* ---- words ---------------------------------------------------------------------------------- */

static void read_word(struct load *l, const struct axis *a, const char *key, const struct conf *c, struct choices *out)
{
    const char *known[16], *t = text_of(l, c, key);
    struct str list = {0};
    int n = 0;
    for (int i = 0; t && a->words[i]; i++) {
        if (*a->words[i] && strcmp(t, a->words[i]) == 0) {
            struct str json = {0};
            str_addf(&json, "\"%s\"", t);
            add(out, &i, sizeof i, str_take(&json), c->line);
            return;
        }
        if (*a->words[i] && n < 16)
            known[n++] = a->words[i];
    }
    for (int i = 0; i < n; i++)
        str_addf(&list, "%s%s", i == 0 ? "" : i < n - 1 ? ", " : " and ", known[i]);
    if (t)
        experiment_complain(l, c, c->line, "%s '%s' unknown%s; %s are known", key, t, experiment_hint(t, known, n),
                            str_c(&list));
    str_free(&list);
}

static void set_field(const struct axis *a, const struct choice *v, struct cell *c)
{
    memcpy((char *)c + a->field, v->config, a->size);
}

static void json_word(const struct axis *a, const struct cell *c, struct str *out)
{
    int i;
    memcpy(&i, (const char *)c + a->field, sizeof i);
    str_addf(out, "\"%s\"", a->words[i]);
}

const struct axis_kind axes_values_word = {read_word, set_field, json_word, NULL, 0, 0};

/* ---- whole numbers -------------------------------------------------------------------------- */

static void read_number(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                        struct choices *out)
{
    struct str json = {0};
    int64_t v = experiment_int(l, c, key, a->min, a->max, a->min);
    int small = (int)v;
    str_addf(&json, "%lld", (long long)v);
    add(out, a->size == sizeof v ? (void *)&v : (void *)&small, a->size, str_take(&json), c->line);
}

static void json_number(const struct axis *a, const struct cell *c, struct str *out)
{
    int64_t v = 0;
    int small;
    memcpy(&small, (const char *)c + a->field, sizeof small);
    if (a->size == sizeof v)
        memcpy(&v, (const char *)c + a->field, sizeof v);
    str_addf(out, "%lld", a->size == sizeof v ? (long long)v : (long long)small);
}

const struct axis_kind axes_values_number = {read_number, set_field, json_number, NULL, 0, 0};

/* ---- budgets -------------------------------------------------------------------------------- */

static int parse_budget(struct load *l, const char *key, const struct conf *c, struct budget *out)
{
    struct budget v = {.kind = strcmp(key, "keep") == 0          ? BUDGET_KEEP
                               : strcmp(key, "keep_tokens") == 0 ? BUDGET_TOKENS
                                                                 : BUDGET_BYTES};
    const char *t = text_of(l, c, key), *expected = NULL;
    if (!t)
        return -1;
    if (v.kind == BUDGET_KEEP && (decimal_parse(t, &v.keep, NULL) || v.keep.num <= 0 || v.keep.num > v.keep.den))
        expected = "a fraction in (0, 1]";
    if (v.kind == BUDGET_TOKENS && (str_to_int64(t, &v.tokens) || v.tokens < 1 || v.tokens > 1000000000))
        expected = "a whole number of at least 1";
    if (v.kind == BUDGET_BYTES && str_to_bytes(t, &v.bytes))
        expected = "a size such as 8MiB";
    if (expected) {
        struct str hint = {0};
        experiment_habits_budget(key, t, &hint);
        experiment_complain(l, c, c->line, "%s: expected %s, found '%s'%s", key, expected, t, str_c(&hint));
        str_free(&hint);
        return -1;
    }
    *out = v;
    return 0;
}

static void read_budget(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                        struct choices *out)
{
    struct budget v;
    struct str s = {0};
    (void)a;
    if (parse_budget(l, key, c, &v))
        return;
    if (v.kind == BUDGET_KEEP)
        str_add_double(&s, decimal_to_double(v.keep)); /* 0.50 and .5 are one cell */
    else
        str_addf(&s, "%lld", (long long)(v.kind == BUDGET_TOKENS ? v.tokens : v.bytes));
    add(out, &v, sizeof v, str_take(&s), c->line);
}

static void set_budget(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    memcpy(&c->budget, v->config, sizeof c->budget);
    c->budget_text = mem_strdup(v->params);
}

static void json_budget(const struct axis *a, const struct cell *c, struct str *out)
{
    static const char *const kinds[] = {"none", "keep", "keep_tokens", "keep_bytes"};
    (void)a;
    str_addf(out, "\"%s %s\"", kinds[c->budget.kind], c->budget_text);
}

/* The texts alone are equal for keep 1 and keep_tokens 1. */
static int same_budget(const struct cell *x, const struct cell *y)
{
    return x->budget.kind == y->budget.kind && strcmp(x->budget_text, y->budget_text) == 0;
}

const struct axis_kind axes_values_budget = {read_budget, set_budget, json_budget, same_budget, 0, 1};

/* ---- protection ----------------------------------------------------------------------------- */

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

static struct protect parse_protect(struct load *l, const struct conf *c)
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

/* Only what is protected: {} when nothing is, and equal for what is equal. */
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

static void read_protect(struct load *l, const struct axis *a, const char *key, const struct conf *c,
                         struct choices *out)
{
    struct protect p = parse_protect(l, c);
    (void)a;
    (void)key;
    add(out, &p, sizeof p, protect_text(&p), c->line);
}

static void set_protect(const struct axis *a, const struct choice *v, struct cell *c)
{
    (void)a;
    memcpy(&c->protect, v->config, sizeof c->protect);
    c->protect_json = mem_strdup(v->params);
}

static void json_protect(const struct axis *a, const struct cell *c, struct str *out)
{
    (void)a;
    str_add(out, c->protect_json);
}

const struct axis_kind axes_values_protect = {read_protect, set_protect, json_protect, NULL, 0, 1};
