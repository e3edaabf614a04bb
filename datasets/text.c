/* text: a long stretch of a book, and how well its continuation is predicted (negative log-likelihood). */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/fit.h"
#include "datasets/haystack.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct config {
    int64_t length, continuation;
    char *file;
};

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of the context plus max_new_tokens"},
    {"continuation", PARAM_INT, offsetof(struct config, continuation), "128", 1, 1e6, NULL,
     "tokens of the continuation that is predicted"},
    {"file", PARAM_PATH, offsetof(struct config, file), "", 0, 0, NULL, "a text file; empty: the books of datasets/books"},
    {0},
};

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay;
};

struct build {
    const char *text;
    size_t n;
};

/* One unit is a word. */
static size_t words_end(const char *text, size_t n, long words)
{
    size_t at = 0;
    for (; words > 0 && at < n; words--) {
        while (at < n && text[at] == ' ')
            at++;
        while (at < n && text[at] != ' ')
            at++;
    }
    return at;
}

static void build(void *ctx, long units, struct str *out)
{
    struct build *b = ctx;
    str_addn(out, b->text, words_end(b->text, b->n, units));
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    char *path = c->file && *c->file ? fs_join(env->base_dir, c->file) : NULL;
    int rc = path ? haystack_open_file(&s->hay, path, e) : haystack_open(&s->hay, env->data_dir, e);
    mem_free(path);
    if (rc)
        mem_free(s);
    else
        *self = s;
    return rc;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    const struct config *c = s->c;
    struct str context = {0}, id = {0};
    struct rng r;
    int budget;
    long units;
    /* twelve bytes a token are more than any text needs; the start leaves room for all of it */
    size_t need = (size_t)(c->length + c->continuation) * 12;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "text");
    if (s->hay.n < need)
        return err_set(e, ERR_CONFIG, "the text has %zu bytes; length %lld and continuation %lld may need %zu", s->hay.n,
                       (long long)c->length, (long long)c->continuation, need);
    int last = 0;
    while (last + 1 < s->hay.n_sentence && s->hay.begin[last + 1] + need <= s->hay.n)
        last++;
    size_t start = s->hay.begin[rng_below(&r, (uint64_t)last + 1)];
    struct build b = {s->hay.text + start, need};
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, build, &b, 1, "", "", budget, &units, &context, e)) {
        str_free(&context);
        return -1;
    }
    const char *rest = b.text + context.n;
    size_t bytes = s->env.head_bytes(s->env.ctx, rest, b.n - context.n, (int)c->continuation);
    struct dataset_question *q = mem_new(1, sizeof *q);
    str_addf(&id, "%d", index);
    q->id = mem_strdup(id.p);
    q->text = mem_strdup("");
    q->answer_prefix = mem_strdup("");
    q->answer = mem_new(1, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strndup(rest, bytes);
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context.n;
    out->context = str_take(&context);
    return 0;
}

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    haystack_close(&s->hay);
    mem_free(s);
}

extern const struct dataset_ops dataset_text;
const struct dataset_ops dataset_text = {
    .abi = DATASET_ABI,
    .name = "text",
    .summary = "negative log-likelihood of the continuation of a long text",
    .source = "books of the PG-19 test set, Rae et al. 2019, arXiv:1911.05507",
    .version = 1,
    .max_new_tokens = 16,
    .metric = "nll",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
