#include "models/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "harness/base/mapped.h"
#include "harness/base/mem.h"

enum { MAX_DEPTH = 4, MAX_NAME = 65535, MAX_TENSOR = 1 << 20, MAX_KEY = 1 << 16 };

struct pair {
    char *key;
    enum gguf_type type;
    const uint8_t *at; /* the value */
};

struct gguf {
    struct mapped file;
    char *path;
    struct pair *pair; /* [n_pair] by key */
    int n_pair;
    struct gguf_tensor *tensor; /* [n_tensor] by name */
    int n_tensor;
};

/* A place in the file and how much is left of it. Once a read fails, `bad` says what ran out, and everything read
 * afterwards is zero: callers check at the end of a record. */
struct cursor {
    const uint8_t *p, *end;
    const char *bad;
};

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (c->bad || n > (uint64_t)(c->end - c->p)) {
        if (!c->bad)
            c->bad = "truncated, or a length beyond the end of the file";
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static uint64_t take_u64(struct cursor *c)
{
    return little(take(c, 8), 8);
}

static uint32_t take_u32(struct cursor *c)
{
    return (uint32_t)little(take(c, 4), 4);
}

/* A name: short, without NUL. Freed by the caller; NULL when the cursor went bad. */
static char *take_name(struct cursor *c)
{
    uint64_t n = take_u64(c);
    const uint8_t *p = n <= MAX_NAME ? take(c, n) : NULL;
    if (!p || memchr(p, 0, (size_t)n)) {
        if (!c->bad)
            c->bad = "a name too long or with a NUL";
        return NULL;
    }
    return mem_strndup((const char *)p, (size_t)n);
}

/* Bytes of a scalar; 0 for strings and arrays. */
static size_t scalar_size(enum gguf_type t)
{
    static const uint8_t size[GGUF_N_TYPE] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};
    return size[t];
}

static void skip_value(struct cursor *c, uint32_t type, int depth)
{
    if (type >= GGUF_N_TYPE || depth > MAX_DEPTH) {
        c->bad = c->bad ? c->bad : type >= GGUF_N_TYPE ? "a value of unknown type" : "arrays nested too deep";
        return;
    }
    if (type == GGUF_STRING) {
        take(c, take_u64(c));
    } else if (type == GGUF_ARRAY) {
        uint32_t element = take_u32(c);
        uint64_t n = take_u64(c);
        if (element >= GGUF_N_TYPE) {
            c->bad = c->bad ? c->bad : "an array of unknown type";
        } else if (scalar_size((enum gguf_type)element)) {
            size_t size = scalar_size((enum gguf_type)element);
            take(c, n > UINT64_MAX / size ? UINT64_MAX : n * size);
        } else {
            for (uint64_t i = 0; i < n && !c->bad; i++)
                skip_value(c, element, depth + 1);
        }
    } else {
        take(c, scalar_size((enum gguf_type)type));
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static int read_pairs(struct gguf *g, struct cursor *c, uint64_t n, struct err *e)
{
    /* the smallest pair: an empty key's length, a type, one byte */
    if (n > MAX_KEY || n > (uint64_t)(c->end - c->p) / 13)
        return err_set(e, ERR_FORMAT, "%s: %llu metadata keys can't be in a file of %zu bytes", g->path,
                       (unsigned long long)n, g->file.n);
    g->pair = mem_new((size_t)n + 1, sizeof *g->pair);
    for (uint64_t i = 0; i < n; i++) {
        struct pair *v = &g->pair[i];
        v->key = take_name(c);
        uint32_t type = take_u32(c);
        v->at = c->p;
        skip_value(c, type, 0);
        g->n_pair += v->key != NULL;
        if (c->bad)
            return err_set(e, ERR_FORMAT, "%s: metadata key %llu (%s): %s", g->path, (unsigned long long)i,
                           v->key ? v->key : "unnamed", c->bad);
        v->type = (enum gguf_type)type;
    }
    qsort(g->pair, (size_t)n, sizeof *g->pair, by_key);
    for (uint64_t i = 1; i < n; i++)
        if (strcmp(g->pair[i - 1].key, g->pair[i].key) == 0)
            return err_set(e, ERR_FORMAT, "%s: metadata key '%s' appears twice", g->path, g->pair[i].key);
    return 0;
}

/* One tensor's description; *offset is where its data starts, relative to the data section. */
static int read_tensor(struct gguf *g, struct cursor *c, struct gguf_tensor *t, uint64_t *offset, struct err *e)
{
    uint32_t rank, code;
    size_t n = 1;
    t->name = take_name(c);
    g->n_tensor += t->name != NULL;
    rank = take_u32(c);
    if (!c->bad && (rank < 1 || rank > GGUF_MAX_RANK))
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' has %u dimensions, expected 1 to %d", g->path, t->name, rank,
                       GGUF_MAX_RANK);
    for (uint32_t i = 0; i < rank && !c->bad; i++) {
        t->dim[i] = take_u64(c);
        if (!c->bad && (t->dim[i] == 0 || t->dim[i] > SIZE_MAX / 8 || !mem_mul(n, (size_t)t->dim[i], &n)))
            return err_set(e, ERR_FORMAT, "%s: tensor '%s' has an impossible dimension %llu", g->path, t->name,
                           (unsigned long long)t->dim[i]);
    }
    code = take_u32(c);
    *offset = take_u64(c);
    if (c->bad)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: %s", g->path, t->name ? t->name : "table", c->bad);
    t->rank = (int)rank;
    t->n = n;
    t->type = dequant_find(code);
    if (!t->type) {
        struct str known = {0};
        dequant_list(&known);
        err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s' has element type %u; readable: %s", g->path, t->name, code,
                str_c(&known));
        str_free(&known);
        return -1;
    }
    if (t->dim[0] % t->type->values != 0)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': rows of %llu values are no whole number of %s blocks", g->path,
                       t->name, (unsigned long long)t->dim[0], t->type->name);
    return 0;
}

