/* Whether a file is one that the library can read without harm. The library trusts files: one wrong byte makes it
 * crash, hang or ask for gigabytes, and a hostile file does worse. So before it sees a file, all of the file's
 * structure is walked here: superblock, object headers of both kinds and their continuations, groups as symbol tables
 * or as links in the header, local and global heaps. What is not of this plain subset (chunks, filters, links out of
 * the file, heaps of links, other types, kinds of messages that nothing here knows) is refused by name; the elements of
 * datasets are not read.
 *
 * Four bounds hold everything: what lies outside the file is refused; no byte belongs to two (so nothing goes in
 * circles and nothing is taken for what it isn't); groups nest 32 deep at most; and no more bytes of structure are read
 * than twice the file's size, so that the walk itself ends. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

static const char object_header[] = "an object's header";

int h5_check_damaged(const struct h5_walk *w, const char *what, uint64_t at, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s:%s: %s (byte %" PRIu64 "): the file is damaged, or no HDF5 that is read here",
                   w->f->path, w->path.n ? w->path.p : "/", what, at);
}

static int unsupported(const struct h5_walk *w, const char *what, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s:%s: %s", w->f->path, w->path.n ? w->path.p : "/", what);
}

static int claim(struct h5_walk *w, uint64_t at, uint64_t n, const char *what, struct err *e)
{
    if (at > w->f->size || n > w->f->size - at)
        return err_set(e, ERR_FORMAT,
                       "%s:%s: %s: bytes %" PRIu64 " to %" PRIu64 " of a file of %" PRIu64 ": truncated, or damaged",
                       w->f->path, w->path.n ? w->path.p : "/", what, at, at + n, w->f->size);
    if (n == 0)
        return 0;
    mem_grow(&w->range, &w->cap_range, w->n_range + 1, sizeof *w->range);
    w->range[w->n_range++] = (struct h5_range){at, n, what};
    return 0;
}

int h5_check_bytes(struct h5_walk *w, uint64_t at, uint64_t n, void *dst, const char *what, struct err *e)
{
    if (at > w->f->size || n > w->f->size - at)
        return claim(w, at, n, what, e);
    if (n > w->budget)
        return h5_check_damaged(w, "its structure goes in circles", at, e);
    w->budget -= n;
    return h5_file_read(w->f, at, n, dst) ? h5_file_why(w->f, e) : 0;
}

unsigned char *h5_check_piece(struct h5_walk *w, uint64_t at, uint64_t n, const char *what, struct err *e)
{
    if (claim(w, at, n, what, e) || (n > w->budget && h5_check_damaged(w, "its structure goes in circles", at, e)))
        return NULL; /* before memory is asked for */
    unsigned char *data = mem_try((size_t)n + 1, 1, what, e);
    if (data && h5_check_bytes(w, at, n, data, what, e)) {
        mem_free(data);
        data = NULL;
    }
    return data;
}

/* ---- object headers -------------------------------------------------------------------------- */

/* The messages of one piece of a header. version 2: `order` when every message has its number of creation. */
static const char *read_messages(struct h5_object *o, struct h5_cursor c, int version, int order, unsigned *count)
{
    size_t head = version == 1 ? 8 : order ? 6 : 4;
    const char *wrong = NULL;
    for (; !wrong && c.left >= head; ++*count) {
        int type = (int)h5_take(&c, version == 1 ? 2 : 1);
        uint64_t n = h5_take(&c, 2);
        int flags = (int)h5_take(&c, 1);
        h5_skip(&c, version == 1 ? 3 : order ? 2 : 0);
        const unsigned char *data = h5_skip(&c, n);
        if (!data || (version == 1 && n % 8))
            return "a message of its header is cut off";
        wrong = h5_message(o, type, flags, (struct h5_cursor){data, (size_t)n, 0});
    }
    return wrong ? wrong : version == 1 && c.left ? "its header ends within a message" : NULL;
}

/* The newer structures end with a checksum of all that is before. */
static int sum_fits(const unsigned char *data, size_t n)
{
    struct h5_cursor c = {data + n - 4, 4, 0};
    return h5_checksum(data, n - 4) == h5_take(&c, 4);
}

struct header {
    int version, order;
    unsigned count; /* of messages */
};

