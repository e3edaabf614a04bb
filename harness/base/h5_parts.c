/* What the library's wrapper gives, put together: whole datasets, lists of texts, copies from one file to another. */
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are read and written as they lie in memory");

static const struct {
    const char *name;
    size_t size;
} type_table[] = {
    [H5_TYPE_F32] = {"f32", 4},       [H5_TYPE_F64] = {"f64", 8},
    [H5_TYPE_I32] = {"i32", 4},       [H5_TYPE_I64] = {"i64", 8},
    [H5_TYPE_U8] = {"u8", 1},         [H5_TYPE_U64] = {"u64", 8},
    [H5_TYPE_F16] = {"f16", 2},       [H5_TYPE_BF16] = {"bf16", 2},
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

/* ---- paths ----------------------------------------------------------------------------------- */

/* The groups above a path, and itself when `whole`. */
static int make_groups(struct h5 *f, const char *path, int whole, struct err *e)
{
    const char *wrong = !f->writable ? "opened for reading alone" : path[0] != '/' ? "not an absolute path" : NULL;
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *p = copy + 1; !wrong && rc == 0 && *p;) {
        size_t n = strcspn(p, "/");
        char was = p[n];
        if (n == 0 || n >= H5_MAX_NAME)
            wrong = "a name is too long, or empty";
        if (wrong || (!was && !whole))
            break;
        p[n] = '\0';
        if (!h5_exists(f, copy))
            rc = h5_create_group(f, copy, e);
        else if (!h5_is_group(f, copy))
            wrong = "a dataset stands where a group is to be";
        p[n] = was;
        p += n + (was == '/');
    }
    mem_free(copy);
    if (wrong || rc)
        f->failed = 1;
    return wrong ? err_set(e, ERR_FORMAT, "%s:%s: %s", f->path, path, wrong) : rc;
}

int h5_make_group(struct h5 *f, const char *path, struct err *e)
{
    return make_groups(f, path, 1, e);
}

/* ---- whole datasets -------------------------------------------------------------------------- */

static int new_dataset(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, struct err *e)
{
    return make_groups(f, path, 0, e) || h5_create_dataset(f, path, t, rank, dim, e) ? -1 : 0;
}

/* A dataset of type t, all elements of which are stored. */
static int readable(const struct h5 *f, const char *path, enum h5_type t, struct h5_info *info, struct err *e)
{
    if (h5_stat(f, path, info, e))
        return -1;
    uint64_t want = info->n * (t == H5_TYPE_STRING ? 16 : h5_type_size(t)); /* a reference to a text has 16 bytes */
    if (info->type != t || t == H5_TYPE_OTHER)
        return err_set(e, ERR_FORMAT, "%s:%s: elements are %s, expected %s", f->path, path, h5_type_name(info->type),
                       h5_type_name(t));
    if (info->stored != want)
        return err_set(e, ERR_FORMAT, "%s:%s: %llu bytes stored, expected %llu", f->path, path,
                       (unsigned long long)info->stored, (unsigned long long)want);
    return 0;
}

