/* Tiny random models of tests/vectors/transformer.json, as sources and as what is imported from them. */
#include "tests/lib/vectors.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/gguf.h"
#include "models/import.h"
#include "tests/lib/hashed.h"
#include "tests/lib/support.h"

/* The models are float32 here and float64 there, two to seven layers deep: errors stay near 1e-6. 2e-5 of the largest
 * value is a fifth of what is promised, and every deviation of a formula is far above it. */
const double vectors_tolerance = 2e-5;

static struct json *root;
static char folder[64], output[96];

void vectors_open(void)
{
    root = support_json("tests/vectors/transformer.json");
    strcpy(folder, "/tmp/depthkv-vectors-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(output, sizeof output, "%s/model.h5", folder);
}

void vectors_close(void)
{
    static const char *const files[] = {"config.json", "model.safetensors", "model.gguf", "model.h5"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = fs_join(folder, files[i]);
        unlink(path);
        mem_free(path);
    }
    rmdir(folder);
    json_free(root);
}

const struct json *vectors_model(int i)
{
    return vectors_nth(root, i);
}

int vectors_count(void)
{
    return json_size(root);
}

int vectors_integer(const struct json *v, const char *key)
{
    int64_t x = 0;
    ck_assert_msg(json_int64(json_get(v, key), &x) == 0, "transformer.json lacks %s", key);
    return (int)x;
}

const struct json *vectors_nth(const struct json *list, int n)
{
    const struct json *v = json_first(list);
    while (v && n-- > 0)
        v = json_next(v);
    return v;
}

const char *vectors_name(const struct json *v)
{
    return json_string(json_get(json_get(v, "config"), "model_type"));
}

/* ---- sources --------------------------------------------------------------------------------- */

/* [ours, Hugging Face's, GGUF's, shape] */
struct tensor {
    const char *ours, *hf, *gguf;
    int rank;
    size_t rows, cols; /* of a vector: 1, n */
};

static struct tensor read_tensor(const struct json *v)
{
    const struct json *shape = vectors_nth(v, 3);
    struct tensor t = {.ours = json_string(vectors_nth(v, 0)),
                       .hf = json_string(vectors_nth(v, 1)),
                       .gguf = json_string(vectors_nth(v, 2)),
                       .rank = json_size(shape)};
    t.rows = t.rank == 2 ? (size_t)json_number(vectors_nth(shape, 0), 0) : 1;
    t.cols = (size_t)json_number(vectors_nth(shape, t.rank - 1), 0);
    return t;
}

/* The values, to be freed; `plus` is added to norms. */
static float *values(const struct json *model, const struct tensor *t, float plus)
{
    float *x = mem_new(t->rows * t->cols, sizeof *x);
    hashed_weights(t->ours, vectors_integer(model, "one_plus") ? plus : 1.0f, x, t->rows * t->cols);
    return x;
}

static void write_file(const char *name, const struct str *s)
{
    char *path = fs_join(folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(s->p, 1, s->n, f), s->n);
    fclose(f);
    mem_free(path);
}

static void put(struct str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_addc(s, (char)(v >> 8 * i & 255));
}

static void write_folder(const struct json *model)
{
    struct str header = {0}, data = {0}, all = {0}, config = {0};
    char *text = json_print(json_get(model, "config"));
    str_add(&config, text);
    write_file("config.json", &config);
    for (const struct json *v = json_first(json_get(model, "tensors")); v; v = json_next(v)) {
        struct tensor t = read_tensor(v);
        float *x = values(model, &t, 0);
        size_t from = data.n;
        str_addn(&data, (const char *)x, t.rows * t.cols * sizeof *x);
        str_addf(&header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", header.n ? "," : "{", t.hf);
        if (t.rank == 2)
            str_addf(&header, "%zu,", t.rows);
        str_addf(&header, "%zu],\"data_offsets\":[%zu,%zu]}", t.cols, from, data.n);
        mem_free(x);
    }
    str_addc(&header, '}');
    put(&all, header.n, 8);
    str_addn(&all, header.p, header.n);
    str_addn(&all, data.p, data.n);
    write_file("model.safetensors", &all);
    mem_free(text);
    str_free(&header);
    str_free(&data);
    str_free(&all);
    str_free(&config);
}

static void put_text(struct str *s, const char *text)
{
    put(s, strlen(text), 8);
    str_add(s, text);
}

static void put_key(struct str *s, const struct json *key)
{
    const char *type = json_string(vectors_nth(key, 1));
    const struct json *value = vectors_nth(key, 2);
    put_text(s, json_string(vectors_nth(key, 0)));
    if (strcmp(type, "string") == 0) {
        put(s, GGUF_STRING, 4);
        put_text(s, json_string(value));
    } else if (strcmp(type, "u32") == 0) {
        put(s, GGUF_U32, 4);
        put(s, (uint64_t)json_number(value, 0), 4);
    } else {
        float x = (float)json_number(value, 0);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        put(s, GGUF_F32, 4);
        put(s, bits, 4);
    }
}

/* The rows of Q and K as llama.cpp's converter puts them for some: the members of a pair side by side. */
static void put_rows(struct str *s, const struct json *model, const struct tensor *t, const float *x)
{
    const struct json *c = json_get(model, "config");
    const char *leaf = strrchr(t->ours, '/');
    int heads = !leaf || !vectors_integer(model, "permuted") ? 0
                : strcmp(leaf, "/wq") == 0                   ? vectors_integer(c, "num_attention_heads")
                : strcmp(leaf, "/wk") == 0                   ? vectors_integer(c, "num_key_value_heads")
                                                             : 0;
    size_t head_dim = heads ? t->rows / (size_t)heads : 1;
    for (size_t r = 0; r < t->rows; r++) {
        size_t in_head = r % head_dim, from = heads ? r - in_head + in_head % 2 * (head_dim / 2) + in_head / 2 : r;
        str_addn(s, (const char *)(x + from * t->cols), t->cols * sizeof *x);
    }
}

/* The row of a tensor of floats in the table, whose data are the next. */
static void put_info(struct str *s, const char *name, const struct tensor *t, size_t offset)
{
    put_text(s, name);
    put(s, (uint64_t)t->rank, 4);
    put(s, t->cols, 8);
    if (t->rank == 2)
        put(s, t->rows, 8);
    put(s, 0, 4);
    put(s, offset, 8);
}

/* The row of a list of factors of the rotation, if there is one, and its numbers. */
static int put_factors(struct str *s, struct str *data, const char *name, const struct json *factors)
{
    struct tensor more = {.rank = 1, .rows = 1, .cols = (size_t)json_size(factors)};
    if (!json_is_array(factors))
        return 0;
    put_info(s, name, &more, data->n);
    for (const struct json *f = json_first(factors); f; f = json_next(f)) {
        float x = (float)json_number(f, 0);
        str_addn(data, (const char *)&x, sizeof x);
    }
    while (data->n % 32)
        str_addc(data, 0);
    return 1;
}

static void write_gguf(const struct json *model)
{
    const struct json *keys = json_get(model, "gguf"), *tensors = json_get(model, "tensors"),
                      *factors = json_get(model, "rope_factors"),
                      *rope = json_get(json_get(model, "config"), "rope_parameters");
    const struct json *longs = json_get(rope, "long_factor"), *shorts = json_get(rope, "short_factor");
    int more = json_is_array(factors) + json_is_array(longs) + json_is_array(shorts);
    struct str s = {0}, data = {0};
    str_add(&s, "GGUF");
    put(&s, 3, 4);
    put(&s, (uint64_t)(json_size(tensors) + more), 8);
    put(&s, (uint64_t)json_size(keys), 8);
    for (const struct json *k = json_first(keys); k; k = json_next(k))
        put_key(&s, k);
    for (const struct json *v = json_first(tensors); v; v = json_next(v)) {
        struct tensor t = read_tensor(v);
        float *x = values(model, &t, 1);
        put_info(&s, t.gguf, &t, data.n);
        put_rows(&data, model, &t, x);
        while (data.n % 32)
            str_addc(&data, 0);
        mem_free(x);
    }
    ck_assert_int_eq(more, put_factors(&s, &data, "rope_freqs.weight", factors) +
                               put_factors(&s, &data, "rope_factors_long.weight", longs) +
                               put_factors(&s, &data, "rope_factors_short.weight", shorts));
    while (s.n % 32)
        str_addc(&s, 0);
    str_addn(&s, data.p, data.n);
    write_file("model.gguf", &s);
    str_free(&s);
    str_free(&data);
}

/* Imports a source and opens what came of it. */
static struct model *import(const char *path, const char *what)
{
    static const struct import_options o = {.dtype = MODEL_F32};
    struct import_source s;
    struct err e;
    ck_assert_msg(import_open(path, &s, &e) == 0, "%s: %s", what, e.msg);
    ck_assert_msg(s.notes.n == 0, "%s: %s", what, str_c(&s.notes));
    ck_assert_msg(import_write(&s, output, &o, &e) == 0, "%s: %s", what, e.msg);
    import_close(&s);
    struct model *m = model_open(output, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s: %s", what, e.msg);
    ck_assert_str_eq(m->sha256, m->stated_sha256);
    return m;
}

struct model *vectors_folder(const struct json *model)
{
    write_folder(model);
    return import(folder, vectors_name(model));
}

struct model *vectors_gguf(const struct json *model)
{
    write_gguf(model);
    char *path = fs_join(folder, "model.gguf");
    struct model *m = import(path, vectors_name(model));
    mem_free(path);
    return m;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Rows of `got` [n][width] against a list of rows. */
void vectors_compare(const struct json *rows, const struct json *want, const float *got, int first, int width,
                     const char *what, const char *how)
{
    double worst = 0, scale = 0;
    for (int r = 0; r < json_size(rows); r++) {
        int row = (int)json_number(vectors_nth(rows, r), -1), i = 0;
        ck_assert_int_eq(json_size(vectors_nth(want, r)), width);
        for (const struct json *x = json_first(vectors_nth(want, r)); x; x = json_next(x), i++) {
            double v = json_number(x, (double)NAN), d = fabs((double)got[(row - first) * width + i] - v);
            worst = d > worst || isnan(d) ? d : worst;
            scale = fmax(scale, fabs(v));
        }
    }
    ck_assert_msg(scale > 0.01 && worst < vectors_tolerance * scale, "%s, %s: %g of %g", what, how, worst, scale);
}

int vectors_tokens(const struct json *list, int32_t *id, int room)
{
    int n = 0;
    for (const struct json *v = json_first(list); v; v = json_next(v)) {
        ck_assert_int_lt(n, room);
        id[n++] = (int32_t)json_number(v, -1);
    }
    return n;
}
