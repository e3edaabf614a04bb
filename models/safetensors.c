#include "models/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mapped.h"
#include "harness/base/mem.h"
#include "models/half.h"

/* The reference implementation's own bound on a header. */
enum { MAX_HEADER = 100000000, MAX_FILES = 4096 };

struct file {
    char *path;
    struct mapped map;
};

struct safetensors {
    struct file *file;
    size_t n_file, cap_file;
    struct safetensors_tensor *tensor; /* by name, once open */
    size_t n_tensor, cap_tensor;
};

static const struct {
    const char *name;
    size_t size;
    enum safetensors_type type;
} types[] = {
    {"F32", 4, SAFETENSORS_F32},    {"F16", 2, SAFETENSORS_F16},       {"BF16", 2, SAFETENSORS_BF16},
    {"F64", 8, SAFETENSORS_OTHER},  {"I64", 8, SAFETENSORS_OTHER},     {"I32", 4, SAFETENSORS_OTHER},
    {"I16", 2, SAFETENSORS_OTHER},  {"I8", 1, SAFETENSORS_OTHER},      {"U8", 1, SAFETENSORS_OTHER},
    {"U16", 2, SAFETENSORS_OTHER},  {"U32", 4, SAFETENSORS_OTHER},     {"U64", 8, SAFETENSORS_OTHER},
    {"BOOL", 1, SAFETENSORS_OTHER}, {"F8_E4M3", 1, SAFETENSORS_OTHER}, {"F8_E5M2", 1, SAFETENSORS_OTHER},
};
enum { N_TYPE = sizeof types / sizeof *types };

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_tensor *)a)->name, ((const struct safetensors_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

/* A non-negative integer from JSON. */
static int get_size(const struct json *v, uint64_t *out)
{
    int64_t i;
    if (json_int64(v, &i) || i < 0)
        return -1;
    *out = (uint64_t)i;
    return 0;
}

static int read_shape(const struct json *shape, struct safetensors_tensor *t)
{
    uint64_t n = 1;
    if (!json_is_array(shape) || json_size(shape) > SAFETENSORS_MAX_RANK)
        return -1;
    for (const struct json *d = json_first(shape); d; d = json_next(d)) {
        uint64_t *dim = &t->dim[t->rank++];
        if (get_size(d, dim) || (*dim && n > UINT64_MAX / 16 / *dim))
            return -1;
        n *= *dim;
    }
    t->n = (size_t)n;
    return 0;
}

/* One member of the header. `data` and `room` are the bytes after it. */
static int read_tensor(const char *path, const struct json *v, const uint8_t *data, size_t room,
                       struct safetensors_tensor *t, struct err *e)
{
    const char *type = json_string(json_get(v, "dtype")), *dup;
    const struct json *offsets = json_get(v, "data_offsets"), *first = json_first(offsets);
    uint64_t begin, end;
    size_t k = 0;
    if (!json_is_object(v) || json_size(v) > 16 || json_has_duplicate(v, &dup))
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': its entry is no small object, or has a key twice", path,
                       t->name);
    while (k < N_TYPE && (!type || strcmp(types[k].name, type) != 0))
        k++;
    if (k == N_TYPE)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor '%s': dtype '%s' unknown", path, t->name,
                       type ? type : "(none)");
    t->type = types[k].type;
    snprintf(t->type_name, sizeof t->type_name, "%s", types[k].name);
    if (read_shape(json_get(v, "shape"), t))
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': shape missing, or no list of sizes", path, t->name);
    if (!json_is_array(offsets) || json_size(offsets) != 2 || get_size(first, &begin) ||
        get_size(json_next(first), &end))
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': data_offsets missing, or no pair of offsets", path, t->name);
    if (begin > end || end > room)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': bytes %llu to %llu, but there are %zu (truncated?)", path,
                       t->name, (unsigned long long)begin, (unsigned long long)end, room);
    if (end - begin != t->n * types[k].size)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': %llu bytes for %zu values of %s", path, t->name,
                       (unsigned long long)(end - begin), t->n, type);
    t->data = data + begin;
    t->bytes = (size_t)(end - begin);
    return 0;
}

static void add(struct safetensors *s, const struct safetensors_tensor *t)
{
    mem_grow(&s->tensor, &s->cap_tensor, s->n_tensor + 1, sizeof *s->tensor);
    s->tensor[s->n_tensor++] = *t;
}

