/* The messages of an object's header: shape, element type, place, attributes. Every size is held against what is left. */
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

uint64_t h5_take(struct h5_cursor *c, int bytes)
{
    uint64_t v = 0;
    if (c->left < (size_t)bytes) {
        c->bad = 1;
        c->left = 0;
        return 0;
    }
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)c->p[i] << 8 * i;
    c->p += bytes;
    c->left -= (size_t)bytes;
    return v;
}

const unsigned char *h5_skip(struct h5_cursor *c, uint64_t n)
{
    const unsigned char *at = c->p;
    if (c->left < n) {
        c->bad = 1;
        c->left = 0;
        return NULL;
    }
    c->p += n;
    c->left -= (size_t)n;
    return at;
}

void h5_put(struct str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_addc(s, (char)(v >> 8 * i & 0xFF));
}

const char *h5_message_space(struct h5_cursor c, int *rank, uint64_t *dim, uint64_t *n)
{
    int version = (int)h5_take(&c, 1), r = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1), kind = 1;
    if (version == 1)
        h5_skip(&c, 5);
    else if (version == 2)
        kind = (int)h5_take(&c, 1);
    else
        return "the shape is of an unknown version";
    if (r > H5_MAX_RANK)
        return "more than 8 dimensions";
    if (flags & 2 || kind > 2)
        return "the shape is of an unknown kind";
    uint64_t total = kind != 2;
    for (int i = 0; i < r; i++) {
        dim[i] = h5_take(&c, 8);
        if (dim[i] && total > (UINT64_MAX >> 4) / dim[i])
            return "the shape is too large";
        total *= dim[i];
    }
    if (c.bad)
        return "the shape is cut off";
    *rank = r;
    *n = total;
    return NULL;
}

/* ---- element types --------------------------------------------------------------------------- */

/* Integers: sign bit. Floats: where sign, exponent and mantissa lie, and the exponent's bias. */
static const struct {
    int class, bytes, is_signed, exponent, mantissa, bias;
} numbers[] = {
    [H5_TYPE_F32] = {H5_CLASS_FLOAT, 4, 0, 8, 23, 127},   [H5_TYPE_F64] = {H5_CLASS_FLOAT, 8, 0, 11, 52, 1023},
    [H5_TYPE_I32] = {H5_CLASS_INT, 4, 1, 0, 0, 0},        [H5_TYPE_I64] = {H5_CLASS_INT, 8, 1, 0, 0, 0},
    [H5_TYPE_U8] = {H5_CLASS_INT, 1, 0, 0, 0, 0},         [H5_TYPE_U64] = {H5_CLASS_INT, 8, 0, 0, 0, 0},
    [H5_TYPE_F16] = {H5_CLASS_FLOAT, 2, 0, 5, 10, 15},    [H5_TYPE_BF16] = {H5_CLASS_FLOAT, 2, 0, 8, 7, 127},
};

void h5_message_put_type(struct str *s, enum h5_type t, uint32_t size)
{
    enum { IMPLIED_ONE = 2 << 4, SIGNED = 8, UTF8 = 1 << 4 };
    if (t == H5_TYPE_STRING) { /* ends with a NUL */
        h5_put(s, H5_CLASS_STRING | 1 << 4, 1);
        h5_put(s, UTF8, 3);
        h5_put(s, size, 4);
        return;
    }
    int bits = 8 * numbers[t].bytes, real = numbers[t].class == H5_CLASS_FLOAT;
    h5_put(s, (uint64_t)numbers[t].class | 1 << 4, 1);
    h5_put(s, (uint64_t)(real ? IMPLIED_ONE | (bits - 1) << 8 : numbers[t].is_signed ? SIGNED : 0), 3);
    h5_put(s, (uint64_t)numbers[t].bytes, 4);
    h5_put(s, 0, 2);
    h5_put(s, (uint64_t)bits, 2);
    if (real) {
        h5_put(s, (uint64_t)numbers[t].mantissa, 1);
        h5_put(s, (uint64_t)numbers[t].exponent, 1);
        h5_put(s, 0, 1);
        h5_put(s, (uint64_t)numbers[t].mantissa, 1);
        h5_put(s, (uint64_t)numbers[t].bias, 4);
    }
}

/* What a type of ours looks like in a file is what it is known by. */
static enum h5_type recognise(const unsigned char *p, size_t n)
{
    enum h5_type found = H5_TYPE_OTHER;
    for (int t = 0; t < H5_TYPE_STRING && found == H5_TYPE_OTHER; t++) {
        struct str s = {0};
        h5_message_put_type(&s, (enum h5_type)t, 0);
        if (n >= s.n && ((p[0] ^ (unsigned char)s.p[0]) & 0x0F) == 0 && memcmp(p + 1, s.p + 1, s.n - 1) == 0)
            found = (enum h5_type)t;
        str_free(&s);
    }
    return found;
}

