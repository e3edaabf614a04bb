#include "harness/base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "harness/base/str.h"

/* struct json is never defined: a node is a cJSON under another name, so that this file is the only
 * one that knows the library. */
static const cJSON *in(const struct json *v)
{
    return (const cJSON *)(const void *)v;
}

static const struct json *outward(const cJSON *v)
{
    return (const struct json *)(const void *)v;
}

struct json *json_parse(const char *name, const char *text, size_t n, struct err *e)
{
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    const char *why = "not valid JSON";
    if (root) {
        const char *p = end;
        while (p < text + n && strchr(" \t\r\n", *p) && *p)
            p++;
        if (p == text + n || *p == '\0')
            return (struct json *)(void *)root;
        cJSON_Delete(root);
        end = p;
        why = "text after the JSON value";
    }
    int line = 1, column = 1;
    for (const char *p = text; end && p < end && p < text + n; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    err_set(e, ERR_FORMAT, "%s:%d:%d: %s", name, line, column, why);
    return NULL;
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)(void *)root);
}

const struct json *json_get(const struct json *object, const char *key)
{
    return outward(cJSON_GetObjectItemCaseSensitive(in(object), key));
}

int json_has_duplicate(const struct json *object, const char **key)
{
    for (const struct json *a = json_first(object); a; a = json_next(a))
        if (json_get(object, json_key(a)) != a) {
            *key = json_key(a);
            return 1;
        }
    return 0;
}

int json_size(const struct json *v)
{
    return v ? cJSON_GetArraySize(in(v)) : 0;
}

const struct json *json_first(const struct json *v)
{
    return v ? outward(in(v)->child) : NULL;
}

const struct json *json_next(const struct json *v)
{
    return v ? outward(in(v)->next) : NULL;
}

const char *json_key(const struct json *v)
{
    return v ? in(v)->string : NULL;
}

int json_is_object(const struct json *v)
{
    return cJSON_IsObject(in(v));
}

int json_is_array(const struct json *v)
{
    return cJSON_IsArray(in(v));
}

int json_is_string(const struct json *v)
{
    return cJSON_IsString(in(v));
}

int json_is_number(const struct json *v)
{
    return cJSON_IsNumber(in(v));
}

int json_is_bool(const struct json *v)
{
    return cJSON_IsBool(in(v));
}

int json_is_null(const struct json *v)
{
    return cJSON_IsNull(in(v));
}

const char *json_string(const struct json *v)
{
    return cJSON_GetStringValue(in(v));
}

double json_number(const struct json *v, double dflt)
{
    return cJSON_IsNumber(in(v)) ? in(v)->valuedouble : dflt;
}

int json_int64(const struct json *v, int64_t *out)
{
    double x = json_number(v, NAN);
    if (!(fabs(x) < 9007199254740992.0) || x != floor(x))
        return -1;
    *out = (int64_t)x;
    return 0;
}

int json_bool(const struct json *v, int dflt)
{
    return cJSON_IsBool(in(v)) ? cJSON_IsTrue(in(v)) : dflt;
}

/* By our own hand, because cJSON rounds to 15 digits where 17 are needed. */
static void print(const cJSON *v, struct str *out)
{
    if (cJSON_IsString(v)) {
        str_add_json(out, v->valuestring, strlen(v->valuestring));
    } else if (cJSON_IsNumber(v)) {
        str_add_json_double(out, v->valuedouble);
    } else if (cJSON_IsArray(v) || cJSON_IsObject(v)) {
        str_addc(out, cJSON_IsArray(v) ? '[' : '{');
        for (const cJSON *c = v->child; c; c = c->next) {
            if (c != v->child)
                str_addc(out, ',');
            if (cJSON_IsObject(v)) {
                str_add_json(out, c->string, strlen(c->string));
                str_addc(out, ':');
            }
            print(c, out);
        }
        str_addc(out, cJSON_IsArray(v) ? ']' : '}');
    } else {
        str_add(out, cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null");
    }
}

char *json_print(const struct json *v)
{
    struct str s = {0};
    print(in(v), &s);
    return str_take(&s);
}
