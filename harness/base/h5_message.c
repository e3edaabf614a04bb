/* The messages of an object's header: shape, element type, place, attributes, links. Every size is held against what is
 * left, and every number against what the library does with it: it takes most of them as they are. */
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

static void odd(struct h5_object *o, const char *why)
{
    if (!o->odd.n)
        str_add(&o->odd, why);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static const char *read_space(struct h5_cursor c, uint64_t *n)
{
    enum { LIMITS = 1, SCALAR = 0, SIMPLE = 1, EMPTY = 2 };
    int version = (int)h5_take(&c, 1), rank = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1),
        kind = rank ? SIMPLE : SCALAR;
    uint64_t dim[H5_MAX_RANK], total;
    if (version == 1)
        h5_skip(&c, 5);
    else if (version == 2)
        kind = (int)h5_take(&c, 1);
    else
        return "the shape is of an unknown version";
    if (rank > H5_MAX_RANK)
        return "more than 8 dimensions";
    if (flags & ~LIMITS || kind > EMPTY || (kind == SIMPLE) != (rank > 0))
        return "the shape is of an unknown kind";
    total = kind != EMPTY;
    for (int i = 0; i < rank; i++) {
        dim[i] = h5_take(&c, 8);
        if (dim[i] && total > (UINT64_MAX >> 4) / dim[i])
            return "the shape is too large";
        total *= dim[i];
    }
    for (int i = 0; i < rank && flags & LIMITS; i++)
        if (h5_take(&c, 8) < dim[i])
            return "the shape exceeds its own limits";
    if (c.bad)
        return "the shape is cut off";
    *n = total;
    return NULL;
}

/* ---- element types --------------------------------------------------------------------------- */

static const struct {
    uint32_t size;
    unsigned exponent, mantissa, bias;
} floats[] = {{4, 8, 23, 127}, {8, 11, 52, 1023}, {2, 5, 10, 15}, {2, 8, 7, 127}};

/* Little-endian numbers with all bits in use, floats as IEEE has them or bfloat16: the library converts any other, but
 * by fields that it takes from the file. */
static int is_plain(struct h5_cursor c, enum h5_class class, uint32_t size, unsigned bits)
{
    uint64_t offset = h5_take(&c, 2), precision = h5_take(&c, 2);
    if (offset || precision != 8 * (uint64_t)size || c.bad)
        return 0;
    if (class == H5_CLASS_INT)
        return (bits & ~8u) == 0 && (size == 1 || size == 2 || size == 4 || size == 8);
    unsigned exponent_at = (unsigned)h5_take(&c, 1), exponent = (unsigned)h5_take(&c, 1),
             mantissa_at = (unsigned)h5_take(&c, 1), mantissa = (unsigned)h5_take(&c, 1),
             bias = (unsigned)h5_take(&c, 4);
    if (c.bad || bits != (0x20 | (8 * size - 1) << 8) || mantissa_at || exponent_at != mantissa)
        return 0;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (floats[i].size == size && floats[i].exponent == exponent && floats[i].mantissa == mantissa &&
            floats[i].bias == bias)
            return 1;
    return 0;
}

static int is_text(unsigned bits) /* padding and character set */
{
    return (bits & 0x0F) <= 2 && bits >> 4 <= 1;
}

/* *not: why it isn't read here. */
static const char *read_type(struct h5_cursor c, struct h5_dtype *t, const char * * not )
{
    int head = (int)h5_take(&c, 1);
    unsigned bits = (unsigned)h5_take(&c, 2) | (unsigned)h5_take(&c, 1) << 16;
    struct h5_dtype d = {.class = (enum h5_class)(head & 0x0F), .size = (uint32_t)h5_take(&c, 4)}, base;
    const char *wrong;
    if (c.bad)
        return "the element type is cut off";
    if (head >> 4 < 1 || head >> 4 > 3)
        return "the element type is of an unknown version";
    if (d.size == 0)
        return "the elements have no bytes";
    *t = d;
    switch ((int)d.class) {
    case H5_CLASS_INT:
    case H5_CLASS_FLOAT:
        if (!is_plain(c, d.class, d.size, bits))
            *not = "numbers of another form than little-endian integers, IEEE floats and bfloat16";
        return NULL;
    case H5_CLASS_STRING: return is_text(bits) ? NULL : "text of an unknown kind";
    case H5_CLASS_VARIABLE:
        if ((bits & 0x0F) != 1)
            *not = "sequences of variable length";
        else if (bits >> 12 || !is_text(bits >> 4 & 0xFF) || d.size != 16)
            return "text of an unknown kind";
        else if ((wrong = read_type(c, &base, not )))
            return wrong;
        else if (base.size != 1 || (base.class != H5_CLASS_INT && base.class != H5_CLASS_STRING))
            return "text of something else than bytes";
        return NULL;
    default:
        *not = "a type that is neither number nor text (a compound, an enumeration, a truth value of h5py?)";
        return NULL;
    }
}

/* ---- where the elements lie, what stands there before they do -------------------------------- */

