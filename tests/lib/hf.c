#include "tests/lib/hf.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/half.h"
#include "models/import.h"

char hf_folder[64], hf_output[96];

void hf_setup(void)
{
    strcpy(hf_folder, "/tmp/depthkv-hf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(hf_folder));
    snprintf(hf_output, sizeof hf_output, "%s/out.h5", hf_folder);
}

void hf_teardown(void)
{
    DIR *d = opendir(hf_folder);
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.') {
            char *path = fs_join(hf_folder, f->d_name);
            unlink(path);
            mem_free(path);
        }
    closedir(d);
    rmdir(hf_folder);
}

void hf_write(const char *name, const char *data, size_t n)
{
    char *path = fs_join(hf_folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, n, f), n);
    fclose(f);
    mem_free(path);
}

void hf_write_text(const char *name, const char *text)
{
    hf_write(name, text, strlen(text));
}

/* ---- a tiny model: 1 layer, width 8, 2 query heads of 4, 1 KV head, feed-forward 6, 5 tokens, untied ---- */

static const struct row {
    const char *name;
    int rank, dim[2];
} rows[] = {
    {"lm_head.weight", 2, {5, 8}},
    {"model.embed_tokens.weight", 2, {5, 8}},
    {"model.layers.0.input_layernorm.weight", 1, {8, 1}},
    {"model.layers.0.mlp.down_proj.weight", 2, {8, 6}},
    {"model.layers.0.mlp.gate_proj.weight", 2, {6, 8}},
    {"model.layers.0.mlp.up_proj.weight", 2, {6, 8}},
    {"model.layers.0.post_attention_layernorm.weight", 1, {8, 1}},
    {"model.layers.0.self_attn.k_proj.weight", 2, {4, 8}},
    {"model.layers.0.self_attn.o_proj.weight", 2, {8, 8}},
    {"model.layers.0.self_attn.q_proj.weight", 2, {8, 8}},
    {"model.layers.0.self_attn.v_proj.weight", 2, {4, 8}},
    {"model.norm.weight", 1, {8, 1}},
};
_Static_assert(sizeof rows / sizeof *rows == HF_N_ROW, "the header counts them");

const char *hf_row_name(int r)
{
    return rows[r].name;
}

float hf_value_at(int tensor, int i)
{
    return (float)((tensor * 11 + i * 3) % 64) * 0.125f - 4; /* exact in 16 bits too */
}

/* Rows first .. end - 1 as one safetensors file; element type by row: F32, F16, BF16 in turn. */
void hf_build(struct str *out, int first, int end, const struct hf_change *change)
{
    static const char *const type[] = {"F32", "F16", "BF16"};
    static const struct hf_change none;
    struct str head = {0}, data = {0};
    change = change ? change : &none;
    str_add(&head, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int r = first; r < end; r++) {
        int n = rows[r].dim[0] * rows[r].dim[1], from = change->head_is_embedding && r == 0 ? 1 : r;
        const char *name = rows[r].name + (change->bare && r ? strlen("model.") : 0);
        if (change->skip && strcmp(change->skip, rows[r].name) == 0)
            continue;
        size_t begin = data.n;
        for (int i = 0; i < n; i++) {
            float x =
                change->value != 0 && r == change->tensor && i == change->at ? change->value : hf_value_at(from, i);
            uint16_t h = r % 3 == 1 ? half_to_f16(x) : half_to_bf16(x);
            str_addn(&data, r % 3 == 0 ? (const char *)&x : (const char *)&h, r % 3 == 0 ? 4 : 2);
        }
        str_addf(&head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%d", name, type[r % 3], rows[r].dim[0]);
        if (rows[r].rank == 2)
            str_addf(&head, ",%d", rows[r].dim[1]);
        str_addf(&head, "],\"data_offsets\":[%zu,%zu]}", begin, data.n);
    }
    str_addc(&head, '}');
    for (int i = 0; i < 8; i++)
        str_addc(out, (char)((uint64_t)head.n >> 8 * i & 255));
    str_addn(out, head.p, head.n);
    str_addn(out, data.p, data.n);
    str_free(&head);
    str_free(&data);
}

void hf_write_folder(void)
{
    struct str s = {0};
    hf_build(&s, 0, HF_N_ROW, NULL);
    hf_write("model.safetensors", s.p, s.n);
    hf_write_text("config.json", HF_V4);
    hf_write_text("tokenizer.json", HF_TOKENIZER("[\"a b\"]"));
    str_free(&s);
}

int hf_import(struct err *e)
{
    struct import_source s;
    if (import_open(hf_folder, &s, e))
        return -1;
    int rc = import_write(&s, hf_output, &(struct import_options){.dtype = MODEL_F32}, e);
    import_close(&s);
    return rc;
}

/* "" when it works, otherwise the message; there must be no output then. */
const char *hf_import_says(void)
{
    static struct err e;
    memset(&e, 0, sizeof e);
    int rc = hf_import(&e);
    ck_assert_int_eq(fs_exists(hf_output), rc == 0);
    return e.msg;
}

struct model *hf_import_and_open(void)
{
    struct err e = {0};
    ck_assert_msg(hf_import(&e) == 0, "%s", e.msg);
    struct model *m = model_open(hf_output, MODEL_F32, &e);
    ck_assert_msg(m != NULL, "%s", e.msg);
    return m;
}