/* Where a tensor's data lies, once it is known where the section begins. */
static int place_tensor(struct gguf *g, struct gguf_tensor *t, uint64_t start, uint64_t offset, uint64_t align,
                        struct err *e)
{
    size_t bytes;
    uint64_t room = g->file.n > start ? g->file.n - start : 0;
    if (offset % align != 0)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': offset %llu is no multiple of the alignment %llu", g->path,
                       t->name, (unsigned long long)offset, (unsigned long long)align);
    if (!mem_mul(t->n / t->type->values, t->type->bytes, &bytes) || offset > room || bytes > room - offset)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': its data lies beyond the end of the file (truncated?)", g->path,
                       t->name);
    t->data = g->file.p + start + offset;
    return 0;
}

static int read_tensors(struct gguf *g, struct cursor *c, uint64_t n, struct err *e)
{
    uint64_t *offset = NULL, start;
    int64_t align = 32;
    int rc = -1;
    /* the smallest description: an empty name's length, rank, one dimension, type, offset */
    if (n == 0 || n > MAX_TENSOR || n > (uint64_t)(c->end - c->p) / 32)
        return err_set(e, ERR_FORMAT, "%s: %llu tensors can't be in a file of %zu bytes", g->path,
                       (unsigned long long)n, g->file.n);
    g->tensor = mem_new((size_t)n, sizeof *g->tensor);
    offset = mem_new((size_t)n, sizeof *offset);
    for (uint64_t i = 0; i < n; i++)
        if (read_tensor(g, c, &g->tensor[i], &offset[i], e))
            goto out;
    if (gguf_get_int(g, "general.alignment", &align, e) < 0)
        goto out;
    if (align < 1 || align > 1 << 20 || (align & (align - 1)) != 0) {
        err_set(e, ERR_FORMAT, "%s: general.alignment is %lld, expected a power of two", g->path, (long long)align);
        goto out;
    }
    start = ((uint64_t)(c->p - g->file.p) + (uint64_t)align - 1) / (uint64_t)align * (uint64_t)align;
    for (uint64_t i = 0; i < n; i++)
        if (place_tensor(g, &g->tensor[i], start, offset[i], (uint64_t)align, e))
            goto out;
    qsort(g->tensor, (size_t)n, sizeof *g->tensor, by_name);
    for (uint64_t i = 1; i < n; i++)
        if (strcmp(g->tensor[i - 1].name, g->tensor[i].name) == 0) {
            err_set(e, ERR_FORMAT, "%s: tensor '%s' appears twice", g->path, g->tensor[i].name);
            goto out;
        }
    rc = 0;
out:
    mem_free(offset);
    return rc;
}

struct gguf *gguf_open(const char *path, struct err *e)
{
    struct gguf *g = mem_new(1, sizeof *g);
    g->path = mem_strdup(path);
    if (mapped_open(path, &g->file, e))
        goto fail;
    struct cursor c = {g->file.p, g->file.p + g->file.n, NULL};
    const uint8_t *magic = take(&c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) {
        err_set(e, ERR_FORMAT, "%s: not a GGUF file (it does not begin with 'GGUF')", path);
        goto fail;
    }
    uint32_t version = take_u32(&c);
    uint64_t n_tensor = take_u64(&c), n_pair = take_u64(&c);
    if (c.bad) {
        err_set(e, ERR_FORMAT, "%s: header: %s", path, c.bad);
        goto fail;
    }
    if (version != 3) {
        err_set(e, ERR_UNSUPPORTED, "%s: GGUF version %u, expected 3", path, version);
        goto fail;
    }
    if (read_pairs(g, &c, n_pair, e) || read_tensors(g, &c, n_tensor, e) || gguf_check(g, e))
        goto fail;
    return g;
fail:
    (void)gguf_check(g, e); /* what went wrong then is that */
    gguf_close(g);
    return NULL;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_pair; i++)
        mem_free(g->pair[i].key);
    for (int i = 0; i < g->n_tensor; i++)
        mem_free((void *)(uintptr_t)g->tensor[i].name);
    mem_free(g->pair);
    mem_free(g->tensor);
    mapped_close(&g->file);
    mem_free(g->path);
    mem_free(g);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static const struct pair *lookup(const struct gguf *g, const char *key)
{
    struct pair want = {.key = (char *)(uintptr_t)key};
    return g->n_pair ? bsearch(&want, g->pair, (size_t)g->n_pair, sizeof *g->pair, by_key) : NULL;
}

