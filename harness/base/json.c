#include "harness/base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/json_check.h"
#include "harness/base/mem.h"
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

static cJSON *parse(const char *name, int line, const char *text, size_t n, struct err *e)
{
    /* Out of memory looks to cJSON's callers as broken text does, and a journal's line must not be cut off for it. */
    cJSON_Hooks hooks = {.malloc_fn = mem_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    struct json_fault fault = {0, "not valid JSON"};
    int column = 1;
    cJSON *root = json_check(text, n, &fault) ? NULL : cJSON_ParseWithLengthOpts(text, n, NULL, 0);
    if (root)
        return root;
    for (const char *p = text; p < text + fault.at; p++) {
        column = *p == '\n' ? 1 : column + (((unsigned char)*p & 0xC0) != 0x80);
        line += *p == '\n';
    }
    err_set(e, ERR_FORMAT, "%s:%d:%d: %s", name, line, column, fault.why);
    return NULL;
}

struct json *json_parse(const char *name, const char *text, size_t n, struct err *e)
{
    return (struct json *)(void *)parse(name, 1, text, n, e);
}

/* The next number of a valid text: its begin at or after p. */
static const char *next_number(const char *p)
{
    for (; *p != '-' && (*p < '0' || *p > '9'); p++)
        if (*p == '"')
            for (p++; *p != '"'; p++)
                p += *p == '\\';
    return p;
}

/* Gives every number the text that it stands in, in the order of the text; the library frees what hangs there. */
static const char *keep_numbers(cJSON *v, const char *text)
{
    for (; v; v = v->next) {
        if (cJSON_IsNumber(v)) {
            const char *begin = next_number(text);
            size_t length = strspn(begin, "0123456789+-.eE");
            v->valuestring = cJSON_malloc(length + 1);
            if (v->valuestring) {
                memcpy(v->valuestring, begin, length);
                v->valuestring[length] = '\0';
            }
            text = begin + length;
        }
        text = v->child ? keep_numbers(v->child, text) : text;
    }
    return text;
}

struct json *json_parse_record(const char *name, int line, const char *text, size_t n, struct err *e)
{
    cJSON *root = parse(name, line, text, n, e);
    if (root)
        keep_numbers(root, text);
    return (struct json *)(void *)root;
}

const char *json_number_text(const struct json *v)
{
    return cJSON_IsNumber(in(v)) ? in(v)->valuestring : NULL;
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)(void *)root);
}

const struct json *json_get(const struct json *object, const char *key)
{
    return outward(cJSON_GetObjectItemCaseSensitive(in(object), key));
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int json_has_duplicate(const struct json *object, const char **key)
{
    int n = 0, found = 0;
    const char **name = mem_new((size_t)json_size(object) + 1, sizeof *name);
    for (const struct json *a = json_is_object(object) ? json_first(object) : NULL; a; a = json_next(a))
        name[n++] = json_key(a);
    qsort(name, (size_t)n, sizeof *name, by_key);
    for (int i = 1; i < n && !found; i++)
        if ((found = strcmp(name[i - 1], name[i]) == 0))
            *key = name[i];
    mem_free(name);
    return found;
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

void json_overwrite(struct json *object, const char *to, const char *from)
{
    cJSON *root = (cJSON *)(void *)object, *old = cJSON_GetObjectItemCaseSensitive(root, to),
          *new = cJSON_GetObjectItemCaseSensitive(root, from);
    if (cJSON_IsNumber(old) && cJSON_IsNumber(new))
        cJSON_SetNumberHelper(old, new->valuedouble);
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

int json_same(const struct json *a, const struct json *b)
{
    struct str x = {0}, y = {0};
    if (json_is_string(a) || json_is_string(b)) /* most are, and need no copy */
        return json_is_string(a) && json_is_string(b) && strcmp(json_string(a), json_string(b)) == 0;
    print(in(a), &x);
    print(in(b), &y);
    int same = strcmp(x.p, y.p) == 0;
    str_free(&x);
    str_free(&y);
    return same;
}
