/* From the tree to a file's bytes. Elements are appended as they come; at the end every object gets a header (version 2,
 * with its checksum, links and attributes within), children before their group, and the superblock goes in front last.
 * Plain writes only: a full disk is an error of one call, and never a state that something has to clean up at exit. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

enum { PIECE = 1 << 20 };

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

/* ---- elements -------------------------------------------------------------------------------- */

static int write_at(struct h5 *f, const void *data, uint64_t n, uint64_t at, struct err *e)
{
    const char *from = data;
    while (n) {
        size_t part = n < 64 * (uint64_t)PIECE ? (size_t)n : 64 * (size_t)PIECE;
        ssize_t done = pwrite(f->out, from, part, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0) {
            f->failed = 1;
            return fs_fail(f->path, e);
        }
        from += done;
        at += (uint64_t)done;
        n -= (uint64_t)done;
    }
    return 0;
}

int h5_append_bytes(struct h5 *f, const void *data, uint64_t n, uint64_t *at, struct err *e)
{
    uint64_t begin = (f->end + 7) & ~(uint64_t)7;
    if (write_at(f, data, n, begin, e))
        return -1;
    f->end = begin + n;
    *at = begin;
    return 0;
}

int h5_read_bytes(const struct h5 *f, const struct h5_node *node, uint64_t first, uint64_t n, void *dst, struct err *e)
{
    if (first > node->stored || n > node->stored - first)
        return err_set(e, ERR_FORMAT, "%s: '%s' holds %llu bytes, and %llu from %llu on were asked for", f->path, node->name,
                       (unsigned long long)node->stored, (unsigned long long)n, (unsigned long long)first);
    if (n == 0)
        return 0; /* it may lie nowhere */
    if (node->compact) {
        memcpy(dst, node->compact + first, (size_t)n);
        return 0;
    }
    struct h5 from = *f;
    if (node->fresh) {
        from.in = f->out;
        from.size = f->end;
    }
    return h5_bytes(&from, node->at + first, n, dst, node->name, e);
}

int h5_append_copy(struct h5 *f, const struct h5 *from, const struct h5_node *node, uint64_t *at, struct err *e)
{
    uint64_t begin = (f->end + 7) & ~(uint64_t)7;
    char *piece = mem_try(PIECE, 1, node->name, e);
    int rc = piece ? 0 : -1;
    for (uint64_t done = 0; done < node->stored && rc == 0;) {
        uint64_t part = node->stored - done < PIECE ? node->stored - done : PIECE;
        rc = h5_read_bytes(from, node, done, part, piece, e);
        rc = rc ? rc : write_at(f, piece, part, begin + done, e);
        done += part;
    }
    mem_free(piece);
    f->end = begin + node->stored;
    *at = begin;
    return rc;
}

/* ---- objects --------------------------------------------------------------------------------- */

enum { SPACE = 1, LINKS = 2, TYPE = 3, FILL = 5, LINK = 6, LAYOUT = 8, GROUP = 10, ATTR = 12, ATTRS = 21, CONSTANT = 1 };

/* An editor (h5py) moves links and attributes out of the header, to where they are not read here, when there are more
 * than this of them, and back when there are less. */
static void put_limits(struct str *s)
{
    h5_put(s, 0xFFFF, 2);
    h5_put(s, 0xFFFE, 2);
}

static void put_message(struct str *s, int type, int flags, const struct str *body)
{
    h5_put(s, (uint64_t)type, 1);
    h5_put(s, body->n, 2);
    h5_put(s, (uint64_t)flags, 1);
    str_addn(s, str_c(body), body->n);
}

static void put_space(struct str *s, int rank, const uint64_t *dim)
{
    h5_put(s, 2, 1);
    h5_put(s, (uint64_t)rank, 1);
    h5_put(s, 0, 1);
    h5_put(s, rank > 0, 1); /* a scalar, or an array */
    for (int i = 0; i < rank; i++)
        h5_put(s, dim[i], 8);
}

static void put_attr(struct str *s, const struct h5_attr *a)
{
    struct str body = {0}, type = {0}, space = {0};
    size_t n = strlen(a->name) + 1;
    h5_message_put_type(&type, a->type.as, a->type.size);
    put_space(&space, 0, NULL);
    h5_put(&body, 3, 1);
    h5_put(&body, 0, 1);
    h5_put(&body, n, 2);
    h5_put(&body, type.n, 2);
    h5_put(&body, space.n, 2);
    h5_put(&body, 1, 1); /* the name is UTF-8 */
    str_addn(&body, a->name, n);
    str_addn(&body, type.p, type.n);
    str_addn(&body, space.p, space.n);
    str_addn(&body, (const char *)a->data, (size_t)a->n * a->type.size);
    put_message(s, ATTR, 0, &body);
    str_free(&body);
    str_free(&type);
    str_free(&space);
}

