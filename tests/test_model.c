/* Models: what hyper-parameters may be, the table of tensors, the arena, rotation frequencies, and what a model
 * file must be for model_open. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/model.h"
#include "models/model_file.h"
#include "tests/lib/smollm2.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const struct hparams tiny = {.architecture = "llama",
                                    .n_layer = 2,
                                    .d_model = 8,
                                    .n_head = 4,
                                    .n_kv_head = 2,
                                    .head_dim = 4,
                                    .d_ff = 6,
                                    .n_vocab = 5,
                                    .context_length = 32,
                                    .norm_eps = 1e-5f,
                                    .embedding_scale = 1,
                                    .rope_base = 10000};

/* ---- hyper-parameters and rotation ----------------------------------------------------------- */

START_TEST(impossible_hyper_parameters_are_refused_by_name)
{
    static const struct {
        size_t offset;
        int v;
        const char *says;
    } c[] = {{offsetof(struct hparams, n_layer), 0, "n_layer is 0"},
             {offsetof(struct hparams, n_layer), 1 << 30, "n_layer is"},
             {offsetof(struct hparams, d_model), -1, "d_model is -1"},
             {offsetof(struct hparams, n_kv_head), 3, "n_head 4 is no multiple of n_kv_head 3"},
             {offsetof(struct hparams, n_kv_head), 0, "n_kv_head is 0"},
             {offsetof(struct hparams, head_dim), 5, "head_dim is 5, expected an even number"},
             {offsetof(struct hparams, n_vocab), 1 << 30, "n_vocab is"},
             {offsetof(struct hparams, context_length), 0, "context_length is 0"},
             {offsetof(struct hparams, rope_scaling), MODEL_ROPE_LINEAR, "rope_factor is 0"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct hparams hp = tiny;
        struct err e;
        memset(&e, 0xFF, sizeof e);
        memcpy((char *)&hp + c[i].offset, &c[i].v, sizeof c[i].v);
        ck_assert_msg(hparams_check(&hp, &e) == -1, "case %zu", i);
        ck_assert_int_eq(e.code, ERR_SHAPE);
        ck_assert_msg(strstr(e.msg, c[i].says), "case %zu: %s", i, e.msg);
    }
    struct hparams hp = tiny;
    hp.rope_base = (double)NAN;
    ck_assert_int_eq(hparams_check(&hp, NULL), -1);
    hp = tiny;
    ck_assert_int_eq(hparams_check(&hp, NULL), 0);
    ck_assert_int_eq(hp.n_group, 2);
}
END_TEST

struct fill {
    float next;
    char last[40];
    int fail_at, calls;
};

static int fill(void *ctx, const char *name, float *dst, size_t n, struct err *e)
{
    struct fill *f = ctx;
    if (++f->calls == f->fail_at)
        return err_set(e, ERR_IO, "no more");
    snprintf(f->last, sizeof f->last, "%s", name);
    for (size_t i = 0; i < n; i++)
        dst[i] = f->next++;
    return 0;
}

/* The llama3 numbers are transformers 4.57.6's (float32): head_dim 64, base 500000, factor 8, low 1, high 4, original
 * context 8192. Pair 14 keeps its frequency, 15 to 17 are blended, 18 and 31 are divided by 8. */
static const struct {
    int pair;
    double freq;
} llama3_freq[] = {{14, 0.00321144611},  {15, 0.00137189368},  {16, 0.000524846022},
                   {17, 0.000178507791}, {18, 7.78465546e-05}, {31, 3.7673226e-07}};

START_TEST(rotation_frequencies_follow_their_scaling)
{
    struct hparams hp = tiny;
    hp.head_dim = 64;
    hp.rope_base = 500000;
    struct model *plain = model_build(&hp, fill, &(struct fill){0}, NULL);
    hp.rope_scaling = MODEL_ROPE_LINEAR;
    hp.rope_factor = 4;
    struct model *linear = model_build(&hp, fill, &(struct fill){0}, NULL);
    hp.rope_scaling = MODEL_ROPE_LLAMA3;
    hp.rope_factor = 8;
    hp.rope_low_freq_factor = 1;
    hp.rope_high_freq_factor = 4;
    hp.rope_original_context = 8192;
    struct model *llama3 = model_build(&hp, fill, &(struct fill){0}, NULL);
    for (int i = 0; i < 32; i++) {
        double f = pow(500000, -i / 32.0);
        ck_assert_double_eq_tol(plain->rope_freq[i], f, 1e-14 * f);
        ck_assert_double_eq_tol(linear->rope_freq[i], f / 4, 1e-14 * f);
    }
    for (size_t i = 0; i < sizeof llama3_freq / sizeof *llama3_freq; i++) /* 1e-6: the reference rounds to float */
        ck_assert_double_eq_tol(llama3->rope_freq[llama3_freq[i].pair], llama3_freq[i].freq,
                                1e-6 * llama3_freq[i].freq);
    model_close(plain);
    model_close(linear);
    model_close(llama3);
}
END_TEST

/* ---- the arena ------------------------------------------------------------------------------- */

START_TEST(layers_with_a_window_are_not_prunable_and_the_others_are)
{
    struct hparams hp = {.n_layer = 5, .window = 4, .layer_kinds = "wfnww"};
    const int prunable[5] = {0, 1, 1, 0, 0};
    for (int l = 0; l < 5; l++)
        ck_assert_int_eq(model_layer_prunable(&hp, l), prunable[l]);
    ck_assert_int_eq(model_n_prunable(&hp), 2);
    hp = (struct hparams){.n_layer = 5};
    ck_assert_int_eq(model_n_prunable(&hp), 5);
    hp = (struct hparams){.n_layer = 2, .window = 4, .layer_kinds = "ww"};
    ck_assert_int_eq(model_n_prunable(&hp), 0);
}
END_TEST

START_TEST(q_k_v_and_gate_up_lie_behind_one_another)
{
    struct hparams hp = tiny;
    hp.qkv_bias = hp.qk_norm = 1;
    struct fill f = {0};
    struct model *m = model_build(&hp, fill, &f, NULL);
    ck_assert_str_eq(f.last, "output");
    ck_assert_int_eq(f.calls, model_n_tensor(&m->hp));
    ck_assert_int_eq(f.calls, 3 + 2 * 14);
    const struct model_layer *l = &m->layer[1];
    ck_assert_int_eq(l->qkv.rows, (4 + 2 * 2) * 4);
    ck_assert_int_eq(l->gate_up.rows, 12);
    for (size_t i = 1; i < 32 * 8; i++) /* filled in order, so that joined means consecutive */
        ck_assert(support_at(&l->qkv, i) == support_at(&l->qkv, 0) + (float)i);
    for (size_t i = 1; i < 12 * 8; i++)
        ck_assert(support_at(&l->gate_up, i) == support_at(&l->gate_up, 0) + (float)i);
    for (int i = 1; i < 32; i++)
        ck_assert(l->qkv_bias[i] == l->qkv_bias[0] + (float)i);
    ck_assert(l->q_norm[3] + 1 == l->k_norm[0]);
    const void *aligned[] = {m->embedding.f32, l->attn_norm, l->qkv.f32,   l->attn_out.f32,
                             l->gate_up.f32,   l->down.f32,  m->output.f32};
    for (int i = 0; i < 7; i++)
        ck_assert_msg((uintptr_t)aligned[i] % 64 == 0, "pointer %d", i);
    model_close(m);
    hp.tied = 1;
    m = model_build(&hp, fill, &f, NULL);
    ck_assert_ptr_eq(m->output.f32, m->embedding.f32);
    model_close(m);
}
END_TEST

START_TEST(a_failing_source_or_no_memory_ends_with_its_error)
{
    struct err e;
    size_t live = mem_live();
    for (int i = 1; i <= model_n_tensor(&tiny); i++) {
        ck_assert_ptr_null(model_build(&tiny, fill, &(struct fill){.fail_at = i}, &e));
        ck_assert_str_eq(e.msg, "no more");
    }
    mem_fail_at(1);
    ck_assert_ptr_null(model_build(&tiny, fill, &(struct fill){0}, &e));
    ck_assert_int_eq(e.code, ERR_NOMEM);
    ck_assert_uint_eq(mem_live(), live);
}
END_TEST

START_TEST(the_hash_tells_weights_and_hyper_parameters_apart)
{
    struct hparams hp = tiny;
    struct model *a = model_build(&hp, fill, &(struct fill){0}, NULL),
                 *b = model_build(&hp, fill, &(struct fill){0}, NULL),
                 *c = model_build(&hp, fill, &(struct fill){.next = 1}, NULL);
    hp.context_length = 64;
    struct model *d = model_build(&hp, fill, &(struct fill){0}, NULL);
    ck_assert_str_eq(a->sha256, b->sha256);
    ck_assert_str_ne(a->sha256, c->sha256);
    ck_assert_str_ne(a->sha256, d->sha256);
    model_close(a);
    model_close(b);
    model_close(c);
    model_close(d);
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------- */

static char path[] = "/tmp/depthkv-model-XXXXXX";

static void setup(void)
{
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

/* What to do wrong with one tensor; zero everywhere is a good file. */
struct spoil {
    const char *tensor;
    enum h5_type type;
    int skip, rank;
    uint64_t dim[3];
};

static void write_model(const struct hparams *hp, const struct spoil *p)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    float x[512];
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    for (int i = 0; i < 512; i++)
        x[i] = (float)i;
    ck_assert_int_eq(model_file_write_hparams(f, hp, NULL), 0);
    h5_set_string(f, "/", "source_name", "test", NULL);
    h5_set_string(f, "/", "source_sha256", zeros, NULL);
    h5_set_string(f, "/", "sha256", zeros, NULL);
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor t;
        char name[64];
        model_tensor_at(hp, i, &t);
        snprintf(name, sizeof name, "/%s", t.name);
        int bad = p->tensor && strcmp(p->tensor, t.name) == 0;
        if (bad && p->skip)
            continue;
        uint64_t dim[2] = {(uint64_t)t.dim[0], (uint64_t)t.dim[1]};
        ck_assert_int_eq(h5_write(f, name, bad ? p->type : H5_TYPE_F32, bad && p->rank ? p->rank : t.rank,
                                  bad && p->rank ? p->dim : dim, x, NULL),
                         0);
    }
    ck_assert_int_eq(h5_close(f, NULL), 0);
}

START_TEST(a_file_with_a_wrong_tensor_is_refused_with_path_and_both_shapes)
{
    static const struct {
        struct spoil spoil;
        const char *says;
    } c[] = {
        {{.tensor = "layers/1/wq", .rank = 2, .dim = {8, 8}},
         ":/layers/1/wq: shape (8,8), expected (16,8) from n_head*head_dim x d_model"},
        {{.tensor = "layers/0/attn_norm", .rank = 2, .dim = {8, 1}}, ":/layers/0/attn_norm: shape (8,1), expected (8)"},
        {{.tensor = "output_norm", .rank = 1, .dim = {9}}, ":/output_norm: shape (9), expected (8) from d_model"},
        {{.tensor = "embedding", .rank = 3, .dim = {5, 8, 1}}, ":/embedding: shape (5,8,1), expected (5,8)"},
        {{.tensor = "layers/1/down", .skip = 1}, ":/layers/1/down: missing"},
        {{.tensor = "layers/1/down", .type = H5_TYPE_I32}, ":/layers/1/down: elements are i32, expected f32"}};
    struct err e;
    size_t live = mem_live();
    write_model(&tiny, &(struct spoil){0});
    struct model *m = model_open(path, MODEL_F32, &e);
    ck_assert_ptr_nonnull(m);
    ck_assert(support_at(&m->layer[1].down, 7) == 7);
    ck_assert_ptr_null(m->tokenizer);
    model_close(m);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        write_model(&tiny, &c[i].spoil);
        ck_assert_msg(!model_open(path, MODEL_F32, &e), "case %zu was opened", i);
        ck_assert_msg(strstr(e.msg, c[i].says), "case %zu: '%s' does not say '%s'", i, e.msg, c[i].says);
    }
    ck_assert_uint_eq(mem_live(), live);
}
END_TEST