int gguf_n_key(const struct gguf *g)
{
    return g->n_pair;
}

const char *gguf_key_at(const struct gguf *g, int i)
{
    return g->pair[i].key;
}

int gguf_has(const struct gguf *g, const char *key)
{
    return lookup(g, key) != NULL;
}

/* 1 when the value at p is an integer that an int64_t can hold. */
static int decode_int(enum gguf_type t, const uint8_t *p, int64_t *out)
{
    uint64_t v = little(p, scalar_size(t));
    switch (t) {
    case GGUF_I8: *out = (int8_t)v; return 1;
    case GGUF_I16: *out = (int16_t)v; return 1;
    case GGUF_I32: *out = (int32_t)v; return 1;
    case GGUF_I64: *out = (int64_t)v; return 1;
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: *out = (int64_t)v; return v <= INT64_MAX;
    case GGUF_BOOL: *out = v != 0; return 1;
    default: return 0;
    }
}

int gguf_get_int(const struct gguf *g, const char *key, int64_t *out, struct err *e)
{
    const struct pair *p = lookup(g, key);
    if (!p)
        return 0;
    if (!decode_int(p->type, p->at, out))
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is no integer (or too large)", g->path, key);
    return 1;
}

static int decode_real(enum gguf_type type, const uint8_t *at, double *out)
{
    int64_t v;
    float x;
    if (type == GGUF_F64) {
        memcpy(out, at, sizeof *out);
    } else if (type == GGUF_F32) {
        memcpy(&x, at, sizeof x);
        *out = (double)x;
    } else {
        if (!decode_int(type, at, &v))
            return 0;
        *out = (double)v;
    }
    return 1;
}

int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct pair *p = lookup(g, key);
    if (!p)
        return 0;
    return decode_real(p->type, p->at, out)
               ? 1
               : err_set(e, ERR_FORMAT, "%s: metadata key '%s' is no number", g->path, key);
}

/* Lengths were checked when the file was opened. */
static char *copy_string(const uint8_t **at, const char *key, struct err *e)
{
    uint64_t n = little(*at, 8);
    const char *s = (const char *)*at + 8;
    *at += 8 + n;
    if (memchr(s, 0, (size_t)n)) {
        err_set(e, ERR_FORMAT, "metadata key '%s': a string holds a NUL", key);
        return NULL;
    }
    return mem_strndup(s, (size_t)n);
}

int gguf_get_string(const struct gguf *g, const char *key, char **out, struct err *e)
{
    const struct pair *p = lookup(g, key);
    if (!p)
        return 0;
    if (p->type != GGUF_STRING)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is no string", g->path, key);
    const uint8_t *at = p->at;
    *out = copy_string(&at, key, e);
    return *out ? 1 : err_wrap(e, "%s", g->path);
}

int gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out, struct err *e)
{
    const struct pair *p = lookup(g, key);
    if (!p)
        return 0;
    if (p->type != GGUF_ARRAY)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is no array", g->path, key);
    out->type = (enum gguf_type)little(p->at, 4);
    out->n = little(p->at + 4, 8);
    out->at = p->at + 12;
    out->key = key;
    return 1;
}

char *gguf_next_string(struct gguf_array *a, struct err *e)
{
    if (a->n == 0 || a->type != GGUF_STRING) {
        err_set(e, ERR_FORMAT, "metadata key '%s': %s", a->key, a->n ? "elements are no strings" : "too short");
        return NULL;
    }
    a->n--;
    return copy_string(&a->at, a->key, e);
}

int gguf_next_int(struct gguf_array *a, int64_t *out, struct err *e)
{
    if (a->n == 0 || !decode_int(a->type, a->at, out))
        return err_set(e, ERR_FORMAT, "metadata key '%s': %s", a->key, a->n ? "elements are no integers" : "too short");
    a->n--;
    a->at += scalar_size(a->type);
    return 0;
}

int gguf_next_real(struct gguf_array *a, double *out, struct err *e)
{
    if (a->n == 0 || !decode_real(a->type, a->at, out))
        return err_set(e, ERR_FORMAT, "metadata key '%s': %s", a->key, a->n ? "elements are no numbers" : "too short");
    a->n--;
    a->at += scalar_size(a->type);
    return 0;
}

/* ---- tensors --------------------------------------------------------------------------------- */

int gguf_n_tensor(const struct gguf *g)
{
    return g->n_tensor;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, int i)
{
    return &g->tensor[i];
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
    struct gguf_tensor want = {.name = name};
    return bsearch(&want, g->tensor, (size_t)g->n_tensor, sizeof *g->tensor, by_name);
}

void gguf_release(const struct gguf *g, const struct gguf_tensor *t)
{
    mapped_release(&g->file, t->data, t->n / t->type->values * t->type->bytes);
}

int gguf_check(const struct gguf *g, struct err *e)
{
    return mapped_check(&g->file, g->path, e);
}
