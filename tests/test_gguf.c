/* GGUF files made here, byte by byte: a good one is imported and opens with the values that went in; every way of
 * being wrong ends with an error that names the thing, and leaves no file. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "models/gguf.h"
#include "models/import.h"
#include "models/model.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* The tiny model: 1 layer, width 32, 4 query heads of 8, 2 KV heads, feed-forward 32, 4 tokens, tied. */
enum { D = 32, HEAD_DIM = 8, N_VOCAB = 4 };

static const struct row {
    const char *name;
    unsigned rank, cols, rows, code;
} rows[] = {
    {"token_embd.weight", 2, D, N_VOCAB, 0}, {"blk.0.attn_norm.weight", 1, D, 1, 0},
    {"blk.0.attn_q.weight", 2, D, 32, 0},    {"blk.0.attn_k.weight", 2, D, 16, 0},
    {"blk.0.attn_v.weight", 2, D, 16, 8},    {"blk.0.attn_output.weight", 2, D, D, 1},
    {"blk.0.ffn_norm.weight", 1, D, 1, 0},   {"blk.0.ffn_gate.weight", 2, D, D, 0},
    {"blk.0.ffn_up.weight", 2, D, D, 0},     {"blk.0.ffn_down.weight", 2, D, D, 30},
    {"output_norm.weight", 1, D, 1, 0},
};
enum { N_ROW = sizeof rows / sizeof *rows };

/* What to do wrong; zero everywhere is a good file. */
struct spec {
    const char *skip, *twice; /* a metadata key or a tensor */
    const char *arch, *pre, *extra_tensor;
    uint32_t version, code, rank; /* code and rank: of the output norm */
    uint64_t n_key, n_tensor, offset, dim, token_bytes, align;
    int one_type_short, bos;
    struct more { /* further keys, by type: a text, or the bits of a number */
        const char *key, *text;
        enum gguf_type type;
        uint32_t bits;
    } more[3];
};

static void put(struct str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_addc(s, (char)(v >> 8 * i & 255));
}

static void put_text(struct str *s, const char *text)
{
    put(s, strlen(text), 8);
    str_add(s, text);
}

/* A key, unless it is to be left out, perhaps twice; `value` includes the type. */
static void put_key(struct str *s, const struct spec *p, int *n, const char *key, const struct str *value)
{
    int times = p->skip && strcmp(p->skip, key) == 0 ? 0 : p->twice && strcmp(p->twice, key) == 0 ? 2 : 1;
    for (; times > 0; times--, ++*n) {
        put_text(s, key);
        str_addn(s, value->p, value->n);
    }
}

static void put_number(struct str *s, const struct spec *p, int *n, const char *key, enum gguf_type type, uint64_t v)
{
    struct str value = {0};
    put(&value, type, 4);
    put(&value, v, type == GGUF_BOOL ? 1 : 4);
    put_key(s, p, n, key, &value);
    str_free(&value);
}

static void put_string(struct str *s, const struct spec *p, int *n, const char *key, const char *text)
{
    struct str value = {0};
    put(&value, GGUF_STRING, 4);
    put_text(&value, text);
    put_key(s, p, n, key, &value);
    str_free(&value);
}

