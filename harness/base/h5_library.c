/* The library's only caller. It gets at files through a driver of ours, so that it reads the very file that was checked
 * (h5_check.c) and never learns that a disk is full: it crashes when a write fails while it closes a file or the
 * process ends. Every handle starts invalid and is closed on one exit path; the library's own error printing is off,
 * and the innermost entry of its error stack goes into our message. */
#include <hdf5.h>
#include <pthread.h>
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

_Static_assert(sizeof(hid_t) <= sizeof(int64_t), "struct h5 keeps handles as int64_t");

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *out)
{
    if (n == 0)
        *(const char **)out = entry->desc;
    return 0;
}

/* "<file>:<path>: <what> (<the library's reason>)", or what the system said. */
static int fail(const struct h5 *f, const char *path, const char *what, struct err *e)
{
    const char *why = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &why);
    err_set(e, ERR_FORMAT, "%s:%s: %s%s%s%s", f->path, path, what, why ? " (" : "", why ? why : "", why ? ")" : "");
    h5_file_why(f, e);
    H5Eclear2(H5E_DEFAULT);
    return -1;
}

/* What goes wrong while writing is remembered, so that no half of a file takes the name of a whole one. */
static int not_written(struct h5 *f, const char *path, const char *what, struct err *e)
{
    f->failed = 1;
    return fail(f, path, what, e);
}

/* After the library has written something: did it get there? */
static int written(struct h5 *f, struct err *e)
{
    if (!f->why)
        return 0;
    f->failed = 1;
    return h5_file_why(f, e);
}

/* Closes a handle of any kind; what was never opened (and H5S_ALL, which is 0) is left alone. */
static void drop(hid_t id)
{
    if (id > 0)
        H5Idec_ref(id);
}

/* ---- driver ---------------------------------------------------------------------------------- */

struct driven {
    H5FD_t base; /* the library's part */
    struct h5 *f;
    haddr_t end; /* of what is allocated */
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    struct h5 *const *f = H5Pget_driver_info(access);
    struct driven *d = f ? mem_new(1, sizeof *d) : NULL;
    (void)name, (void)flags, (void)most;
    if (!d)
        return NULL;
    d->f = *f;
    return &d->base;
}

static herr_t driver_close(H5FD_t *d)
{
    mem_free(d);
    return 0;
}

static herr_t driver_query(const H5FD_t *d, unsigned long *flags)
{
    (void)d;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *d, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driven *)d)->end;
}

static herr_t driver_set_eoa(H5FD_t *d, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((struct driven *)d)->end = end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *d, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driven *)d)->f->size;
}

static herr_t driver_read(H5FD_t *d, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, void *dst)
{
    (void)type, (void)transfer;
    return h5_file_read(((struct driven *)d)->f, at, n, dst);
}

static herr_t driver_write(H5FD_t *d, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, const void *src)
{
    (void)type, (void)transfer;
    h5_file_write(((struct driven *)d)->f, at, n, src);
    return 0;
}

static herr_t driver_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    struct driven *d = (struct driven *)file;
    (void)transfer, (void)closing;
    if (d->f->writable && d->end != d->f->size)
        h5_file_resize(d->f, d->end);
    return 0;
}

static const H5FD_class_t driver_class = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = 511, /* the library leaves 256 to 511 to tests and private use */
#endif
    .name = "checked",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct h5 *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* ---- types ---------------------------------------------------------------------------------- */

/* A 16-bit float with the given exponent and mantissa widths, sign on top. The fields are set while the type
 * still has 32 bits, because the library refuses a size that its fields do not fit. */
static hid_t small_float(size_t exponent, size_t mantissa, size_t bias)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, mantissa, exponent, 0, mantissa);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, bias);
    return t;
}

static hid_t text_type(size_t size)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, size);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

/* HDF5 is for one thread at a time, and so is what it keeps between calls. Every function that others call takes its
 * turn; it may call another one. */
