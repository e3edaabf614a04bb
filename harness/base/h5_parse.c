/* From a file's bytes to the tree of its objects. The library would do this too, but a file with one wrong byte makes it
 * crash, hang or ask for gigabytes, and a hostile one does worse; so a small part of the format is read here, all of it
 * with bounds: superblocks 0 to 3, both kinds of object header, groups as symbol tables or as links in the header.
 *
 * Four bounds hold everything: what lies outside the file is refused; an object is entered once; groups nest 32 deep at
 * most; and no more bytes of structure are read than twice the file's size, so that nothing can go in circles. What is
 * valid but not read here (chunks, filters, links out of the file, other types) becomes an odd node: it is refused by
 * name when somebody asks for it, and does no harm until then. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

struct parse {
    struct h5 *f;
    struct str path;     /* of the object that is read, for messages */
    uint64_t *seen;      /* open addressing: addresses of headers that were entered, plus 1 */
    size_t n_seen, seen_mask;
};

/* What an object's header says. */
struct object {
    struct h5_node *node;
    int has_space, has_type, has_layout, has_links, dense;
    uint64_t tree, heap; /* of a symbol table; H5_NOWHERE: none */
    uint64_t *link;      /* [n_link] addresses of the node's last n_link children */
    size_t n_link, cap_link;
    struct {
        uint64_t at, n;
    } chunk[64];         /* of the header: the rest of it lies there */
    int n_chunk;
};

static int damaged(const struct parse *p, const char *what, uint64_t at, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s:%s: %s (byte %" PRIu64 "): the file is damaged, or no HDF5 that is read here", p->f->path,
                   p->path.n ? p->path.p : "/", what, at);
}