static int put_keys(struct str *s, const struct spec *p)
{
    static const char *const ints[] = {"llama.block_count",          "llama.context_length",
                                       "llama.embedding_length",     "llama.feed_forward_length",
                                       "llama.attention.head_count", "llama.attention.head_count_kv"};
    static const unsigned value[] = {1, 64, D, D, 4, 2};
    static const char *const tokens[] = {"a", "b", "ab", "<end>"};
    struct str v = {0};
    int n = 0;
    put_string(s, p, &n, "general.architecture", p->arch ? p->arch : "llama");
    if (p->align)
        put_number(s, p, &n, "general.alignment", GGUF_U32, p->align);
    for (size_t i = 0; i < 6; i++)
        put_number(s, p, &n, ints[i], GGUF_U32, value[i]);
    put_number(s, p, &n, "llama.rope.freq_base", GGUF_F32, 0x47C35000); /* 100000 */
    put_number(s, p, &n, "llama.attention.layer_norm_rms_epsilon", GGUF_F32, 0x3727C5AC);
    put_string(s, p, &n, "tokenizer.ggml.model", "gpt2");
    put_string(s, p, &n, "tokenizer.ggml.pre", p->pre ? p->pre : "smollm");
    put(&v, GGUF_ARRAY, 4);
    put(&v, GGUF_STRING, 4);
    put(&v, N_VOCAB, 8);
    for (int i = 0; i < N_VOCAB; i++) {
        put(&v, p->token_bytes && i == 3 ? p->token_bytes : strlen(tokens[i]), 8);
        str_add(&v, tokens[i]);
    }
    put_key(s, p, &n, "tokenizer.ggml.tokens", &v);
    str_clear(&v);
    put(&v, GGUF_ARRAY, 4);
    put(&v, GGUF_I32, 4);
    put(&v, (uint64_t)(N_VOCAB - p->one_type_short), 8);
    for (int i = 0; i < N_VOCAB - p->one_type_short; i++)
        put(&v, i == 3 ? 3 : 1, 4);
    put_key(s, p, &n, "tokenizer.ggml.token_type", &v);
    str_clear(&v);
    put(&v, GGUF_ARRAY, 4);
    put(&v, GGUF_STRING, 4);
    put(&v, 1, 8);
    put_text(&v, "a b");
    put_key(s, p, &n, "tokenizer.ggml.merges", &v);
    put_number(s, p, &n, "tokenizer.ggml.bos_token_id", GGUF_U32, p->bos ? (uint64_t)p->bos : 3);
    put_number(s, p, &n, "tokenizer.ggml.eos_token_id", GGUF_U32, 3);
    for (const struct more *m = p->more; m < p->more + 3 && m->key; m++) {
        if (m->text)
            put_string(s, p, &n, m->key, m->text);
        else
            put_number(s, p, &n, m->key, m->type, m->bits);
    }
    str_free(&v);
    return n;
}

/* Value (row, col) of a tensor: small integers and quarters, exact in every type used here. */
static float value_at(size_t tensor, size_t row, size_t col)
{
    return (float)((tensor * 7 + row * 3 + col * 5) % 32) * 0.25f - 4;
}

static void put_data(struct str *s, const struct row *r, size_t index)
{
    for (size_t i = 0; i < r->rows; i++) {
        if (r->code == 8)
            put(s, 0x3400, 2); /* Q8_0: one block a row, scale 0.25 as binary16 */
        for (size_t j = 0; j < r->cols; j++) {
            float x = value_at(index, i, j);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            if (r->code == 0)
                put(s, bits, 4);
            else if (r->code == 30)
                put(s, bits >> 16, 2);
            else if (r->code == 8)
                put(s, (uint64_t)(int64_t)(x * 4), 1);
            else /* binary16: the exponents here are small, so it is a change of bias */
                put(s, x == 0 ? 0 : (bits >> 16 & 0x8000) | ((bits & 0x7FFFFFFF) - (112u << 23)) >> 13, 2);
        }
    }
}

static size_t data_bytes(const struct row *r)
{
    size_t n = (size_t)r->rows * r->cols;
    return r->code == 0 ? 4 * n : r->code == 8 ? n / 32 * 34 : 2 * n;
}