static int read_piece(struct h5_walk *w, struct h5_object *o, struct header *h, uint64_t at, uint64_t n, size_t skip,
                      struct err *e)
{
    unsigned char *data = h5_check_piece(w, at, n, h->count ? "more of an object's header" : object_header, e);
    if (!data)
        return -1;
    size_t tail = h->version == 2 ? 4 : 0;
    const char *wrong = NULL;
    if (n < skip + tail || (h->version == 2 && !sum_fits(data, (size_t)n)))
        wrong = "its header does not have its checksum";
    else if (h->version == 2 && memcmp(data, skip == 4 ? "OCHK" : "OHDR", 4) != 0)
        wrong = "its header does not begin as one";
    else
        wrong = read_messages(o, (struct h5_cursor){data + skip, (size_t)n - skip - tail, 0}, h->version, h->order,
                              &h->count);
    mem_free(data);
    return wrong ? h5_check_damaged(w, wrong, at, e) : 0;
}

static int read_header(struct h5_walk *w, struct h5_object *o, uint64_t at, struct err *e)
{
    enum { LONGEST = 4 + 2 + 16 + 4 + 8, TIMES = 32, LIMITS = 16, ORDER = 4, FIRST = 16 };
    unsigned char head[FIRST], wide[LONGEST] = {0};
    struct header h = {.version = 1};
    unsigned said = 0;
    int rc;
    if (h5_check_bytes(w, at, sizeof head, head, object_header, e))
        return -1;
    if (memcmp(head, "OHDR\2", 5) == 0 && head[5] < 64) {
        int flags = head[5];
        size_t skip = (size_t)(6 + (flags & TIMES ? 16 : 0) + (flags & LIMITS ? 4 : 0)),
               width = (size_t)1 << (flags & 3);
        if (h5_check_bytes(w, at, skip + width, wide, object_header, e))
            return -1;
        struct h5_cursor c = {wide + skip, width, 0};
        uint64_t n = h5_take(&c, (int)width);
        h.version = 2;
        h.order = (flags & ORDER) != 0;
        if (n > w->f->size)
            return h5_check_damaged(w, "its header is longer than the file", at, e);
        rc = read_piece(w, o, &h, at, skip + width + n + 4, skip + width, e);
    } else if (head[0] == 1) {
        struct h5_cursor c = {head + 2, 14, 0};
        said = (unsigned)h5_take(&c, 2);
        h5_skip(&c, 4);
        rc = claim(w, at, FIRST, object_header, e);
        rc = rc ? rc : read_piece(w, o, &h, at + FIRST, h5_take(&c, 4), 0, e);
    } else {
        return h5_check_damaged(w, "no object's header", at, e);
    }
    for (size_t i = 0; i < o->n_chunk && rc == 0; i++)
        rc = read_piece(w, o, &h, o->chunk[i].at, o->chunk[i].n, h.version == 2 ? 4 : 0, e);
    if (rc == 0 && h.version == 1 && said != h.count)
        rc = h5_check_damaged(w, "its header has other parts than it says", at, e);
    return rc;
}

/* ---- groups as symbol tables ----------------------------------------------------------------- */

struct table {
    struct h5_object *o;
    const char *name; /* the group's heap */
    size_t n_name;
};

/* A name of the heap; NULL when it is none. */
static const char *name_at(const struct table *t, uint64_t at)
{
    return at < t->n_name && memchr(t->name + at, '\0', t->n_name - (size_t)at) ? t->name + at : NULL;
}

/* Entries of one node of symbols. */
static int read_symbols(struct h5_walk *w, const struct table *t, uint64_t at, struct err *e)
{
    enum { HEAD = 8, ENTRY = 40, PLAIN = 0, CACHED = 1, SOFT = 2 };
    size_t size = HEAD + (size_t)ENTRY * 2 * w->leaf;
    unsigned char *data = h5_check_piece(w, at, size, "a node of symbols", e);
    const char *wrong = data && memcmp(data, "SNOD\1", 5) == 0 ? NULL : "no node of symbols";
    if (!data)
        return -1;
    struct h5_cursor c = {data + 6, size - 6, 0};
    unsigned n = (unsigned)h5_take(&c, 2);
    if (n > 2 * w->leaf)
        wrong = "a node of too many symbols";
    for (unsigned i = 0; i < n && !wrong; i++) {
        const char *name = name_at(t, h5_take(&c, 8));
        struct h5_link link = {.at = h5_take(&c, 8)};
        int kind = (int)h5_take(&c, 4);
        h5_take(&c, 4);
        link.cached = kind == CACHED;
        link.tree = h5_take(&c, 8);
        link.heap = h5_take(&c, 8);
        if (!name)
            wrong = "a name outside its heap";
        else if (kind == SOFT && !t->o->odd.n)
            str_addf(&t->o->odd, "'%.200s' is a soft link, and links are not followed", name);
        else if (kind != PLAIN && kind != CACHED && kind != SOFT)
            wrong = "a symbol of an unknown kind";
        if (!wrong && kind != SOFT)
            wrong = h5_message_add_link(t->o, (const unsigned char *)name, strlen(name), link);
    }
    mem_free(data);
    return wrong ? h5_check_damaged(w, wrong, at, e) : 0;
}

