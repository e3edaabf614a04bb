/* Every handle starts invalid and is closed on one exit path; the library's own error printing is off, and the
 * innermost entry of its error stack goes into our message. */
#include "harness/base/h5.h"

#include <errno.h>
#include <hdf5.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/base/mem.h"

enum { MAX_ATTR_STRING = 60000 }; /* an attribute must fit the 64 KiB of an object header */

struct h5 {
    hid_t id;
    char *path;
    int writable;
};

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *out)
{
    if (n == 0)
        *(const char **)out = entry->desc;
    return 0;
}

/* "<file>:<path>: <what> (<the library's reason>)" */
static int fail(const struct h5 *f, const char *path, const char *what, struct err *e)
{
    const char *why = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &why);
    err_set(e, ERR_FORMAT, "%s:%s: %s%s%s%s", f->path, path, what, why ? " (" : "", why ? why : "",
            why ? ")" : "");
    H5Eclear2(H5E_DEFAULT);
    return -1;
}

static void quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Closes a handle of any kind; what was never opened (and H5S_ALL, which is 0) is left alone. */
static void drop(hid_t id)
{
    if (id > 0)
        H5Idec_ref(id);
}

/* ---- types ---------------------------------------------------------------------------------- */

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

/* A 16-bit float with the given exponent and mantissa widths, sign on top. The fields are set while the type
 * still has 32 bits, because the library refuses a size that its fields do not fit. */
