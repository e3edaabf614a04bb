/* RULER's variable tracking (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/variable_tracking.py):
 * chains VAR A = 12345, VAR B = VAR A, ... hidden in order in noise or book text; asked are all variables of the first
 * chain. A worked example with names of three letters, whose prompt has 500 tokens at most, stands before it
 * (num_fewshot: 0 leaves it out, as is needed below some 700 tokens, where RULER has no rule of its own). Templates,
 * names, places, defaults and metric are RULER's. Deviations: names never repeat; the example is drawn anew for every
 * sample (RULER changes its names and value only); places are drawn as shares of the haystack, so that the search for
 * its size does not move them; book text as in niah.c; the haystack ends with a part of a line or sentence where that
 * meets the token budget exactly. `questions` asks for that many chains, each in a question of its own.
 *
 * compact: statements end with a full stop, names have three letters, no instruction and no example; "Q: variables with
 * 12345?". */
#include <stddef.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/haystack.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { EXAMPLE_TOKENS = 500, EXAMPLE_HOPS = 10 };

struct config {
    int64_t length, num_chains, num_hops, num_fewshot, questions;
    int type_haystack, wording, split;
};

static const char instruction[] =
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n";

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay, example; /* the example has whole lines */
};

/* Chains in a context: needle k x (hops + 1) + j assigns variable j of chain k. */
struct chains {
    struct haystack_context b;
    int n_chain, hops;
    char *value[HAYSTACK_MAX_NEEDLE];
};

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    haystack_close(&s->hay);
    haystack_close(&s->example);
    mem_free(s);
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    int64_t chains = c->num_chains > c->questions ? c->num_chains : c->questions;
    if (draw_check(c->wording, c->split, e))
        return -1;
    if (chains * (c->num_hops + 1) > HAYSTACK_MAX_NEEDLE)
        return err_set(e, ERR_CONFIG, "%lld chains of %lld hops are %lld assignments; at most %d", (long long)chains,
                       (long long)c->num_hops, (long long)(chains * (c->num_hops + 1)), HAYSTACK_MAX_NEEDLE);
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    if (haystack_open_type(&s->hay, (enum haystack_type)c->type_haystack, env, e)) {
        mem_free(s);
        return -1;
    }
    if (haystack_open_type(&s->example, (enum haystack_type)c->type_haystack, env, e)) {
        close(s);
        return -1;
    }
    s->example.whole = c->type_haystack == HAYSTACK_NOISE;
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

/* Every chain is in order. In lines its statements stand in different ones, in book text all statements at different
 * places. */
static void draw_places(struct rng *r, const struct config *c, struct chains *x)
{
    int n = x->hops + 1, total = x->n_chain * n, taken[HAYSTACK_MAX_NEEDLE], chain[HAYSTACK_MAX_NEEDLE];
    if (c->type_haystack == HAYSTACK_NOISE) {
        for (int k = 0; k < x->n_chain; k++)
            haystack_draw_depths(r, HAYSTACK_NOISE, x->b.needle + k * n, n, 1);
        return;
    }
    struct haystack_needle at[HAYSTACK_MAX_NEEDLE];
    haystack_draw_depths(r, HAYSTACK_ESSAY, at, total, 1);
    for (int i = 0; i < total; i++)
        chain[i] = i / n;
    rng_shuffle(r, chain, total, sizeof *chain);
    for (int k = 0; k < x->n_chain; k++)
        taken[k] = 0;
    for (int i = 0; i < total; i++)
        x->b.needle[chain[i] * n + taken[chain[i]]++].depth = at[i].depth;
}

/* Draws names, values and places of all chains. */
static int draw_chains(struct rng *r, const struct config *c, int letters, struct chains *x, struct err *e)
{
    struct draw names, values;
    struct str name = {0}, value = {0}, previous = {0};
    int compact = c->wording == DRAW_COMPACT, rc = 0;
    draw_init(&names, r, c->wording, c->split);
    draw_init(&values, r, c->wording, c->split);
    const char *stop = compact || c->type_haystack == HAYSTACK_ESSAY ? "." : "";
    for (int k = 0; k < x->n_chain && rc == 0; k++) {
        str_clear(&value);
        rc = draw_new(&values, DRAW_NUMBERS, 5, &value, e);
        for (int j = 0; j <= x->hops && rc == 0; j++) {
            struct haystack_needle *n = &x->b.needle[x->b.n_needle++];
            struct str text = {0};
            str_clear(&name);
            rc = draw_new(&names, DRAW_CAPITALS, letters, &name, e);
            str_addf(&text, "VAR %s = %s%s%s", str_c(&name), j ? "VAR " : "", j ? previous.p : value.p,
                     *stop || !j ? stop : " "); /* RULER's blank after the second name */
            *n = (struct haystack_needle){.answer = 4, .n_answer = name.n};
            n->text = str_take(&text);
            str_clear(&previous);
            str_add(&previous, str_c(&name));
        }
        x->value[k] = str_take(&value);
    }
    draw_places(r, c, x);
    str_free(&name);
    str_free(&value);
    str_free(&previous);
    draw_fini(&names);
    draw_fini(&values);
    return rc;
}

static void free_chains(struct chains *x)
{
    for (int i = 0; i < HAYSTACK_MAX_NEEDLE; i++) {
        mem_free(x->value[i]);
        mem_free(x->b.needle[i].text);
    }
}

static void word_question(const struct config *c, const struct chains *x, int k, struct str *question,
                          struct str *prefix)
{
    str_clear(question);
    str_clear(prefix);
    if (c->wording == DRAW_COMPACT) {
        str_addf(question, "\nQ: variables with %s?", x->value[k]);
        str_add(prefix, "\nA:");
        return;
    }
    str_addf(question, "\nQuestion: Find all variables that are assigned the value %s in the text above.", x->value[k]);
    str_addf(prefix,
             " Answer: According to the chain(s) of variable assignment in the text above, %d variables are assigned "
             "the value %s, they are: ",
             x->hops + 1, x->value[k]);
}

