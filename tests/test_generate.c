/* `depthkv generate --logits`: what every token of a prompt predicts, with the bits of the passes that runs make. */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/cmd/cli.h"
#include "harness/engine/prefill.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char prompt[] = "a cache, a key";
enum { N = sizeof prompt - 1 };

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

static int generate(const char *option, const char *value)
{
    char *model = rows_path("tiny.h5"), *out = rows_path("logits.h5");
    int status;
    const char *const word[] = {
        "generate", "-m", model, "-n", "1", "--logits", out, option ? option : prompt, value, option ? prompt : NULL,
        NULL};
    mem_free(rows_command(cmd_generate, word, &status));
    mem_free(model);
    mem_free(out);
    return status;
}

/* What the last of the first n tokens predicts, read alone. */
static void read_alone(const struct model *m, enum model_dtype cache, const int32_t *token, int n, float *logits)
{
    struct workspace *w = workspace_create();
    struct prefill p = {.model = m,
                        .work = w,
                        .token = token,
                        .n = n,
                        .cache = kvcache_create_held(&m->hp, cache, n, NULL),
                        .want_logits = 1,
                        .logits = logits};
    ck_assert_int_eq(prefill_run(&p, NULL), 0);
    kvcache_destroy(p.cache);
    workspace_destroy(w);
}

static float *read_logits(int n_vocab)
{
    char *path = rows_path("logits.h5");
    struct h5_info info;
    int32_t token[N];
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(h5_read(f, "/token", H5_TYPE_I32, token, N, NULL), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(token[i], prompt[i]);
    ck_assert_int_eq(h5_stat(f, "/logits", &info, NULL), 0);
    ck_assert(info.type == H5_TYPE_F32 && info.rank == 2 && info.dim[0] == N && info.dim[1] == (uint64_t)n_vocab);
    float *logits = mem_new((size_t)info.n, sizeof *logits);
    ck_assert_int_eq(h5_read(f, "/logits", H5_TYPE_F32, logits, (size_t)info.n, NULL), 0);
    h5_close(f, NULL);
    mem_free(path);
    return logits;
}

START_TEST(logits_of_every_token_are_those_of_the_prompt_that_ends_there)
{
    static const struct {
        const char *option;
        enum model_dtype held_as, arithmetic, cache;
    } form[] = {{NULL, MODEL_F32, MODEL_F32, MODEL_F32},
                {"--weight-dtype", MODEL_BF16, MODEL_F32, MODEL_F32},
                {"--arithmetic", MODEL_BF16, MODEL_BF16, MODEL_F32},
                {"--cache-dtype", MODEL_F32, MODEL_F32, MODEL_BF16}};
    char *path = rows_path("tiny.h5");
    int32_t token[N];
    float *first = NULL;
    for (int i = 0; i < N; i++)
        token[i] = prompt[i];
    for (size_t k = 0; k < sizeof form / sizeof *form; k++) {
        struct model *m = model_open(path, form[k].held_as, NULL);
        size_t vocab = (size_t)m->hp.n_vocab;
        float *alone = mem_new(vocab, sizeof *alone);
        m->arithmetic = form[k].arithmetic;
        ck_assert_int_eq(generate(form[k].option, form[k].option ? "bf16" : NULL), 0);
        float *logits = read_logits(m->hp.n_vocab);
        for (int i = 0; i < N; i++) {
            read_alone(m, form[k].cache, token, i + 1, alone);
            ck_assert_mem_eq(alone, logits + (size_t)i * vocab, vocab * sizeof *alone);
        }
        ck_assert(!first || memcmp(first, logits, N * vocab * sizeof *logits) != 0); /* the form is obeyed */
        mem_free(first);
        first = logits;
        mem_free(alone);
        model_close(m);
    }
    mem_free(first);
    mem_free(path);
}
END_TEST

START_TEST(another_number_format_is_wrong_usage_and_writes_nothing)
{
    char *path = rows_path("logits.h5");
    ck_assert_int_eq(generate("--arithmetic", "f16"), 2);
    ck_assert_int_eq(generate("--weight-dtype", "int8"), 2);
    ck_assert(!fs_exists(path));
    mem_free(path);
}
END_TEST

Suite *make_generate_suite(void)
{
    Suite *s = suite_create("generate");
    TCase *t = tcase_create("generate");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, logits_of_every_token_are_those_of_the_prompt_that_ends_there);
    tcase_add_test(t, another_number_format_is_wrong_usage_and_writes_nothing);
    suite_add_tcase(s, t);
    return s;
}