static void build(struct str *s, const struct spec *p)
{
    struct str keys = {0}, table = {0}, data = {0};
    int n_key = put_keys(&keys, p), n_tensor = 0;
    for (size_t i = 0; i < N_ROW + (p->extra_tensor != NULL); i++) {
        struct row r = i < N_ROW ? rows[i] : (struct row){p->extra_tensor, 1, D, 1, 0};
        int last = i == N_ROW - 1;
        int times = p->skip && strcmp(p->skip, r.name) == 0 ? 0 : p->twice && strcmp(p->twice, r.name) == 0 ? 2 : 1;
        for (; times > 0; times--, n_tensor++) {
            unsigned rank = last && p->rank ? p->rank : r.rank;
            put_text(&table, r.name);
            put(&table, rank, 4);
            for (unsigned k = 0; k < rank && k < 8; k++)
                put(&table, last && p->dim ? p->dim : k == 0 ? r.cols : k == 1 ? r.rows : 1, 8);
            put(&table, last && p->code ? p->code : r.code, 4);
            put(&table, data.n + (last ? p->offset : 0), 8);
        }
        size_t before = data.n;
        put_data(&data, &r, i);
        ck_assert_uint_eq(data.n - before, data_bytes(&r));
        while (data.n % 32)
            str_addc(&data, 0);
    }
    str_add(s, "GGUF");
    put(s, p->version ? p->version : 3, 4);
    put(s, p->n_tensor ? p->n_tensor : (uint64_t)n_tensor, 8);
    put(s, p->n_key ? p->n_key : (uint64_t)n_key, 8);
    str_addn(s, keys.p, keys.n);
    str_addn(s, table.p, table.n);
    while (s->n % 32)
        str_addc(s, 0);
    str_addn(s, data.p, data.n);
    str_free(&keys);
    str_free(&table);
    str_free(&data);
}

/* ---- a folder for every test ----------------------------------------------------------------- */

static char folder[64], source[96], output[96];

static void setup(void)
{
    strcpy(folder, "/tmp/depthkv-gguf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(source, sizeof source, "%s/x.gguf", folder);
    snprintf(output, sizeof output, "%s/x.h5", folder);
}

/* How many entries the folder has besides the source. */
static int others(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d));)
        n += f->d_name[0] != '.' && strcmp(f->d_name, "x.gguf") != 0;
    closedir(d);
    return n;
}

static void teardown(void)
{
    unlink(source);
    unlink(output);
    rmdir(folder);
}

static int import(const struct import_options *o, struct err *e)
{
    struct import_source s;
    if (import_open(source, &s, e))
        return -1;
    int rc = import_write(&s, output, o, e);
    import_close(&s);
    return rc;
}

static int import_bytes(const char *p, size_t n, struct err *e)
{
    static const struct import_options o = {.dtype = MODEL_F32};
    FILE *f = fopen(source, "wb");
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    fclose(f);
    return import(&o, e);
}

START_TEST(a_gguf_file_becomes_a_model_with_its_values)
{
    struct str s = {0};
    build(&s, &(struct spec){0});
    ck_assert_int_eq(import_bytes(s.p, s.n, NULL), 0);
    ck_assert_int_eq(others(), 1);
    struct model *m = model_open(output, MODEL_F32, NULL);
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(m->hp.n_kv_head, 2);
    ck_assert_int_eq(m->hp.head_dim, HEAD_DIM);
    ck_assert_int_eq(m->hp.tied, 1);
    ck_assert(m->hp.rope_base == 100000);
    ck_assert_str_eq(m->source_name, "x.gguf");
    ck_assert_ptr_eq(m->output.f32, m->embedding.f32);
    ck_assert_int_eq(m->layer[0].qkv.rows, 64);
    for (size_t i = 0; i < 64; i++)
        for (size_t j = 0; j < D; j++) {
            /* rows 0-31 are Q, 32-47 K, 48-63 V; in Q and K the file has the pair's members side by side */
            size_t tensor = i < 32 ? 2 : i < 48 ? 3 : 4, row = i < 32 ? i : i < 48 ? i - 32 : i - 48;
            size_t in_head = row % HEAD_DIM, head = row - in_head;
            size_t from = tensor == 4 ? row : head + 2 * (in_head % (HEAD_DIM / 2)) + in_head / (HEAD_DIM / 2);
            ck_assert_msg(matrix_get(&m->layer[0].qkv, (int)i, (int)j) == value_at(tensor, from, j),
                          "row %zu column %zu", i, j);
            int joined = matrix_gate_up_row(32, i >= 32, (int)i % 32);
            ck_assert(matrix_get(&m->layer[0].gate_up, joined, (int)j) == value_at(i < 32 ? 7 : 8, i % 32, j));
        }
    for (size_t i = 0; i < D * D; i++) {
        ck_assert(matrix_get(&m->layer[0].attn_out, (int)(i / D), (int)(i % D)) == value_at(5, i / D, i % D));
        ck_assert(matrix_get(&m->layer[0].down, (int)(i / D), (int)(i % D)) == value_at(9, i / D, i % D));
    }
    for (size_t i = 0; i < D; i++)
        ck_assert(m->output_norm[i] == value_at(10, 0, i));
    struct token_ids ids = {0};
    ck_assert_int_eq(tokenizer_encode(m->tokenizer, "abb<end>", 8, &ids, NULL), 0);
    ck_assert_int_eq(ids.n, 3);
    ck_assert_int_eq(ids.id[0], 2);
    ck_assert_int_eq(ids.id[2], 3);
    ck_assert_int_eq(tokenizer_add_bos(m->tokenizer), 0); /* the file does not say, so no */
    token_ids_free(&ids);
    model_close(m);
    str_free(&s);
}
END_TEST