START_TEST(a_file_with_wrong_attributes_is_refused_by_name)
{
    static const struct {
        const char *name, *text, *says;
        int64_t v;
    } c[] = {{"format", "other", "not a model file", 0},
             {"format_version", NULL, "format_version 4, expected 1 to 3", 4},
             {"n_head", NULL, "n_head 5 is no multiple", 5},
             {"n_layer", NULL, "n_layer' is 1099511627776, out of range", (int64_t)1 << 40},
             {"n_layer", NULL, ":/layers/2/attn_norm: missing", 3},
             {"activation", "relu", "'activation' is 'relu'", 0},
             {"rope_base", "x", "'rope_base' is not one number", 0},
             {"sha256", "12", "'sha256' is no SHA-256", 0},
             {"d_model", "8", "'d_model' is not one integer", 0}};
    struct err e;
    struct hparams hp;
    char sha256[HASH_HEX];
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        write_model(&tiny, &(struct spoil){0});
        ck_assert_int_eq(model_open_hparams(path, &hp, sha256, &e), 0);
        ck_assert_int_eq(hp.n_group, 2);
        struct h5 *f = h5_open(path, H5_MODE_APPEND, NULL);
        if (c[i].text)
            h5_set_string(f, "/", c[i].name, c[i].text, NULL);
        else
            h5_set_int(f, "/", c[i].name, c[i].v, NULL);
        h5_close(f, NULL);
        ck_assert_msg(!model_open(path, MODEL_F32, &e), "case %zu was opened", i);
        ck_assert_msg(strstr(e.msg, c[i].says), "case %zu: '%s' does not say '%s'", i, e.msg, c[i].says);
    }
}
END_TEST