int h5_read_rows(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e)
{
    struct h5_info info;
    if (h5_type_size(t) == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    if (readable(f, path, t, &info, e))
        return -1;
    uint64_t rows = info.rank ? info.dim[0] : 1;
    if (first > rows || n > rows - first)
        return err_set(e, ERR_SHAPE, "%s:%s: %llu rows, asked for %llu from %llu on", f->path, path,
                       (unsigned long long)rows, (unsigned long long)n, (unsigned long long)first);
    return n && info.n ? h5_read_part(f, path, t, first, n, dst, e) : 0;
}

int h5_write(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, const void *data,
             struct err *e)
{
    size_t bytes = h5_type_size(t), n = 1;
    if (bytes == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    f->failed++; /* until it is done */
    if (rank < 0 || rank > H5_MAX_RANK)
        return err_set(e, ERR_SHAPE, "%s:%s: %d dimensions, at most %d", f->path, path, rank, H5_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (!mem_mul(n, (size_t)dim[i], &n) || !mem_mul(n, bytes, &(size_t){0}))
            return err_set(e, ERR_FORMAT, "%s:%s: too large", f->path, path);
    f->failed--;
    if (new_dataset(f, path, t, rank, dim, e))
        return -1;
    return n ? h5_write_part(f, path, t, 0, rank ? dim[0] : 1, data, e) : 0;
}

int h5_read(const struct h5 *f, const char *path, enum h5_type t, void *dst, size_t n, struct err *e)
{
    struct h5_info info;
    if (h5_type_size(t) == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    if (readable(f, path, t, &info, e))
        return -1;
    if (info.n != n)
        return err_set(e, ERR_SHAPE, "%s:%s: %llu elements, expected %zu", f->path, path, (unsigned long long)info.n,
                       n);
    return n ? h5_read_part(f, path, t, 0, info.rank ? info.dim[0] : 1, dst, e) : 0;
}

/* ---- texts ----------------------------------------------------------------------------------- */

int h5_write_strings(struct h5 *f, const char *path, const char *const *s, size_t n, struct err *e)
{
    struct str bytes = {0}, at = {0};
    uint64_t *end = mem_new(n + 1, sizeof *end);
    for (size_t i = 0; i < n; i++) {
        str_add(&bytes, s[i]);
        end[i] = bytes.n;
    }
    str_addf(&at, "%s/bytes", path);
    int rc = h5_write(f, at.p, H5_TYPE_U8, 1, (const uint64_t[]){bytes.n}, str_c(&bytes), e);
    str_clear(&at);
    str_addf(&at, "%s/end", path);
    rc = rc ? rc : h5_write(f, at.p, H5_TYPE_U64, 1, (const uint64_t[]){n}, end, e);
    mem_free(end);
    str_free(&bytes);
    str_free(&at);
    return rc;
}

/* Texts that lie one behind the other; text i ends at end[i]. */
static char **cut(const struct h5 *f, const char *path, const char *bytes, size_t n_byte, const uint64_t *end, size_t n,
                  struct err *e)
{
    char **list = mem_try(n + 1, sizeof *list, path, e);
    uint64_t from = 0;
    for (size_t i = 0; list && i < n; from = end[i++]) {
        if (end[i] < from || end[i] > n_byte || memchr(bytes + from, '\0', (size_t)(end[i] - from))) {
            err_set(e, ERR_FORMAT, "%s:%s: text %zu ends outside, or holds a NUL", f->path, path, i);
            h5_free_strings(list, i);
            return NULL;
        }
        list[i] = mem_strndup(bytes + from, (size_t)(end[i] - from));
    }
    if (list && from != n_byte) {
        err_set(e, ERR_FORMAT, "%s:%s: %zu bytes behind the last text", f->path, path, (size_t)(n_byte - from));
        h5_free_strings(list, n);
        return NULL;
    }
    return list;
}

static char **read_cut(const struct h5 *f, const char *path, size_t *n, struct err *e)
{
    struct str bytes_at = {0}, end_at = {0};
    struct h5_info bytes, end;
    char *text = NULL, **list = NULL;
    uint64_t *ends = NULL;
    str_addf(&bytes_at, "%s/bytes", path);
    str_addf(&end_at, "%s/end", path);
    /* the elements are there before memory for them is asked for */
    if (readable(f, bytes_at.p, H5_TYPE_U8, &bytes, e) || readable(f, end_at.p, H5_TYPE_U64, &end, e))
        goto out;
    text = mem_try((size_t)bytes.n + 1, 1, path, e);
    ends = text ? mem_try((size_t)end.n + 1, sizeof *ends, path, e) : NULL;
    if (!ends || h5_read(f, bytes_at.p, H5_TYPE_U8, text, (size_t)bytes.n, e) ||
        h5_read(f, end_at.p, H5_TYPE_U64, ends, (size_t)end.n, e))
        goto out;
    list = cut(f, path, text, (size_t)bytes.n, ends, (size_t)end.n, e);
    *n = (size_t)end.n;
out:
    mem_free(text);
    mem_free(ends);
    str_free(&bytes_at);
    str_free(&end_at);
    return list;
}

static char **read_variable(const struct h5 *f, const char *path, size_t *n, struct err *e)
{
    struct h5_info info;
    if (readable(f, path, H5_TYPE_STRING, &info, e)) /* before memory is asked for */
        return NULL;
    char **list = mem_try((size_t)info.n + 1, sizeof *list, path, e);
    if (list && h5_read_variable(f, path, list, (size_t)info.n, e)) {
        mem_free(list);
        list = NULL;
    }
    *n = list ? (size_t)info.n : 0;
    return list;
}

int h5_read_strings(const struct h5 *f, const char *path, char ***s, size_t *n, struct err *e)
{
    size_t count = 0;
    char **list = h5_is_group(f, path) ? read_cut(f, path, &count, e) : read_variable(f, path, &count, e);
    if (!list)
        return -1;
    *s = list;
    *n = count;
    return 0;
}

void h5_free_strings(char **s, size_t n)
{
    for (size_t i = 0; s && i < n; i++)
        mem_free(s[i]);
    mem_free(s);
}

/* ---- attributes ------------------------------------------------------------------------------ */

int h5_set_int(struct h5 *f, const char *path, const char *name, int64_t v, struct err *e)
{
    return h5_set_attr(f, path, name, H5_TYPE_I64, sizeof v, &v, e);
}

int h5_set_double(struct h5 *f, const char *path, const char *name, double v, struct err *e)
{
    return h5_set_attr(f, path, name, H5_TYPE_F64, sizeof v, &v, e);
}

/* Fixed length: nothing lies outside the header. */
int h5_set_string(struct h5 *f, const char *path, const char *name, const char *v, struct err *e)
{
    size_t n = strlen(v);
    if (n <= H5_MAX_ATTR)
        return h5_set_attr(f, path, name, H5_TYPE_STRING, n + 1, v, e);
    f->failed = 1;
    return err_set(e, ERR_UNSUPPORTED, "%s:%s: attribute '%s' has %zu bytes, at most %d", f->path, path, name, n,
                   (int)H5_MAX_ATTR);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static int copy_numbers(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    enum { PIECE = 1 << 20 };
    struct h5_info info;
    if (h5_stat(from, src, &info, e))
        return -1;
    if (readable(from, src, info.type, &info, e) || new_dataset(to, dst, info.type, info.rank, info.dim, e))
        return -1;
    uint64_t rows = info.rank ? info.dim[0] : 1, row = rows ? info.stored / rows : 0, part = row ? PIECE / row + 1 : 0;
    part = part < rows ? part : rows;
    char *piece = mem_try_raw((size_t)(part * row) + 1, 1, src, e);
    int rc = piece ? 0 : -1;
    for (uint64_t done = 0; row && done < rows && rc == 0; done += part) {
        part = part < rows - done ? part : rows - done;
        rc = h5_read_part(from, src, info.type, done, part, piece, e) ||
                     h5_write_part(to, dst, info.type, done, part, piece, e)
                 ? -1
                 : 0;
    }
    mem_free(piece);
    return rc;
}

static int copy_group(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = h5_make_group(to, dst, e) || h5_list(from, src, &name, &n, e) ? -1 : 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct str a = {0}, b = {0};
        str_addf(&a, "%s/%s", strcmp(src, "/") == 0 ? "" : src, name[i]);
        str_addf(&b, "%s/%s", strcmp(dst, "/") == 0 ? "" : dst, name[i]);
        rc = h5_copy(from, a.p, to, b.p, e);
        str_free(&a);
        str_free(&b);
    }
    h5_free_strings(name, n);
    return rc;
}

/* Texts of variable length become a list of our kind. */
static int copy_dataset(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    struct h5_info info;
    char **s = NULL;
    size_t n = 0;
    if (h5_stat(from, src, &info, e))
        return -1;
    if (info.type != H5_TYPE_STRING)
        return copy_numbers(from, src, to, dst, e);
    int rc = h5_read_strings(from, src, &s, &n, e) || h5_write_strings(to, dst, (const char *const *)s, n, e) ? -1 : 0;
    h5_free_strings(s, n);
    return rc;
}

/* Numbers and texts become those of our writer. */
static int copy_attrs(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    char **name = NULL, *text;
    size_t n = 0;
    int rc = h5_list_attrs(from, src, &name, &n, e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        int64_t whole;
        double real;
        if (h5_get_int(from, src, name[i], &whole, NULL) == 0)
            rc = h5_set_int(to, dst, name[i], whole, e);
        else if (h5_get_double(from, src, name[i], &real, NULL) == 0)
            rc = h5_set_double(to, dst, name[i], real, e);
        else if ((text = h5_get_string(from, src, name[i], e)))
            rc = h5_set_string(to, dst, name[i], text, e), mem_free(text);
        else
            rc = -1;
    }
    h5_free_strings(name, n);
    return rc;
}

int h5_copy(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    to->failed++; /* until it is done */
    int rc = h5_is_group(from, src) ? copy_group(from, src, to, dst, e) : copy_dataset(from, src, to, dst, e);
    rc = rc ? rc : copy_attrs(from, src, to, dst, e);
    if (rc == 0)
        to->failed--;
    return rc;
}