START_TEST(sixteen_bit_storage_rounds_the_matrices_alone)
{
    static const enum model_dtype dtype[] = {MODEL_F16, MODEL_BF16};
    struct str s = {0};
    build(&s, &(struct spec){0});
    ck_assert_int_eq(import_bytes(s.p, s.n, NULL), 0);
    struct model *full = model_open(output, MODEL_F32, NULL);
    for (int k = 0; k < 2; k++) {
        struct import_options o = {.dtype = dtype[k]};
        ck_assert_int_eq(import(&o, NULL), 0);
        for (int held = 0; held < 2; held++) { /* every value here is exact in all types, so nothing changes */
            struct model *m = model_open(output, held ? MODEL_BF16 : MODEL_F32, NULL);
            ck_assert_ptr_nonnull(m);
            ck_assert_str_ne(m->sha256, full->sha256);
            for (size_t i = 0; i < 64 * D; i++) {
                uint32_t bits;
                float want = support_at(&full->layer[0].qkv, i);
                memcpy(&bits, &want, sizeof bits);
                ck_assert_uint_eq(bits & 0xffff, 0);
                ck_assert(support_at(&m->layer[0].qkv, i) == want);
                ck_assert(held ? m->layer[0].qkv.bf16 != NULL : m->layer[0].qkv.f32 != NULL);
            }
            ck_assert_mem_eq(m->output_norm, full->output_norm, D * sizeof(float));
            model_close(m);
        }
    }
    model_close(full);
    str_free(&s);
}
END_TEST

