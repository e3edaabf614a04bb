/* Reading JSON (cJSON). The tree is read-only; every accessor accepts NULL and wrong types and then
 * gives its default, so that callers check once, where the error message can name the field.
 * Writing JSON is string work: str_add_json. */
#ifndef HARNESS_BASE_JSON_H
#define HARNESS_BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"

struct json; /* a node; the root owns the tree */

/* Parses exactly n bytes (nothing but blanks may follow) to the letter of RFC 8259, and of texts those alone that a C
 * string holds: a NUL is refused, written as \u0000 too. NULL and ERR_FORMAT with line, column and reason. `name` names
 * the source in the message. */
struct json *json_parse(const char *name, const char *text, size_t n, struct err *e);
/* The same of one record of a file that begins in that line; numbers keep the text that they are written as. A NUL or
 * another byte that is no part of a number follows the n bytes. */
struct json *json_parse_record(const char *name, int line, const char *text, size_t n, struct err *e);
void json_free(struct json *root);

const struct json *json_get(const struct json *object, const char *key); /* case-sensitive; NULL when absent */
int json_has_duplicate(const struct json *object, const char **key);     /* 1 and the first duplicate key */
int json_size(const struct json *array_or_object);
const struct json *json_first(const struct json *array_or_object);
const struct json *json_next(const struct json *node);
const char *json_key(const struct json *member);

int json_is_object(const struct json *v);
int json_is_array(const struct json *v);
int json_is_string(const struct json *v);
int json_is_number(const struct json *v);
int json_is_bool(const struct json *v);
int json_is_null(const struct json *v);

const char *json_string(const struct json *v); /* NULL when it is none */
double json_number(const struct json *v, double dflt);
int json_int64(const struct json *v, int64_t *out); /* 0, or -1 when it is no integer below 2^53 */
const char *json_number_text(const struct json *v); /* of a record's number, as it is written; otherwise NULL */
int json_bool(const struct json *v, int dflt);
/* Gives the object's number `to` the value of its number `from`, where it has both. */
void json_overwrite(struct json *object, const char *to, const char *from);
int json_same(const struct json *a,
              const struct json *b);    /* the same value with members in the same order; NULL is null */
char *json_print(const struct json *v); /* compact text that reads back exactly; NULL: null; mem_free */

#endif
