/* What the header promises, on the tree of nodes that h5_parse.c reads and h5_emit.c writes. */
#include "harness/base/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5_int.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are read and written as they lie in memory");

static const struct {
    const char *name;
    size_t size;
} type_table[] = {
    [H5_TYPE_F32] = {"f32", 4}, [H5_TYPE_F64] = {"f64", 8}, [H5_TYPE_I32] = {"i32", 4},
    [H5_TYPE_I64] = {"i64", 8}, [H5_TYPE_U8] = {"u8", 1},   [H5_TYPE_U64] = {"u64", 8},
    [H5_TYPE_F16] = {"f16", 2}, [H5_TYPE_BF16] = {"bf16", 2},
    [H5_TYPE_STRING] = {"string", 0}, [H5_TYPE_OTHER] = {"of another type", 0},
};

size_t h5_type_size(enum h5_type t)
{
    return type_table[t].size;
}

const char *h5_type_name(enum h5_type t)
{
    return type_table[t].name;
}

/* ---- files and groups ------------------------------------------------------------------------ */

static void release(struct h5 *f)
{
    if (f->in >= 0)
        close(f->in);
    if (f->out >= 0) {
        close(f->out);
        unlink(f->tmp);
        leave_forget(f->number);
    }
    h5_node_free(f->root);
    mem_free(f->tmp);
    mem_free(f->path);
    mem_free(f);
}