/* A node of the B-tree and all below it. Levels fall by one on the way down, so that it ends. */
static int read_tree(struct h5_walk *w, const struct table *t, uint64_t at, int level, struct err *e)
{
    enum { HEAD = 24 };
    size_t size = HEAD + 8 + (size_t)16 * 2 * w->node;
    unsigned char *data = h5_check_piece(w, at, size, "a group's tree", e);
    if (!data)
        return -1;
    int own = data[5];
    struct h5_cursor c = {data + 6, size - 6, 0};
    unsigned n = (unsigned)h5_take(&c, 2);
    h5_skip(&c, 16); /* its neighbours, which are for those who write */
    int rc = 0;
    if (memcmp(data, "TREE\0", 5) != 0 || (level >= 0 && own != level) || own > H5_MAX_DEPTH || n > 2 * w->node)
        rc = h5_check_damaged(w, "no node of a group's tree", at, e);
    for (unsigned i = 0; i <= n && rc == 0; i++) {
        if (!name_at(t, h5_take(&c, 8)))
            rc = h5_check_damaged(w, "a name outside its heap", at, e);
        uint64_t child = i < n ? h5_take(&c, 8) : 0;
        if (i < n && rc == 0)
            rc = own ? read_tree(w, t, child, own - 1, e) : read_symbols(w, t, child, e);
    }
    mem_free(data);
    return rc;
}

/* The heap's free pieces are a list of offsets; the library follows it wherever it leads. */
static const char *check_free(const unsigned char *data, uint64_t n, uint64_t at)
{
    enum { END = 1, PIECE = 16 };
    for (uint64_t steps = 0; at != END; steps++) {
        if (at > n || n - at < PIECE || steps > n / PIECE)
            return "its heap's free pieces lie outside, or go in circles";
        struct h5_cursor c = {data + at, PIECE, 0};
        uint64_t next = h5_take(&c, 8), size = h5_take(&c, 8);
        if (next == 0 || size > n - at)
            return "its heap's free pieces lie outside";
        at = next;
    }
    return NULL;
}

static int read_symbol_table(struct h5_walk *w, struct h5_object *o, struct err *e)
{
    unsigned char *head = h5_check_piece(w, o->heap, 32, "a group's heap", e);
    if (!head)
        return -1;
    struct h5_cursor c = {head + 8, 24, 0};
    uint64_t n = h5_take(&c, 8), unused = h5_take(&c, 8), at = h5_take(&c, 8);
    int bad = memcmp(head, "HEAP\0", 5) != 0;
    mem_free(head);
    if (bad)
        return h5_check_damaged(w, "no heap of a group", o->heap, e);
    unsigned char *names = h5_check_piece(w, at, n, "a group's heap", e);
    struct table t = {o, (const char *)names, (size_t)n};
    const char *wrong = names ? check_free(names, n, unused) : NULL;
    int rc = !names ? -1 : wrong ? h5_check_damaged(w, wrong, at, e) : read_tree(w, &t, o->tree, -1, e);
    mem_free(names);
    return rc;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Texts of variable length: their references are read, piece by piece, and held against the heaps. */
static int check_texts(struct h5_walk *w, const struct h5_object *o, struct err *e)
{
    enum { PIECE = 16 * 4096 };
    if (h5_heap_check(w, (const unsigned char *)str_c(&o->refs), o->refs.n / 16, e))
        return -1;
    if (!o->has_layout || o->type.class != H5_CLASS_VARIABLE)
        return 0;
    if (o->compact)
        return h5_heap_check(w, (const unsigned char *)str_c(&o->compacted), o->n, e);
    unsigned char *piece = mem_new(PIECE, 1);
    int rc = 0;
    for (uint64_t done = 0; o->at != H5_NOWHERE && done < o->stored && rc == 0;) {
        uint64_t part = o->stored - done < PIECE ? o->stored - done : PIECE;
        rc = h5_check_bytes(w, o->at + done, part, piece, "texts", e) || h5_heap_check(w, piece, part / 16, e) ? -1 : 0;
        done += part;
    }
    mem_free(piece);
    return rc;
}

static int check_dataset(struct h5_walk *w, const struct h5_object *o, uint64_t at, struct err *e)
{
    if (!o->has_space || !o->has_type || o->has_links || o->has_symbols || o->n_link)
        return h5_check_damaged(w, "a dataset without shape or type, or a group at once", at, e);
    if (o->fill && (o->fill != o->type.size || o->type.class == H5_CLASS_VARIABLE))
        return h5_check_damaged(w, "its fill value is of another type", at, e);
    if (o->at == H5_NOWHERE && !o->compact)
        return 0; /* never written: refused when its elements are asked for */
    if (o->n > UINT64_MAX / o->type.size || o->stored != o->n * o->type.size)
        return err_set(e, ERR_FORMAT,
                       "%s:%s: %" PRIu64 " bytes stored, which %" PRIu64 " elements of %" PRIu32 " are not", w->f->path,
                       w->path.p, o->stored, o->n, o->type.size);
    return o->compact ? 0 : claim(w, o->at, o->stored, "its elements", e);
}

static int read_object(struct h5_walk *w, const struct h5_link *link, int depth, struct err *e);

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct h5_link *)a)->name, ((const struct h5_link *)b)->name);
}