START_TEST(a_truncated_model_file_is_refused)
{
    struct err e;
    write_model(&tiny, &(struct spoil){0});
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    fclose(f);
    for (long k = n - 1; k > 0; k -= n / 16) {
        ck_assert_int_eq(truncate(path, k), 0);
        ck_assert_msg(!model_open(path, MODEL_F32, &e), "opened with %ld of %ld bytes", k, n);
    }
}
END_TEST

START_TEST(a_tokenizer_comes_back_as_it_was_written)
{
    char *token[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"ab"}, (char[]){"<end>"}};
    char *merge[] = {(char[]){"a b"}}, pre[] = "gpt2", chat[] = "{% for m in messages %}";
    uint8_t type[] = {TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_CONTROL};
    int extra[] = {2};
    const struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                                     .pre = pre,
                                     .n_token = 4,
                                     .token = token,
                                     .type = type,
                                     .n_merge = 1,
                                     .merge = merge,
                                     .bos = -1,
                                     .eos = 3,
                                     .pad = 0,
                                     .unk = -1,
                                     .add_bos = 1,
                                     .chat_template = chat,
                                     .eos_extra = extra,
                                     .n_eos_extra = 1};
    struct tokenizer_data back;
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    ck_assert_int_eq(model_file_read_tokenizer(f, &back, NULL), 0);
    ck_assert_int_eq(model_file_write_tokenizer(f, &d, NULL), 0);
    ck_assert_int_eq(model_file_read_tokenizer(f, &back, NULL), 1);
    ck_assert_str_eq(back.pre, pre);
    ck_assert_str_eq(back.chat_template, chat);
    ck_assert_str_eq(back.token[3], "<end>");
    ck_assert_str_eq(back.merge[0], "a b");
    ck_assert_mem_eq(back.type, type, 4);
    ck_assert_int_eq(back.bos, -1);
    ck_assert_int_eq(back.eos, 3);
    ck_assert_int_eq(back.add_bos, 1);
    ck_assert_int_eq(back.n_eos_extra, 1);
    ck_assert_int_eq(back.eos_extra[0], 2);
    tokenizer_data_fini(&back);
    h5_close(f, NULL);
}
END_TEST