static const struct {
    struct spec spec;
    const char *says;
} wrong[] = {
    {{.version = 2}, "GGUF version 2, expected 3"},
    {{.n_key = UINT64_MAX}, "metadata keys can't be"},
    {{.n_tensor = UINT64_MAX / 2}, "tensors can't be"},
    {{.n_tensor = 100}, "tensor"},
    {{.skip = "general.architecture"}, "architecture '(none)'"},
    {{.arch = "bert"}, "architecture 'bert'; known: llama"},
    {{.skip = "llama.block_count"}, "'llama.block_count' missing"},
    {{.twice = "llama.block_count"}, "'llama.block_count' appears twice"},
    {{.skip = "blk.0.ffn_up.weight"}, "'blk.0.ffn_up.weight' missing"},
    {{.twice = "blk.0.ffn_up.weight"}, "'blk.0.ffn_up.weight' appears twice"},
    {{.extra_tensor = "blk.0.attn_q.bias"}, "'blk.0.attn_q.bias' has no place"},
    {{.extra_tensor = "output.weight"}, "'output.weight': 32 values in rows of 32, expected 128"},
    {{.code = 4}, "element type 4; readable: F32"},
    {{.code = 0xFFFFFFFF}, "element type 4294967295"},
    {{.code = 12}, "no whole number of Q4_K blocks"},
    {{.rank = 5}, "5 dimensions, expected 1 to 4"},
    {{.rank = 0xFFFFFFFF}, "dimensions, expected 1 to 4"},
    {{.rank = 2, .dim = 1u << 31}, "beyond the end of the file"},
    {{.rank = 4, .dim = 1ull << 60}, "impossible dimension"},
    {{.dim = 16}, "16 values in rows of 16, expected 32 in rows of 32"},
    {{.dim = UINT64_MAX}, "impossible dimension"},
    {{.offset = 1}, "no multiple of the alignment"},
    {{.offset = 1ull << 62}, "beyond the end of the file"},
    {{.offset = UINT64_MAX - 31 - 20000}, "beyond the end of the file"},
    {{.align = 3}, "general.alignment is 3"},
    {{.token_bytes = UINT64_MAX}, "truncated, or a length beyond"},
    {{.token_bytes = 1ull << 40}, "truncated, or a length beyond"},
    {{.one_type_short = 1}, "don't fit together"},
    {{.bos = 4}, "bos_token_id is 4, but there are 4 tokens"},
    {{.pre = "deepseek-llm"},
     "pre-tokenizer 'deepseek-llm'; known: gpt-2, smollm, starcoder, refact, olmo, dbrx, llama-bpe, qwen2, tekken, "
     "gpt-4o"},
    {{.skip = "tokenizer.ggml.merges"}, "'tokenizer.ggml.merges' missing"},
    {{.more = {{"split.count", NULL, GGUF_U32, 2}}}, "one of 2 files of a model that was split"},
    {{.arch = "bert", .more = {{"split.count", NULL, GGUF_U32, 2}}}, "one of 2 files"},
    {{.more = {{"llama.wobble", NULL, GGUF_U32, 0}}}, "'llama.wobble' is not known"},
    {{.more = {{"llama.expert_count", NULL, GGUF_U32, 8}}}, "'llama.expert_count' is 8, expected 0"},
    {{.more = {{"llama.attention.sliding_window", NULL, GGUF_U32, 64}}}, "'llama.attention.sliding_window' is 64"},
    {{.more = {{"llama.logit_scale", NULL, GGUF_F32, 0x40000000}}}, "'llama.logit_scale' is 2, expected 1"},
    {{.more = {{"llama.rope.scaling.attn_factor", NULL, GGUF_F32, 0x40000000}}}, "attn_factor' is 2"},
    {{.more = {{"llama.rope.scaling.type", "yarn", 0, 0}}}, "rope scaling 'yarn'; known: none, linear"},
    {{.more = {{"llama.rope.dimension_count", NULL, GGUF_U32, 4}}}, "rotation of 4 of 8 dimensions"},
    {{.more = {{"tokenizer.ggml.add_eos_token", NULL, GGUF_BOOL, 1}}}, "add_eos_token' is 1"},
    {{.more = {{"tokenizer.ggml.precompiled_charsmap", "x", 0, 0}}}, "precompiled_charsmap' is not known"},
    {{.extra_tensor = "rope_factors_short.weight"}, "'rope_factors_short.weight' has no place in a llama model"},
    {{.extra_tensor = "rope_freqs.weight"}, "'rope_freqs.weight': 32 factors of a rotation, expected 4"},
};

enum { QUARTER = 0x3E800000, ONE = 0x3F800000, TWO = 0x40000000, FOUR = 0x40800000 }; /* as floats */

