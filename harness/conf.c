#include "harness/conf.h"

#include <string.h>
#include <yaml.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"

enum { MAX_NODES = 200000, MAX_DEPTH = 64 };

void conf_free(struct conf *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++) {
        if (c->key)
            mem_free(c->key[i]);
        conf_free(c->item[i]);
    }
    mem_free(c->key);
    mem_free(c->key_line);
    mem_free(c->item);
    mem_free(c->text);
    mem_free(c->root_file);
    mem_free(c);
}

static struct conf *node(enum conf_kind kind, const char *file, int line)
{
    struct conf *c = mem_new(1, sizeof *c);
    *c = (struct conf){.kind = kind, .file = file, .line = line};
    return c;
}

static void add(struct conf *c, const char *key, int key_line, struct conf *item)
{
    mem_room(&c->item, (size_t)c->n, sizeof *c->item);
    if (c->kind == CONF_MAP) {
        mem_room(&c->key, (size_t)c->n, sizeof *c->key);
        mem_room(&c->key_line, (size_t)c->n, sizeof *c->key_line);
        c->key[c->n] = mem_strdup(key);
        c->key_line[c->n] = key_line;
    }
    c->item[c->n++] = item;
}

struct reader {
    yaml_document_t *doc;
    const char *file;
    int nodes;
};

static struct conf *convert(struct reader *r, int index, int depth, struct err *e);

/* Indices of a map's keys by their hash, so that a map of many keys is read in the time of many small ones. */
struct seen {
    int *slot; /* index + 1; 0: empty */
    size_t mask;
};

/* Where `key` stands, or is to stand. */
static int *place(const struct seen *s, const struct conf *map, const char *key)
{
    size_t i = hash_fnv1a(key, strlen(key)) & s->mask;
    while (s->slot[i] && strcmp(map->key[s->slot[i] - 1], key) != 0)
        i = (i + 1) & s->mask;
    return &s->slot[i];
}

/* A key as text; NULL and an error when it is none that a map may have. */
static const char *key_of(const struct reader *r, const yaml_node_t *k, struct err *e)
{
    int line = (int)k->start_mark.line + 1;
    const char *key = (const char *)k->data.scalar.value;
    if (k->type != YAML_SCALAR_NODE || memchr(key, 0, k->data.scalar.length)) {
        err_set(e, ERR_CONFIG, "%s:%d: a key must be a plain text", r->file, line);
        return NULL;
    }
    if (strcmp(key, "<<") == 0) {
        err_set(e, ERR_CONFIG, "%s:%d: '<<' is not supported; use include", r->file, line);
        return NULL;
    }
    return key;
}

static int convert_pairs(struct reader *r, const yaml_node_t *y, const struct seen *seen, struct conf *c, int depth, struct err *e)
{
    for (const yaml_node_pair_t *p = y->data.mapping.pairs.start; p < y->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(r->doc, p->key);
        int line = (int)k->start_mark.line + 1;
        const char *key = key_of(r, k, e);
        int *at = key ? place(seen, c, key) : NULL;
        if (!key)
            return -1;
        if (*at)
            return err_set(e, ERR_CONFIG, "%s:%d: key '%s' stands twice (first in line %d)", r->file, line, key,
                           c->key_line[*at - 1]);
        struct conf *v = convert(r, p->value, depth, e);
        if (!v)
            return -1;
        add(c, key, line, v);
        *at = c->n;
    }
    return 0;
}

static int convert_map(struct reader *r, const yaml_node_t *y, struct conf *c, int depth, struct err *e)
{
    struct seen seen = {.mask = 15};
    while (seen.mask < 2 * (size_t)(y->data.mapping.pairs.top - y->data.mapping.pairs.start))
        seen.mask = 2 * seen.mask + 1;
    seen.slot = mem_new(seen.mask + 1, sizeof *seen.slot);
    int rc = convert_pairs(r, y, &seen, c, depth, e);
    mem_free(seen.slot);
    return rc;
}