int h5_bytes(const struct h5 *f, uint64_t at, uint64_t n, void *dst, const char *what, struct err *e)
{
    if (at > f->size || n > f->size - at)
        return err_set(e, ERR_FORMAT, "%s: %s: bytes %" PRIu64 " to %" PRIu64 " of a file of %" PRIu64 ": truncated, or damaged", f->path,
                       what, at, at + n, f->size);
    for (char *to = dst; n;) {
        size_t part = n < (64u << 20) ? (size_t)n : 64u << 20;
        ssize_t got = pread(f->in, to, part, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_fail(f->path, e);
        if (got == 0)
            return err_set(e, ERR_FORMAT, "%s: %s: the file was cut while it was read", f->path, what);
        to += got;
        at += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return 0;
}

/* Structure, as opposed to elements: it counts. */
static int structure(struct parse *p, uint64_t at, uint64_t n, void *dst, const char *what, struct err *e)
{
    if (n > p->f->budget)
        return damaged(p, "its structure goes in circles", at, e);
    p->f->budget -= n;
    return h5_bytes(p->f, at, n, dst, what, e);
}

static unsigned char *structure_new(struct parse *p, uint64_t at, uint64_t n, const char *what, struct err *e)
{
    if (at > p->f->size || n > p->f->size - at || n > p->f->budget) { /* before memory is asked for */
        structure(p, at, n, NULL, what, e);
        return NULL;
    }
    unsigned char *data = mem_try((size_t)n + 1, 1, what, e);
    if (data && structure(p, at, n, data, what, e)) {
        mem_free(data);
        data = NULL;
    }
    return data;
}

/* 1 when this address is entered for the first time. */
static int enter(struct parse *p, uint64_t at)
{
    if (2 * (p->n_seen + 1) > p->seen_mask) {
        size_t old = p->seen ? p->seen_mask + 1 : 0, size = old ? 2 * old : 64;
        uint64_t *from = p->seen;
        p->seen = mem_new(size, sizeof *p->seen);
        p->seen_mask = size - 1;
        p->n_seen = 0;
        for (size_t i = 0; i < old; i++)
            if (from[i])
                enter(p, from[i] - 1);
        mem_free(from);
    }
    size_t i = (size_t)((at + 1) * 0x9E3779B97F4A7C15u >> 20) & p->seen_mask;
    for (; p->seen[i]; i = (i + 1) & p->seen_mask)
        if (p->seen[i] == at + 1)
            return 0;
    p->seen[i] = at + 1;
    p->n_seen++;
    return 1;
}

/* ---- object headers -------------------------------------------------------------------------- */

/* A child of which only the address is known so far; odd: it is no object of this file. */
static const char *add_child(struct object *o, const unsigned char *name, size_t n, uint64_t at, const char *odd)
{
    if (n == 0 || n > H5_MAX_NAME || memchr(name, '/', n) || memchr(name, '\0', n))
        return "a link without a sound name";
    struct h5_node *child = h5_node_new((const char *)name, n, H5_ODD);
    child->odd = odd;
    h5_node_append(o->node, child);
    mem_grow(&o->link, &o->cap_link, o->n_link + 1, sizeof *o->link);
    o->link[o->n_link++] = odd ? H5_NOWHERE : at;
    return NULL;
}

static const char *const soft_link = "a soft link, and links are not followed";

static const char *read_link(struct h5_cursor c, struct object *o)
{
    enum { WIDTH = 3, ORDER = 4, KIND = 8, CHARSET = 16 };
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1), kind = flags & KIND ? (int)h5_take(&c, 1) : 0;
    if (flags & ORDER)
        h5_take(&c, 8);
    if (flags & CHARSET)
        h5_take(&c, 1);
    uint64_t n = h5_take(&c, 1 << (flags & WIDTH));
    const unsigned char *name = h5_skip(&c, n);
    uint64_t at = kind == 0 ? h5_take(&c, 8) : 0;
    if (version != 1 || c.bad)
        return "a link is cut off, or of an unknown version";
    o->has_links = 1;
    return add_child(o, name, (size_t)n, at,
                     kind == 0 ? NULL : kind == 1 ? soft_link : "a link to another file, and links are not followed");
}

/* Info messages of groups and attributes: where what does not fit the header lies. */
static int is_dense(struct h5_cursor c, int order_bytes)
{
    h5_take(&c, 1);
    if (h5_take(&c, 1) & 1)
        h5_take(&c, order_bytes);
    return h5_take(&c, 8) != H5_NOWHERE || c.bad;
}

static const char *read_message(struct object *o, int type, int flags, struct h5_cursor c)
{
    enum { SPACE = 1, LINKS = 2, TYPE = 3, LINK = 6, ELSEWHERE = 7, LAYOUT = 8, FILTER = 11, ATTR = 12, MORE = 16, SYMBOLS = 17,
           ATTRS = 21, SHARED = 2 };
    struct h5_node *node = o->node;
    if (flags & SHARED && type != 0 && type != ATTR) {
        if (type == SPACE || type == TYPE || type == LAYOUT)
            node->odd = "its shape or type is shared with other objects";
        o->has_space |= type == SPACE;
        o->has_type |= type == TYPE;
        return NULL;
    }
    switch (type) {
    case SPACE:
        return o->has_space++ ? "two shapes" : h5_message_space(c, &node->rank, node->dim, &node->n);
    case TYPE:
        return o->has_type++ ? "two element types" : h5_message_type(c, &node->type);
    case LAYOUT:
        return o->has_layout++ ? "two places of its elements" : h5_message_layout(c, node);
    case ELSEWHERE:
        node->odd = "stored outside the file, and only the file itself is read";
        return NULL;
    case FILTER:
        node->odd = "compressed or filtered, and only plain datasets are read";
        return NULL;
    case ATTR:
        if (flags & SHARED) {
            node->attr_odd = "shared with other objects";
            return NULL;
        }
        return h5_message_attr(c, node);
    case ATTRS:
        if (is_dense(c, 2))
            node->attr_odd = "stored in a heap of their own (written by h5py or HDF5 with libver latest?)";
        return NULL;
    case LINKS:
        o->has_links = 1;
        o->dense |= is_dense(c, 8);
        return NULL;
    case LINK: return read_link(c, o);
    case SYMBOLS:
        o->tree = h5_take(&c, 8);
        o->heap = h5_take(&c, 8);
        return c.bad ? "its symbol table is cut off" : NULL;
    case MORE: {
        uint64_t at = h5_take(&c, 8), n = h5_take(&c, 8);
        if (c.bad || o->n_chunk == (int)(sizeof o->chunk / sizeof *o->chunk))
            return "its header is cut off, or in too many pieces";
        o->chunk[o->n_chunk].at = at;
        o->chunk[o->n_chunk++].n = n;
        return NULL;
    }
    default: return NULL; /* fill values, times, comments: nothing that what is read depends on */
    }
}

/* The messages of one piece of a header. version 2: `order` when every message has its number of creation. */
static const char *read_messages(struct object *o, struct h5_cursor c, int version, int order)
{
    size_t head = version == 1 ? 8 : order ? 6 : 4;
    const char *wrong = NULL;
    while (!wrong && c.left >= head) {
        int type = (int)h5_take(&c, version == 1 ? 2 : 1);
        uint64_t n = h5_take(&c, 2);
        int flags = (int)h5_take(&c, 1);
        h5_skip(&c, version == 1 ? 3 : order ? 2 : 0);
        const unsigned char *data = h5_skip(&c, n);
        if (!data)
            return "a message of its header is cut off";
        wrong = read_message(o, type, flags, (struct h5_cursor){data, (size_t)n, 0});
    }
    return wrong;
}

/* The newer structures end with a checksum of all that is before. */
static int sum_fits(const unsigned char *data, size_t n)
{
    struct h5_cursor c = {data + n - 4, 4, 0};
    return h5_checksum(data, n - 4) == h5_take(&c, 4);
}

static int read_piece(struct parse *p, struct object *o, uint64_t at, uint64_t n, size_t skip, int version, int order, struct err *e)
{
    unsigned char *data = structure_new(p, at, n, "an object's header", e);
    if (!data)
        return -1;
    size_t tail = version == 2 ? 4 : 0;
    const char *wrong = NULL;
    if (n < skip + tail || (version == 2 && !sum_fits(data, (size_t)n)))
        wrong = "its header does not have its checksum";
    else if (version == 2 && memcmp(data, skip == 4 ? "OCHK" : "OHDR", 4) != 0)
        wrong = "its header does not begin as one";
    else
        wrong = read_messages(o, (struct h5_cursor){data + skip, (size_t)n - skip - tail, 0}, version, order);
    mem_free(data);
    return wrong ? damaged(p, wrong, at, e) : 0;
}

static int read_header(struct parse *p, struct object *o, uint64_t at, struct err *e)
{
    enum { LONGEST = 4 + 2 + 16 + 4 + 8, TIMES = 32, PHASES = 16, ORDER = 4 };
    unsigned char head[16];
    int version = 1, order = 0, rc;
    if (structure(p, at, sizeof head, head, "an object's header", e))
        return -1;
    if (memcmp(head, "OHDR", 4) == 0 && head[4] == 2) {
        unsigned char wide[LONGEST] = {0};
        int flags = head[5];
        size_t skip = (size_t)(6 + (flags & TIMES ? 16 : 0) + (flags & PHASES ? 4 : 0)), width = (size_t)1 << (flags & 3);
        if (structure(p, at, skip + width, wide, "an object's header", e))
            return -1;
        struct h5_cursor c = {wide + skip, width, 0};
        uint64_t n = h5_take(&c, (int)width);
        version = 2;
        order = (flags & ORDER) != 0;
        if (n > p->f->size)
            return damaged(p, "its header is longer than the file", at, e);
        rc = read_piece(p, o, at, skip + width + n + 4, skip + width, 2, order, e);
    } else if (head[0] == 1) {
        struct h5_cursor c = {head + 8, 4, 0};
        rc = read_piece(p, o, at + 16, h5_take(&c, 4), 0, 1, 0, e);
    } else {
        return damaged(p, "no object's header", at, e);
    }
    for (int i = 0; i < o->n_chunk && rc == 0; i++)
        rc = read_piece(p, o, o->chunk[i].at, o->chunk[i].n, version == 2 ? 4 : 0, version, order, e);
    return rc;
}

/* ---- groups as symbol tables ----------------------------------------------------------------- */

/* Entries of one node of symbols; names lie in the group's heap. */
static int read_symbols(struct parse *p, struct object *o, uint64_t at, const char *names, size_t n_names, struct err *e)
{
    unsigned char head[8];
    if (structure(p, at, sizeof head, head, "a node of symbols", e))
        return -1;
    if (memcmp(head, "SNOD\1", 5) != 0)
        return damaged(p, "no node of symbols", at, e);
    size_t n = head[6] | (size_t)head[7] << 8;
    unsigned char *data = structure_new(p, at + sizeof head, 40 * n, "a node of symbols", e);
    const char *wrong = NULL;
    struct h5_cursor c = {data, data ? 40 * n : 0, 0};
    for (size_t i = 0; data && i < n && !wrong; i++) {
        uint64_t name = h5_take(&c, 8), object = h5_take(&c, 8);
        int soft = h5_take(&c, 4) == 2;
        h5_skip(&c, 20);
        wrong = name < n_names ? add_child(o, (const unsigned char *)names + name, strnlen(names + name, n_names - (size_t)name), object,
                                           soft ? soft_link : NULL)
                               : "a name outside its heap";
    }
    mem_free(data);
    return !data ? -1 : wrong ? damaged(p, wrong, at, e) : 0;
}

/* A node of the B-tree and all below it. Levels fall by one on the way down, so that it ends. */
static int read_tree(struct parse *p, struct object *o, uint64_t at, int level, const char *names, size_t n_names, struct err *e)
{
    unsigned char head[24];
    if (structure(p, at, sizeof head, head, "a group's tree", e))
        return -1;
    if (memcmp(head, "TREE\0", 5) != 0 || (level >= 0 && head[5] != level) || head[5] > H5_MAX_DEPTH)
        return damaged(p, "no node of a group's tree", at, e);
    size_t n = head[6] | (size_t)head[7] << 8;
    unsigned char *data = structure_new(p, at + sizeof head, 16 * n + 8, "a group's tree", e);
    struct h5_cursor c = {data, data ? 16 * n + 8 : 0, 0};
    int rc = data ? 0 : -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        h5_take(&c, 8);
        uint64_t child = h5_take(&c, 8);
        rc = head[5] ? read_tree(p, o, child, head[5] - 1, names, n_names, e) : read_symbols(p, o, child, names, n_names, e);
    }
    mem_free(data);
    return rc;
}

