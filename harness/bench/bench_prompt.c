/* What benchmarks feed: book text, so that scores and routes through the cache look like those of real work. */
#include "datasets/haystack.h"
#include "harness/base/data_dir.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/bench/bench.h"

static int from_book(const struct model *m, int n, struct token_ids *out)
{
    int n_file = 0, rc = -1;
    size_t bytes = 0;
    char **file = haystack_files(data_dir(), &n_file, NULL), *text = file ? fs_read(file[0], &bytes, NULL) : NULL;
    size_t most = (size_t)n * 12; /* no text takes more bytes a token; if it does, the ids repeat */
    if (text && tokenizer_encode(m->tokenizer, text, bytes < most ? bytes : most, out, NULL) == 0 && out->n > 0)
        rc = 0;
    mem_free(text);
    haystack_free_files(file, n_file);
    return rc;
}

void bench_prompt(const struct model *m, int n, struct token_ids *out)
{
    struct token_ids ids = {0};
    struct rng r;
    rng_init(&r, 1, "bench");
    int book = m->tokenizer && from_book(m, n, &ids) == 0;
    for (int i = 0; i < n; i++)
        token_ids_add(out, book ? ids.id[i % ids.n] : (int32_t)rng_below(&r, (uint64_t)m->hp.n_vocab));
    token_ids_free(&ids);
}