const char *h5_message_type(struct h5_cursor c, struct h5_dtype *t)
{
    const unsigned char *begin = c.p;
    size_t n = c.left;
    int head = (int)h5_take(&c, 1), bits = (int)h5_take(&c, 1);
    h5_take(&c, 2);
    struct h5_dtype d = {.class = (enum h5_class)(head & 0x0F), .size = (uint32_t)h5_take(&c, 4), .as = H5_TYPE_OTHER};
    if (c.bad)
        return "the element type is cut off";
    if (head >> 4 < 1 || head >> 4 > 4)
        return "the element type is of an unknown version";
    if (d.size == 0)
        return "the elements have no bytes";
    d.as = recognise(begin, n);
    if (d.class == H5_CLASS_INT) {
        uint64_t offset = h5_take(&c, 2), precision = h5_take(&c, 2);
        d.plain = !c.bad && (bits & 1) == 0 && offset == 0 && precision == 8 * (uint64_t)d.size && d.size <= 8;
        d.is_signed = (bits & 8) != 0;
    }
    if (d.class == H5_CLASS_VARIABLE && (bits & 0x0F) == 1 && d.size == 16)
        d.as = H5_TYPE_STRING;
    *t = d;
    return NULL;
}

/* ---- where the elements lie ------------------------------------------------------------------ */

const char *h5_message_layout(struct h5_cursor c, struct h5_node *node)
{
    enum { COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL };
    int version = (int)h5_take(&c, 1), class = (int)h5_take(&c, 1);
    if (version != 3 && version != 4) {
        node->odd = "stored in a form older than HDF5 1.6";
        return NULL;
    }
    if (class == COMPACT) {
        uint64_t n = h5_take(&c, 2);
        const unsigned char *data = h5_skip(&c, n);
        if (!data || node->compact)
            return "the elements are cut off";
        node->compact = mem_new((size_t)n + 1, 1);
        memcpy(node->compact, data, (size_t)n);
        node->stored = n;
    } else if (class == CONTIGUOUS) {
        node->at = h5_take(&c, 8);
        node->stored = h5_take(&c, 8);
        if (c.bad)
            return "the place of the elements is cut off";
        if (node->at == H5_NOWHERE)
            node->stored = 0;
    } else {
        node->odd = class == CHUNKED   ? "stored in chunks, and only contiguous datasets are read"
                    : class == VIRTUAL ? "a virtual dataset: its elements lie in other files"
                                       : "stored in an unknown form";
    }
    return NULL;
}

/* ---- attributes ------------------------------------------------------------------------------ */

const char *h5_message_attr(struct h5_cursor c, struct h5_node *node)
{
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1);
    uint64_t n_name = h5_take(&c, 2), n_type = h5_take(&c, 2), n_space = h5_take(&c, 2);
    if (version < 1 || version > 3)
        return "an attribute is of an unknown version";
    if (version == 3)
        h5_take(&c, 1);
    uint64_t pad = version == 1 ? 7 : 0; /* up to the next multiple of 8 */
    const unsigned char *name = h5_skip(&c, (n_name + pad) & ~pad), *type = h5_skip(&c, (n_type + pad) & ~pad),
                        *space = h5_skip(&c, (n_space + pad) & ~pad);
    if (!name || !type || !space || n_name == 0 || memchr(name, '\0', (size_t)n_name) != name + n_name - 1)
        return "an attribute is cut off";
    if (n_name > H5_MAX_NAME || node->n_attr == H5_MAX_ATTRS)
        return "too many attributes, or one with too long a name";
    if (h5_node_attr(node, (const char *)name))
        return "two attributes have one name";
    struct h5_dtype t = {.as = H5_TYPE_OTHER, .class = (enum h5_class)15};
    int rank;
    uint64_t dim[H5_MAX_RANK], n = 0;
    const char *wrong = NULL;
    if (version == 1 || (flags & 3) == 0) /* else its type stands elsewhere: an attribute that can't be read */
        wrong = h5_message_type((struct h5_cursor){type, (size_t)n_type, 0}, &t);
    wrong = wrong ? wrong : h5_message_space((struct h5_cursor){space, (size_t)n_space, 0}, &rank, dim, &n);
    if (wrong)
        return wrong;
    if (t.size && n > c.left / t.size)
        return "an attribute is cut off";
    struct h5_attr *a = h5_node_attr_new(node, (const char *)name, (size_t)n_name - 1);
    a->type = t;
    a->n = n;
    if (t.size) {
        a->data = mem_new((size_t)n * t.size + 1, 1);
        memcpy(a->data, c.p, (size_t)n * t.size);
    }
    return NULL;
}
