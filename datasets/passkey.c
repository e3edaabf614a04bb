/* passkey: a number hidden in repeated filler (Mohtashami and Jaggi 2023, arXiv:2305.16300). */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/haystack.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct config {
    int64_t length, digits;
    double depth; /* percent; -1: drawn */
};

static const char *const drawn[] = {"random", NULL};

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL, "tokens of prompt plus max_new_tokens"},
    {"depth", PARAM_FLOAT, offsetof(struct config, depth), "random", 0, 100, drawn, "where the pass key stands, percent"},
    {"digits", PARAM_INT, offsetof(struct config, digits), "5", 1, 18, NULL, "digits of the pass key"},
    {0},
};

static const char *const filler[] = {"The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.",
                                     "There and back again."};
static const char head[] = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I "
                           "will quiz you about the important information there.\n";

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay;
};

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    (void)e;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = config, .env = *env};
    haystack_open_stock(&s->hay, filler, (int)(sizeof filler / sizeof *filler), ' ');
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    static const char question[] = "\nWhat is the pass key?", prefix[] = " The pass key is";
    struct haystack_context b = {.hay = &s->hay, .head = head, .n_needle = 1};
    struct haystack_needle *needle = &b.needle[0];
    struct str context = {0}, id = {0}, text = {0};
    char key[24] = {0};
    struct rng r;
    int budget;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "passkey 1");
    key[0] = (char)('1' + rng_below(&r, 9));
    for (int i = 1; i < s->c->digits; i++)
        key[i] = (char)('0' + rng_below(&r, 10));
    needle->depth = rng_double(&r);
    if (s->c->depth >= 0)
        needle->depth = s->c->depth / 100;
    str_add(&text, "The pass key is ");
    needle->answer = text.n;
    needle->n_answer = (size_t)s->c->digits;
    str_addf(&text, "%s. Remember it. %s is the pass key.", key, key);
    needle->text = text.p;
    if (fit_prompt_budget(&s->env, s->c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, haystack_build, &b, 1, question, prefix, budget, &context, e)) {
        str_free(&context);
        str_free(&text);
        return -1;
    }
    struct dataset_question *q = mem_new(1, sizeof *q);
    str_addf(&id, "%d", index);
    q->id = mem_strdup(id.p);
    q->text = mem_strdup(question);
    q->answer_prefix = mem_strdup(prefix);
    q->answer = mem_new(1, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strdup(key);
    /* the key stands twice in its needle, and either place will do */
    size_t second = strlen(". Remember it. ") + (size_t)s->c->digits;
    out->evidence = mem_new(2, sizeof *out->evidence);
    out->evidence[out->n_evidence++] = (struct dataset_span){needle->begin, needle->end};
    out->evidence[out->n_evidence++] = (struct dataset_span){needle->begin + second, needle->end + second};
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context.n;
    out->context = str_take(&context);
    str_free(&text);
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

extern const struct dataset_ops dataset_passkey;
const struct dataset_ops dataset_passkey = {
    .abi = DATASET_ABI,
    .name = "passkey",
    .summary = "a number hidden in repeated filler",
    .source = "Mohtashami and Jaggi 2023, arXiv:2305.16300",
    .version = 1,
    .max_new_tokens = 16,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