static void put_dataset(struct str *s, const struct h5_node *node)
{
    struct str body = {0};
    put_space(&body, node->rank, node->dim);
    put_message(s, SPACE, 0, &body);
    str_clear(&body);
    h5_message_put_type(&body, node->type.as, node->type.size);
    put_message(s, TYPE, CONSTANT, &body);
    str_clear(&body);
    h5_put(&body, 3, 1);
    h5_put(&body, 2 | 2 << 2, 1); /* room is taken when something is written; no value of the user's */
    put_message(s, FILL, CONSTANT, &body);
    str_clear(&body);
    h5_put(&body, 3, 1);
    h5_put(&body, 1, 1);
    h5_put(&body, node->stored ? node->at : H5_NOWHERE, 8);
    h5_put(&body, node->stored, 8);
    put_message(s, LAYOUT, 0, &body);
    str_free(&body);
}

static void put_link(struct str *s, const struct h5_node *child, uint64_t at)
{
    struct str body = {0};
    size_t n = strlen(child->name);
    h5_put(&body, 1, 1);
    h5_put(&body, 16 | 1, 1); /* the charset is said, the name's length has two bytes */
    h5_put(&body, 1, 1);
    h5_put(&body, n, 2);
    str_addn(&body, child->name, n);
    h5_put(&body, at, 8);
    put_message(s, LINK, 0, &body);
    str_free(&body);
}

static void put_group(struct str *s)
{
    struct str body = {0};
    h5_put(&body, 0, 2);
    h5_put(&body, H5_NOWHERE, 8); /* all links stand in the header */
    h5_put(&body, H5_NOWHERE, 8);
    put_message(s, LINKS, 0, &body);
    str_clear(&body);
    h5_put(&body, 0, 1);
    h5_put(&body, 1, 1); /* limits are said */
    put_limits(&body);
    put_message(s, GROUP, CONSTANT, &body);
    str_free(&body);
}

/* That attributes stand in the header; without it, editors count none. */
static void put_attrs(struct str *s, const struct h5_node *node)
{
    struct str body = {0};
    h5_put(&body, 0, 2);
    h5_put(&body, H5_NOWHERE, 8);
    h5_put(&body, H5_NOWHERE, 8);
    if (node->n_attr)
        put_message(s, ATTRS, 0, &body);
    for (size_t i = 0; i < node->n_attr; i++)
        put_attr(s, &node->attr[i]);
    str_free(&body);
}

struct emit {
    struct h5 *f;
    struct str out;  /* structure that is not yet written */
    uint64_t begin;  /* where it belongs */
};

static int flush(struct emit *m, struct err *e)
{
    int rc = write_at(m->f, str_c(&m->out), m->out.n, m->begin, e);
    m->begin += m->out.n;
    str_clear(&m->out);
    return rc;
}

static int emit_node(struct emit *m, const struct h5_node *node, uint64_t *at, struct err *e)
{
    struct str body = {0};
    uint64_t child;
    int rc = 0;
    if (node->kind == H5_GROUP)
        put_group(&body);
    else
        put_dataset(&body, node);
    put_attrs(&body, node);
    for (size_t i = 0; i < node->n_child && rc == 0; i++) {
        rc = emit_node(m, node->child[i], &child, e);
        put_link(&body, node->child[i], child);
    }
    size_t first = m->out.n;
    str_add(&m->out, "OHDR");
    h5_put(&m->out, 2, 1);
    h5_put(&m->out, 2 | 16, 1); /* the size has four bytes, and limits are said; no times, so that the same content gives the same bytes */
    put_limits(&m->out);
    h5_put(&m->out, body.n, 4);
    str_addn(&m->out, body.p, body.n);
    h5_put(&m->out, h5_checksum(m->out.p + first, m->out.n - first), 4);
    *at = m->begin + first;
    while (m->out.n % 8)
        str_addc(&m->out, '\0');
    if (rc == 0 && m->out.n > PIECE)
        rc = flush(m, e);
    str_free(&body);
    return rc;
}

int h5_emit(struct h5 *f, struct err *e)
{
    struct emit m = {.f = f, .begin = (f->end + 7) & ~(uint64_t)7};
    uint64_t root = 0;
    int rc = emit_node(&m, f->root, &root, e);
    rc = rc ? rc : flush(&m, e);
    f->end = m.begin;
    str_clear(&m.out);
    str_addn(&m.out, "\x89HDF\r\n\x1a\n", 8);
    h5_put(&m.out, 2, 1);
    h5_put(&m.out, 8, 1);
    h5_put(&m.out, 8, 1);
    h5_put(&m.out, 0, 1);
    h5_put(&m.out, 0, 8);
    h5_put(&m.out, H5_NOWHERE, 8);
    h5_put(&m.out, f->end, 8);
    h5_put(&m.out, root, 8);
    h5_put(&m.out, h5_checksum(m.out.p, m.out.n), 4);
    rc = rc ? rc : write_at(f, m.out.p, m.out.n, 0, e);
    str_free(&m.out);
    return rc;
}