static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static pthread_mutex_t *take_turn(void)
{
    static _Thread_local int is_silent; /* HDF5 would print what went wrong, for every thread that has not said no */
    pthread_mutex_lock(&turn);
    if (!is_silent)
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    is_silent = 1;
    return &turn;
}

static void end_turn(pthread_mutex_t **mine)
{
    pthread_mutex_unlock(*mine);
}

#define IN_TURN pthread_mutex_t *mine __attribute__((unused, cleanup(end_turn))) = take_turn()

/* Memory and file have the same; made once, and never closed. */
static hid_t types[H5_TYPE_OTHER];
static hid_t driver = H5I_INVALID_HID, access_of_files, creation_of_files, creation_of_groups, creation_of_datasets;

/* Links and attributes stay in the headers however many they are, and nothing carries a time, so that the same content
 * gives the same bytes. */
static hid_t creation(hid_t class)
{
    enum { MOST = 0xFFFF, BACK = 0xFFFE };
    hid_t p = H5Pcreate(class);
    if (p < 0 || H5Pset_attr_phase_change(p, MOST, BACK) < 0 || H5Pset_obj_track_times(p, 0) < 0)
        return H5I_INVALID_HID;
    if (class == H5P_DATASET_CREATE)
        return H5Pset_layout(p, H5D_CONTIGUOUS) < 0 || H5Pset_fill_time(p, H5D_FILL_TIME_NEVER) < 0 ? H5I_INVALID_HID
                                                                                                    : p;
    return H5Pset_link_phase_change(p, MOST, BACK) < 0 ? H5I_INVALID_HID : p;
}

static int ready(void)
{
    if (driver >= 0)
        return 0;
    H5dont_atexit(); /* nothing of it needs to be done then, and it has crashed there */
    if (H5open() < 0)
        return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    access_of_files = H5Pcreate(H5P_FILE_ACCESS);
    creation_of_files = creation(H5P_FILE_CREATE);
    creation_of_groups = creation(H5P_GROUP_CREATE);
    creation_of_datasets = creation(H5P_DATASET_CREATE);
    /* headers of version 2, with checksums, and a superblock that every library since 1.8 reads */
    if (H5Pset_libver_bounds(access_of_files, H5F_LIBVER_V18, H5F_LIBVER_LATEST) < 0 || creation_of_files < 0 ||
        creation_of_groups < 0 || creation_of_datasets < 0)
        return -1;
    const hid_t made[] = {
        [H5_TYPE_F32] = H5T_IEEE_F32LE,
        [H5_TYPE_F64] = H5T_IEEE_F64LE,
        [H5_TYPE_I32] = H5T_STD_I32LE,
        [H5_TYPE_I64] = H5T_STD_I64LE,
        [H5_TYPE_U8] = H5T_STD_U8LE,
        [H5_TYPE_U64] = H5T_STD_U64LE,
        [H5_TYPE_F16] = small_float(5, 10, 15),
        [H5_TYPE_BF16] = small_float(8, 7, 127),
        [H5_TYPE_STRING] = text_type(H5T_VARIABLE),
    };
    memcpy(types, made, sizeof types);
    driver = H5FDregister(&driver_class);
    return driver < 0 ? -1 : 0;
}

static enum h5_type classify(hid_t id)
{
    if (H5Tget_class(id) == H5T_STRING)
        return H5Tis_variable_str(id) > 0 ? H5_TYPE_STRING : H5_TYPE_OTHER;
    for (int t = 0; t < H5_TYPE_STRING; t++)
        if (H5Tequal(id, types[t]) > 0)
            return (enum h5_type)t;
    return H5_TYPE_OTHER;
}

/* ---- files and groups ------------------------------------------------------------------------ */