static int check_group(struct h5_walk *w, struct h5_object *o, const struct h5_link *link, int depth, struct err *e)
{
    size_t length = w->path.n;
    int rc = 0;
    if (!o->has_links == !o->has_symbols || o->has_space || o->has_type || o->has_fill)
        return unsupported(w, "neither a group nor a dataset", e);
    if (link->cached && (!o->has_symbols || link->tree != o->tree || link->heap != o->heap))
        return h5_check_damaged(w, "a symbol table that is another one from outside", link->at, e);
    if (o->has_symbols && read_symbol_table(w, o, e))
        return -1;
    if (o->odd.n)
        return unsupported(w, o->odd.p, e);
    if (o->n_link)
        qsort(o->link, o->n_link, sizeof *o->link, by_name);
    for (size_t i = 0; i < o->n_link && rc == 0; i++) {
        str_addf(&w->path, "/%s", o->link[i].name);
        rc = i && strcmp(o->link[i - 1].name, o->link[i].name) == 0
                 ? h5_check_damaged(w, "two members of one name", link->at, e)
                 : read_object(w, &o->link[i], depth + 1, e);
        w->path.n = length;
        w->path.p[length] = '\0';
    }
    return rc;
}

static int read_object(struct h5_walk *w, const struct h5_link *link, int depth, struct err *e)
{
    struct h5_object o = {.at = H5_NOWHERE};
    if (depth > H5_MAX_DEPTH)
        return h5_check_damaged(w, "groups nest too deep", link->at, e);
    int rc = read_header(w, &o, link->at, e);
    if (rc == 0 && o.odd.n)
        rc = unsupported(w, o.odd.p, e);
    if (rc == 0 && o.has_layout)
        rc = link->cached ? h5_check_damaged(w, "a dataset that is a group from outside", link->at, e)
                          : check_dataset(w, &o, link->at, e);
    else if (rc == 0)
        rc = check_group(w, &o, link, depth, e);
    rc = rc ? rc : check_texts(w, &o, e);
    for (size_t i = 0; i < o.n_link; i++)
        mem_free(o.link[i].name);
    mem_free(o.link);
    mem_free(o.chunk);
    str_free(&o.odd);
    str_free(&o.compacted);
    str_free(&o.refs);
    return rc;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* How the root group is reached. */
static int read_superblock(struct h5_walk *w, struct h5_link *root, struct err *e)
{
    enum { LONGEST = 100, SHORTEST = 48 };
    struct h5 *f = w->f;
    unsigned char b[LONGEST] = {0};
    size_t n = f->size < LONGEST ? (size_t)f->size : LONGEST;
    if (n < SHORTEST || h5_check_bytes(w, 0, n, b, "the beginning", e) || memcmp(b, "\x89HDF\r\n\x1a\n", 8) != 0)
        return f->why || f->cut ? -1 : err_set(e, ERR_FORMAT, "%s: not an HDF5 file, or truncated", f->path);
    int version = b[8], old = version <= 1, widths = old ? 13 : 9;
    size_t at = old ? 24 + 4 * (size_t)version : 12, size = old ? 96 + 4 * (size_t)version : SHORTEST;
    int kinds = old ? b[9] | b[10] | b[11] | b[12] | b[15] | b[20] | b[21] | b[22] | b[23]
                    : b[11]; /* versions of parts; whether it is being written */
    if (version > 3 || b[widths] != 8 || b[widths + 1] != 8 || n < size || kinds || (!old && !sum_fits(b, SHORTEST)))
        return err_set(e, ERR_FORMAT, "%s: its superblock is damaged, or of a kind that is not read here", f->path);
    w->leaf = old ? b[16] | (unsigned)b[17] << 8 : 4;
    w->node = old ? b[18] | (unsigned)b[19] << 8 : 16;
    struct h5_cursor c = {b + at, sizeof b - at, 0};
    uint64_t base = h5_take(&c, 8), second = h5_take(&c, 8), end = h5_take(&c, 8), fourth = h5_take(&c, 8);
    uint64_t cached = 0;
    root->at = fourth;
    if (old) {
        h5_take(&c, 8); /* the root's name */
        root->at = h5_take(&c, 8);
        cached = h5_take(&c, 4);
        h5_take(&c, 4);
        root->cached = cached == 1;
        root->tree = h5_take(&c, 8);
        root->heap = h5_take(&c, 8);
    }
    if (base != 0 || second != H5_NOWHERE || (old && fourth != H5_NOWHERE))
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: an HDF5 file in several parts, with a superblock of two, or behind a block of the user's own: "
            "not read here",
            f->path);
    if (!w->leaf || !w->node || cached > 1)
        return err_set(e, ERR_FORMAT, "%s: its superblock is damaged", f->path);
    if (end > f->size)
        return err_set(e, ERR_FORMAT, "%s: %" PRIu64 " bytes, but %" PRIu64 " were written: truncated", f->path,
                       f->size, end);
    f->size = end;
    return claim(w, 0, size, "the superblock", e);
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const struct h5_range *)a)->at, y = ((const struct h5_range *)b)->at;
    return (x > y) - (x < y);
}

