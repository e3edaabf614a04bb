/* Word problems in the manner of GSM8K (Cobbe et al. 2021, arXiv:2110.14168), generated: somebody has a number of
 * coins, others have some more or fewer than that, or twice as many; asked is the last one of a chain of num_hops such
 * steps. The facts stand in any order among num_distractors facts of the same form that the answer does not need,
 * scattered over hay. The answer is the last number of the output, as is usual for GSM8K.
 *
 * compact: terser facts, "Q: coins of NAME?". Who is trained on it writes the chain down backwards and then its values:
 *   "Lomi=Kuva+5, Kuva=17, Lomi=22". */
#include <ctype.h>
#include <stddef.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/haystack.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { LEAST = 2, MOST = 99, TWICE = 0 };

struct config {
    int64_t length, num_hops, num_distractors;
    int type_haystack, wording, split;
};

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay;
};

struct person {
    char *name;
    int value;
    int of;   /* whom the fact compares with; -1: nobody */
    int step; /* more (or, below 0, fewer) than that; TWICE */
};

/* People 0 to num_hops are the chain, the others distract. */
struct problem {
    struct haystack_context b;
    struct person who[HAYSTACK_MAX_NEEDLE];
    int n;
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
    if (c->num_hops + 1 + c->num_distractors > HAYSTACK_MAX_NEEDLE)
        return err_set(e, ERR_CONFIG, "%lld hops and %lld distractors are %lld facts; at most %d",
                       (long long)c->num_hops, (long long)c->num_distractors,
                       (long long)(c->num_hops + 1 + c->num_distractors), HAYSTACK_MAX_NEEDLE);
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

/* A fact about person p, who has a number, or one that follows from person `of`'s; numbers stay small enough to be
 * added in the head. */
static void draw_fact(struct rng *r, struct person *p, const struct person *of, int i_of)
{
    if (!of) {
        *p = (struct person){.name = p->name, .of = -1, .value = 10 + (int)rng_below(r, 80)};
        return;
    }
    p->of = i_of;
    if (of->value * 2 <= MOST && rng_below(r, 5) == 0) {
        p->step = TWICE;
        p->value = 2 * of->value;
        return;
    }
    do {
        p->step = 1 + (int)rng_below(r, 9);
        p->step = rng_below(r, 2) ? p->step : -p->step;
        p->value = of->value + p->step;
    } while (p->value < LEAST || p->value > MOST);
}

static void word_fact(const struct problem *x, const struct person *p, int compact, struct str *out)
{
    const char *coins = compact ? "" : " coins", *of = p->of >= 0 ? x->who[p->of].name : NULL;
    if (!of)
        str_addf(out, "%s has %d coins.", p->name, p->value);
    else if (p->step == TWICE)
        str_addf(out, "%s has twice as many%s as %s.", p->name, coins, of);
    else
        str_addf(out, "%s has %d %s%s than %s.", p->name, p->step < 0 ? -p->step : p->step,
                 p->step < 0 ? "fewer" : "more", coins, of);
}

static int draw_problem(struct rng *r, const struct config *c, struct problem *x, struct err *e)
{
    struct draw names;
    int rc = 0, chain = (int)c->num_hops + 1, total = chain + (int)c->num_distractors;
    draw_init(&names, r, c->wording, c->split);
    for (; x->n < total && rc == 0; x->n++) {
        struct person *p = &x->who[x->n];
        struct haystack_needle *n = &x->b.needle[x->b.n_needle++];
        struct str name = {0}, text = {0};
        rc = draw_new(&names, DRAW_SYLLABLES, 2, &name, e);
        p->name = str_take(&name);
        if (rc)
            break;
        p->name[0] = (char)toupper((unsigned char)p->name[0]);
        int of = x->n == 0 ? -1 : x->n < chain ? x->n - 1 : rng_below(r, 2) ? (int)rng_below(r, (uint64_t)x->n) : -1;
        draw_fact(r, p, of >= 0 ? &x->who[of] : NULL, of);
        word_fact(x, p, c->wording == DRAW_COMPACT, &text);
        n->depth = rng_double(r);
        n->wanted = x->n < chain;
        n->n_answer = text.n - 1; /* all of the fact is needed */
        n->text = str_take(&text);
    }
    draw_fini(&names);
    return rc;
}

/* The chain backwards, then the values forwards. */
static void add_work(const struct problem *x, int last, struct str *out)
{
    for (int i = last; i >= 0; i--) {
        const struct person *p = &x->who[i];
        str_addf(out, "%s%s=", i == last ? " " : ", ", p->name);
        if (p->of < 0)
            str_addf(out, "%d", p->value);
        else if (p->step == TWICE)
            str_addf(out, "%s*2", x->who[p->of].name);
        else
            str_addf(out, "%s%+d", x->who[p->of].name, p->step);
    }
    for (int i = 1; i <= last; i++)
        str_addf(out, ", %s=%d", x->who[i].name, x->who[i].value);
}

static int make(const struct state *s, struct rng *r, struct problem *x, int index, int max_new_tokens,
                struct dataset_item *out, struct err *e)
{
    const struct config *c = s->c;
    int rc = -1, budget, compact = c->wording == DRAW_COMPACT, last = (int)c->num_hops;
    struct str question = {0}, context = {0}, text = {0};
    const char *prefix = compact ? "\nA:" : " Answer:";
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) || draw_problem(r, c, x, e))
        goto out;
    x->b.head =
        compact ? "" : "Some people in the following text have coins. I will ask you how many coins one of them has.\n";
    x->b.hay = &s->hay;
    x->b.start = (long)rng_below(r, (uint64_t)s->hay.n_unit);
    str_addf(&question, compact ? "\nQ: coins of %s?" : "\nQuestion: How many coins does %s have?", x->who[last].name);
    if (fit_context(&s->env, haystack_build, &x->b, 1, question.p, prefix, budget, &context, e))
        goto out;
    item_begin(out, index, 1, &context);
    struct dataset_question *q = item_question(out, question.p, prefix);
    str_addf(&text, "%d", x->who[last].value);
    item_answer(q, text.p, text.n);
    str_clear(&text);
    add_work(x, last, &text);
    q->target = str_take(&text);
    for (int i = 0; i <= last; i++)
        item_evidence(out, x->b.needle[i].begin, x->b.needle[i].end);
    rc = 0;