static const char *read_layout(struct h5_cursor c, struct h5_object *o)
{
    enum { COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL };
    int version = (int)h5_take(&c, 1), class = (int)h5_take(&c, 1);
    if (c.bad || version < 1 || version > 4)
        return "the place of the elements is of an unknown version";
    if (version < 3) {
        odd(o, "stored in a form older than HDF5 1.6");
    } else if (class == COMPACT) {
        uint64_t n = h5_take(&c, 2);
        const unsigned char *data = h5_skip(&c, n);
        if (!data)
            return "the elements are cut off";
        str_addn(&o->compacted, (const char *)data, (size_t)n);
        o->compact = 1;
        o->stored = n;
    } else if (class == CONTIGUOUS) {
        o->at = h5_take(&c, 8);
        o->stored = h5_take(&c, 8);
        if (c.bad)
            return "the place of the elements is cut off";
    } else {
        odd(o, class == CHUNKED   ? "stored in chunks, and only contiguous datasets are read"
               : class == VIRTUAL ? "a virtual dataset: its elements lie in other files"
                                  : "stored in an unknown form");
    }
    return NULL;
}

static const char *read_fill(struct h5_cursor c, struct h5_object *o, int old)
{
    enum { UNDEFINED = 16, DEFINED = 32 };
    int version = old ? 0 : (int)h5_take(&c, 1), there = 1;
    if (o->has_fill++ && !old)
        return "two fill values";
    if (version == 1 || version == 2) {
        h5_take(&c, 2);
        there = (int)h5_take(&c, 1) || version == 1;
    } else if (version == 3) {
        int flags = (int)h5_take(&c, 1);
        if (flags & ~0x3F || (flags & UNDEFINED && flags & DEFINED))
            return "a fill value of an unknown kind";
        there = (flags & DEFINED) != 0;
    } else if (version > 3) {
        return "a fill value of an unknown version";
    }
    uint64_t n = there ? h5_take(&c, 4) : 0;
    if (n == UINT32_MAX && (version == 1 || version == 2))
        n = 0; /* -1: none */
    h5_skip(&c, n);
    o->fill = n ? n : o->fill;
    return c.bad ? "a fill value is cut off" : NULL;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static const char *read_attr(struct h5_cursor c, struct h5_object *o)
{
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1);
    uint64_t n_name = h5_take(&c, 2), n_type = h5_take(&c, 2), n_space = h5_take(&c, 2), n = 0;
    if (version < 1 || version > 3)
        return "an attribute is of an unknown version";
    if (version == 3 && h5_take(&c, 1) > 1)
        return "an attribute's name is of an unknown kind";
    uint64_t pad = version == 1 ? 7 : 0; /* up to the next multiple of 8 */
    const unsigned char *name = h5_skip(&c, (n_name + pad) & ~pad), *type = h5_skip(&c, (n_type + pad) & ~pad),
                        *space = h5_skip(&c, (n_space + pad) & ~pad);
    if (!name || !type || !space || n_name < 2 || memchr(name, '\0', (size_t)n_name) != name + n_name - 1)
        return "an attribute is cut off";
    if (n_name > H5_MAX_NAME || ++o->n_attr > H5_MAX_ATTRS)
        return "too many attributes, or one with too long a name";
    struct h5_dtype t;
    const char *not = version > 1 && flags ? "a type or shape that is shared with others" : NULL, *wrong = NULL;
    if (!not )
        wrong = read_type((struct h5_cursor){type, (size_t)n_type, 0}, &t, &not );
    wrong = wrong ? wrong : not ? NULL : read_space((struct h5_cursor){space, (size_t)n_space, 0}, &n);
    if (!wrong && not &&!o->odd.n)
        str_addf(&o->odd, "attribute '%s': %s", (const char *)name, not );
    if (wrong || not )
        return wrong;
    if (n > c.left / t.size)
        return "an attribute is cut off";
    if (t.class == H5_CLASS_VARIABLE)
        str_addn(&o->refs, (const char *)c.p, (size_t)n * t.size);
    return NULL;
}

/* ---- links ----------------------------------------------------------------------------------- */

const char *h5_message_add_link(struct h5_object *o, const unsigned char *name, size_t n, struct h5_link link)
{
    if (n == 0 || n > H5_MAX_NAME || memchr(name, '/', n) || memchr(name, '\0', n) || (n == 1 && name[0] == '.'))
        return "a link without a sound name";
    mem_grow(&o->link, &o->cap_link, o->n_link + 1, sizeof *o->link);
    link.name = mem_strndup((const char *)name, n);
    o->link[o->n_link++] = link;
    return NULL;
}