static int check_ranges(struct h5_walk *w, struct err *e)
{
    qsort(w->range, w->n_range, sizeof *w->range, by_place);
    for (size_t i = 1; i < w->n_range; i++) {
        const struct h5_range *r = &w->range[i - 1], *next = r + 1;
        if (next->at - r->at >= r->n)
            continue;
        if (next->at == r->at && r->what == object_header && next->what == object_header)
            return err_set(e, ERR_UNSUPPORTED, "%s: two links to one object (byte %" PRIu64 "): not read here",
                           w->f->path, r->at);
        return err_set(e, ERR_FORMAT, "%s: byte %" PRIu64 " belongs to %s and to %s: the file is damaged", w->f->path,
                       next->at, r->what, next->what);
    }
    return 0;
}

int h5_check(int fd, const char *path, uint64_t size, struct err *e)
{
    struct h5 f = {.path = mem_strdup(path), .fd = fd, .size = size};
    struct h5_walk w = {.f = &f, .budget = size < UINT64_MAX / 4 ? 2 * size + 4096 : size, .texts = size};
    struct h5_link root = {0};
    int rc = read_superblock(&w, &root, e) || read_object(&w, &root, 0, e) || check_ranges(&w, e) ? -1 : 0;
    for (size_t i = 0; i < w.n_heap; i++)
        mem_free(w.heap[i].size);
    mem_free(w.heap);
    mem_free(w.range);
    str_free(&w.path);
    mem_free(f.path);
    return rc;
}

/* ---- checksum: Bob Jenkins' lookup3, as the format asks for --------------------------------- */
static uint32_t turn(uint32_t x, int k)
{
    return x << k | x >> (32 - k);
}

static void mix(uint32_t *a, uint32_t *b, uint32_t *c)
{
    static const int by[6] = {4, 6, 8, 16, 19, 4};
    uint32_t *v[3] = {a, b, c};
    for (int i = 0; i < 6; i++) {
        uint32_t *x = v[i % 3], *y = v[(i + 1) % 3], *z = v[(i + 2) % 3];
        *x -= *z;
        *x ^= turn(*z, by[i]);
        *z += *y;
    }
}

static void finish(uint32_t *a, uint32_t *b, uint32_t *c)
{
    static const int by[7] = {14, 11, 25, 16, 4, 14, 24};
    uint32_t *v[3] = {c, a, b};
    for (int i = 0; i < 7; i++) {
        uint32_t *x = v[i % 3], *from = v[(i + 2) % 3];
        *x ^= *from;
        *x -= turn(*from, by[i]);
    }
}

uint32_t h5_checksum(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t v[3];
    v[0] = v[1] = v[2] = 0xDEADBEEFu + (uint32_t)n;
    for (; n > 12; n -= 12, p += 12) {
        for (int i = 0; i < 12; i++)
            v[i / 4] += (uint32_t)p[i] << 8 * (i % 4);
        mix(&v[0], &v[1], &v[2]);
    }
    if (n == 0)
        return v[2];
    for (size_t i = 0; i < n; i++)
        v[i / 4] += (uint32_t)p[i] << 8 * (i % 4);
    finish(&v[0], &v[1], &v[2]);
    return v[2];
}