int h5_library_open(struct h5 *f, struct err *e)
{
    IN_TURN;
    if (ready())
        return err_set(e, ERR_UNSUPPORTED, "%s: this HDF5 library is none that can be used", f->path);
    if (H5Pset_driver(access_of_files, driver, &f) >= 0)
        f->id = f->writable ? H5Fcreate(f->path, H5F_ACC_TRUNC, creation_of_files, access_of_files)
                            : H5Fopen(f->path, H5F_ACC_RDONLY, access_of_files);
    hid_t root = f->id >= 0 ? H5Gopen2(f->id, "/", H5P_DEFAULT) : H5I_INVALID_HID;
    if (root >= 0)
        h5_trail_begin(f, root);
    return root < 0 ? fail(f, "/", f->writable ? "can't be created" : "can't be opened", e) : 0;
}

int h5_library_close(struct h5 *f, struct err *e)
{
    IN_TURN;
    hid_t id = f->id;
    f->id = -1;
    h5_trail_forget(f, 0);
    if (f->writable && H5Fflush(id, H5F_SCOPE_LOCAL) < 0)
        return not_written(f, "/", "can't be written",
                           e); /* closing it now is where the library crashes: it stays open */
    if (H5Fclose(id) < 0)
        return not_written(f, "/", "can't be closed", e);
    return f->writable ? written(f, e) : 0;
}

int64_t h5_open_member(int64_t group, const char *name, int *odd)
{
    IN_TURN;
    hid_t id = H5Oopen(group, name, H5P_DEFAULT);
    *odd = id < 0 && H5Iget_type(group) == H5I_GROUP && H5Lexists(group, name, H5P_DEFAULT) != 0;
    H5Eclear2(H5E_DEFAULT);
    return id;
}

void h5_drop(int64_t id)
{
    IN_TURN;
    drop(id);
}

/* Opens a group or a dataset; invalid with the error set when there is none of that kind. */
static hid_t open_as(const struct h5 *f, const char *path, H5I_type_t kind, struct err *e)
{
    int odd;
    hid_t id = h5_trail_find(f, path, strlen(path), &odd);
    if (id < 0 && odd)
        fail(f, path, "can't be read", e);
    else if (id < 0)
        err_set(e, ERR_FORMAT, "%s:%s: missing", f->path, path);
    else if (kind != H5I_BADID && H5Iget_type(id) != kind)
        id = H5I_INVALID_HID, err_set(e, ERR_FORMAT, "%s:%s: a %s, expected a %s", f->path, path,
                                      kind == H5I_GROUP ? "dataset" : "group", kind == H5I_GROUP ? "group" : "dataset");
    H5Eclear2(H5E_DEFAULT);
    if (id >= 0)
        H5Iinc_ref(id);
    return id;
}

/* The group above a path, and the name in it. */
static hid_t parent_of(const struct h5 *f, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    int odd;
    *name = slash ? slash + 1 : path;
    return slash ? h5_trail_find(f, path, (size_t)(slash - path), &odd) : H5I_INVALID_HID;
}

int h5_is_group(const struct h5 *f, const char *path)
{
    IN_TURN;
    hid_t id = open_as(f, path, H5I_GROUP, NULL);
    drop(id);
    return id >= 0;
}

/* The library gives a header that has no room left a further piece per link, and goes through all pieces' all messages
 * to find none that has room: thousands of links take hours. An attribute that comes and goes leaves room for many. */
static void make_room(hid_t group)
{
    enum { FEW = 64, MANY = 1024, BYTES = 48 };
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0 || info.nlinks < FEW || info.nlinks % (info.nlinks < MANY ? FEW : MANY))
        return;
    hsize_t n = BYTES * (info.nlinks < MANY ? FEW : MANY);
    hid_t space = H5Screate_simple(1, &n, NULL),
          a = H5Acreate2(group, ".room", types[H5_TYPE_U8], space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0)
        H5Adelete(group, ".room");
    drop(a);
    drop(space);
}

