#include "harness/base/param_check.h"

#include <string.h>

#include "harness/base/mem.h"

static size_t field_size(enum param_type type)
{
    switch (type) {
    case PARAM_BOOL:
    case PARAM_ENUM: return sizeof(int);
    case PARAM_INT: return sizeof(int64_t);
    case PARAM_FLOAT: return sizeof(double);
    case PARAM_DECIMAL: return sizeof(struct decimal);
    case PARAM_STRING:
    case PARAM_PATH: return sizeof(char *);
    case PARAM_INTS:
    case PARAM_FLOATS:
    case PARAM_DECIMALS:
    case PARAM_STRINGS: return sizeof(struct param_ints);
    }
    return 0;
}

/* A list's items obey the bounds of one number of their kind. */
static enum param_type item_type(enum param_type type)
{
    switch (type) {
    case PARAM_INTS: return PARAM_INT;
    case PARAM_FLOATS: return PARAM_FLOAT;
    case PARAM_DECIMALS: return PARAM_DECIMAL;
    case PARAM_STRINGS: return PARAM_STRING;
    default: return type;
    }
}

static int check_default(const struct param *p, struct err *e)
{
    int64_t field[2] = {0, 0}; /* as large and as aligned as the largest scalar */
    struct param item[2] = {*p, {0}};
    char *copy = mem_strdup(p->dflt), *save = NULL, *text = copy;
    int rc = 0;
    item[0].type = item_type(p->type);
    item[0].offset = 0;
    if (param_is_list(p))
        text = strtok_r(copy, ",", &save);
    for (; text && rc == 0; text = param_is_list(p) ? strtok_r(NULL, ",", &save) : NULL) {
        const char *one = text;
        rc = param_set(item, field, &one, 1, e);
        param_fini(item, field);
    }
    mem_free(copy);
    if (rc && e) {
        err_wrap(e, "default");
        e->code = ERR_POLICY;
    }
    return rc;
}

int param_check(const struct param *table, size_t config_size, struct err *e)
{
    for (const struct param *p = table; p && p->name; p++) {
        size_t size = field_size(p->type), align = p->type == PARAM_BOOL || p->type == PARAM_ENUM ? sizeof(int) : 8;
        int numeric = item_type(p->type) == PARAM_INT || item_type(p->type) == PARAM_FLOAT;
        if (!*p->name || strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(p->name))
            return err_set(e, ERR_POLICY, "parameter name '%s': lower-case letters, digits and _ are expected",
                           p->name);
        if (param_find(table, p->name) != p)
            return err_set(e, ERR_POLICY, "parameter '%s' stands twice", p->name);
        if (size == 0)
            return err_set(e, ERR_POLICY, "parameter '%s': type %d is unknown", p->name, (int)p->type);
        if (p->offset > config_size || size > config_size - p->offset || p->offset % align)
            return err_set(e, ERR_POLICY, "parameter '%s': %zu bytes at offset %zu do not fit a config of %zu bytes",
                           p->name, size, p->offset, config_size);
        if (!(p->min <= p->max))
            return err_set(e, ERR_POLICY, "parameter '%s': bounds %g to %g", p->name, p->min, p->max);
        if (p->type == PARAM_ENUM && (!p->words || !p->words[0]))
            return err_set(e, ERR_POLICY, "parameter '%s' has no words to choose from", p->name);
        if (numeric && p->words && p->min < 0)
            return err_set(e, ERR_POLICY, "parameter '%s': words need bounds from 0, found %g", p->name, p->min);
        if (!p->help)
            return err_set(e, ERR_POLICY, "parameter '%s' has no help", p->name);
        if (p->dflt && check_default(p, e))
            return -1;
    }
    return 0;
}
