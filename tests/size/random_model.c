/* random_model FOLDER SHAPE: writes a Hugging Face folder of a Llama with random weights in bf16, to see how the
 * program goes with a model's size. Weights come from a generator that starts with the shape alone, so that every run
 * writes the same bytes; a buffer of one MiB is all that it holds. Tokens are the 256 bytes and an end of text; the
 * other rows of the vocabulary have no token, but take their time and memory.
 *
 * Every weight is +-(1 + m/128) 2^-7 or 2^-6, which is about what models start their training with: sums over a width
 * of thousands stay near 1. Norms are 1. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/bench/bench_shapes.h"

enum { PART = 1 << 20 };

struct tensor {
    char name[80];
    int rows, cols; /* cols 0: a vector of ones */
    int shard;
    uint64_t begin;
};

static void die(const char *what, const char *name)
{
    perror(name);
    fprintf(stderr, "random_model: %s %s failed\n", what, name);
    exit(1);
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        die("creating", path);
    return f;
}

static void finish(FILE *f, const char *name)
{
    if (ferror(f) | fclose(f))
        die("writing", name);
}

/* ---- what is in the folder ---------------------------------------------------------------------- */

static void add(struct tensor *t, int *n, int rows, int cols, int layer, const char *leaf)
{
    struct tensor *x = &t[(*n)++];
    *x = (struct tensor){.rows = rows, .cols = cols};
    if (layer < 0)
        snprintf(x->name, sizeof x->name, "%s", leaf);
    else
        snprintf(x->name, sizeof x->name, "model.layers.%d.%s", layer, leaf);
}

static uint64_t bytes_of(const struct tensor *t)
{
    return 2 * (uint64_t)t->rows * (uint64_t)(t->cols ? t->cols : 1);
}

static struct tensor *list_tensors(const struct bench_shape *s, int *n)
{
    struct tensor *t = calloc((size_t)s->layer * 9 + 3, sizeof *t);
    int q = s->head * s->head_dim, kv = s->kv_head * s->head_dim;
    if (!t)
        die("a list of", "tensors");
    *n = 0;
    add(t, n, s->vocab, s->width, -1, "model.embed_tokens.weight");
    for (int l = 0; l < s->layer; l++) {
        add(t, n, s->width, 0, l, "input_layernorm.weight");
        add(t, n, q, s->width, l, "self_attn.q_proj.weight");
        add(t, n, kv, s->width, l, "self_attn.k_proj.weight");
        add(t, n, kv, s->width, l, "self_attn.v_proj.weight");
        add(t, n, s->width, q, l, "self_attn.o_proj.weight");
        add(t, n, s->width, 0, l, "post_attention_layernorm.weight");
        add(t, n, s->ff, s->width, l, "mlp.gate_proj.weight");
        add(t, n, s->ff, s->width, l, "mlp.up_proj.weight");
        add(t, n, s->width, s->ff, l, "mlp.down_proj.weight");
    }
    add(t, n, s->width, 0, -1, "model.norm.weight");
    if (!s->tied)
        add(t, n, s->vocab, s->width, -1, "lm_head.weight");
    return t;
}

/* The tensors in order, about as many bytes in each shard. */
static uint64_t share_out(const struct bench_shape *s, struct tensor *t, int n)
{
    uint64_t total = 0, at = 0, begin = 0;
    for (int i = 0; i < n; i++)
        total += bytes_of(&t[i]);
    for (int i = 0, shard = 0; i < n; i++) {
        if (at >= total / (uint64_t)s->shard * (uint64_t)(shard + 1)) {
            shard++;
            begin = at;
        }
        t[i].shard = shard;
        t[i].begin = at - begin;
        at += bytes_of(&t[i]);
    }
    return total;
}

static void write_config(const struct bench_shape *s, const char *folder)
{
    FILE *f = create(folder, "config.json");
    fprintf(f,
            "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": \"silu\",\n"
            " \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d,\n"
            " \"num_key_value_heads\": %d, \"head_dim\": %d, \"rms_norm_eps\": 1e-5, \"rope_theta\": 500000.0,\n"
            " \"max_position_embeddings\": 131072, \"tie_word_embeddings\": %s, \"vocab_size\": %d,\n"
            " \"bos_token_id\": 256, \"eos_token_id\": 256, \"torch_dtype\": \"bfloat16\"}\n",
            s->width, s->ff, s->layer, s->head, s->kv_head, s->head_dim, s->tied ? "true" : "false", s->vocab);
    finish(f, "config.json");
}

