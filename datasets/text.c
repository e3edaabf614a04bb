/* text: a long stretch of a book, and how well its continuation is predicted (negative log-likelihood).
 *
 * The book is taken as it is, line breaks included (CR LF is read as LF), from the beginning of a paragraph that the
 * sample draws. Together the context and its continuation have `length` tokens; with max_new_tokens above
 * `continuation` the context is that much shorter, so that length counts what is generated as well. */
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
     "tokens of the context plus continuation or max_new_tokens, whichever is more"},
    {"continuation", PARAM_INT, offsetof(struct config, continuation), "128", 1, 1e6, NULL,
     "tokens of the continuation that is predicted"},
    {"file", PARAM_PATH, offsetof(struct config, file), "", 0, 0, NULL,
     "a text file; empty: the books of datasets/books"},
    {0},
};

struct book {
    char *text;
    size_t n;
};

struct state {
    const struct config *c;
    struct dataset_env env;
    struct book *book;
    int n_book;
    size_t n; /* bytes of all books */
};

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    for (int i = 0; i < s->n_book; i++)
        mem_free(s->book[i].text);
    mem_free(s->book);
    mem_free(s);
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    char *path = c->file && *c->file ? fs_join(env->base_dir, c->file) : mem_strdup(env->data_dir);
    int n_file = 0, rc = -1;
    char **file = haystack_files(path, &n_file, e);
    s->book = mem_new((size_t)n_file + 1, sizeof *s->book);
    for (int i = 0; i < n_file; i++) {
        size_t n, to = 0;
        char *text = fs_read(file[i], &n, e);
        if (!text)
            goto out;
        for (size_t at = 0; at < n; at++)
            if (text[at] != '\r' || text[at + 1] != '\n') /* text[n] is a NUL */
                text[to++] = text[at];
        text[to] = '\0';
        s->book[s->n_book++] = (struct book){text, to};
        s->n += to;
    }
    if (n_file && s->n == 0)
        err_set(e, ERR_IO, "%s: no text", path);
    else if (n_file)
        rc = 0;
out:
    haystack_free_files(file, n_file);
    mem_free(path);
    if (rc)
        close(s);
    else
        *self = s;
    return rc;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

/* The first beginning of a paragraph at or after `at`; failing that of a line; failing that of a character. */
static size_t paragraph(const struct book *b, size_t at)
{
    if (at == 0)
        return 0;
    const char *from = b->text + at - 1, *p = strstr(from, "\n\n");
    if (!p)
        p = strchr(from, '\n');
    if (!p)
        return fit_whole_characters(b->text, at);
    while (*p == '\n')
        p++;
    return *p ? (size_t)(p - b->text) : fit_whole_characters(b->text, at);
}

/* Bytes of the first `tokens` tokens of text[0, n). Most text needs far fewer than 8 bytes a token, and a book
 * need not be encoded whole. */
static size_t head(const struct state *s, const char *text, size_t n, int tokens)
{
    size_t window = (size_t)tokens * 8 + 64;
    if (window < n) {
        size_t bytes = s->env.head_bytes(s->env.ctx, text, window, tokens);
        if (bytes + 16 < window)
            return bytes;
    }
    return s->env.head_bytes(s->env.ctx, text, n, tokens);
}

/* Cuts a context of exactly `tokens` tokens (template and all) and its continuation out of text[0, n); the cut lies
 * between tokens, and goes back where encoding the context alone gives more of them. 0 when the text is too short. */
static int cut(const struct state *s, const char *text, size_t n, int tokens, size_t *context, size_t *continuation)
{
    int take = tokens - s->env.prompt_tokens(s->env.ctx, "", 0, "", ""), over = 1;
    for (int tries = 0; tries < 8 && over > 0; tries++, take -= over) {
        if (take < 1)
            return 0;
        *context = fit_whole_characters(text, head(s, text, n, take));
        over = s->env.prompt_tokens(s->env.ctx, text, *context, "", "") - tokens;
    }
    if (over > 0 || *context >= n)
        return 0;
    text += *context;
    n -= *context;
    *continuation = fit_whole_characters(text, head(s, text, n, (int)s->c->continuation));
    return *continuation > 0 && *continuation < n; /* all of it may be less than what was asked for */
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    const struct config *c = s->c;
    struct str id = {0};
    struct rng r;
    int budget, more = max_new_tokens > c->continuation ? max_new_tokens : (int)c->continuation, i = 0, tried = 0;
    if (fit_prompt_budget(&s->env, c->length, more, &budget, e))
        return -1;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "text 1");
    size_t at = (size_t)rng_below(&r, s->n), context = 0, continuation = 0, start;
    while (at >= s->book[i].n)
        at -= s->book[i++].n;
    /* a start too near the end of its book moves towards its beginning; a book that is too short gives way to the next
     */
    while (start = paragraph(&s->book[i], at),
           !cut(s, s->book[i].text + start, s->book[i].n - start, budget, &context, &continuation)) {
        if (at > 0) {
            at /= 2;
        } else {
            i = (i + 1) % s->n_book;
            if (++tried > s->n_book)
                return err_set(e, ERR_CONFIG, "no text is long enough for length %lld", (long long)c->length);
        }
    }
    const char *text = s->book[i].text + start, *rest = text + context;
    struct dataset_question *q = mem_new(1, sizeof *q);
    str_addf(&id, "%d", index);
    q->id = mem_strdup(id.p);
    q->text = mem_strdup("");
    q->answer_prefix = mem_strdup("");
    q->answer = mem_new(1, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strndup(rest, continuation);
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context;
    out->context = mem_strndup(text, context);
    return 0;
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
    .target_delimiter = "", /* the text goes on where it was cut */
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