/* Whole words or lines, and no more. */
static void build_example(void *ctx, struct fit_size size, struct str *out)
{
    size.letters = 0;
    haystack_build(ctx, size, out);
}

/* Appends RULER's worked example. */
static int add_example(const struct state *s, struct rng *r, struct str *out, struct err *e)
{
    const struct config *c = s->c;
    struct chains x = {.n_chain = (int)c->num_chains,
                       .hops = c->num_hops < EXAMPLE_HOPS ? (int)c->num_hops : EXAMPLE_HOPS};
    struct str question = {0}, prefix = {0}, context = {0};
    int rc = draw_chains(r, c, 3, &x, e);
    x.b.hay = &s->example;
    x.b.start = (long)rng_below(r, (uint64_t)s->example.n_unit);
    x.b.head = instruction;
    if (rc == 0) {
        word_question(c, &x, 0, &question, &prefix);
        rc = fit_context(&s->env, build_example, &x.b, 1, question.p, prefix.p, EXAMPLE_TOKENS, &context, e);
        rc = rc ? err_wrap(e, "the worked example of %d tokens (num_fewshot: 0 leaves it out)", EXAMPLE_TOKENS) : 0;
    }
    if (rc == 0) {
        str_addf(out, "%s%s%s", context.p, question.p, prefix.p);
        for (int j = 0; j <= x.hops; j++)
            str_addf(out, " %.*s", (int)x.b.needle[j].n_answer, x.b.needle[j].text + x.b.needle[j].answer);
        str_add(out, "\n\n");
    }
    str_free(&question);
    str_free(&prefix);
    str_free(&context);
    free_chains(&x);
    return rc;
}

static int make(const struct state *s, struct rng *r, struct chains *x, int index, int max_new_tokens,
                struct dataset_item *out, struct err *e)
{
    const struct config *c = s->c;
    struct str head = {0}, question = {0}, prefix = {0}, context = {0};
    int rc = -1, budget, compact = c->wording == DRAW_COMPACT;
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) || draw_chains(r, c, compact ? 3 : 5, x, e) ||
        (!compact && c->num_fewshot && add_example(s, r, &head, e)))
        goto out;
    str_add(&head, compact ? "" : instruction);
    x->b.head = head.p;
    x->b.hay = &s->hay;
    x->b.start = (long)rng_below(r, (uint64_t)s->hay.n_unit);
    word_question(c, x, 0, &question, &prefix); /* all are equally long but for what the tokenizer makes of the value */
    int most = 0, longest = 0;
    for (int k = 0; k < c->questions; k++) {
        word_question(c, x, k, &question, &prefix);
        int n = s->env.prompt_tokens(s->env.ctx, "", 0, question.p, prefix.p);
        longest = n > most ? k : longest;
        most = n > most ? n : most;
    }
    word_question(c, x, longest, &question, &prefix);
    if (fit_context(&s->env, haystack_build, &x->b, 1, question.p, prefix.p, budget, &context, e)) {
        if (head.n > sizeof instruction)
            err_wrap(e, "with its worked example (num_fewshot: 0 leaves it out)");
        goto out;
    }
    item_begin(out, index, (int)c->questions, &context);
    for (int k = 0; k < c->questions; k++) {
        word_question(c, x, k, &question, &prefix);
        struct dataset_question *q = item_question(out, question.p, prefix.p);
        for (int j = 0; j <= x->hops; j++) {
            const struct haystack_needle *n = &x->b.needle[k * (x->hops + 1) + j];
            item_answer(q, n->text + n->answer, n->n_answer);
            item_evidence(out, n->begin, n->end);
        }
    }
    rc = 0;
out:
    str_free(&head);
    str_free(&question);
    str_free(&prefix);
    str_free(&context);
    return rc;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    const struct config *c = s->c;
    struct chains x = {.hops = (int)c->num_hops};
    struct rng r;
    x.n_chain = (int)(c->num_chains > c->questions ? c->num_chains : c->questions);
    rng_init(&r, rng_mix(seed, (uint64_t)index), "vt 2");
    int rc = make(s, &r, &x, index, max_new_tokens, out, e);
    free_chains(&x);
    return rc;
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"num_chains", PARAM_INT, offsetof(struct config, num_chains), "1", 1, HAYSTACK_MAX_NEEDLE, NULL,
     "chains of assignments, at least questions"},
    {"num_hops", PARAM_INT, offsetof(struct config, num_hops), "4", 1, HAYSTACK_MAX_NEEDLE - 1, NULL,
     "assignments of a variable to another one in each chain"},
    {"num_fewshot", PARAM_INT, offsetof(struct config, num_fewshot), "1", 0, 1, NULL,
     "worked examples of at most 500 tokens before the task (ruler only)"},
    {"type_haystack", PARAM_ENUM, offsetof(struct config, type_haystack), "noise", 0, 0, haystack_plain_types,
     "what the assignments hide in"},
    {"questions", PARAM_INT, offsetof(struct config, questions), "1", 1, HAYSTACK_MAX_NEEDLE / 2, NULL,
     "questions that continue from one context"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings,
     "RULER's, or the same said tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits,
     "compact: which half of all names and values"},
    {0},
};

extern const struct dataset_ops dataset_vt;
const struct dataset_ops dataset_vt = {
    .abi = DATASET_ABI,
    .name = "vt",
    .summary = "which variables a value was handed on to",
    .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654",
    .version = 2,
    .max_new_tokens = 30,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
