/* A tokenizer and a text for it. Parts: text, tokenizer.json (or tokenizer.model, which begins with a line break),
 * tokenizer_config.json, chat_template.jinja. Whatever the
 * vocabulary, ids exist, ends ascend within the text, and encoding gives the same ids with ends and without. */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/import_hf_tokenizer.h"
#include "models/tokenizer.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT, TOKENIZER, CONFIG, TEMPLATE, N_PART };
enum { N_VOCAB = 512 };

static void encode(const struct tokenizer *t, const struct fuzz_part *text)
{
    struct token_ids id = {0}, end = {0}, again = {0};
    struct str back = {0};
    struct err e;
    int32_t before = 0;
    const char *p = text->p ? text->p : "";
    int rc = tokenizer_encode_offsets(t, p, text->n, &id, &end, &e);
    fuzz_demand(tokenizer_encode(t, p, text->n, &again, &e) == rc, "encoding fails with ends or without");
    fuzz_demand(rc || (id.n == end.n && id.n == again.n), "numbers of ids differ");
    for (int i = 0; rc == 0 && i < id.n; i++) {
        fuzz_demand(id.id[i] >= 0 && id.id[i] < tokenizer_n_token(t) && id.id[i] == again.id[i], "an id");
        fuzz_demand(end.id[i] >= before && (size_t)end.id[i] <= text->n, "an end");
        before = end.id[i];
    }
    tokenizer_decode(t, id.id, id.n, 1, &back);
    /* a blank in front of a stretch, and NFC, which makes three times as many bytes at most */
    fuzz_demand(back.n <= 3 * text->n + (size_t)id.n, "more text than there was");
    str_free(&back);
    token_ids_free(&id);
    token_ids_free(&end);
    token_ids_free(&again);
}

static int use(const struct tokenizer_data *d, const struct fuzz_part *text)
{
    struct template_pieces pieces;
    struct err e;
    struct tokenizer *t = tokenizer_create(d, "fuzz", &fuzz_said);
    if (!t)
        return 0;
    encode(t, text);
    if (tokenizer_template(t, "chat", &pieces, &e) == 0) {
        struct fuzz_part prefix = {pieces.prefix, strlen(pieces.prefix)};
        encode(t, &prefix);
    }
    if (tokenizer_template_system(t, " x\n", &pieces, &e) == 0)
        fuzz_demand(pieces.n_system <= 3 && pieces.prefix && pieces.between, "a system turn");
    tokenizer_destroy(t);
    return 1;
}

int fuzz_tokenizer(const char *data, size_t n)
{
    static const char config[] = "{\"eos_token_id\": [1, 2], \"bos_token_id\": 0}";
    struct fuzz_part part[N_PART];
    struct tokenizer_data d = {0};
    struct err e;
    char *dir = fuzz_path("tok");
    struct json *root = json_parse("config", config, strlen(config), &e);
    fuzz_split(data, n, part, N_PART);
    fuzz_demand(fs_mkdirs(dir, &e) == 0, "no folder");
    int model = part[TOKENIZER].n && part[TOKENIZER].p[0] == '\n';
    fuzz_file("tok/tokenizer.json", model ? NULL : part[TOKENIZER].p, model ? 0 : part[TOKENIZER].n);
    fuzz_file("tok/tokenizer.model", model ? part[TOKENIZER].p : NULL, model ? part[TOKENIZER].n : 0);
    fuzz_file("tok/tokenizer_config.json", part[CONFIG].n ? part[CONFIG].p : NULL, part[CONFIG].n);
    fuzz_file("tok/chat_template.jinja", part[TEMPLATE].n ? part[TEMPLATE].p : NULL, part[TEMPLATE].n);
    int ok = import_hf_tokenizer_read(dir, root, N_VOCAB, &d, &fuzz_said) == 1 && use(&d, &part[TEXT]);
    tokenizer_data_fini(&d);
    json_free(root);
    mem_free(dir);
    return ok;
}
