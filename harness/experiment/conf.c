#include "harness/experiment/conf.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/unicode.h"

enum { MAX_NODES = 200000, MAX_DEPTH = 64, MAX_ANCHOR = 4096 };

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

struct anchor {
    char *name;
    const struct conf *value; /* part of the tree; NULL while it is being read */
    struct conf *scalar;      /* `value`, of its own, because a key is no part of the tree */
};

/* Events are taken one at a time, so that depth and size are known to be within bounds before libyaml goes on: its
 * scanner looks through all open brackets for every token. */
struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the last one taken */
    char *file;
    const char *text; /* [n_text] */
    size_t n_text;
    struct anchor *anchor;
    int n_anchor, nodes;
    size_t cap;
};

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

static void more_places(struct seen *s, const struct conf *map)
{
    mem_free(s->slot);
    s->mask = s->mask ? 2 * s->mask + 1 : 15;
    s->slot = mem_new(s->mask + 1, sizeof *s->slot);
    for (int i = 0; i < map->n; i++)
        *place(s, map, map->key[i]) = i + 1;
}

/* libyaml's words for what people mostly do wrong, and what to do. */
static const struct {
    const char *problem, *advice;
} advices[] = {
    {"mapping values are not allowed", "a key stands further in than the line above allows: the keys of one map begin "
                                       "in the same column; a text that holds "
                                       "': ' goes into quotes"},
    {"did not find expected key", "the keys of one map begin in the same column, and those inside further in"},
    {"block mapping in this context", "the keys of one map begin in the same column, and those inside further in"},
    {"did not find expected '-' indicator",
     "the items of one list begin with '- ' in the same column, the keys of an item in that of its first"},
    {"block sequence entries are not allowed", "a list stands on lines of its own below its key: '- ' in one column"},
    {"could not find expected ':'", "a key is followed by ': '"},
    {"cannot start any token", "a text that begins with this character goes into quotes"},
    {"expected ',' or ']'", "a [ is not closed"},
    {"expected ',' or '}'", "a { is not closed"},
    {"found unexpected end of stream", "a quote is not closed"},
    {"found unknown escape character", "in double quotes a backslash is written twice; single quotes take it as it is"},
};

/* Where in the text a problem was found may be a line behind the tab, which then ends the indentation. */
static int has_tab(const struct reader *r)
{
    const char *p = r->text, *end = r->text + r->n_text;
    for (size_t line = 0; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = stop ? (size_t)(stop - p) : (size_t)(end - p), blank = 0;
        while (blank < n && (p[blank] == ' ' || p[blank] == '-'))
            blank++;
        if (blank < n && p[blank] == '\t' &&
            (line == r->parser.problem_mark.line || line + 1 == r->parser.problem_mark.line))
            return (int)line + 1;
        p += n + 1;
    }
    return 0;
}

static int not_yaml(struct reader *r, struct err *e)
{
    const char *problem = r->parser.problem ? r->parser.problem : "not YAML", *advice = NULL;
    int tab = has_tab(r);
    if (tab)
        return err_set(e, ERR_CONFIG, "%s:%d: a tab: indent with spaces, YAML takes no tabs there", r->file, tab);
    for (size_t i = 0; i < sizeof advices / sizeof *advices && !advice; i++)
        if (strstr(problem, advices[i].problem))
            advice = advices[i].advice;
    int opened = (int)r->parser.context_mark.line + 1, line = (int)r->parser.problem_mark.line + 1;
    err_set(e, ERR_CONFIG, "%s:%d: %s%s%s", r->file, line, problem, advice ? ": " : "", advice ? advice : "");
    if (e && r->parser.context && opened != line)
        snprintf(e->msg + strlen(e->msg), sizeof e->msg - strlen(e->msg), " (it begins in line %d)", opened);
    return -1;
}

static int take(struct reader *r, struct err *e)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return 0;
    memset(&r->event, 0, sizeof r->event);
    if (r->parser.error == YAML_MEMORY_ERROR)
        return err_set(e, ERR_NOMEM, "%s: no memory for the YAML parser", r->file);
    return not_yaml(r, e);
}

static int line_of(const struct reader *r)
{
    return (int)r->event.start_mark.line + 1;
}

static int count(struct reader *r, int n, int depth, int line, struct err *e)
{
    r->nodes += n;
    if (r->nodes > MAX_NODES)
        return err_set(e, ERR_CONFIG, "%s:%d: more than %d values", r->file, line, MAX_NODES);
    if (depth > MAX_DEPTH)
        return err_set(e, ERR_CONFIG, "%s:%d: nested deeper than %d", r->file, line, MAX_DEPTH);
    return 0;
}