static int read_symbol_table(struct parse *p, struct object *o, struct err *e)
{
    unsigned char head[32];
    if (structure(p, o->heap, sizeof head, head, "a group's heap", e))
        return -1;
    struct h5_cursor c = {head + 8, 24, 0};
    uint64_t n = h5_take(&c, 8);
    h5_take(&c, 8);
    uint64_t at = h5_take(&c, 8);
    if (memcmp(head, "HEAP\0", 5) != 0)
        return damaged(p, "no heap of a group", o->heap, e);
    char *names = (char *)structure_new(p, at, n, "a group's heap", e);
    int rc = names ? read_tree(p, o, o->tree, -1, names, (size_t)n, e) : -1;
    mem_free(names);
    return rc;
}

/* ---- objects --------------------------------------------------------------------------------- */

static int check_dataset(struct parse *p, struct object *o, uint64_t at, struct err *e)
{
    struct h5_node *node = o->node;
    node->kind = H5_DATASET;
    if (node->odd)
        return 0;
    if (!o->has_space || !o->has_type)
        return damaged(p, "a dataset without shape or type", at, e);
    if (node->at != H5_NOWHERE && (node->at > p->f->size || node->stored > p->f->size - node->at))
        return damaged(p, "its elements lie outside the file: truncated?", node->at, e);
    return 0;
}

