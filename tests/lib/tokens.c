#include "tests/lib/tokens.h"

#include <check.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/gguf.h"

void tokens_check(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *name)
{
    const struct json *want = json_first(ids);
    int n = 0;
    for (const struct json *x = json_first(texts); x; x = json_next(x), want = json_next(want), n++) {
        const char *text = json_string(x);
        struct token_ids got = {0}, end = {0};
        struct str found = {0};
        ck_assert_int_eq(tokenizer_encode_offsets(t, text, strlen(text), &got, &end, NULL), 0);
        for (int i = 0; i < got.n; i++) {
            str_addf(&found, "%s%d", i ? "," : "", got.id[i]);
            ck_assert(end.id[i] >= (i ? end.id[i - 1] : 0) && (i < got.n - 1 || end.id[i] == (int)strlen(text)));
        }
        char *expected = json_print(want);
        expected[strlen(expected) - 1] = 0;
        ck_assert_msg(strcmp(str_c(&found), expected + 1) == 0, "%s, '%s': %s, expected %s", name, text, str_c(&found),
                      expected + 1);
        mem_free(expected);
        str_free(&found);
        token_ids_free(&got);
        token_ids_free(&end);
    }
    ck_assert_int_ge(n, 300);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

static void put(struct str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_addc(s, (char)(v >> 8 * i));
}

static void put_text(struct str *s, const char *text)
{
    put(s, strlen(text), 8);
    str_add(s, text);
}

static void put_key(struct str *s, int *n, const char *key, enum gguf_type type)
{
    put_text(s, key);
    put(s, type, 4);
    ++*n;
}

static void put_list(struct str *s, int *n, const char *key, enum gguf_type type, int count)
{
    put_key(s, n, key, GGUF_ARRAY);
    put(s, type, 4);
    put(s, (uint64_t)count, 8);
}

static int put_keys(struct str *s, const char *arch, const char *pre, int add_space_prefix,
                    const struct tokenizer_data *d)
{
    static const int types[] = {1, 3, 4, 6};
    int n = 0;
    put_key(s, &n, "general.architecture", GGUF_STRING);
    put_text(s, arch);
    put_key(s, &n, "tokenizer.ggml.model", GGUF_STRING);
    put_text(s, d->kind == TOKENIZER_SPM ? "llama" : "gpt2");
    if (pre) {
        put_key(s, &n, "tokenizer.ggml.pre", GGUF_STRING);
        put_text(s, pre);
    }
    if (add_space_prefix >= 0) {
        put_key(s, &n, "tokenizer.ggml.add_space_prefix", GGUF_BOOL);
        put(s, (uint64_t)add_space_prefix, 1);
    }
    if (d->bos >= 0) {
        put_key(s, &n, "tokenizer.ggml.bos_token_id", GGUF_U32);
        put(s, (uint64_t)d->bos, 4);
    }
    put_list(s, &n, "tokenizer.ggml.tokens", GGUF_STRING, d->n_token);
    for (int i = 0; i < d->n_token; i++)
        put_text(s, d->token[i]);
    put_list(s, &n, "tokenizer.ggml.token_type", GGUF_I32, d->n_token);
    for (int i = 0; i < d->n_token; i++)
        put(s, (uint64_t)(i == d->unk ? 2 : types[d->type[i] & TOKEN_TYPE]), 4);
    put_list(s, &n, "tokenizer.ggml.merges", GGUF_STRING, d->n_merge);
    for (int i = 0; i < d->n_merge; i++)
        put_text(s, d->merge[i]);
    if (d->score) {
        put_list(s, &n, "tokenizer.ggml.scores", GGUF_F32, d->n_token);
        for (int i = 0; i < d->n_token; i++) {
            uint32_t bits;
            memcpy(&bits, &d->score[i], sizeof bits);
            put(s, bits, 4);
        }
    }
    return n;
}

void tokens_write_gguf(const char *path, const char *arch, const char *pre, int add_space_prefix,
                       const struct tokenizer_data *d)
{
    struct str keys = {0}, s = {0};
    int n = put_keys(&keys, arch, pre, add_space_prefix, d);
    str_add(&s, "GGUF");
    put(&s, 3, 4);
    put(&s, 1, 8); /* tensors: a file without any is refused */
    put(&s, (uint64_t)n, 8);
    str_addn(&s, keys.p, keys.n);
    put_text(&s, "output_norm.weight");
    put(&s, 1, 4);
    put(&s, 8, 8);
    put(&s, 0, 4); /* F32 */
    put(&s, 0, 8); /* where its values begin */
    while (s.n % 32)
        str_addc(&s, 0);
    for (int i = 0; i < 8; i++)
        put(&s, 0x3F800000, 4);
    ck_assert_int_eq(fs_write_atomic(path, s.p, s.n, NULL), 0);
    str_free(&keys);
    str_free(&s);
}