static struct conf *convert(struct reader *r, int index, int depth, struct err *e)
{
    const yaml_node_t *y = yaml_document_get_node(r->doc, index);
    int line = (int)y->start_mark.line + 1;
    if (++r->nodes > MAX_NODES || depth > MAX_DEPTH) { /* aliases may repeat, and even contain themselves */
        err_set(e, ERR_CONFIG, "%s:%d: more than %d values, or nested deeper than %d", r->file, line, MAX_NODES, MAX_DEPTH);
        return NULL;
    }
    if (y->type == YAML_SCALAR_NODE) {
        struct conf *c = node(CONF_SCALAR, r->file, line);
        if (memchr(y->data.scalar.value, 0, y->data.scalar.length)) {
            err_set(e, ERR_CONFIG, "%s:%d: a text holds a NUL byte", r->file, line);
            conf_free(c);
            return NULL;
        }
        c->text = mem_strdup((const char *)y->data.scalar.value);
        c->quoted = y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return c;
    }
    struct conf *c = node(y->type == YAML_SEQUENCE_NODE ? CONF_LIST : CONF_MAP, r->file, line);
    int bad = 0;
    if (y->type == YAML_MAPPING_NODE)
        bad = convert_map(r, y, c, depth + 1, e);
    else
        for (const yaml_node_item_t *i = y->data.sequence.items.start; !bad && i < y->data.sequence.items.top; i++) {
            struct conf *v = convert(r, *i, depth + 1, e);
            if (v)
                add(c, NULL, 0, v);
            else
                bad = -1;
        }
    if (bad) {
        conf_free(c);
        return NULL;
    }
    return c;
}

struct conf *conf_parse(const char *name, const char *text, size_t n, struct err *e)
{
    yaml_parser_t p;
    yaml_document_t doc, more;
    struct conf *c = NULL;
    if (!yaml_parser_initialize(&p)) {
        err_set(e, ERR_NOMEM, "%s: no memory", name);
        return NULL;
    }
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    if (!yaml_parser_load(&p, &doc)) {
        err_set(e, ERR_CONFIG, "%s:%zu: %s", name, p.problem_mark.line + 1, p.problem ? p.problem : "not YAML");
        yaml_parser_delete(&p);
        return NULL;
    }
    if (!yaml_document_get_root_node(&doc)) {
        err_set(e, ERR_CONFIG, "%s:1: the file is empty", name);
    } else {
        char *file = mem_strdup(name);
        struct reader r = {.doc = &doc, .file = file};
        c = convert(&r, 1, 0, e);
        if (c)
            c->root_file = file;
        else
            mem_free(file);
    }
    yaml_document_delete(&doc);
    if (c) {
        int ok = yaml_parser_load(&p, &more);
        if (!ok || yaml_document_get_root_node(&more)) {
            err_set(e, ERR_CONFIG, "%s:%zu: %s", name, (ok ? more.start_mark.line : p.problem_mark.line) + 1,
                    ok ? "a second document" : p.problem ? p.problem : "not YAML");
            conf_free(c);
            c = NULL;
        }
        if (ok)
            yaml_document_delete(&more);
    }
    yaml_parser_delete(&p);
    return c;
}

struct conf *conf_read(const char *path, struct err *e)
{
    size_t n;
    char *text = fs_read(path, &n, e);
    if (!text) {
        if (e)
            e->code = ERR_CONFIG;
        return NULL;
    }
    struct conf *c = conf_parse(path, text, n, e);
    mem_free(text);
    return c;
}

static struct conf *copy(const struct conf *c)
{
    struct conf *d = node(c->kind, c->file, c->line);
    d->text = mem_strdup(c->text);
    d->quoted = c->quoted;
    for (int i = 0; i < c->n; i++)
        add(d, c->key ? c->key[i] : NULL, c->key ? c->key_line[i] : 0, copy(c->item[i]));
    return d;
}

/* Copies name their files by themselves, so that they outlive the original. */
static void adopt(struct conf *root, struct conf *c)
{
    if (!root->root_file && c->file)
        root->root_file = mem_strdup(c->file);
    if (c->file && strcmp(c->file, root->root_file) == 0)
        c->file = root->root_file;
    else if (c->file) {
        c->root_file = mem_strdup(c->file);
        c->file = c->root_file;
    }
    for (int i = 0; i < c->n; i++)
        adopt(root, c->item[i]);
}