static hid_t small_float(size_t exponent, size_t mantissa, size_t bias)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    if (t < 0 || H5Tset_fields(t, 15, mantissa, exponent, 0, mantissa) < 0 || H5Tset_size(t, 2) < 0 ||
        H5Tset_ebias(t, bias) < 0) {
        if (t >= 0)
            H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

static hid_t string_type(void)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, H5T_VARIABLE) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0)) {
        H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

/* The type on disk (little-endian everywhere) or in memory; the caller closes it. */
static hid_t make_type(enum h5_type t, int on_disk)
{
    switch (t) {
    case H5_TYPE_F32: return H5Tcopy(on_disk ? H5T_IEEE_F32LE : H5T_NATIVE_FLOAT);
    case H5_TYPE_F64: return H5Tcopy(on_disk ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    case H5_TYPE_I32: return H5Tcopy(on_disk ? H5T_STD_I32LE : H5T_NATIVE_INT32);
    case H5_TYPE_I64: return H5Tcopy(on_disk ? H5T_STD_I64LE : H5T_NATIVE_INT64);
    case H5_TYPE_U8: return H5Tcopy(on_disk ? H5T_STD_U8LE : H5T_NATIVE_UINT8);
    case H5_TYPE_U64: return H5Tcopy(on_disk ? H5T_STD_U64LE : H5T_NATIVE_UINT64);
    case H5_TYPE_F16: return small_float(5, 10, 15);
    case H5_TYPE_BF16: return small_float(8, 7, 127);
    case H5_TYPE_STRING: return string_type();
    default: return H5I_INVALID_HID;
    }
}

static enum h5_type classify(hid_t id)
{
    if (H5Tget_class(id) == H5T_STRING)
        return H5Tis_variable_str(id) > 0 ? H5_TYPE_STRING : H5_TYPE_OTHER;
    for (int t = 0; t < H5_TYPE_STRING; t++) {
        hid_t want = make_type((enum h5_type)t, 1);
        int same = want >= 0 && H5Tequal(id, want) > 0;
        if (want >= 0)
            H5Tclose(want);
        if (same)
            return (enum h5_type)t;
    }
    return H5_TYPE_OTHER;
}

/* ---- files and groups ------------------------------------------------------------------------ */

struct h5 *h5_open(const char *path, enum h5_mode mode, struct err *e)
{
    struct stat st;
    hid_t id = H5I_INVALID_HID;
    int there = stat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) {
        err_set(e, ERR_IO, "%s: not a regular file", path);
        return NULL;
    }
    if (!there && mode == H5_MODE_READ) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    quiet();
    errno = 0;
    if (mode == H5_MODE_READ)
        id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    else if (mode == H5_MODE_APPEND && there)
        id = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    else
        id = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (id < 0) {
        if (errno == EACCES || errno == ENOENT || errno == EISDIR || errno == EROFS)
            err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        else
            err_set(e, ERR_FORMAT, "%s: %s", path,
                    mode == H5_MODE_CREATE ? "can't be created" : "not an HDF5 file, truncated, or in use");
        H5Eclear2(H5E_DEFAULT);
        return NULL;
    }
    struct h5 *f = mem_new(1, sizeof *f);
    f->id = id;
    f->path = mem_strdup(path);
    f->writable = mode != H5_MODE_READ;
    return f;
}

int h5_close(struct h5 *f, struct err *e)
{
    int rc = 0;
    if (!f)
        return 0;
    if (f->writable && H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
        rc = fail(f, "/", "can't be written", e);
    if (H5Fclose(f->id) < 0 && rc == 0)
        rc = fail(f, "/", "can't be closed", e);
    mem_free(f->path);
    mem_free(f);
    return rc;
}

const char *h5_path(const struct h5 *f)
{
    return f->path;
}

/* H5Lexists fails when a part on the way is missing, so each prefix is asked for in turn. */
int h5_exists(const struct h5 *f, const char *path)
{
    int there = path[0] == '/';
    char *copy = mem_strdup(path);
    for (char *p = copy + 1; there && p[-1] && *p; p++) {
        char *end = p + strcspn(p, "/");
        char was = *end;
        *end = '\0';
        there = H5Lexists(f->id, copy, H5P_DEFAULT) > 0;
        *end = was;
        if (!was)
            break;
        p = end;
    }
    mem_free(copy);
    H5Eclear2(H5E_DEFAULT);
    return there;
}

/* Links make the groups above them; datasets carry no times, so that the same content gives the same bytes. */
static hid_t property(hid_t class)
{
    hid_t p = H5Pcreate(class);
    if (p >= 0 && (class == H5P_LINK_CREATE ? H5Pset_create_intermediate_group(p, 1) : H5Pset_obj_track_times(p, 0)) >= 0)
        return p;
    drop(p);
    return H5I_INVALID_HID;
}

int h5_make_group(struct h5 *f, const char *path, struct err *e)
{
    hid_t parents = H5I_INVALID_HID, g = H5I_INVALID_HID;
    int rc = -1;
    if (strcmp(path, "/") == 0 || h5_exists(f, path))
        return 0;
    parents = property(H5P_LINK_CREATE);
    g = H5Gcreate2(f->id, path, parents, H5P_DEFAULT, H5P_DEFAULT);
    if (g < 0) {
        fail(f, path, "can't create the group", e);
        goto out;
    }
    rc = 0;
out:
    drop(g);
    drop(parents);
    return rc;
}

int h5_list(const struct h5 *f, const char *group, char ***names, size_t *n, struct err *e)
{
    hid_t g = H5Gopen2(f->id, group, H5P_DEFAULT);
    H5G_info_t info;
    char **list = NULL;
    size_t done = 0;
    int rc = -1;
    if (g < 0 || H5Gget_info(g, &info) < 0) {
        fail(f, group, "no such group", e);
        goto out;
    }
    list = mem_try((size_t)info.nlinks + 1, sizeof *list, "names of a group", e);
    if (!list)
        goto out;
    for (; done < info.nlinks; done++) {
        ssize_t len = H5Lget_name_by_idx(g, ".", H5_INDEX_NAME, H5_ITER_INC, done, NULL, 0, H5P_DEFAULT);
        if (len < 0) {
            fail(f, group, "can't list the group", e);
            goto out;
        }
        list[done] = mem_new((size_t)len + 1, 1);
        H5Lget_name_by_idx(g, ".", H5_INDEX_NAME, H5_ITER_INC, done, list[done], (size_t)len + 1, H5P_DEFAULT);
    }
    *names = list;
    *n = done;
    list = NULL;
    rc = 0;
out:
    h5_free_strings(list, done);
    drop(g);
    return rc;
}

int h5_copy(const struct h5 *from, const char *src, struct h5 *to, const char *dst, struct err *e)
{
    hid_t parents = property(H5P_LINK_CREATE);
    int rc = 0;
    if (H5Ocopy(from->id, src, to->id, dst, H5P_DEFAULT, parents) < 0)
        rc = fail(from, src, "can't be copied", e);
    drop(parents);
    return rc;
}

/* ---- datasets -------------------------------------------------------------------------------- */

int h5_stat(const struct h5 *f, const char *path, struct h5_info *out, struct err *e)
{
    hid_t d = H5I_INVALID_HID, space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t dim[H5S_MAX_RANK];
    struct h5_info info = {0};
    int rc = -1;
    if (!h5_exists(f, path)) {
        err_set(e, ERR_FORMAT, "%s:%s: missing", f->path, path);
        return -1;
    }
    d = H5Dopen2(f->id, path, H5P_DEFAULT);
    if (d < 0 || (space = H5Dget_space(d)) < 0 || (type = H5Dget_type(d)) < 0) {
        fail(f, path, "not a readable dataset", e);
        goto out;
    }
    info.rank = H5Sget_simple_extent_ndims(space);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    if (info.rank < 0 || info.rank > H5_MAX_RANK || n < 0 ||
        H5Sget_simple_extent_dims(space, dim, NULL) != info.rank) {
        fail(f, path, "shape can't be read, or more than 8 dimensions", e);
        goto out;
    }
    for (int i = 0; i < info.rank; i++)
        info.dim[i] = dim[i];
    info.n = (uint64_t)n;
    info.type = classify(type);
    info.stored = H5Dget_storage_size(d);
    *out = info;
    rc = 0;
out:
    drop(type);
    drop(space);
    drop(d);
    return rc;
}

static int write_any(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim,
                     const void *data, struct err *e)
{
    hid_t disk = H5I_INVALID_HID, memory = H5I_INVALID_HID, space = H5I_INVALID_HID, d = H5I_INVALID_HID,
          parents = H5I_INVALID_HID, timeless = H5I_INVALID_HID;
    hsize_t size[H5_MAX_RANK] = {0};
    int rc = -1, empty = 0;
    if (rank < 0 || rank > H5_MAX_RANK)
        return err_set(e, ERR_SHAPE, "%s:%s: %d dimensions, at most %d", f->path, path, rank, H5_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        size[i] = dim[i];
        empty |= dim[i] == 0;
    }
    disk = make_type(t, 1);
    memory = make_type(t, 0);
    space = rank ? H5Screate_simple(rank, size, NULL) : H5Screate(H5S_SCALAR);
    parents = property(H5P_LINK_CREATE);
    timeless = property(H5P_DATASET_CREATE);
    if (disk < 0 || memory < 0 || space < 0 || parents < 0 || timeless < 0 ||
        (d = H5Dcreate2(f->id, path, disk, space, parents, timeless, H5P_DEFAULT)) < 0) {
        fail(f, path, "can't create the dataset", e);
        goto out;
    }
    if (!empty && H5Dwrite(d, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        fail(f, path, "can't be written", e);
        goto out;
    }
    rc = 0;
out:
    if (d >= 0 && H5Dclose(d) < 0 && rc == 0)
        rc = fail(f, path, "can't be written", e);
    drop(timeless);
    drop(parents);
    drop(space);
    drop(memory);
    drop(disk);
    return rc;
}

int h5_write(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, const void *data,
             struct err *e)
{
    if (h5_type_size(t) == 0)
        return err_set(e, ERR_USAGE, "%s:%s: not a numeric type", f->path, path);
    return write_any(f, path, t, rank, dim, data, e);
}

/* Rows [first, first + n) of the slowest dimension, or all of it when n is 0. */
static int read_part(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                     struct err *e)
{
    hid_t d = H5Dopen2(f->id, path, H5P_DEFAULT), memory = make_type(t, 0);
    hid_t from = d >= 0 ? H5Dget_space(d) : H5I_INVALID_HID, to = H5S_ALL;
    hsize_t begin[H5_MAX_RANK] = {first}, count[H5_MAX_RANK];
    int rank = from >= 0 ? H5Sget_simple_extent_ndims(from) : -1, rc = -1;
    if (n && rank >= 1 && rank <= H5_MAX_RANK && H5Sget_simple_extent_dims(from, count, NULL) == rank) {
        count[0] = n;
        to = H5Screate_simple(rank, count, NULL);
        if (H5Sselect_hyperslab(from, H5S_SELECT_SET, begin, NULL, count, NULL) < 0)
            rank = -1;
    }
    if (rank >= 0 && memory >= 0 && to >= 0 && H5Dread(d, memory, to, n ? from : H5S_ALL, H5P_DEFAULT, dst) >= 0)
        rc = 0;
    else
        fail(f, path, "can't be read", e);
    drop(to);
    drop(from);
    drop(memory);
    drop(d);
    return rc;
}

int h5_read(const struct h5 *f, const char *path, enum h5_type t, void *dst, size_t n, struct err *e)
{
    struct h5_info info;
    if (h5_stat(f, path, &info, e))
        return -1;
    if (info.type != t || h5_type_size(t) == 0)
        return err_set(e, ERR_FORMAT, "%s:%s: elements are %s, expected %s", f->path, path,
                       h5_type_name(info.type), h5_type_name(t));
    if (info.n != n)
        return err_set(e, ERR_SHAPE, "%s:%s: %llu elements, expected %zu", f->path, path,
                       (unsigned long long)info.n, n);
    return n ? read_part(f, path, t, 0, 0, dst, e) : 0;
}

int h5_read_rows(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e)
{
    return n ? read_part(f, path, t, first, n, dst, e) : 0;
}

int h5_write_strings(struct h5 *f, const char *path, const char *const *s, size_t n, struct err *e)
{
    return write_any(f, path, H5_TYPE_STRING, 1, (const uint64_t[]){n}, s, e);
}

int h5_read_strings(const struct h5 *f, const char *path, char ***s, size_t *n, struct err *e)
{
    struct h5_info info;
    hid_t d = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    char **theirs = NULL, **ours = NULL;
    int rc = -1;
    if (h5_stat(f, path, &info, e))
        return -1;
    /* every string takes 16 bytes in the dataset itself: a forged length ends here, before memory is asked for */
    if (info.type != H5_TYPE_STRING || info.rank != 1 || info.n > info.stored / 16)
        return err_set(e, ERR_FORMAT, "%s:%s: not a list of strings", f->path, path);
    size_t count = (size_t)info.n;
    theirs = mem_try(count + 1, sizeof *theirs, "strings", e);
    ours = mem_try(count + 1, sizeof *ours, "strings", e);
    if (!theirs || !ours)
        goto out;
    d = H5Dopen2(f->id, path, H5P_DEFAULT);
    type = string_type();
    if (d < 0 || type < 0 || (space = H5Dget_space(d)) < 0 ||
        (count > 0 && H5Dread(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, theirs) < 0)) {
        fail(f, path, "can't be read", e);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        ours[i] = mem_strdup(theirs[i] ? theirs[i] : "");
    if (count > 0)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, theirs);
    *s = ours;
    *n = count;
    ours = NULL;
    rc = 0;
out:
    drop(space);
    drop(type);
    drop(d);
    mem_free(theirs);
    mem_free(ours);
    return rc;
}

void h5_free_strings(char **s, size_t n)
{
    for (size_t i = 0; s && i < n; i++)
        mem_free(s[i]);
    mem_free(s);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static int set_attr(struct h5 *f, const char *path, const char *name, hid_t type, const void *v, struct err *e)
{
    hid_t space = H5I_INVALID_HID, a = H5I_INVALID_HID, o = H5I_INVALID_HID;
    int rc = -1;
    o = H5Oopen(f->id, path, H5P_DEFAULT);
    space = H5Screate(H5S_SCALAR);
    if (o >= 0 && H5Aexists(o, name) > 0)
        H5Adelete(o, name);
    if (o < 0 || space < 0 || type < 0 ||
        (a = H5Acreate2(o, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 || H5Awrite(a, type, v) < 0) {
        fail(f, path, "can't write an attribute", e);
        err_wrap(e, "attribute '%s'", name);
        goto out;
    }
    rc = 0;
out:
    drop(a);
    drop(space);
    drop(o);
    return rc;
}

int h5_set_int(struct h5 *f, const char *path, const char *name, int64_t v, struct err *e)
{
    return set_attr(f, path, name, H5T_NATIVE_INT64, &v, e);
}

int h5_set_double(struct h5 *f, const char *path, const char *name, double v, struct err *e)
{
    return set_attr(f, path, name, H5T_NATIVE_DOUBLE, &v, e);
}

/* Fixed length, so that reading one asks the library for no memory. */
int h5_set_string(struct h5 *f, const char *path, const char *name, const char *v, struct err *e)
{
    size_t n = strlen(v);
    if (n > MAX_ATTR_STRING)
        return err_set(e, ERR_UNSUPPORTED, "%s:%s: attribute '%s' has %zu bytes, at most %d", f->path, path, name,
                       n, MAX_ATTR_STRING);
    hid_t t = H5Tcopy(H5T_C_S1);
    int rc = -1;
    if (t < 0 || H5Tset_size(t, n + 1) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0)
        fail(f, path, "can't write an attribute", e);
    else
        rc = set_attr(f, path, name, t, v, e);
    drop(t);
    return rc;
}

int h5_has(const struct h5 *f, const char *path, const char *name)
{
    hid_t o = H5Oopen(f->id, path, H5P_DEFAULT);
    int there = o >= 0 && H5Aexists(o, name) > 0;
    drop(o);
    H5Eclear2(H5E_DEFAULT);
    return there;
}

/* Opens attribute and type; refuses what is no scalar of one of two classes. */
static int open_attr(const struct h5 *f, const char *path, const char *name, H5T_class_t want,
                     H5T_class_t or_else, hid_t *attr, hid_t *type, struct err *e)
{
    hid_t a = H5I_INVALID_HID, t = H5I_INVALID_HID, s = H5I_INVALID_HID;
    if (!h5_has(f, path, name))
        return err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' missing", f->path, path, name);
    a = H5Aopen_by_name(f->id, path, name, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0) {
        t = H5Aget_type(a);
        s = H5Aget_space(a);
    }
    int ok = t >= 0 && s >= 0 && H5Sget_simple_extent_npoints(s) == 1 &&
             (H5Tget_class(t) == want || H5Tget_class(t) == or_else);
    drop(s);
    if (!ok) {
        if (t >= 0)
            H5Tclose(t);
        if (a >= 0)
            H5Aclose(a);
        return err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' is not one %s", f->path, path, name,
                       want == H5T_INTEGER ? "integer" : want == H5T_FLOAT ? "number" : "string");
    }
    *attr = a;
    *type = t;
    return 0;
}

int h5_get_int(const struct h5 *f, const char *path, const char *name, int64_t *v, struct err *e)
{
    hid_t a, t;
    int rc = 0;
    if (open_attr(f, path, name, H5T_INTEGER, H5T_INTEGER, &a, &t, e))
        return -1;
    if (H5Aread(a, H5T_NATIVE_INT64, v) < 0)
        rc = fail(f, path, "can't read an attribute", e);
    H5Tclose(t);
    H5Aclose(a);
    return rc;
}

int h5_get_double(const struct h5 *f, const char *path, const char *name, double *v, struct err *e)
{
    hid_t a, t;
    int rc = 0;
    if (open_attr(f, path, name, H5T_FLOAT, H5T_INTEGER, &a, &t, e))
        return -1;
    if (H5Aread(a, H5T_NATIVE_DOUBLE, v) < 0)
        rc = fail(f, path, "can't read an attribute", e);
    H5Tclose(t);
    H5Aclose(a);
    return rc;
}

/* h5py writes variable-length strings, this file fixed ones: both are read. */
char *h5_get_string(const struct h5 *f, const char *path, const char *name, struct err *e)
{
    hid_t a, t;
    char *out = NULL, *theirs = NULL;
    if (open_attr(f, path, name, H5T_STRING, H5T_STRING, &a, &t, e))
        return NULL;
    if (H5Tis_variable_str(t) > 0) {
        if (H5Aread(a, t, &theirs) >= 0)
            out = mem_strdup(theirs ? theirs : "");
        if (theirs)
            H5free_memory(theirs);
    } else {
        size_t n = H5Tget_size(t);
        out = n <= 2 * MAX_ATTR_STRING ? mem_new(n + 1, 1) : NULL;
        if (out && H5Aread(a, t, out) < 0) {
            mem_free(out);
            out = NULL;
        }
    }
    if (!out)
        fail(f, path, "can't read an attribute", e);
    H5Tclose(t);
    H5Aclose(a);
    return out;
}