/* As llama.cpp reads them: llama-model.cpp, load_hparams, and llama-context.cpp, which puts "none" above a factor. */
START_TEST(rotation_is_read_from_every_place_of_a_gguf_file)
{
    static const struct {
        struct more more[3];
        double factor; /* 1: plain */
    } c[] = {
        {{{0}}, 1},
        {{{"llama.rope.scaling.factor", NULL, GGUF_F32, FOUR}}, 4},
        {{{"llama.rope.scale_linear", NULL, GGUF_F32, FOUR}}, 4},
        {{{"llama.rope.scaling.factor", NULL, GGUF_F32, TWO}, {"llama.rope.scale_linear", NULL, GGUF_F32, FOUR}}, 2},
        {{{"llama.rope.scaling.factor", NULL, GGUF_F32, 0}, {"llama.rope.scale_linear", NULL, GGUF_F32, FOUR}}, 1},
        {{{"llama.rope.scaling.type", "linear", 0, 0}, {"llama.rope.scaling.factor", NULL, GGUF_F32, FOUR}}, 4},
        {{{"llama.rope.scaling.type", "linear", 0, 0}, {"llama.rope.scale_linear", NULL, GGUF_F32, FOUR}}, 4},
        {{{"llama.rope.scaling.type", "none", 0, 0}, {"llama.rope.scaling.factor", NULL, GGUF_F32, FOUR}}, 1},
        {{{"llama.rope.scaling.type", "none", 0, 0}, {"llama.rope.scale_linear", NULL, GGUF_F32, FOUR}}, 1},
        {{{"llama.rope.scaling.type", "linear", 0, 0}}, 1},
        {{{"llama.rope.scaling.attn_factor", NULL, GGUF_F32, ONE},
          {"llama.rope.dimension_count", NULL, GGUF_U32, 8},
          {"llama.rope.scaling.factor", NULL, GGUF_F32, QUARTER}},
         0.25},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spec spec = {0};
        struct str s = {0};
        struct err e = {0};
        memcpy(spec.more, c[i].more, sizeof spec.more);
        build(&s, &spec);
        ck_assert_msg(import_bytes(s.p, s.n, &e) == 0, "case %zu: %s", i, e.msg);
        struct model *m = model_open(output, MODEL_F32, NULL);
        ck_assert_ptr_nonnull(m);
        ck_assert_msg(m->hp.rope_factor == c[i].factor, "case %zu: factor %g", i, m->hp.rope_factor);
        for (int k = 0; k < HEAD_DIM / 2; k++) {
            double want = pow(100000, -2.0 * k / HEAD_DIM) / c[i].factor;
            ck_assert_msg(fabs(m->rope_freq[k] / want - 1) < 1e-12, "case %zu: frequency %d is %g", i, k,
                          m->rope_freq[k]);
        }
        model_close(m);
        str_free(&s);
    }
}
END_TEST

START_TEST(hostile_files_are_refused_by_name_and_leave_nothing)
{
    struct str s = {0};
    struct err e;
    memset(&e, 0xFF, sizeof e);
    build(&s, &wrong[_i].spec);
    ck_assert_msg(import_bytes(s.p, s.n, &e) == -1, "case %d was accepted (%s)", _i, wrong[_i].says);
    ck_assert_msg(strstr(e.msg, wrong[_i].says), "case %d: '%s' does not say '%s'", _i, e.msg, wrong[_i].says);
    ck_assert_int_eq(others(), 0);
    str_free(&s);
}
END_TEST

START_TEST(what_is_no_gguf_file_is_refused)
{
    static const char *const paths[] = {"/dev/null", "/nonexistent/x.gguf"};
    struct import_source s;
    struct err e;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(import_open(paths[i], &s, &e), -1);
        ck_assert_int_eq(e.code, ERR_IO);
    }
    ck_assert_int_eq(import_open(folder, &s, &e), -1); /* a folder without config.json */
    ck_assert_ptr_nonnull(strstr(e.msg, "config.json"));
    ck_assert_int_eq(import_bytes("", 0, &e), -1);
    ck_assert_int_eq(import_bytes("GG", 2, &e), -1);
    ck_assert_int_eq(import_bytes("PK\3\4 something else entirely", 28, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "not a GGUF file"));
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct str s = {0};
    struct err e;
    build(&s, &(struct spec){0});
    for (size_t n = 0; n < s.n; n += n < 1200 ? 7 : 997) {
        ck_assert_msg(import_bytes(s.p, n, &e) == -1, "accepted with %zu of %zu bytes", n, s.n);
        ck_assert_int_eq(others(), 0);
    }
    str_free(&s);
}
END_TEST

/* Any byte of the head may be anything: no crash, and an output only when the import says so. Weights are the
 * rest of the file; there every byte is allowed. */
START_TEST(flipped_bytes_never_crash)
{
    static const unsigned char flip[] = {0xFF, 0x80, 0x01};
    struct str s = {0};
    struct err e;
    build(&s, &(struct spec){0});
    for (size_t i = 0; i < 1900; i++) {
        unsigned char was = (unsigned char)s.p[i];
        s.p[i] = (char)(was ^ flip[i % 3]);
        int rc = import_bytes(s.p, s.n, &e);
        ck_assert_int_eq(others(), rc == 0);
        if (rc == 0) {
            model_close(model_open(output, MODEL_F32, &e));
            unlink(output);
        }
        s.p[i] = (char)was;
    }
    str_free(&s);
}
END_TEST

