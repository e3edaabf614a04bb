/* copy: a passage of made-up words hidden in text, to be repeated word for word. Nothing but its own tokens tells what
 * comes next, so every token of the passage must have been kept. compact: "Passage: ..." and "Q: passage?". */
#include <stddef.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/haystack.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct config {
    int64_t length, num_words, syllables;
    double depth; /* percent; -1: drawn */
    int type_haystack, wording, split;
};

static const char *const drawn[] = {"random", NULL};

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay;
};

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    haystack_close(&s->hay);
    mem_free(s);
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    if (haystack_open_type(&s->hay, (enum haystack_type)c->type_haystack, env, e)) {
        mem_free(s);
        return -1;
    }
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
    const struct config *c = s->c;
    int compact = c->wording == DRAW_COMPACT, budget, rc = -1;
    const char *question = compact ? "\nQ: passage?" : "\nWhat is the passage, word for word?";
    const char *prefix = compact ? "\nA:" : " The passage is:";
    struct haystack_context b = {.hay = &s->hay, .n_needle = 1};
    struct haystack_needle *needle = &b.needle[0];
    struct str context = {0}, text = {0};
    struct draw words;
    struct rng r;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "copy 1");
    draw_init(&words, &r, c->wording, c->split);
    b.head =
        compact
            ? ""
            : "A passage is hidden within the following text. Memorize it. I will ask you to repeat it afterwards.\n";
    needle->depth = rng_double(&r);
    if (c->depth >= 0)
        needle->depth = c->depth / 100;
    b.start = (long)rng_below(&r, (uint64_t)s->hay.n_unit);
    str_add(&text, compact ? "Passage: " : "The passage is: ");
    needle->answer = text.n;
    for (int i = 0; i < c->num_words; i++) {
        str_add(&text, i ? " " : "");
        if (draw_new(&words, DRAW_SYLLABLES, (int)c->syllables, &text, e))
            goto out;
    }
    needle->n_answer = text.n - needle->answer;
    str_addc(&text, '.');
    needle->text = text.p;
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, haystack_build, &b, 1, question, prefix, budget, &context, e))
        goto out;
    item_begin(out, index, 1, &context);
    item_answer(item_question(out, question, prefix), text.p + needle->answer, needle->n_answer);
    item_evidence(out, needle->begin, needle->end);
    rc = 0;
out:
    draw_fini(&words);
    str_free(&context);
    str_free(&text);
    return rc;
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"depth", PARAM_FLOAT, offsetof(struct config, depth), "random", 0, 100, drawn,
     "where the passage stands, percent"},
    {"num_words", PARAM_INT, offsetof(struct config, num_words), "8", 1, 1000, NULL, "words of the passage"},
    {"syllables", PARAM_INT, offsetof(struct config, syllables), "3", 1, 8, NULL, "of a word, two letters each"},
    {"type_haystack", PARAM_ENUM, offsetof(struct config, type_haystack), "essay", 0, 0, haystack_plain_types,
     "what the passage hides in"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings, "in sentences, or tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits,
     "compact: which half of all words"},
    {0},
};

extern const struct dataset_ops dataset_copy;
const struct dataset_ops dataset_copy = {
    .abi = DATASET_ABI,
    .name = "copy",
    .summary = "a passage of made-up words, to be repeated",
    .source = "own; repeating a random sequence as in Jelassi et al. 2024, arXiv:2402.01032",
    .version = 2,
    .max_new_tokens = 128,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
