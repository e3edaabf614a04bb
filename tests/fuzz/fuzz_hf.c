/* A Hugging Face folder. Parts: config.json, header of model.safetensors, tokenizer.json, tokenizer_config.json,
 * generation_config.json, chat_template.jinja, model.safetensors.index.json, which makes the tensors' file a shard "s".
 *
 * A header that begins with { gets its length put in front and as many zero bytes behind it as its offsets ask for, so
 * that changes of the text reach what lies behind those checks; any other is the whole file. */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/import.h"
#include "tests/fuzz/fuzz.h"

enum { CONFIG, TENSORS, TOKENIZER, TOKENIZER_CONFIG, GENERATION, TEMPLATE, INDEX, N_PART };
enum { MOST_DATA = 1 << 16 };

static const char *const names[] = {
    [CONFIG] = "hf/config.json",
    [TENSORS] = "hf/model.safetensors",
    [TOKENIZER] = "hf/tokenizer.json",
    [TOKENIZER_CONFIG] = "hf/tokenizer_config.json",
    [GENERATION] = "hf/generation_config.json",
    [TEMPLATE] = "hf/chat_template.jinja",
    [INDEX] = "hf/model.safetensors.index.json",
};

/* The largest number in the header that could be an end of data. */
static size_t data_bytes(const char *p, size_t n)
{
    size_t most = 0, v = 0;
    for (size_t i = 0; i < n; i++) {
        v = isdigit((unsigned char)p[i]) ? 10 * v + (size_t)(p[i] - '0') : 0;
        if (v > MOST_DATA)
            v = 0;
        most = v > most ? v : most;
    }
    return most;
}

static void write_tensors(const struct fuzz_part *h, const char *name)
{
    static const char zero[MOST_DATA];
    struct str file = {0};
    if (h->p && h->n && h->p[0] == '{') {
        for (int i = 0; i < 8; i++)
            str_addc(&file, (char)((uint64_t)h->n >> 8 * i & 255));
        str_addn(&file, h->p, h->n);
        str_addn(&file, zero, data_bytes(h->p, h->n));
        fuzz_file(name, str_c(&file), file.n);
    } else {
        fuzz_file(name, h->p, h->n);
    }
    str_free(&file);
}

int fuzz_hf(const char *data, size_t n)
{
    struct fuzz_part part[N_PART];
    struct import_source s;
    struct err e;
    char *dir = fuzz_path("hf");
    fuzz_split(data, n, part, N_PART);
    fuzz_demand(fs_mkdirs(dir, &e) == 0, "no folder");
    for (int i = 0; i < N_PART; i++) /* an empty part is a missing file */
        if (i != TENSORS)
            fuzz_file(names[i], part[i].n ? part[i].p : NULL, part[i].n);
    fuzz_file(names[TENSORS], NULL, 0);
    write_tensors(&part[TENSORS], part[INDEX].n ? "hf/s" : names[TENSORS]);
    int ok = import_open(dir, &s, &fuzz_said) == 0;
    if (ok) {
        fuzz_fetch_all(&s);
        import_close(&s);
    }
    mem_free(dir);
    return ok;
}