/* The format allows neither gaps nor overlap: sorted by place, every tensor begins where the last one ended. */
static int check_places(struct safetensors *s, size_t first, const struct file *f, const uint8_t *data, struct err *e)
{
    const uint8_t *at = data;
    if (s->n_tensor > first)
        qsort(s->tensor + first, s->n_tensor - first, sizeof *s->tensor, by_place);
    for (size_t i = first; i < s->n_tensor; i++) {
        if (s->tensor[i].data != at)
            return err_set(e, ERR_FORMAT, "%s: tensor '%s' begins at byte %zu, expected %zu: overlap or gap", f->path,
                           s->tensor[i].name, (size_t)(s->tensor[i].data - data), (size_t)(at - data));
        at += s->tensor[i].bytes;
    }
    if (at != f->map.p + f->map.n)
        return err_set(e, ERR_FORMAT, "%s: %zu bytes after the last tensor", f->path,
                       (size_t)(f->map.p + f->map.n - at));
    return 0;
}

static int read_header(struct safetensors *s, int index, struct err *e)
{
    const struct file *f = &s->file[index];
    uint64_t n = 0;
    size_t first = s->n_tensor;
    struct json *root = NULL;
    int rc = -1;
    for (int i = 7; i >= 0 && f->map.n >= 8; i--)
        n = n << 8 | f->map.p[i];
    if (f->map.n < 8 || n < 2 || n > MAX_HEADER || n > f->map.n - 8)
        return err_set(e, ERR_FORMAT, "%s: a header of %llu bytes in a file of %zu: truncated, or no safetensors",
                       f->path, (unsigned long long)n, f->map.n);
    const uint8_t *data = f->map.p + 8 + n;
    root = json_parse(f->path, (const char *)f->map.p + 8, (size_t)n, e);
    if (!root)
        return -1;
    if (!json_is_object(root)) {
        err_set(e, ERR_FORMAT, "%s: the header is no JSON object", f->path);
        goto out;
    }
    for (const struct json *v = json_first(root); v; v = json_next(v)) {
        if (strcmp(json_key(v), "__metadata__") == 0)
            continue;
        struct safetensors_tensor t = {.name = mem_strdup(json_key(v)), .file = index};
        int bad = read_tensor(f->path, v, data, f->map.n - 8 - (size_t)n, &t, e);
        add(s, &t); /* also a bad one, so that its name is freed */
        if (bad)
            goto out;
    }
    rc = check_places(s, first, f, data, e);
out:
    json_free(root);
    return rc;
}

static int add_file(struct safetensors *s, const char *folder, const char *name, struct err *e)
{
    mem_grow(&s->file, &s->cap_file, s->n_file + 1, sizeof *s->file);
    struct file *f = &s->file[s->n_file++];
    f->path = fs_join(folder, name);
    if (mapped_open(f->path, &f->map, e))
        return -1;
    return read_header(s, (int)s->n_file - 1, e);
}

/* Opens every file that the index names; a name may not lead out of the folder. */
static int add_shards(struct safetensors *s, const char *folder, const char *path, const struct json *map,
                      struct err *e)
{
    if (!json_is_object(map) || !json_first(map))
        return err_set(e, ERR_FORMAT, "%s: key 'weight_map' missing or empty", path);
    for (const struct json *v = json_first(map); v; v = json_next(v)) {
        const char *name = json_string(v);
        int known = 0;
        if (!name || !*name || strchr(name, '/') || name[0] == '.')
            return err_set(e, ERR_FORMAT, "%s: tensor '%s': '%s' is no file name", path, json_key(v), name ? name : "");
        for (size_t i = 0; i < s->n_file && !known; i++)
            known = strcmp(fs_basename(s->file[i].path), name) == 0;
        if (s->n_file >= MAX_FILES)
            return err_set(e, ERR_FORMAT, "%s: more than %d files", path, MAX_FILES);
        if (!known && add_file(s, folder, name, e))
            return -1;
    }
    return 0;
}

