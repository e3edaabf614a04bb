/* passkey: a number hidden in repeated filler (Mohtashami and Jaggi 2023, arXiv:2305.16300). */
#include <stddef.h>

#include "datasets/dataset.h"
#include "datasets/fit.h"
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
};

struct build {
    char key[24];
    double depth;
    size_t begin, end;
};

static void build(void *ctx, long units, struct str *out)
{
    struct build *b = ctx;
    long at = (long)(b->depth * (double)units);
    str_add(out, head);
    for (long u = 0; u <= units; u++) {
        if (u == at) {
            str_add(out, "The pass key is ");
            b->begin = out->n;
            str_add(out, b->key);
            b->end = out->n;
            str_addf(out, ". Remember it. %s is the pass key. ", b->key);
        }
        if (u < units)
            str_addf(out, "%s ", filler[u % 5]);
    }
    out->p[--out->n] = '\0';
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    (void)e;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){config, *env};
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
    struct build b = {.depth = s->c->depth / 100};
    static const char question[] = "\nWhat is the pass key?", prefix[] = " The pass key is";
    struct str context = {0}, id = {0};
    struct rng r;
    int budget;
    long units;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "passkey");
    b.key[0] = (char)('1' + rng_below(&r, 9));
    for (int i = 1; i < s->c->digits; i++)
        b.key[i] = (char)('0' + rng_below(&r, 10));
    double depth = rng_double(&r);
    if (s->c->depth < 0)
        b.depth = depth;
    if (fit_prompt_budget(&s->env, s->c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, build, &b, 0, question, prefix, budget, &units, &context, e)) {
        str_free(&context);
        return -1;
    }
    struct dataset_question *q = mem_new(1, sizeof *q);
    str_addf(&id, "%d", index);
    q->id = mem_strdup(id.p);
    q->text = mem_strdup(question);
    q->answer_prefix = mem_strdup(prefix);
    q->answer = mem_new(1, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strdup(b.key);
    out->evidence = mem_new(1, sizeof *out->evidence);
    out->evidence[out->n_evidence++] = (struct dataset_span){b.begin, b.end};
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context.n;
    out->context = str_take(&context);
    return 0;
}

static void close(void *self)
{
    mem_free(self);
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