out:
    str_free(&question);
    str_free(&context);
    return rc;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    struct problem x = {0};
    struct rng r;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "arithmetic 1");
    int rc = make(s, &r, &x, index, max_new_tokens, out, e);
    for (int i = 0; i < HAYSTACK_MAX_NEEDLE; i++) {
        mem_free(x.who[i].name);
        mem_free(x.b.needle[i].text);
    }
    return rc;
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"num_hops", PARAM_INT, offsetof(struct config, num_hops), "3", 1, HAYSTACK_MAX_NEEDLE - 1, NULL,
     "steps that lead to the answer"},
    {"num_distractors", PARAM_INT, offsetof(struct config, num_distractors), "3", 0, HAYSTACK_MAX_NEEDLE - 2, NULL,
     "facts of the same form that the answer does not need"},
    {"type_haystack", PARAM_ENUM, offsetof(struct config, type_haystack), "essay", 0, 0, haystack_plain_types,
     "what the facts are scattered over"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings, "in sentences, or tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits,
     "compact: which half of all names"},
    {0},
};

extern const struct dataset_ops dataset_arithmetic;
const struct dataset_ops dataset_arithmetic = {
    .abi = DATASET_ABI,
    .name = "arithmetic",
    .summary = "a sum whose terms are scattered over a long text",
    .source = "own; in the manner of GSM8K, Cobbe et al. 2021, arXiv:2110.14168",
    .version = 2,
    .max_new_tokens = 256,
    .metric = "last_number",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