/* GPT-2's alphabet: printable Latin-1 characters stand for themselves, the other bytes for U+0100 and up. */
static void write_tokenizer(const char *folder)
{
    static const char bytelevel[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}";
    FILE *f = create(folder, "tokenizer.json");
    fprintf(f,
            "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 256, \"content\": \"<|endoftext|>\", \"single_word\": "
            "false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}],\n"
            " \"normalizer\": null, \"pre_tokenizer\": %s,\n \"decoder\": %s, \"post_processor\": null,\n"
            " \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {",
            bytelevel, bytelevel);
    for (int b = 0, other = 256; b < 256; b++) {
        int plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        fprintf(f, "%s\"\\u%04x\": %d", b ? ", " : "", (unsigned)(plain ? b : other++), b);
    }
    fprintf(f, ", \"<|endoftext|>\": 256}}}\n");
    finish(f, "tokenizer.json");
}

static void shard_name(const struct bench_shape *s, int shard, char name[64])
{
    snprintf(name, 64, "model-%05d-of-%05d.safetensors", shard + 1, s->shard);
}

static void write_index(const struct bench_shape *s, const struct tensor *t, int n, uint64_t total, const char *folder)
{
    FILE *f = create(folder, "model.safetensors.index.json");
    fprintf(f, "{\"metadata\": {\"total_size\": %" PRIu64 "}, \"weight_map\": {", total);
    for (int i = 0; i < n; i++) {
        char name[64];
        shard_name(s, t[i].shard, name);
        fprintf(f, "%s\n \"%s\": \"%s\"", i ? "," : "", t[i].name, name);
    }
    fprintf(f, "}}\n");
    finish(f, "model.safetensors.index.json");
}

/* ---- weights ------------------------------------------------------------------------------------ */

/* Random bits for the sign, the lowest bit of the exponent and the mantissa of four values at a time (xorshift64). */
static void fill(uint64_t *x, size_t n, uint64_t *state)
{
    uint64_t s = *state;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        x[i] = (s & 0x80FF80FF80FF80FFu) | 0x3C003C003C003C00u;
    }
    *state = s;
}

static void write_tensor(FILE *f, const struct tensor *t, uint64_t *part, uint64_t *state)
{
    for (uint64_t left = bytes_of(t); left > 0;) {
        size_t n = left < PART ? (size_t)left : PART;
        if (t->cols)
            fill(part, (n + 7) / 8, state);
        for (size_t i = 0; !t->cols && i < (n + 7) / 8; i++)
            part[i] = 0x3F803F803F803F80u;
        fwrite(part, 1, n, f);
        left -= n;
    }
}

static void write_shard(const struct bench_shape *s, const struct tensor *t, int n, int shard, const char *folder,
                        uint64_t *part, uint64_t *state)
{
    char name[64], *header = NULL;
    size_t size = 0;
    FILE *h = open_memstream(&header, &size);
    const char *comma = "{";
    if (!h)
        die("a header of", folder);
    for (int i = 0; i < n; i++) {
        if (t[i].shard != shard)
            continue;
        fprintf(h, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d", comma, t[i].name, t[i].rows);
        if (t[i].cols)
            fprintf(h, ",%d", t[i].cols);
        fprintf(h, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", t[i].begin, t[i].begin + bytes_of(&t[i]));
        comma = ",";
    }
    fprintf(h, "}");
    fclose(h);
    shard_name(s, shard, name);
    FILE *f = create(folder, name);
    for (int i = 0; i < 8; i++)
        putc((int)((uint64_t)size >> (8 * i) & 255), f);
    fwrite(header, 1, size, f);
    for (int i = 0; i < n; i++)
        if (t[i].shard == shard)
            write_tensor(f, &t[i], part, state);
    finish(f, name);
    free(header);
}

int main(int argc, char **argv)
{
    const struct bench_shape *s = NULL;
    for (int i = 0; argc == 3 && i < BENCH_N_SHAPE; i++)
        if (strcmp(argv[2], bench_shapes[i].name) == 0 || strcmp(argv[2], bench_shapes[i].also) == 0)
            s = &bench_shapes[i];
    if (!s) {
        fprintf(stderr, "usage: random_model FOLDER SHAPE, which is one of:");
        for (int i = 0; i < BENCH_N_SHAPE; i++)
            fprintf(stderr, " %s", bench_shapes[i].name);
        fprintf(stderr, "\n");
        return 2;
    }
    int n;
    struct tensor *t = list_tensors(s, &n);
    uint64_t total = share_out(s, t, n), state = 0x9E3779B97F4A7C15u;
    static uint64_t part[PART / 8];
    write_config(s, argv[1]);
    write_tokenizer(argv[1]);
    write_index(s, t, n, total, argv[1]);
    for (int i = 0; i < s->shard; i++)
        write_shard(s, t, n, i, argv[1], part, &state);
    free(t);
    return 0;
}