struct conf *conf_copy(const struct conf *c)
{
    struct conf *d = copy(c);
    adopt(d, d);
    return d;
}

const struct conf *conf_get(const struct conf *map, const char *key)
{
    for (int i = 0; map && map->kind == CONF_MAP && i < map->n; i++)
        if (strcmp(map->key[i], key) == 0)
            return map->item[i];
    return NULL;
}

static void merge_into(struct conf *base, const struct conf *over)
{
    base->file = over->file; /* what is missing is missing in the file that was named */
    base->line = over->line;
    for (int i = 0; i < over->n; i++) {
        int at = 0;
        while (at < base->n && strcmp(base->key[at], over->key[i]) != 0)
            at++;
        if (at == base->n) {
            add(base, over->key[i], over->key_line[i], copy(over->item[i]));
        } else if (base->item[at]->kind == CONF_MAP && over->item[i]->kind == CONF_MAP) {
            merge_into(base->item[at], over->item[i]);
        } else {
            conf_free(base->item[at]);
            base->item[at] = copy(over->item[i]);
            base->key_line[at] = over->key_line[i];
        }
    }
}

struct conf *conf_merge(const struct conf *base, const struct conf *over)
{
    struct conf *c = copy(base->kind == CONF_MAP && over->kind == CONF_MAP ? base : over);
    if (base->kind == CONF_MAP && over->kind == CONF_MAP)
        merge_into(c, over);
    adopt(c, c);
    return c;
}

int conf_set(struct conf *root, const char *path, const struct conf *value, struct err *e)
{
    struct conf *c = root;
    const char *p = path;
    for (;;) {
        size_t n = strcspn(p, ".");
        char *key = mem_strndup(p, n);
        int at = -1, last = p[n] == '\0';
        int64_t number;
        if (c->kind == CONF_MAP) {
            for (int i = 0; i < c->n; i++)
                if (strcmp(c->key[i], key) == 0)
                    at = i;
            if (at < 0 && last) {
                add(c, key, value->line, conf_copy(value));
                mem_free(key);
                return 0;
            }
        } else if (c->kind == CONF_LIST && str_to_int64(key, &number) == 0 && number >= 0 && number < c->n) {
            at = (int)number;
        }
        mem_free(key);
        if (at < 0)
            return err_set(e, ERR_CONFIG, "--set %s: nothing stands at '%.*s'", path, (int)(p + n - path), path);
        if (last) {
            conf_free(c->item[at]);
            c->item[at] = conf_copy(value);
            return 0;
        }
        c = c->item[at];
        p += n + 1;
    }
}

static int needs_quotes(const struct conf *c)
{
    const char *t = c->text;
    return c->quoted || !*t || strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") != strlen(t) ||
           *t == '-';
}

void conf_print(const struct conf *c, struct str *out)
{
    if (c->kind == CONF_SCALAR) {
        if (needs_quotes(c))
            str_add_json(out, c->text, strlen(c->text));
        else
            str_add(out, c->text);
        return;
    }
    str_addc(out, c->kind == CONF_LIST ? '[' : '{');
    for (int i = 0; i < c->n; i++) {
        if (i)
            str_add(out, ", ");
        if (c->kind == CONF_MAP) {
            str_add(out, c->key[i]);
            str_add(out, ": ");
        }
        conf_print(c->item[i], out);
    }
    str_addc(out, c->kind == CONF_LIST ? ']' : '}');
}

/* Up to what ends a comment of YAML 1.1: also a carriage return, NEL, and the separators of lines and paragraphs. */
static size_t comment_length(const char *text)
{
    size_t n = strcspn(text, "\r\n");
    static const char *const end[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < sizeof end / sizeof *end; i++) {
        const char *at = strstr(text, end[i]);
        n = at && (size_t)(at - text) < n ? (size_t)(at - text) : n;
    }
    return n;
}

char *conf_first_comment(const char *text)
{
    if (!text || text[0] != '#')
        return mem_strdup("");
    text += strspn(text, "# ");
    return mem_strndup(text, comment_length(text));
}