static int open_output(struct h5 *f, struct err *e)
{
    static unsigned long order; /* not for use from several threads */
    struct stat st;
    struct str tmp = {0};
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: exists and is not a regular file", f->path);
    str_addf(&tmp, "%s.tmp.%ld.%lu", f->path, (long)getpid(), order++);
    f->tmp = str_take(&tmp);
    f->number = leave_remove(f->tmp);
    f->out = open(f->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    f->end = 48; /* the superblock's room */
    if (f->out >= 0)
        return 0;
    leave_forget(f->number);
    return fs_fail(f->path, e);
}

struct h5 *h5_open(const char *path, enum h5_mode mode, struct err *e)
{
    struct h5 *f = mem_new(1, sizeof *f), *old = NULL;
    int64_t size = 0;
    int rc;
    f->path = mem_strdup(path);
    f->in = f->out = -1;
    f->writable = mode != H5_MODE_READ;
    if (f->writable) {
        f->root = h5_node_new("", 0, H5_GROUP);
        rc = open_output(f, e);
        if (rc == 0 && mode == H5_MODE_APPEND && fs_exists(path)) {
            old = h5_open(path, H5_MODE_READ, e);
            rc = old ? h5_copy(old, "/", f, "/", e) : -1;
            h5_abandon(old);
        }
    } else {
        f->in = fs_open(path, &size, e);
        f->size = (uint64_t)size;
        rc = f->in < 0 ? -1 : h5_parse(f, e);
    }
    if (rc) {
        release(f);
        return NULL;
    }
    return f;
}

void h5_abandon(struct h5 *f)
{
    if (f)
        release(f);
}

/* Everything is on the disk before the name is: who reads sees the old file or the new one. */
static int commit(struct h5 *f, struct err *e)
{
    int rc = h5_emit(f, e);
    if (rc == 0 && fsync(f->out) && errno != EINVAL && errno != ENOTSUP) /* some file systems can't */
        rc = fs_fail(f->path, e);
    int fd = f->out;
    f->out = -1;
    if (close(fd) && rc == 0)
        rc = fs_fail(f->path, e);
    if (rc == 0 && rename(f->tmp, f->path))
        rc = fs_fail(f->path, e);
    if (rc)
        unlink(f->tmp);
    leave_forget(f->number);
    return rc;
}

int h5_close(struct h5 *f, struct err *e)
{
    int rc = 0;
    if (!f)
        return 0;
    if (f->failed)
        rc = err_set(e, ERR_IO, "%s: not written, because a part of it could not be", f->path);
    else if (f->writable)
        rc = commit(f, e);
    release(f);
    return rc;
}

const char *h5_path(const struct h5 *f)
{
    return f->path;
}

int h5_exists(const struct h5 *f, const char *path)
{
    return h5_node_find(f->root, path) != NULL;
}

/* Whatever goes wrong while writing is remembered, so that no half of a file takes the name of a whole one. */
static int refuse(struct h5 *f, const char *path, const char *what, struct err *e)
{
    f->failed = 1;
    return err_set(e, ERR_FORMAT, "%s:%s: %s", f->path, path, what);
}

/* The group at a path, made with its parents where there is none. */
static struct h5_node *make_group(struct h5 *f, const char *path, size_t n, struct err *e)
{
    struct h5_node *node = f->root;
    if (!f->writable || n == 0 || path[0] != '/') {
        refuse(f, path, f->writable ? "not an absolute path" : "opened for reading alone", e);
        return NULL;
    }
    for (const char *p = path + 1; p < path + n;) {
        size_t k = strcspn(p, "/");
        k = p + k > path + n ? (size_t)(path + n - p) : k;
        char *name = mem_strndup(p, k), *one = mem_new(k + 2, 1);
        snprintf(one, k + 2, "/%s", name);
        struct h5_node *child = k ? h5_node_find(node, one) : node;
        if (!child) {
            child = h5_node_new(p, k, H5_GROUP);
            h5_node_add(node, child);
        }
        mem_free(name);
        mem_free(one);
        if (k > H5_MAX_NAME || child->kind != H5_GROUP || child->odd) {
            refuse(f, path, "a dataset stands where a group is to be, or a name is too long", e);
            return NULL;
        }
        node = child;
        p += k + (p[k] == '/');
    }
    return node;
}

int h5_make_group(struct h5 *f, const char *path, struct err *e)
{
    return make_group(f, path, strlen(path), e) ? 0 : -1;
}

/* What a path names, if it can be used. */
const struct h5_node *h5_usable(const struct h5 *f, const char *path, enum h5_kind kind, struct err *e)
{
    const struct h5_node *node = h5_node_find(f->root, path), *above = node;
    char *group = mem_strdup(path);
    for (char *cut; !above && (cut = strrchr(group, '/')) && cut > group; above = h5_node_find(f->root, group))
        *cut = '\0'; /* up to the group that hides it, if one does */
    if (!node && above && above->odd)
        err_set(e, ERR_UNSUPPORTED, "%s:%s: %s", f->path, group, above->odd);
    else if (!node)
        err_set(e, ERR_FORMAT, "%s:%s: missing", f->path, path);
    else if (node->odd)
        err_set(e, ERR_UNSUPPORTED, "%s:%s: %s", f->path, path, node->odd);
    else if (node->kind != kind)
        err_set(e, ERR_FORMAT, "%s:%s: a %s, expected a %s", f->path, path, kind == H5_GROUP ? "dataset" : "group",
                kind == H5_GROUP ? "group" : "dataset");
    mem_free(group);
    return node && !node->odd && node->kind == kind ? node : NULL;
}

int h5_list(const struct h5 *f, const char *group, char ***names, size_t *n, struct err *e)
{
    const struct h5_node *node = h5_usable(f, group, H5_GROUP, e);
    char **list = node ? mem_try(node->n_child + 1, sizeof *list, "names of a group", e) : NULL;
    if (!list)
        return -1;
    for (size_t i = 0; i < node->n_child; i++)
        list[i] = mem_strdup(node->child[i]->name);
    *names = list;
    *n = node->n_child;
    return 0;
}

/* ---- datasets -------------------------------------------------------------------------------- */

int h5_stat(const struct h5 *f, const char *path, struct h5_info *out, struct err *e)
{
    const struct h5_node *node = h5_usable(f, path, H5_DATASET, e);
    if (!node)
        return -1;
    struct h5_info info = {.type = node->type.as, .rank = node->rank, .n = node->n, .stored = node->stored};
    memcpy(info.dim, node->dim, sizeof info.dim);
    *out = info;
    return 0;
}

/* A dataset of that shape, which is not there yet. */
struct h5_node *h5_new_dataset(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, struct err *e)
{
    const char *last = strrchr(path, '/');
    struct h5_node *group = last ? make_group(f, path, last == path ? 1 : (size_t)(last - path), e) : NULL;
    if (!group) {
        f->failed = 1;
        return NULL;
    }
    struct h5_node *node = h5_node_new(last + 1, strlen(last + 1), H5_DATASET);
    node->type = (struct h5_dtype){.as = t, .size = (uint32_t)h5_type_size(t)};
    node->fresh = 1;
    node->rank = rank;
    node->n = 1;
    for (int i = 0; i < rank; i++) {
        node->dim[i] = dim[i];
        node->n *= dim[i];
    }
    node->stored = node->n * node->type.size;
    if (!*node->name || strlen(node->name) > H5_MAX_NAME || h5_node_add(group, node)) {
        refuse(f, path, "can't be created: it is there already, or its name is too long", e);
        h5_node_free(node);
        return NULL;
    }
    return node;
}

int h5_write(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, const void *data,
             struct err *e)
{
    size_t bytes = h5_type_size(t);
    if (bytes == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    if (rank < 0 || rank > H5_MAX_RANK) {
        f->failed = 1;
        return err_set(e, ERR_SHAPE, "%s:%s: %d dimensions, at most %d", f->path, path, rank, H5_MAX_RANK);
    }
    for (int i = 0; i < rank; i++)
        if (!mem_mul(bytes, (size_t)dim[i], &bytes))
            return refuse(f, path, "too large", e);
    struct h5_node *node = h5_new_dataset(f, path, t, rank, dim, e);
    return node ? h5_append_bytes(f, data, node->stored, &node->at, e) : -1;
}

/* A dataset of n elements of type t, all of them stored. */
const struct h5_node *h5_readable(const struct h5 *f, const char *path, enum h5_type t, struct err *e)
{
    const struct h5_node *node = h5_usable(f, path, H5_DATASET, e);
    if (!node)
        return NULL;
    if (node->type.as != t || t == H5_TYPE_OTHER) {
        err_set(e, ERR_FORMAT, "%s:%s: elements are %s, expected %s", f->path, path, h5_type_name(node->type.as),
                h5_type_name(t));
        return NULL;
    }
    if (node->stored != node->n * node->type.size) {
        err_set(e, ERR_FORMAT, "%s:%s: %llu bytes stored, expected %llu", f->path, path, (unsigned long long)node->stored,
                (unsigned long long)(node->n * node->type.size));
        return NULL;
    }
    return node;
}

int h5_read(const struct h5 *f, const char *path, enum h5_type t, void *dst, size_t n, struct err *e)
{
    if (h5_type_size(t) == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    const struct h5_node *node = h5_readable(f, path, t, e);
    if (!node)
        return -1;
    if (node->n != n)
        return err_set(e, ERR_SHAPE, "%s:%s: %llu elements, expected %zu", f->path, path, (unsigned long long)node->n, n);
    return h5_read_bytes(f, node, 0, node->stored, dst, e);
}

int h5_read_rows(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e)
{
    const struct h5_node *node = h5_readable(f, path, t, e);
    if (!node)
        return -1;
    uint64_t rows = node->rank ? node->dim[0] : 1, row = rows ? node->stored / rows : 0;
    if (first > rows || n > rows - first)
        return err_set(e, ERR_SHAPE, "%s:%s: %llu rows, asked for %llu from %llu on", f->path, path, (unsigned long long)rows,
                       (unsigned long long)n, (unsigned long long)first);
    return h5_read_bytes(f, node, first * row, n * row, dst, e);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static int set_attr(struct h5 *f, const char *path, const char *name, struct h5_dtype type, const void *v, struct err *e)
{
    struct h5_node *node = h5_node_find(f->root, path);
    if (!f->writable || !node || node->kind == H5_ODD)
        return refuse(f, path, node ? "an attribute can't be written here" : "missing, and was to get an attribute", e);
    struct h5_attr *a = h5_node_attr(node, name);
    a = a ? a : h5_node_attr_new(node, name, strlen(name));
    mem_free(a->data);
    a->type = type;
    a->n = 1;
    a->data = mem_new(type.size + 1, 1);
    memcpy(a->data, v, type.size);
    return 0;
}

int h5_set_int(struct h5 *f, const char *path, const char *name, int64_t v, struct err *e)
{
    return set_attr(f, path, name, (struct h5_dtype){.as = H5_TYPE_I64, .class = H5_CLASS_INT, .size = 8, .plain = 1, .is_signed = 1}, &v, e);
}

int h5_set_double(struct h5 *f, const char *path, const char *name, double v, struct err *e)
{
    return set_attr(f, path, name, (struct h5_dtype){.as = H5_TYPE_F64, .class = H5_CLASS_FLOAT, .size = 8}, &v, e);
}

int h5_set_string(struct h5 *f, const char *path, const char *name, const char *v, struct err *e)
{
    size_t n = strlen(v);
    if (n > H5_MAX_ATTR) {
        f->failed = 1;
        return err_set(e, ERR_UNSUPPORTED, "%s:%s: attribute '%s' has %zu bytes, at most %d", f->path, path, name, n, (int)H5_MAX_ATTR);
    }
    return set_attr(f, path, name, (struct h5_dtype){.as = H5_TYPE_STRING, .class = H5_CLASS_STRING, .size = (uint32_t)n + 1}, v, e);
}

int h5_has(const struct h5 *f, const char *path, const char *name)
{
    const struct h5_node *node = h5_node_find(f->root, path);
    return node && h5_node_attr(node, name) != NULL;
}

/* NULL with the error set unless there is one such value. */
static const struct h5_attr *find_attr(const struct h5 *f, const char *path, const char *name, struct err *e)
{
    const struct h5_node *node = h5_node_find(f->root, path);
    const struct h5_attr *a = node ? h5_node_attr(node, name) : NULL;
    if (!a && node && node->attr_odd)
        err_set(e, ERR_UNSUPPORTED, "%s:%s: attribute '%s' can't be read: %s", f->path, path, name, node->attr_odd);
    else if (!a)
        err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' missing", f->path, path, name);
    return a;
}

static int not_one(const struct h5 *f, const char *path, const char *name, const char *what, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' is not one %s", f->path, path, name, what);
}

/* A plain integer of 1 to 8 bytes; -1 when it is none, or does not fit. */
int h5_integer_of(const struct h5_attr *a, int64_t *v)
{
    if (a->n != 1 || !a->data || a->type.class != H5_CLASS_INT || !a->type.plain)
        return -1;
    uint64_t u = 0;
    unsigned bits = 8 * a->type.size;
    for (uint32_t i = 0; i < a->type.size; i++)
        u |= (uint64_t)a->data[i] << 8 * i;
    if (a->type.is_signed && bits < 64 && u >> (bits - 1))
        u |= ~(uint64_t)0 << bits;
    if (!a->type.is_signed && u > INT64_MAX)
        return -1;
    memcpy(v, &u, sizeof u);
    return 0;
}

int h5_get_int(const struct h5 *f, const char *path, const char *name, int64_t *v, struct err *e)
{
    const struct h5_attr *a = find_attr(f, path, name, e);
    if (!a)
        return -1;
    return h5_integer_of(a, v) ? not_one(f, path, name, "integer", e) : 0;
}

int h5_get_double(const struct h5 *f, const char *path, const char *name, double *v, struct err *e)
{
    const struct h5_attr *a = find_attr(f, path, name, e);
    int64_t whole;
    float single;
    if (!a)
        return -1;
    if (a->n == 1 && a->data && a->type.as == H5_TYPE_F64) {
        memcpy(v, a->data, sizeof *v);
    } else if (a->n == 1 && a->data && a->type.as == H5_TYPE_F32) {
        memcpy(&single, a->data, sizeof single);
        *v = (double)single;
    } else if (h5_integer_of(a, &whole) == 0) {
        *v = (double)whole;
    } else {
        return not_one(f, path, name, "number", e);
    }
    return 0;
}

/* h5py writes variable-length texts, this file fixed ones: both are read. */
char *h5_get_string(const struct h5 *f, const char *path, const char *name, struct err *e)
{
    const struct h5_attr *a = find_attr(f, path, name, e);
    char *out = NULL;
    if (!a)
        return NULL;
    if (a->n == 1 && a->data && a->type.class == H5_CLASS_VARIABLE && a->type.as == H5_TYPE_STRING) {
        if (h5_heap_strings(f, path, a->data, 1, &out, e)) {
            err_wrap(e, "attribute '%s'", name);
            return NULL;
        }
    } else if (a->n == 1 && a->data && a->type.class == H5_CLASS_STRING) {
        size_t n = strnlen((const char *)a->data, a->type.size), behind = n;
        while (behind < a->type.size && !a->data[behind])
            behind++;
        if (behind < a->type.size) {
            err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' holds a NUL", f->path, path, name);
            return NULL;
        }
        out = mem_strndup((const char *)a->data, n);
    } else {
        not_one(f, path, name, "string", e);
    }
    return out;
}