/* Puts other bytes where `old` stands in the file, as an editor of weights does; the file's attributes stay. */
static void edit_file(const void *old, const void *new, size_t n)
{
    size_t size;
    char *file = fs_read(path, &size, NULL), *at = memmem(file, size, old, n);
    ck_assert_ptr_nonnull(at);
    memcpy(at, new, n);
    ck_assert_int_eq(fs_write_atomic(path, file, size, NULL), 0);
    mem_free(file);
}

START_TEST(a_model_is_what_was_loaded_and_not_what_its_file_says)
{
    struct str text = {0};
    support_model_file(path, 2, 2);
    struct model *m = model_open(path, MODEL_F32, NULL);
    ck_assert_str_eq(m->sha256, m->stated_sha256);
    ck_assert_int_eq(model_open_changed(m, &text), 0);
    float norm[2];
    memcpy(norm, m->output_norm, sizeof norm);
    edit_file(norm, (const float[]){3 * norm[0], norm[1]}, sizeof norm);
    struct model *other = model_open(path, MODEL_F32, NULL);
    ck_assert_str_eq(other->stated_sha256, m->sha256);
    ck_assert_str_ne(other->sha256, m->sha256);
    ck_assert_str_eq(other->tokenizer_sha256, m->tokenizer_sha256);
    ck_assert_int_eq(model_open_changed(other, &text), 1);
    char hash[HASH_HEX];
    ck_assert_int_eq(model_open_hash(path, hash, NULL), 0);
    ck_assert_str_eq(hash, other->sha256);
    ck_assert_msg(strstr(text.p, "changed after it was imported"), "%s", text.p);
    edit_file((const float[]){3 * norm[0], norm[1]}, norm, sizeof norm);
    struct model *again = model_open(path, MODEL_BF16, NULL); /* how weights are held is no part of it */
    ck_assert_str_eq(again->sha256, m->sha256);
    model_close(m);
    model_close(other);
    model_close(again);
    str_free(&text);
}
END_TEST