int h5_create_group(struct h5 *f, const char *path, struct err *e)
{
    IN_TURN;
    const char *name;
    hid_t above = parent_of(f, path, &name), g = H5Gcreate2(above, name, H5P_DEFAULT, creation_of_groups, H5P_DEFAULT);
    int rc = g < 0 ? not_written(f, path, "can't create the group", e) : written(f, e);
    if (rc == 0)
        make_room(above);
    drop(g);
    return rc;
}

struct names {
    char **v;
    size_t n, cap;
};

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *out)
{
    struct names *l = out;
    (void)group, (void)info;
    mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = mem_strdup(name);
    return 0;
}

int h5_list(const struct h5 *f, const char *group, char ***names, size_t *n, struct err *e)
{
    IN_TURN;
    struct names l = {0};
    hid_t g = open_as(f, group, H5I_GROUP, e);
    if (g < 0)
        return -1;
    mem_grow(&l.v, &l.cap, 1, sizeof *l.v);
    int rc = H5Literate(g, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, &l) < 0
                 ? fail(f, group, "can't list the group", e)
                 : 0;
    drop(g);
    if (rc) {
        h5_free_strings(l.v, l.n);
        return rc;
    }
    *names = l.v;
    *n = l.n;
    return 0;
}

/* ---- datasets -------------------------------------------------------------------------------- */