static int stop_at_three(void *ctx, int done, int total)
{
    (void)ctx;
    (void)total;
    return done == 3;
}

START_TEST(an_interrupted_import_keeps_the_old_file)
{
    struct import_options o = {.progress = stop_at_three};
    struct str s = {0};
    struct err e;
    build(&s, &(struct spec){0});
    ck_assert_int_eq(import_bytes(s.p, s.n, NULL), 0);
    int64_t size = fs_size(output);
    ck_assert_int_eq(import(&o, &e), -1);
    ck_assert_int_eq(e.code, ERR_INTERRUPTED);
    ck_assert_int_eq(others(), 1);
    ck_assert_int_eq(fs_size(output), size);
    str_free(&s);
}
END_TEST

/* The first allocation fails, then the second, ... until there are no more: every such path ends with its error, no
 * file, and nothing held. */
START_TEST(every_refused_allocation_ends_cleanly)
{
    struct str s = {0};
    struct err e;
    long n = 0;
    int rc = -1;
    build(&s, &(struct spec){0});
    size_t live = mem_live();
    while (rc) {
        mem_fail_at(++n);
        rc = import_bytes(s.p, s.n, &e);
        ck_assert(rc == 0 || e.code == ERR_NOMEM);
        ck_assert_int_eq(others(), rc == 0);
        ck_assert_uint_eq(mem_live(), live);
    }
    ck_assert_int_gt(n, 3);
    struct model *m = NULL;
    for (n = 1; !m; n++) {
        mem_fail_at(n);
        m = model_open(output, MODEL_F32, &e);
        ck_assert(m || e.code == ERR_NOMEM);
        ck_assert(m || mem_live() == live);
    }
    ck_assert_int_gt(n, 3);
    mem_fail_at(0);
    model_close(m);
    ck_assert_uint_eq(mem_live(), live);
    str_free(&s);
}
END_TEST

START_TEST(the_command_tells_success_and_wrong_input_apart)
{
    char *const cmd = (char[]){"import"}, *const o = (char[]){"-o"}, *const bf16 = (char[]){"--dtype=bf16"},
                *const f8 = (char[]){"--dtype=f8"}, *const none = (char[]){"/nonexistent.gguf"};
    const struct {
        char *argv[6];
        int want;
    } c[] = {{{cmd, source, o, output, bf16}, 0},
             {{cmd, none, o, output}, 2},
             {{cmd, source, o, folder}, 2},
             {{cmd, source, o, source}, 2},
             {{cmd, source, o, output, f8}, 2},
             {{cmd, source}, 2},
             {{cmd, o, output}, 2},
             {{cmd, source, o}, 2}};
    struct str s = {0};
    build(&s, &(struct spec){0});
    fs_write_atomic(source, s.p, s.n, NULL);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *argv[6];
        int argc = 0;
        for (; argc < 6 && c[i].argv[argc]; argc++)
            argv[argc] = c[i].argv[argc];
        ck_assert_msg(cmd_import(argc, argv) == c[i].want, "case %zu", i);
        ck_assert_int_eq(others(), i == 0);
        unlink(output);
    }
    str_free(&s);
}
END_TEST

Suite *make_gguf_suite(void)
{
    Suite *s = suite_create("gguf");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_gguf_file_becomes_a_model_with_its_values);
    tcase_add_test(t, sixteen_bit_storage_rounds_the_matrices_alone);
    tcase_add_loop_test(t, hostile_files_are_refused_by_name_and_leave_nothing, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(t, rotation_is_read_from_every_place_of_a_gguf_file);
    tcase_add_test(t, what_is_no_gguf_file_is_refused);
    tcase_add_test(t, every_truncation_is_refused);
    tcase_add_test(t, flipped_bytes_never_crash);
    tcase_add_test(t, an_interrupted_import_keeps_the_old_file);
    tcase_add_test(t, every_refused_allocation_ends_cleanly);
    tcase_add_test(t, the_command_tells_success_and_wrong_input_apart);
    suite_add_tcase(s, t);
    return s;
}