static struct conf *read_node(struct reader *r, int depth, struct err *e);

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    for (int i = 0; i < r->n_anchor; i++)
        if (strcmp(r->anchor[i].name, name) == 0)
            return &r->anchor[i];
    return NULL;
}

/* The index of a new anchor, -1 without one, -2 on error. */
static int open_anchor(struct reader *r, const yaml_char_t *name, struct err *e)
{
    if (!name)
        return -1;
    if (find_anchor(r, (const char *)name))
        return err_set(e, ERR_CONFIG, "%s:%d: anchor '%s' stands twice", r->file, line_of(r), (const char *)name) - 1;
    if (r->n_anchor == MAX_ANCHOR)
        return err_set(e, ERR_CONFIG, "%s:%d: more than %d anchors", r->file, line_of(r), MAX_ANCHOR) - 1;
    mem_grow(&r->anchor, &r->cap, (size_t)r->n_anchor + 1, sizeof *r->anchor);
    r->anchor[r->n_anchor] = (struct anchor){.name = mem_strdup((const char *)name)};
    return r->n_anchor++;
}

static int size_of(const struct conf *c, int *depth)
{
    int n = 1, deepest = 0;
    for (int i = 0; i < c->n; i++) {
        int below = 0;
        n += size_of(c->item[i], &below);
        deepest = below + 1 > deepest ? below + 1 : deepest;
    }
    *depth = deepest;
    return n;
}

static struct conf *copy(const struct conf *c);

static struct conf *read_alias(struct reader *r, int depth, struct err *e)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    const struct anchor *a = find_anchor(r, name);
    int below = 0, n = a && a->value ? size_of(a->value, &below) : 0;
    if (!a)
        err_set(e, ERR_CONFIG, "%s:%d: found undefined alias '%s'", r->file, line_of(r), name);
    else if (!a->value)
        err_set(e, ERR_CONFIG, "%s:%d: '%s' contains itself", r->file, line_of(r), name);
    else if (count(r, n, depth + below, line_of(r), e) == 0)
        return copy(a->value);
    return NULL;
}

static struct conf *read_scalar(struct reader *r, struct err *e)
{
    const char *text = (const char *)r->event.data.scalar.value;
    if (memchr(text, 0, r->event.data.scalar.length)) {
        err_set(e, ERR_CONFIG, "%s:%d: a text holds a NUL byte", r->file, line_of(r));
        return NULL;
    }
    struct conf *c = node(CONF_SCALAR, r->file, line_of(r));
    c->text = mem_strdup(text);
    c->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return c;
}

/* The key that r->event begins; caller frees. */
static char *read_key(struct reader *r, int *line, struct err *e)
{
    struct conf *k = NULL;
    char *key = NULL;
    *line = line_of(r);
    if (r->event.type == YAML_ALIAS_EVENT ||
        (r->event.type == YAML_SCALAR_EVENT && !memchr(r->event.data.scalar.value, 0, r->event.data.scalar.length))) {
        int nodes = r->nodes;
        k = read_node(r, 0, e);
        if (!k)
            return NULL;
        r->nodes = nodes; /* values are counted */
    }
    if (!k || k->kind != CONF_SCALAR)
        err_set(e, ERR_CONFIG, "%s:%d: a key must be a plain text", r->file, *line);
    else if (strcmp(k->text, "<<") == 0)
        err_set(e, ERR_CONFIG, "%s:%d: '<<' is not supported; use include", r->file, *line);
    else
        key = mem_strdup(k->text);
    conf_free(k);
    return key;
}

static int read_pair(struct reader *r, struct conf *c, struct seen *seen, int depth, struct err *e)
{
    int line, rc = -1;
    char *key = read_key(r, &line, e);
    if (!key)
        return -1;
    if (2 * ((size_t)c->n + 1) > seen->mask)
        more_places(seen, c);
    int *at = place(seen, c, key);
    struct conf *v = NULL;
    if (*at)
        err_set(e, ERR_CONFIG, "%s:%d: key '%s' stands twice (first in line %d)", r->file, line, key,
                c->key_line[*at - 1]);
    else if (take(r, e) == 0)
        v = read_node(r, depth, e);
    if (v) {
        add(c, key, line, v);
        *at = c->n;
        rc = 0;
    }
    mem_free(key);
    return rc;
}