/* Each line changes one thing that a tokenizer's behaviour depends on. */
START_TEST(weights_of_a_file_that_are_no_numbers_are_refused_with_their_place)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3.4e38f};
    for (int i = 0; i < 4; i++) {
        struct rng r;
        float x[4];
        size_t n;
        struct err e = {0};
        support_model_file(path, 1, 1);
        rng_init(&r, 1, "layers/0/wo");
        support_random(&r, x, 4);
        for (int k = 0; k < 4; k++)
            x[k] *= 0.6f;
        char *bytes = fs_read(path, &n, NULL), *at = memmem(bytes, n, x, sizeof x);
        ck_assert_ptr_nonnull(at);
        memcpy(at + 4 * sizeof *x, &bad[i], sizeof *bad); /* value 4 of the first row */
        ck_assert_int_eq(fs_write_atomic(path, bytes, n, NULL), 0);
        mem_free(bytes);
        for (int held = 0; held < 2; held++) {
            struct model *m = model_open(path, held ? MODEL_BF16 : MODEL_F32, &e);
            ck_assert_int_eq(m != NULL, i == 3 && !held); /* that number is too large for bf16 alone */
            ck_assert_msg(m || strstr(e.msg, "/layers/0/wo: value (0,4) is "), "%s", e.msg);
            model_close(m);
        }
    }
}
END_TEST

START_TEST(another_tokenizer_has_another_identity)
{
    char *token[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"ab"}, (char[]){"<end>"}},
         *other_token[] = {token[0], token[1], token[2], (char[]){"<End>"}};
    char *merge[] = {(char[]){"a b"}}, pre[] = "gpt2", other_pre[] = "smollm", chat[] = "x", other_chat[] = "y";
    uint8_t type[] = {0, 0, 0, TOKEN_CONTROL}, other_type[] = {0, 0, 0, TOKEN_ADDED};
    int extra[] = {2}, other_extra[] = {1};
    const struct tokenizer_data d = {.kind = TOKENIZER_BPE,
                                     .pre = pre,
                                     .n_token = 4,
                                     .token = token,
                                     .type = type,
                                     .n_merge = 1,
                                     .merge = merge,
                                     .bos = -1,
                                     .eos = 3,
                                     .pad = 0,
                                     .unk = -1,
                                     .add_bos = 1,
                                     .chat_template = chat,
                                     .eos_extra = extra,
                                     .n_eos_extra = 1};
    struct tokenizer_data v[13];
    char hex[13][HASH_HEX];
    for (int i = 0; i < 13; i++)
        v[i] = d;
    v[1].token = other_token;
    v[2].type = other_type;
    v[3].n_merge = 0;
    v[4].bos = 0;
    v[5].eos = 2;
    v[6].pad = 1;
    v[7].unk = 0;
    v[8].add_bos = 0;
    v[9].pre = other_pre;
    v[10].chat_template = other_chat;
    v[11].eos_extra = other_extra;
    v[12].n_eos_extra = 0;
    for (int i = 0; i < 13; i++) {
        struct tokenizer *t = tokenizer_create(&v[i], "v", NULL);
        ck_assert_ptr_nonnull(t);
        tokenizer_sha256(t, hex[i]);
        tokenizer_destroy(t);
        for (int j = 0; j < i; j++)
            ck_assert_msg(strcmp(hex[i], hex[j]) != 0, "tokenizers %d and %d", j, i);
    }
}
END_TEST