/* What the index says about every tensor has to be so. */
static int check_map(const struct safetensors *s, const char *path, const struct json *map, struct err *e)
{
    for (const struct json *v = json_first(map); v; v = json_next(v)) {
        const struct safetensors_tensor *t = safetensors_find(s, json_key(v));
        if (!t || strcmp(fs_basename(s->file[t->file].path), json_string(v)) != 0)
            return err_set(e, ERR_FORMAT, "%s: tensor '%s' is not in '%s'", path, json_key(v), json_string(v));
    }
    return 0;
}

struct safetensors *safetensors_open(const char *folder, struct err *e)
{
    struct safetensors *s = mem_new(1, sizeof *s);
    char *single = fs_join(folder, "model.safetensors"), *index = fs_join(folder, "model.safetensors.index.json"),
         *text = NULL;
    struct json *root = NULL;
    const struct json *map = NULL;
    size_t n = 0;
    int ok = 0;
    if (fs_exists(single)) {
        if (add_file(s, folder, "model.safetensors", e))
            goto out;
    } else if (fs_exists(index)) {
        text = fs_read(index, &n, e);
        root = text ? json_parse(index, text, n, e) : NULL;
        map = json_get(root, "weight_map");
        if (!root || add_shards(s, folder, index, map, e))
            goto out;
    } else {
        err_set(e, ERR_IO, "%s: neither model.safetensors nor model.safetensors.index.json is there", folder);
        goto out;
    }
    if (s->n_tensor > 0)
        qsort(s->tensor, s->n_tensor, sizeof *s->tensor, by_name);
    for (size_t i = 1; i < s->n_tensor; i++)
        if (strcmp(s->tensor[i - 1].name, s->tensor[i].name) == 0) {
            err_set(e, ERR_FORMAT, "%s: tensor '%s' appears twice", folder, s->tensor[i].name);
            goto out;
        }
    if (map && check_map(s, index, map, e))
        goto out;
    ok = 1;
out:
    ok &= !safetensors_check(s, e);
    json_free(root);
    mem_free(text);
    mem_free(index);
    mem_free(single);
    if (!ok) {
        safetensors_close(s);
        s = NULL;
    }
    return s;
}

void safetensors_close(struct safetensors *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_tensor; i++)
        mem_free(s->tensor[i].name);
    for (size_t i = 0; i < s->n_file; i++) {
        mapped_close(&s->file[i].map);
        mem_free(s->file[i].path);
    }
    mem_free(s->tensor);
    mem_free(s->file);
    mem_free(s);
}

int safetensors_n(const struct safetensors *s)
{
    return (int)s->n_tensor;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *s, int i)
{
    return &s->tensor[i];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    struct safetensors_tensor want = {.name = (char *)(uintptr_t)name};
    return s->n_tensor ? bsearch(&want, s->tensor, s->n_tensor, sizeof *s->tensor, by_name) : NULL;
}

/* By panels, each of which is given back when it has been read: the file's pages of a tensor of gigabytes would else
 * count beside the values that they become. */
void safetensors_read_part(const struct safetensors *s, const struct safetensors_tensor *t, size_t first, size_t n,
                           float *dst)
{
    enum { PANEL = 1 << 20 };
    size_t size = t->type == SAFETENSORS_F32 ? 4 : 2;
    for (size_t from = 0; from < n; from += PANEL) {
        size_t count = n - from < PANEL ? n - from : PANEL;
        const uint8_t *at = t->data + (first + from) * size;
        float *out = dst + from;
        if (t->type == SAFETENSORS_F32)
            memcpy(out, at, count * size);
        for (size_t i = 0; i < count && t->type != SAFETENSORS_F32; i++) {
            uint16_t h = (uint16_t)(at[2 * i] | at[2 * i + 1] << 8);
            out[i] = t->type == SAFETENSORS_F16 ? half_from_f16(h) : half_from_bf16(h);
        }
        mapped_release(&s->file[t->file].map, at, count * size);
    }
}

void safetensors_read(const struct safetensors *s, const struct safetensors_tensor *t, float *dst)
{
    safetensors_read_part(s, t, 0, t->n, dst);
}

int safetensors_check(const struct safetensors *s, struct err *e)
{
    for (size_t i = 0; i < s->n_file; i++)
        if (mapped_check(&s->file[i].map, s->file[i].path, e))
            return -1;
    return 0;
}

int safetensors_n_file(const struct safetensors *s)
{
    return (int)s->n_file;
}

const char *safetensors_file(const struct safetensors *s, int i)
{
    return s->file[i].path;
}