static const char *read_link(struct h5_cursor c, struct h5_object *o)
{
    enum { WIDTH = 3, ORDER = 4, KIND = 8, CHARSET = 16 };
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1), kind = flags & KIND ? (int)h5_take(&c, 1) : 0;
    if (flags & ORDER)
        h5_take(&c, 8);
    if (flags & CHARSET && h5_take(&c, 1) > 1)
        return "a link's name is of an unknown kind";
    uint64_t n = h5_take(&c, 1 << (flags & WIDTH));
    const unsigned char *name = h5_skip(&c, n);
    if (version != 1 || flags & ~0x1F || c.bad)
        return "a link is cut off, or of an unknown version";
    if (kind) {
        if (!o->odd.n)
            str_addf(&o->odd, "'%.*s' is a %s link, and links are not followed", (int)(n < 200 ? n : 200),
                     (const char *)name,
                     kind == 1    ? "soft"
                     : kind == 64 ? "file's"
                                  : "strange");
        return NULL;
    }
    uint64_t at = h5_take(&c, 8);
    return c.bad ? "a link is cut off" : h5_message_add_link(o, name, (size_t)n, (struct h5_link){.at = at});
}

/* Info messages of groups and attributes: where what does not fit the header lies; -1: cut off. */
static int is_dense(struct h5_cursor c, int order_bytes)
{
    enum { TRACKED = 1, INDEXED = 2 };
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1);
    if (flags & TRACKED)
        h5_take(&c, order_bytes);
    int dense = h5_take(&c, 8) != H5_NOWHERE;
    dense |= h5_take(&c, 8) != H5_NOWHERE;
    if (flags & INDEXED)
        dense |= h5_take(&c, 8) != H5_NOWHERE;
    return c.bad || version || flags & ~3 ? -1 : dense;
}

static const char *read_limits(struct h5_cursor c) /* of links in a group's header */
{
    int version = (int)h5_take(&c, 1), flags = (int)h5_take(&c, 1);
    h5_skip(&c, (flags & 1 ? 4 : 0) + (flags & 2 ? 4 : 0));
    return version || flags & ~3 || c.bad ? "the limits of a group are cut off, or of an unknown kind" : NULL;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const char *read_where(struct h5_object *o, int more, struct h5_cursor c)
{
    uint64_t first = h5_take(&c, 8), second = h5_take(&c, 8);
    if (c.bad || (!more && o->has_symbols))
        return "its header or symbol table is cut off, or said twice";
    if (more) {
        mem_grow(&o->chunk, &o->cap_chunk, o->n_chunk + 1, sizeof *o->chunk);
        o->chunk[o->n_chunk].at = first;
        o->chunk[o->n_chunk++].n = second;
    } else {
        o->has_symbols = 1;
        o->tree = first;
        o->heap = second;
    }
    return NULL;
}

const char *h5_message(struct h5_object *o, int type, int flags, struct h5_cursor c)
{
    enum {
        NOTHING = 0,
        SPACE,
        LINKS,
        TYPE,
        OLD_FILL,
        FILL,
        LINK,
        ELSEWHERE,
        LAYOUT,
        LIMITS = 10,
        FILTER,
        ATTR,
        MORE = 16,
        SYMBOLS,
        TIME,
        ATTRS = 21
    };
    enum { CONSTANT = 1, SHARED = 2, ALONE = 4 };
    const char *not = NULL, *wrong;
    int dense;
    if (flags & SHARED)
        odd(o, "a part of it is shared with other objects");
    else if (flags & ~(CONSTANT | ALONE))
        odd(o, "a part of it asks for a later HDF5");
    if (flags & ~(CONSTANT | ALONE))
        return NULL;
    switch (type) {
    case NOTHING: return NULL;
    case SPACE: return o->has_space++ ? "two shapes" : read_space(c, &o->n);
    case TYPE:
        wrong = o->has_type++ ? "two element types" : read_type(c, &o->type, &not );
        if (!wrong && not )
            odd(o, not );
        return wrong;
    case LAYOUT: return o->has_layout++ ? "two places of its elements" : read_layout(c, o);
    case OLD_FILL:
    case FILL: return read_fill(c, o, type == OLD_FILL);
    case ELSEWHERE: odd(o, "stored outside the file, and only the file itself is read"); return NULL;
    case FILTER: odd(o, "compressed or filtered, and only plain datasets are read"); return NULL;
    case ATTR: return read_attr(c, o);
    case ATTRS:
        if ((dense = is_dense(c, 2)) > 0)
            odd(o, "its attributes lie in a heap of their own (written by h5py or HDF5 with libver latest?)");
        return dense < 0 ? "what it says of its attributes is cut off" : NULL;
    case LINKS:
        if ((dense = is_dense(c, 8)) > 0)
            odd(o, "a group whose links lie in a heap of their own (written by h5py or HDF5 with libver latest?)");
        return o->has_links++ ? "two kinds of links" : dense < 0 ? "what it says of its links is cut off" : NULL;
    case LINK: return read_link(c, o);
    case LIMITS: return read_limits(c);
    case SYMBOLS:
    case MORE: return read_where(o, type == MORE, c);
    case TIME: return h5_take(&c, 1) == 1 && h5_skip(&c, 7) ? NULL : "its time is cut off"; /* the library skips it */
    default: odd(o, "its header has a part of a kind that is not read here"); return NULL;
    }
}
