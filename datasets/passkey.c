/* passkey: a number hidden in repeated filler (Mohtashami and Jaggi 2023, arXiv:2305.16300).
 * compact: no instruction, the number once, "Q: pass key?". */
#include <stddef.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/haystack.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct config {
    int64_t length, digits;
    double depth; /* percent; -1: drawn */
    int wording, split;
};

static const char *const drawn[] = {"random", NULL};

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"depth", PARAM_FLOAT, offsetof(struct config, depth), "random", 0, 100, drawn,
     "where the pass key stands, percent"},
    {"digits", PARAM_INT, offsetof(struct config, digits), "5", 1, 18, NULL, "digits of the pass key"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings,
     "the paper's, or the same said tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits, "compact: which half of all keys"},
    {0},
};

static const char *const filler[] = {"The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.",
                                     "There and back again."};
static const char head[] =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I "
    "will quiz you about the important information there.\n";

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay;
};

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    haystack_open_stock(&s->hay, filler, (int)(sizeof filler / sizeof *filler), ' ');
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

/* The key of the sample. In the compact wording it comes from one half of all keys. */
static int draw_key(struct rng *r, const struct config *c, struct str *key, struct err *e)
{
    if (c->wording == DRAW_COMPACT) {
        struct draw d;
        draw_init(&d, r, c->wording, c->split);
        int rc = draw_new(&d, DRAW_NUMBERS, (int)c->digits, key, e);
        draw_fini(&d);
        return rc;
    }
    str_addc(key, (char)('1' + rng_below(r, 9)));
    for (int i = 1; i < c->digits; i++)
        str_addc(key, (char)('0' + rng_below(r, 10)));
    return 0;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    int compact = s->c->wording == DRAW_COMPACT, rc = -1, budget;
    const char *question = compact ? "\nQ: pass key?" : "\nWhat is the pass key?";
    const char *prefix = compact ? "\nA:" : " The pass key is";
    struct haystack_context b = {.hay = &s->hay, .head = compact ? "" : head, .n_needle = 1};
    struct haystack_needle *needle = &b.needle[0];
    struct str context = {0}, text = {0}, key = {0};
    struct rng r;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "passkey 1");
    if (draw_key(&r, s->c, &key, e))
        goto out;
    needle->depth = rng_double(&r);
    if (s->c->depth >= 0)
        needle->depth = s->c->depth / 100;
    str_add(&text, "The pass key is ");
    needle->answer = text.n;
    needle->n_answer = key.n;
    str_addf(&text, compact ? "%s." : "%s. Remember it. ", key.p);
    size_t second = text.n - needle->answer;
    if (!compact)
        str_addf(&text, "%s is the pass key.", key.p);
    needle->text = text.p;
    if (fit_prompt_budget(&s->env, s->c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, haystack_build, &b, 1, question, prefix, budget, &context, e))
        goto out;
    item_begin(out, index, 1, &context);
    item_answer(item_question(out, question, prefix), key.p, key.n);
    item_evidence(out, needle->begin, needle->end);
    if (!compact) /* the key stands twice in its needle, and either place will do */
        item_evidence(out, needle->begin + second, needle->end + second);
    rc = 0;
out:
    str_free(&context);
    str_free(&text);
    str_free(&key);
    return rc;
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
    .version = 2,
    .max_new_tokens = 16,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