static int read_object(struct parse *p, struct h5_node *node, uint64_t at, int depth, struct err *e);

static int read_children(struct parse *p, struct object *o, int depth, struct err *e)
{
    struct h5_node *group = o->node;
    size_t length = p->path.n, first = group->n_child - o->n_link;
    int rc = 0;
    for (size_t i = 0; i < o->n_link && rc == 0; i++) {
        struct h5_node *child = group->child[first + i];
        if (child->odd)
            continue;
        str_addf(&p->path, "/%s", child->name);
        rc = read_object(p, child, o->link[i], depth + 1, e);
        p->path.n = length;
        p->path.p[length] = '\0';
    }
    return rc;
}

static int read_object(struct parse *p, struct h5_node *node, uint64_t at, int depth, struct err *e)
{
    struct object o = {.node = node, .tree = H5_NOWHERE};
    if (depth > H5_MAX_DEPTH)
        return damaged(p, "groups nest too deep", at, e);
    if (!enter(p, at)) {
        node->odd = "a second link to one object";
        return 0;
    }
    int rc = read_header(p, &o, at, e);
    if (rc == 0 && o.has_layout) {
        rc = check_dataset(p, &o, at, e);
    } else if (rc == 0 && (o.tree != H5_NOWHERE || o.has_links)) {
        node->kind = H5_GROUP;
        if (o.dense)
            node->odd = "a group whose links lie in a heap of their own (written by h5py or HDF5 with libver latest?)";
        if (o.tree != H5_NOWHERE)
            rc = read_symbol_table(p, &o, e);
        if (rc == 0)
            rc = read_children(p, &o, depth, e);
        if (rc == 0 && h5_node_sort(node))
            rc = damaged(p, "two members of one name", at, e);
    } else if (rc == 0) {
        node->odd = "neither a group nor a dataset";
    }
    mem_free(o.link);
    return rc;
}

