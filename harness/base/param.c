#include "harness/base/param.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"

int param_is_list(const struct param *p)
{
    return p->type == PARAM_INTS || p->type == PARAM_FLOATS || p->type == PARAM_DECIMALS || p->type == PARAM_STRINGS;
}

const struct param *param_find(const struct param *table, const char *name)
{
    for (; table && table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static int word_index(const struct param *p, const char *text)
{
    for (int i = 0; p->words && p->words[i]; i++)
        if (strcmp(p->words[i], text) == 0)
            return i;
    return -1;
}

static int count_words(const struct param *p)
{
    int n = 0;
    while (p->words && p->words[n])
        n++;
    return n;
}

void param_domain(const struct param *p, struct str *out)
{
    static const char *const noun[] = {
        "true or false", "integer",          "number",          "decimal number",          "one of",       "text",
        "path",          "list of integers", "list of numbers", "list of decimal numbers", "list of texts"};
    str_add(out, noun[p->type]);
    int numeric = p->type == PARAM_INT || p->type == PARAM_FLOAT || p->type == PARAM_DECIMAL || p->type == PARAM_INTS ||
                  p->type == PARAM_FLOATS || p->type == PARAM_DECIMALS;
    if (numeric && (p->min != 0 || p->max != 0)) {
        if (isfinite(p->min) && isfinite(p->max) && p->max < 1e9) {
            str_add(out, " in [");
            str_add_double(out, p->min);
            str_add(out, ", ");
            str_add_double(out, p->max);
            str_add(out, "]");
        } else if (isfinite(p->min)) {
            str_add(out, " >= ");
            str_add_double(out, p->min);
        }
    }
    for (int i = 0; p->words && p->words[i]; i++)
        str_addf(out, "%s%s", i ? ", " : p->type == PARAM_ENUM ? " " : " or ", p->words[i]);
}

static int refuse(const struct param *p, const char *text, struct err *e)
{
    struct str domain = {0};
    param_domain(p, &domain);
    err_set(e, ERR_CONFIG, "parameter '%s': expected %s, found '%s'", p->name, str_c(&domain), text);
    if (p->words && e && e->code == ERR_CONFIG) {
        const char *near = str_nearest(text, p->words, count_words(p));
        size_t n = strlen(e->msg);
        struct str hint = {0};
        if (near) {
            str_addf(&hint, "; did you mean '%s'?", near);
            strncat(e->msg, hint.p, sizeof e->msg - n - 1);
        }
        str_free(&hint);
    }
    str_free(&domain);
    return -1;
}

static int in_bounds(const struct param *p, double x)
{
    return isfinite(x) && ((p->min == 0 && p->max == 0) || (x >= p->min && x <= p->max));
}

static int parse_int(const struct param *p, const char *text, int64_t *out, struct err *e)
{
    int w = word_index(p, text);
    if (w >= 0) {
        *out = -1 - w;
        return 0;
    }
    if (str_to_int64(text, out) || !in_bounds(p, (double)*out))
        return refuse(p, text, e);
    return 0;
}

static int parse_float(const struct param *p, const char *text, double *out, struct err *e)
{
    int w = word_index(p, text);
    if (w >= 0) {
        *out = -1.0 - w;
        return 0;
    }
    if (str_to_double(text, out) || !in_bounds(p, *out))
        return refuse(p, text, e);
    return 0;
}

static int parse_decimal(const struct param *p, const char *text, struct decimal *out, struct err *e)
{
    struct decimal d;
    if (decimal_parse(text, &d, NULL) || !in_bounds(p, decimal_to_double(d)))
        return refuse(p, text, e);
    *out = d;
    return 0;
}

static int set_list(const struct param *p, void *field, const char *const *text, int n, struct err *e)
{
    size_t size = p->type == PARAM_INTS      ? sizeof(int64_t)
                  : p->type == PARAM_FLOATS  ? sizeof(double)
                  : p->type == PARAM_STRINGS ? sizeof(char *)
                                             : sizeof(struct decimal);
    void *v = mem_new(n > 0 ? (size_t)n : 1, size);
    for (int i = 0; i < n; i++) {
        int rc = 0;
        if (p->type == PARAM_INTS)
            rc = parse_int(p, text[i], (int64_t *)v + i, e);
        else if (p->type == PARAM_FLOATS)
            rc = parse_float(p, text[i], (double *)v + i, e);
        else if (p->type == PARAM_DECIMALS)
            rc = parse_decimal(p, text[i], (struct decimal *)v + i, e);
        else
            ((char **)v)[i] = mem_strdup(text[i]);
        if (rc) {
            mem_free(v);
            return -1;
        }
    }
    /* The four list structs have one layout: pointer, count. */
    struct param_ints list;
    memcpy(&list, field, sizeof list);
    if (p->type == PARAM_STRINGS)
        for (int i = 0; i < list.n; i++)
            mem_free(((char **)(void *)list.v)[i]);
    mem_free(list.v);
    list.v = v;
    list.n = n;
    memcpy(field, &list, sizeof list);
    return 0;
}

int param_set(const struct param *p, void *config, const char *const *text, int n, struct err *e)
{
    void *field = (char *)config + p->offset;
    if (param_is_list(p))
        return set_list(p, field, text, n, e);
    if (n != 1) {
        struct str domain = {0};
        param_domain(p, &domain);
        err_set(e, ERR_CONFIG, "parameter '%s': expected %s, found a list of %d", p->name, str_c(&domain), n);
        str_free(&domain);
        return -1;
    }
    switch (p->type) {
    case PARAM_BOOL:
        if (strcmp(text[0], "true") != 0 && strcmp(text[0], "false") != 0)
            return refuse(p, text[0], e);
        *(int *)field = text[0][0] == 't';
        return 0;
    case PARAM_ENUM: {
        int w = word_index(p, text[0]);
        if (w < 0)
            return refuse(p, text[0], e);
        *(int *)field = w;
        return 0;
    }
    case PARAM_INT: {
        int64_t x;
        if (parse_int(p, text[0], &x, e))
            return -1;
        *(int64_t *)field = x;
        return 0;
    }
    case PARAM_FLOAT: {
        double x;
        if (parse_float(p, text[0], &x, e))
            return -1;
        *(double *)field = x;
        return 0;
    }
    case PARAM_DECIMAL: return parse_decimal(p, text[0], field, e);
    default: { /* STRING, PATH */
        char **s = field;
        mem_free(*s);
        *s = mem_strdup(text[0]);
        return 0;
    }
    }
}

void param_defaults(const struct param *table, void *config)
{
    for (; table && table->name; table++) {
        if (!table->dflt)
            continue;
        if (!param_is_list(table)) {
            param_set(table, config, &table->dflt, 1, NULL);
            continue;
        }
        char *copy = mem_strdup(table->dflt), *save = NULL;
        const char *item[64];
        int n = 0;
        for (char *t = strtok_r(copy, ",", &save); t && n < 64; t = strtok_r(NULL, ",", &save))
            item[n++] = t;
        param_set(table, config, item, n, NULL);
        mem_free(copy);
    }
}

void param_fini(const struct param *table, void *config)
{
    for (; table && table->name; table++) {
        void *field = (char *)config + table->offset;
        if (param_is_list(table)) {
            set_list(table, field, NULL, 0, NULL);
            struct param_ints list;
            memcpy(&list, field, sizeof list);
            mem_free(list.v);
            list.v = NULL;
            memcpy(field, &list, sizeof list);
        } else if (table->type == PARAM_STRING || table->type == PARAM_PATH) {
            mem_free(*(char **)field);
            *(char **)field = NULL;
        }
    }
}

static void int_json(const struct param *p, int64_t x, struct str *out)
{
    if (x < 0 && -1 - x < count_words(p))
        str_addf(out, "\"%s\"", p->words[-1 - x]);
    else
        str_addf(out, "%lld", (long long)x);
}

static void float_json(const struct param *p, double x, struct str *out)
{
    int n = count_words(p);
    if (n && x < 0 && x == floor(x) && -1 - x < n)
        str_addf(out, "\"%s\"", p->words[(int)(-1 - x)]);
    else
        str_add_json_double(out, x);
}

void param_value_json(const struct param *p, const void *config, struct str *out)
{
    const void *field = (const char *)config + p->offset;
    if (param_is_list(p)) {
        struct param_ints list;
        memcpy(&list, field, sizeof list);
        const void *v = list.v;
        str_addc(out, '[');
        for (int i = 0; i < list.n; i++) {
            if (i)
                str_addc(out, ',');
            if (p->type == PARAM_INTS)
                int_json(p, ((const int64_t *)v)[i], out);
            else if (p->type == PARAM_FLOATS)
                float_json(p, ((const double *)v)[i], out);
            else if (p->type == PARAM_DECIMALS)
                str_add_double(out, decimal_to_double(((const struct decimal *)v)[i]));
            else
                str_add_json(out, ((char *const *)v)[i], strlen(((char *const *)v)[i]));
        }
        str_addc(out, ']');
        return;
    }
    switch (p->type) {
    case PARAM_BOOL: str_add(out, *(const int *)field ? "true" : "false"); break;
    case PARAM_ENUM: str_addf(out, "\"%s\"", p->words[*(const int *)field]); break;
    case PARAM_INT: int_json(p, *(const int64_t *)field, out); break;
    case PARAM_FLOAT: float_json(p, *(const double *)field, out); break;
    case PARAM_DECIMAL: str_add_double(out, decimal_to_double(*(const struct decimal *)field)); break;
    default: {
        const char *s = *(char *const *)field;
        if (s)
            str_add_json(out, s, strlen(s));
        else
            str_add(out, "null");
    }
    }
}

void param_json(const struct param *table, const void *config, struct str *out)
{
    str_addc(out, '{');
    for (const struct param *p = table; p && p->name; p++) {
        if (p != table)
            str_addc(out, ',');
        str_addf(out, "\"%s\":", p->name);
        param_value_json(p, config, out);
    }
    str_addc(out, '}');
}
