/* YAML files as a read-only tree that knows file and line of every node (libyaml). Scalars stay texts; typing is the
 * reader's. Refused with file and line: broken YAML, duplicate keys, `<<` merges, more than one document, more than
 * 200,000 values (each alias counts as what it stands for), or 64 levels. */
#ifndef HARNESS_CONF_H
#define HARNESS_CONF_H

#include <stddef.h>

#include "harness/base/err.h"
#include "harness/base/str.h"

enum conf_kind { CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf {
    enum conf_kind kind;
    const char *file; /* owned by the tree's root */
    int line;         /* from 1 */
    char *text;       /* scalar */
    int quoted;       /* scalar written in quotes */
    char **key;       /* [n] of a map */
    int *key_line;
    struct conf **item; /* [n] of a list or map */
    int n;
    char *root_file; /* set on roots only */
};

/* NULL and "file:line: what" on error. */
struct conf *conf_read(const char *path, struct err *e);
struct conf *conf_parse(const char *name, const char *text, size_t n, struct err *e);
void conf_free(struct conf *c);
struct conf *conf_copy(const struct conf *c);

const struct conf *conf_get(const struct conf *map, const char *key); /* NULL when absent or no map */
/* Maps merge key by key, everything else is replaced by `over`. Both stay as they are; the result is new. */
struct conf *conf_merge(const struct conf *base, const struct conf *over);
/* Replaces the value at a dotted path ("sweep.1.keep"); list items by number; new map keys are added. */
int conf_set(struct conf *root, const char *path, const struct conf *value, struct err *e);
/* Flow-style YAML of the node, one line; strings are quoted where they must be. */
void conf_print(const struct conf *c, struct str *out);
/* Any UTF-8 text as a YAML scalar in quotes, on one line, that reads back as the same. */
void conf_add_text(struct str *out, const char *text);

/* What the comment says that a text begins with, up to a line break of YAML 1.1; "" without. Caller frees. */
char *conf_first_comment(const char *text);

#endif
