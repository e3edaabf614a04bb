/* Lists of texts, and copies from one file to another. */
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

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
static char **cut(const struct h5 *f, const char *path, const char *bytes, size_t n_byte, const uint64_t *end, size_t n, struct err *e)
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
    if (!h5_readable(f, bytes_at.p, H5_TYPE_U8, e) || !h5_readable(f, end_at.p, H5_TYPE_U64, e) || h5_stat(f, bytes_at.p, &bytes, e) ||
        h5_stat(f, end_at.p, &end, e))
        goto out;
    text = mem_try((size_t)bytes.n + 1, 1, path, e);
    ends = text ? mem_try((size_t)end.n + 1, sizeof *ends, path, e) : NULL;
    if (!ends || h5_read(f, bytes_at.p, H5_TYPE_U8, text, (size_t)bytes.n, e) || h5_read(f, end_at.p, H5_TYPE_U64, ends, (size_t)end.n, e))
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
    const struct h5_node *node = h5_readable(f, path, H5_TYPE_STRING, e);
    unsigned char *ref = node ? mem_try((size_t)node->stored + 1, 1, path, e) : NULL;
    char **list = ref ? mem_try((size_t)node->n + 1, sizeof *list, path, e) : NULL;
    if (list && (h5_read_bytes(f, node, 0, node->stored, ref, e) || h5_heap_strings(f, path, ref, (size_t)node->n, list, e))) {
        mem_free(list);
        list = NULL;
    }
    *n = list ? (size_t)node->n : 0;
    mem_free(ref);
    return list;
}

int h5_read_strings(const struct h5 *f, const char *path, char ***s, size_t *n, struct err *e)
{
    const struct h5_node *node = h5_node_find(f->root, path);
    size_t count = 0;
    char **list = node && node->kind == H5_GROUP ? read_cut(f, path, &count, e) : read_variable(f, path, &count, e);
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

/* ---- copies ---------------------------------------------------------------------------------- */

/* Attributes that the writer has a form for; those of a foreign type are refused rather than lost. */
static int copy_attrs(const struct h5 *from, const struct h5_node *src, const char *src_path, struct h5 *to, const char *dst, struct err *e)
{
    int rc = src->attr_odd ? err_set(e, ERR_UNSUPPORTED, "%s:%s: its attributes are %s", from->path, src_path, src->attr_odd) : 0;
    for (size_t i = 0; i < src->n_attr && rc == 0; i++) {
        const struct h5_attr *a = &src->attr[i];
        int64_t whole;
        double real;
        char *text;
        if (h5_integer_of(a, &whole) == 0)
            rc = h5_set_int(to, dst, a->name, whole, e);
        else if (a->n == 1 && (a->type.as == H5_TYPE_F64 || a->type.as == H5_TYPE_F32))
            rc = h5_get_double(from, src_path, a->name, &real, e) || h5_set_double(to, dst, a->name, real, e) ? -1 : 0;
        else if ((text = h5_get_string(from, src_path, a->name, e)))
            rc = h5_set_string(to, dst, a->name, text, e), mem_free(text);
        else
            rc = -1;
    }
    return rc;
}

int h5_copy(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    const struct h5_node *node = h5_node_find(from->root, src);
    int rc = 0;
    to->failed++; /* until it is done */
    if (!node || node->odd) {
        h5_usable(from, src, H5_DATASET, e);
        return -1;
    }
    if (node->kind == H5_GROUP) {
        rc = h5_make_group(to, dst, e);
        for (size_t i = 0; i < node->n_child && rc == 0; i++) {
            struct str a = {0}, b = {0};
            str_addf(&a, "%s/%s", strcmp(src, "/") == 0 ? "" : src, node->child[i]->name);
            str_addf(&b, "%s/%s", strcmp(dst, "/") == 0 ? "" : dst, node->child[i]->name);
            rc = h5_copy(from, a.p, to, b.p, e);
            str_free(&a);
            str_free(&b);
        }
    } else if (node->type.as == H5_TYPE_STRING) {
        char **s = NULL;
        size_t n = 0;
        rc = h5_read_strings(from, src, &s, &n, e) || h5_write_strings(to, dst, (const char *const *)s, n, e) ? -1 : 0;
        h5_free_strings(s, n);
    } else {
        struct h5_node *copy = h5_readable(from, src, node->type.as, e) ? h5_new_dataset(to, dst, node->type.as, node->rank, node->dim, e) : NULL;
        rc = copy ? h5_append_copy(to, from, node, &copy->at, e) : -1;
    }
    rc = rc ? rc : copy_attrs(from, node, src, to, dst, e);
    if (rc == 0)
        to->failed--;
    return rc;
}