/* Where the root group's header is; 0: not a file that is read here. */
static uint64_t read_superblock(struct parse *p, struct err *e)
{
    unsigned char b[128] = {0};
    size_t n = p->f->size < 96 + 8 ? (size_t)p->f->size : 96 + 8;
    if (n < 48 || structure(p, 0, n, b, "the beginning", e) || memcmp(b, "\x89HDF\r\n\x1a\n", 8) != 0) {
        err_set(e, ERR_FORMAT, "%s: not an HDF5 file, or truncated", p->f->path);
        return 0;
    }
    int version = b[8], old = version <= 1, widths = old ? 13 : 9;
    size_t at = old ? 24 + 4 * (size_t)version : 12;
    if (version > 3 || b[widths] != 8 || b[widths + 1] != 8 || n < (old ? 96 + 4 * (size_t)version : 48) || (!old && !sum_fits(b, 48))) {
        err_set(e, ERR_FORMAT, "%s: its superblock is damaged, or of a kind that is not read here", p->f->path);
        return 0;
    }
    struct h5_cursor c = {b + at, sizeof b - at, 0};
    uint64_t base = h5_take(&c, 8), second = h5_take(&c, 8), end = h5_take(&c, 8), fourth = h5_take(&c, 8);
    if (old)
        h5_take(&c, 8); /* the root's name */
    uint64_t root = old ? h5_take(&c, 8) : fourth;
    (void)second; /* free space, or an extension that nothing here depends on */
    if (base != 0 || (old && fourth != H5_NOWHERE)) {
        err_set(e, ERR_UNSUPPORTED, "%s: an HDF5 file in several parts, or behind a block of the user's own: not read here", p->f->path);
        return 0;
    }
    if (end > p->f->size) {
        err_set(e, ERR_FORMAT, "%s: %" PRIu64 " bytes, but %" PRIu64 " were written: truncated", p->f->path, p->f->size, end);
        return 0;
    }
    return root;
}

int h5_parse(struct h5 *f, struct err *e)
{
    struct parse p = {.f = f};
    f->budget = f->size < UINT64_MAX / 4 ? 2 * f->size + 4096 : f->size;
    f->root = h5_node_new("", 0, H5_ODD);
    uint64_t root = read_superblock(&p, e);
    int rc = root ? read_object(&p, f->root, root, 0, e) : -1;
    if (rc == 0 && f->root->kind != H5_GROUP)
        rc = damaged(&p, "the root is no group", root, e);
    mem_free(p.seen);
    str_free(&p.path);
    return rc;
}