int h5_stat(const struct h5 *f, const char *path, struct h5_info *out, struct err *e)
{
    IN_TURN;
    hid_t d = open_as(f, path, H5I_DATASET, e), space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t dim[H5S_MAX_RANK];
    struct h5_info info = {0};
    int rc = -1;
    if (d < 0)
        return -1;
    if ((space = H5Dget_space(d)) < 0 || (type = H5Dget_type(d)) < 0) {
        fail(f, path, "not a readable dataset", e);
        goto out;
    }
    info.rank = H5Sget_simple_extent_ndims(space);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    if (info.rank < 0 || info.rank > H5_MAX_RANK || n < 0 || H5Sget_simple_extent_dims(space, dim, NULL) != info.rank) {
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

int h5_create_dataset(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, struct err *e)
{
    IN_TURN;
    hsize_t size[H5_MAX_RANK] = {0};
    const char *name;
    for (int i = 0; i < rank; i++)
        size[i] = dim[i];
    hid_t space = rank ? H5Screate_simple(rank, size, NULL) : H5Screate(H5S_SCALAR), above = parent_of(f, path, &name),
          d = H5Dcreate2(above, name, types[t], space, H5P_DEFAULT, creation_of_datasets, H5P_DEFAULT);
    int rc = d < 0 ? not_written(f, path, "can't be created: is it there already?", e) : written(f, e);
    if (rc == 0)
        make_room(above);
    drop(d);
    drop(space);
    return rc;
}

/* Rows [first, first + n) of the slowest dimension, to `dst` or from `src`; a scalar has one row. */
static int move_rows(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                     const void *src, struct err *e)
{
    hid_t d = open_as(f, path, H5I_DATASET, e), from = d >= 0 ? H5Dget_space(d) : H5I_INVALID_HID, to = H5S_ALL;
    hsize_t begin[H5_MAX_RANK] = {first}, count[H5_MAX_RANK];
    int rank = from >= 0 ? H5Sget_simple_extent_ndims(from) : -1, rc = -1;
    if (d < 0)
        return -1;
    if (rank >= 1 && rank <= H5_MAX_RANK && H5Sget_simple_extent_dims(from, count, NULL) == rank) {
        count[0] = n;
        to = H5Screate_simple(rank, count, NULL);
        rc = H5Sselect_hyperslab(from, H5S_SELECT_SET, begin, NULL, count, NULL) < 0 ? -1 : 0;
    } else if (rank == 0) {
        rc = 0;
    }
    if (rc == 0)
        rc = (src ? H5Dwrite(d, types[t], to, rank ? from : H5S_ALL, H5P_DEFAULT, src)
                  : H5Dread(d, types[t], to, rank ? from : H5S_ALL, H5P_DEFAULT, dst)) < 0
                 ? -1
                 : 0;
    drop(to);
    drop(from);
    drop(d);
    return rc ? fail(f, path, src ? "can't be written" : "can't be read", e) : 0;
}

int h5_read_part(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e)
{
    IN_TURN;
    return move_rows(f, path, t, first, n, dst, NULL, e);
}

int h5_write_part(struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, const void *src,
                  struct err *e)
{
    IN_TURN;
    int rc = move_rows(f, path, t, first, n, NULL, src, e);
    if (rc)
        f->failed = 1;
    return rc ? rc : written(f, e);
}

int h5_read_variable(const struct h5 *f, const char *path, char **out, size_t n, struct err *e)
{
    IN_TURN;
    char **theirs = mem_try(n + 1, sizeof *theirs, path, e);
    hid_t d = theirs ? open_as(f, path, H5I_DATASET, e) : H5I_INVALID_HID,
          space = d >= 0 ? H5Dget_space(d) : H5I_INVALID_HID;
    int rc = space < 0 ? -1 : 0;
    if (rc == 0 && n && H5Dread(d, types[H5_TYPE_STRING], H5S_ALL, H5S_ALL, H5P_DEFAULT, theirs) < 0)
        rc = fail(f, path, "can't be read", e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        out[i] = mem_strdup(theirs[i] ? theirs[i] : "");
    if (rc == 0 && n)
        H5Dvlen_reclaim(types[H5_TYPE_STRING], space, H5P_DEFAULT, theirs);
    drop(space);
    drop(d);
    mem_free(theirs);
    return rc;
}

/* ---- attributes ------------------------------------------------------------------------------ */

int h5_set_attr(struct h5 *f, const char *path, const char *name, enum h5_type t, size_t size, const void *v,
                struct err *e)
{
    IN_TURN;
    hid_t type = t == H5_TYPE_STRING ? text_type(size) : types[t];
    hid_t o = f->writable ? open_as(f, path, H5I_BADID, e) : H5I_INVALID_HID, space = H5I_INVALID_HID,
          a = H5I_INVALID_HID;
    if (o < 0) {
        f->failed = 1;
        if (t == H5_TYPE_STRING)
            drop(type);
        return f->writable ? -1 : not_written(f, path, "opened for reading alone", e);
    }
    space = H5Screate(H5S_SCALAR);
    if (H5Aexists(o, name) > 0)
        H5Adelete(o, name);
    a = strlen(name) < H5_MAX_NAME ? H5Acreate2(o, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : H5I_INVALID_HID;
    int rc = a < 0 || H5Awrite(a, type, v) < 0 ? not_written(f, path, "can't write an attribute", e) : written(f, e);
    if (rc)
        err_wrap(e, "attribute '%s'", name);
    if (t == H5_TYPE_STRING)
        drop(type);
    drop(a);
    drop(space);
    drop(o);
    return rc;
}

int h5_has(const struct h5 *f, const char *path, const char *name)
{
    IN_TURN;
    hid_t o = open_as(f, path, H5I_BADID, NULL);
    int there = o >= 0 && H5Aexists(o, name) > 0;
    drop(o);
    H5Eclear2(H5E_DEFAULT);
    return there;
}

/* Opens an attribute of one value of either class, and its type; `what` it was to be is for the message. */
static hid_t open_attr(const struct h5 *f, const char *path, const char *name, H5T_class_t want, H5T_class_t or_else,
                       const char *what, hid_t *type, struct err *e)
{
    if (!h5_has(f, path, name)) {
        err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' missing", f->path, path, name);
        return H5I_INVALID_HID;
    }
    hid_t o = open_as(f, path, H5I_BADID, NULL), a = H5Aopen(o, name, H5P_DEFAULT),
          space = a >= 0 ? H5Aget_space(a) : H5I_INVALID_HID;
    *type = a >= 0 ? H5Aget_type(a) : H5I_INVALID_HID;
    H5T_class_t class = *type >= 0 ? H5Tget_class(*type) : H5T_NO_CLASS;
    int ok = space >= 0 && H5Sget_simple_extent_npoints(space) == 1 && (class == want || class == or_else);
    drop(space);
    drop(o);
    if (ok)
        return a;
    drop(*type);
    drop(a);
    err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' is not one %s", f->path, path, name, what);
    return H5I_INVALID_HID;
}

/* An unsigned one may be too large. */
int h5_get_int(const struct h5 *f, const char *path, const char *name, int64_t *v, struct err *e)
{
    IN_TURN;
    hid_t t, a = open_attr(f, path, name, H5T_INTEGER, H5T_INTEGER, "integer", &t, e);
    uint64_t wide = 0;
    if (a < 0)
        return -1;
    int large = H5Tget_sign(t) == H5T_SGN_NONE,
        rc = H5Aread(a, types[large ? H5_TYPE_U64 : H5_TYPE_I64], &wide) < 0 ? -1 : 0;
    if (rc)
        fail(f, path, "can't read an attribute", e);
    else if (large && wide > INT64_MAX)
        rc = err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' is not one integer", f->path, path, name);
    else
        memcpy(v, &wide, sizeof wide);
    drop(t);
    drop(a);
    return rc;
}

int h5_get_double(const struct h5 *f, const char *path, const char *name, double *v, struct err *e)
{
    IN_TURN;
    hid_t t, a = open_attr(f, path, name, H5T_FLOAT, H5T_INTEGER, "number", &t, e);
    if (a < 0)
        return -1;
    int rc = H5Aread(a, types[H5_TYPE_F64], v) < 0 ? fail(f, path, "can't read an attribute", e) : 0;
    drop(t);
    drop(a);
    return rc;
}

/* h5py writes variable-length texts, this file fixed ones: both are read. */
char *h5_get_string(const struct h5 *f, const char *path, const char *name, struct err *e)
{
    IN_TURN;
    hid_t t, a = open_attr(f, path, name, H5T_STRING, H5T_STRING, "string", &t, e);
    char *out = NULL, *theirs = NULL;
    if (a < 0)
        return NULL;
    if (H5Tis_variable_str(t) > 0) {
        if (H5Aread(a, types[H5_TYPE_STRING], &theirs) < 0)
            fail(f, path, "can't read an attribute", e);
        else
            out = mem_strdup(theirs ? theirs : "");
        if (theirs)
            H5free_memory(theirs);
    } else {
        size_t n = H5Tget_size(t), text;
        out = mem_new(n + 1, 1);
        if (H5Aread(a, t, out) < 0) {
            fail(f, path, "can't read an attribute", e);
            mem_free(out);
            out = NULL;
        }
        for (text = out ? strlen(out) : n; text < n && !out[text]; text++)
            ;
        if (text < n) {
            err_set(e, ERR_FORMAT, "%s:%s: attribute '%s' holds a NUL", f->path, path, name);
            mem_free(out);
            out = NULL;
        }
    }
    drop(t);
    drop(a);
    return out;
}

static herr_t add_attr(hid_t object, const char *name, const H5A_info_t *info, void *out)
{
    (void)info;
    return add_name(object, name, NULL, out);
}

int h5_list_attrs(const struct h5 *f, const char *path, char ***names, size_t *n, struct err *e)
{
    IN_TURN;
    hid_t o = open_as(f, path, H5I_BADID, e);
    struct names l = {0};
    if (o < 0)
        return -1;
    int rc = H5Aiterate2(o, H5_INDEX_NAME, H5_ITER_INC, NULL, add_attr, &l) < 0
                 ? fail(f, path, "can't list its attributes", e)
                 : 0;
    drop(o);
    *names = l.v;
    *n = l.n;
    return rc;
}