/* An identity is a promise to every row that names it: it has to follow from the file, whatever has changed since the
 * file was written. */
START_TEST(the_identity_of_the_reference_model_follows_from_its_file)
{
    static const char reference[] = "models/reference/reference.h5";
    struct hparams hp;
    char said[HASH_HEX], found[HASH_HEX];
    ck_assert_int_eq(model_open_hparams(reference, &hp, said, NULL), 0);
    struct h5 *f = h5_open(reference, H5_MODE_READ, NULL);
    struct hash_sha256_ctx *hash = model_hash_begin(&hp);
    for (int i = 0; i < model_n_tensor(&hp); i++) {
        struct model_tensor t;
        struct h5_info info;
        char name[sizeof t.name + 1];
        model_tensor_at(&hp, i, &t);
        snprintf(name, sizeof name, "/%s", t.name);
        size_t n = (size_t)t.dim[0] * (size_t)t.dim[1];
        ck_assert_int_eq(h5_stat(f, name, &info, NULL), 0);
        void *x = mem_new(n, h5_type_size(info.type));
        ck_assert_int_eq(h5_read(f, name, info.type, x, n, NULL), 0);
        model_hash_tensor(hash, &t, h5_type_name(info.type), x, n * h5_type_size(info.type));
        mem_free(x);
    }
    hash_sha256_finish(hash, found);
    h5_close(f, NULL);
    ck_assert_str_eq(found, said);
}
END_TEST

/* The identity was checked once against the gguf package: every tensor of layers 0, 7 and 29 and the embedding equal
 * its dequantisation, Q and K un-permuted with NumPy. It changes when the import or the hash's definition does. */
START_TEST(smollm2_is_the_model_it_is_said_to_be)
{
    struct hparams hp;
    char sha256[HASH_HEX];
    const char *file = smollm2_path("smollm2_is_the_model_it_is_said_to_be");
    if (!file)
        return;
    ck_assert_int_eq(model_open_hparams(file, &hp, sha256, NULL), 0);
    ck_assert_int_eq(hp.n_layer, 30);
    ck_assert_int_eq(hp.n_head, 9);
    ck_assert_int_eq(hp.n_kv_head, 3);
    ck_assert_int_eq(hp.head_dim, 64);
    ck_assert_int_eq(hp.n_vocab, 49152);
    ck_assert(hp.rope_base == 100000);
    ck_assert_str_eq(sha256, "ece768f9f6d6cf1a6655a54d0ad49549ca387021dd27f702f6f5f91911c996cd");
}
END_TEST

Suite *make_model_suite(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("core");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, impossible_hyper_parameters_are_refused_by_name);
    tcase_add_test(t, rotation_frequencies_follow_their_scaling);
    tcase_add_test(t, layers_with_a_window_are_not_prunable_and_the_others_are);
    tcase_add_test(t, q_k_v_and_gate_up_lie_behind_one_another);
    tcase_add_test(t, a_failing_source_or_no_memory_ends_with_its_error);
    tcase_add_test(t, the_hash_tells_weights_and_hyper_parameters_apart);
    tcase_add_test(t, a_file_with_a_wrong_tensor_is_refused_with_path_and_both_shapes);
    tcase_add_test(t, a_file_with_wrong_attributes_is_refused_by_name);
    tcase_add_test(t, a_truncated_model_file_is_refused);
    tcase_add_test(t, a_tokenizer_comes_back_as_it_was_written);
    tcase_add_test(t, a_model_is_what_was_loaded_and_not_what_its_file_says);
    tcase_add_test(t, weights_of_a_file_that_are_no_numbers_are_refused_with_their_place);
    tcase_add_test(t, another_tokenizer_has_another_identity);
    tcase_add_test(t, the_identity_of_the_reference_model_follows_from_its_file);
    tcase_add_test(t, smollm2_is_the_model_it_is_said_to_be);
    suite_add_tcase(s, t);
    return s;
}