static int read_items(struct reader *r, struct conf *c, int depth, struct err *e)
{
    yaml_event_type_t end = c->kind == CONF_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    struct seen seen = {0};
    int rc = 0;
    while (rc == 0 && (rc = take(r, e)) == 0 && r->event.type != end)
        if (c->kind == CONF_MAP) {
            rc = read_pair(r, c, &seen, depth, e);
        } else {
            struct conf *v = read_node(r, depth, e);
            if (v)
                add(c, NULL, 0, v);
            rc = v ? 0 : -1;
        }
    mem_free(seen.slot);
    return rc;
}

/* What the event at hand begins. */
static struct conf *read_node(struct reader *r, int depth, struct err *e)
{
    yaml_event_type_t type = r->event.type;
    struct conf *c = NULL;
    int anchor, line = line_of(r);
    if (type == YAML_ALIAS_EVENT)
        return read_alias(r, depth, e);
    anchor = open_anchor(r,
                         type == YAML_SCALAR_EVENT           ? r->event.data.scalar.anchor
                         : type == YAML_SEQUENCE_START_EVENT ? r->event.data.sequence_start.anchor
                                                             : r->event.data.mapping_start.anchor,
                         e);
    if (anchor < -1 || count(r, 1, depth, line, e))
        return NULL;
    if (type == YAML_SCALAR_EVENT) {
        c = read_scalar(r, e);
    } else {
        c = node(type == YAML_SEQUENCE_START_EVENT ? CONF_LIST : CONF_MAP, r->file, line);
        if (read_items(r, c, depth + 1, e)) {
            conf_free(c);
            return NULL;
        }
    }
    if (anchor >= 0 && c) {
        struct anchor *a = &r->anchor[anchor];
        a->scalar = c->kind == CONF_SCALAR ? copy(c) : NULL;
        a->value = a->scalar ? a->scalar : c;
    }
    return c;
}

/* One document, from the start of the stream to its end. */
static struct conf *read_document(struct reader *r, struct err *e)
{
    if (take(r, e) || take(r, e)) /* the stream's start, and a document's */
        return NULL;
    if (r->event.type != YAML_DOCUMENT_START_EVENT) {
        err_set(e, ERR_CONFIG, "%s:1: the file is empty", r->file);
        return NULL;
    }
    struct conf *c = take(r, e) ? NULL : read_node(r, 0, e);
    if (!c)
        return NULL;
    int bad = take(r, e) || take(r, e); /* the document's end, and what follows */
    if (!bad && r->event.type != YAML_STREAM_END_EVENT)
        bad = err_set(e, ERR_CONFIG, "%s:%d: a second document", r->file, line_of(r));
    if (bad) {
        conf_free(c);
        return NULL;
    }
    return c;
}

struct conf *conf_parse(const char *name, const char *text, size_t n, struct err *e)
{
    struct reader r = {.file = mem_strdup(name), .text = text, .n_text = n};
    struct conf *c = NULL;
    if (yaml_parser_initialize(&r.parser)) {
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
        c = read_document(&r, e);
        yaml_event_delete(&r.event);
        yaml_parser_delete(&r.parser);
    } else {
        err_set(e, ERR_NOMEM, "%s: no memory for the YAML parser", name);
    }
    for (int i = 0; i < r.n_anchor; i++) {
        mem_free(r.anchor[i].name);
        conf_free(r.anchor[i].scalar);
    }
    mem_free(r.anchor);
    if (c)
        c->root_file = r.file;
    else
        mem_free(r.file);
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

static int needs_quotes(const char *t)
{
    return !*t || strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") != strlen(t) ||
           *t == '-';
}

/* What a YAML file can't hold as it stands, or what breaks its lines, even in quotes. */
static int is_escaped(int32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7F && c <= 0x9F) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
           (c >= 0xD800 && c <= 0xDFFF) || (c & 0xFFFE) == 0xFFFE;
}

void conf_add_text(struct str *out, const char *text)
{
    str_addc(out, '"');
    while (*text) {
        int32_t c;
        size_t n = unicode_next(text, &c);
        if (is_escaped(c))
            str_addf(out, c > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)c);
        else
            unicode_append(out, c);
        text += n;
    }
    str_addc(out, '"');
}

static void add_plain_or_quoted(const char *text, int quoted, struct str *out)
{
    if (quoted || needs_quotes(text))
        conf_add_text(out, text);
    else
        str_add(out, text);
}

void conf_print(const struct conf *c, struct str *out)
{
    if (c->kind == CONF_SCALAR) {
        add_plain_or_quoted(c->text, c->quoted, out);
        return;
    }
    str_addc(out, c->kind == CONF_LIST ? '[' : '{');
    for (int i = 0; i < c->n; i++) {
        if (i)
            str_add(out, ", ");
        if (c->kind == CONF_MAP) {
            add_plain_or_quoted(c->key[i], 0, out);
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
