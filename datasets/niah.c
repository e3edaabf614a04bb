/* RULER's needle-in-a-haystack tasks (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/niah.py):
 * templates, wording, defaults, needle form, places of needles and metric are RULER's; so is what a length counts, and
 * with it RULER's short contexts, which differ in the step of its search alone. Deviations: keys and values come from
 * our own word lists and never repeat within a sample; the essays are public-domain books, begun at a sentence that the
 * sample draws; sentences are cut by our own rule; order and places of the needles are drawn for every sample (RULER
 * shuffles by the same seed each time), as shares of the haystack, so that the search for its size does not move them;
 * no blank stands before a needle that begins the text or follows another one; the haystack ends with a part of a
 * sentence or line where that meets the token budget exactly. `questions` is ours: that many questions continue from
 * one context, each with keys of its own; `depth` is ours.
 *
 * compact: needle "The number of KEY is VALUE.", no instruction, "Q: number of KEY?", "A:"; answers in the order of the
 * text. */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/haystack.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct config {
    int64_t length, num_needle_k, num_needle_v, num_needle_q, questions;
    double depth; /* percent; -1: drawn */
    int type_haystack, type_needle_k, type_needle_v, wording, split;
};

static const char *const drawn[] = {"random", NULL};
static const char *const type_name[] = {"word", "number", "uuid"};

struct state {
    const struct config *c;
    const char *stream; /* names the random numbers; book text is as it was in version 1 */
    struct dataset_env env;
    struct haystack hay;
};

/* What one sample is made of. */
struct sample {
    struct haystack_context b; /* needle k x num_needle_v + v holds value v of key k */
    struct haystack own;       /* a haystack of needles */
    struct draw keys, values;
    char *key[HAYSTACK_MAX_NEEDLE];
    int n_key;
};

/* A depth that is given holds for the first asked needle; further ones follow at equal steps to the end. */
static void draw_depths(struct rng *r, const struct config *c, struct haystack_context *b)
{
    int wanted = 0, n_wanted = (int)(c->questions * c->num_needle_q * c->num_needle_v);
    haystack_draw_depths(r, (enum haystack_type)c->type_haystack, b->needle, b->n_needle, 0);
    for (int i = 0; i < b->n_needle; i++)
        if (b->needle[i].wanted && c->depth >= 0) {
            b->needle[i].depth = (c->depth + (100 - c->depth) * wanted++ / n_wanted) / 100;
            b->needle[i].n_apart = 0;
        }
}

static void join_keys(char *const *key, int n, const char *last, struct str *out)
{
    for (int i = 0; i < n; i++) {
        if (i)
            str_add(out, i == n - 1 ? last : ", ");
        str_add(out, key[i]);
    }
}

static int n_keys(const struct config *c)
{
    int64_t asked = c->questions * c->num_needle_q;
    return (int)(c->num_needle_k > asked ? c->num_needle_k : asked);
}

static int open_as(const char *stream, void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    if (n_keys(c) * c->num_needle_v > HAYSTACK_MAX_NEEDLE)
        return err_set(e, ERR_CONFIG, "%d keys with %lld values each are %lld needles; at most %d", n_keys(c),
                       (long long)c->num_needle_v, (long long)(n_keys(c) * c->num_needle_v), HAYSTACK_MAX_NEEDLE);
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .stream = stream, .env = *env};
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

/* Appends "One of the special magic numbers for KEY is: VALUE." The value's place in it comes back. */
static int add_needle(const struct config *c, const char *key, struct draw *values, struct str *out, size_t *answer,
                      size_t *n_answer, struct err *e)
{
    const char *type = type_name[c->type_needle_v];
    if (c->wording == DRAW_COMPACT)
        str_addf(out, "The %s of %s is ", type, key);
    else
        str_addf(out, "One of the special magic %ss for %s is: ", type, key);
    *answer = out->n;
    if (draw_new(values, (enum draw_type)c->type_needle_v, 0, out, e))
        return -1;
    *n_answer = out->n - *answer;
    str_addc(out, '.');
    return 0;
}

/* Draws keys and values, all different, and makes their needles. The first keys are asked for. */
static int draw_needles(const struct config *c, struct sample *s, struct err *e)
{
    for (s->n_key = 0; s->n_key < n_keys(c); s->n_key++) {
        struct str key = {0};
        int bad = draw_new(&s->keys, (enum draw_type)c->type_needle_k, 0, &key, e);
        s->key[s->n_key] = str_take(&key);
        for (int v = 0; v < c->num_needle_v && !bad; v++) {
            struct haystack_needle *n = &s->b.needle[s->b.n_needle++];
            struct str text = {0};
            bad = add_needle(c, s->key[s->n_key], &s->values, &text, &n->answer, &n->n_answer, e);
            n->text = str_take(&text);
            n->wanted = s->n_key < c->questions * c->num_needle_q;
        }
        if (bad)
            return -1;
    }
    return 0;
}

/* A haystack of needles that nobody asks for, as many as `tokens` can hold: none has fewer than six words. */
static int draw_hay(const struct config *c, struct sample *s, int tokens, struct err *e)
{
    struct str text = {0}, key = {0};
    int rc = 0;
    haystack_open_type(&s->own, HAYSTACK_NEEDLE, NULL, e);
    for (int i = 0; i <= tokens / 6 && rc == 0; i++) {
        size_t at, n;
        str_clear(&text);
        str_clear(&key);
        rc = draw_new(&s->keys, (enum draw_type)c->type_needle_k, 0, &key, e);
        rc = rc ? rc : add_needle(c, key.p, &s->values, &text, &at, &n, e);
        if (rc == 0)
            haystack_add(&s->own, text.p, text.n);
    }
    str_free(&text);
    str_free(&key);
    return rc;
}

/* The i-th question and its answer prefix. */
static void word_question(const struct config *c, const struct sample *s, int i, struct str *question,
                          struct str *prefix)
{
    char *const *key = s->key + i * c->num_needle_q;
    int n = (int)c->num_needle_q, one = n * c->num_needle_v == 1;
    const char *type = type_name[c->type_needle_v], *plural = one ? "" : "s";
    struct str keys = {0};
    str_clear(question);
    str_clear(prefix);
    if (c->wording == DRAW_COMPACT) {
        join_keys(key, n, ", ", &keys);
        str_addf(question, "\nQ: %s%s of %s?", type, plural, keys.p);
        str_add(prefix, "\nA:");
    } else {
        join_keys(key, n, ", and ", &keys);
        str_addf(question, "\nWhat %s the special magic %s%s for %s mentioned in the provided text?",
                 one ? "is" : "are all", type, plural, keys.p);
        str_addf(prefix, " The special magic %s%s for %s mentioned in the provided text %s", type, plural, keys.p,
                 one ? "is" : "are");
    }
    str_free(&keys);
}

/* RULER lists the values as they were drawn; who is trained to write them all needs an order that the text shows. */
static void answer_key(const struct config *c, const struct sample *s, int k, struct dataset_item *out,
                       struct dataset_question *q)
{
    const struct haystack_needle *n = s->b.needle + k * c->num_needle_v, *hit[HAYSTACK_MAX_NEEDLE];
    int n_hit = 0;
    for (int v = 0; v < c->num_needle_v; v++) {
        int at = n_hit++;
        for (; c->wording == DRAW_COMPACT && at > 0 && hit[at - 1]->begin > n[v].begin; at--)
            hit[at] = hit[at - 1];
        hit[at] = &n[v];
    }
    for (int v = 0; v < n_hit; v++) {
        item_answer(q, hit[v]->text + hit[v]->answer, hit[v]->n_answer);
        item_evidence(out, hit[v]->begin, hit[v]->end);
    }
}

static int make(const struct state *s, struct sample *x, int index, int max_new_tokens, struct dataset_item *out,
                struct err *e)
{
    const struct config *c = s->c;
    const char *type = type_name[c->type_needle_v];
    int one = c->num_needle_q * c->num_needle_v == 1, budget, rc = -1;
    struct str head = {0}, question = {0}, prefix = {0}, context = {0};
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e))
        return -1;
    if (c->wording == DRAW_RULER)
        str_addf(&head,
                 "%s special magic %s%s %s hidden within the following text. Make sure to memorize it. I will quiz you "
                 "about the %s%s afterwards.\n",
                 one ? "A" : "Some", type, one ? "" : "s", one ? "is" : "are", type, one ? "" : "s");
    x->b.head = str_c(&head);
    if (draw_needles(c, x, e))
        goto out;
    draw_depths(x->keys.rng, c, &x->b);
    x->b.hay = &s->hay;
    if (c->type_haystack == HAYSTACK_NEEDLE) {
        if (draw_hay(c, x, budget, e))
            goto out;
        x->b.hay = &x->own;
    }
    x->b.start = (long)rng_below(x->keys.rng, (uint64_t)x->b.hay->n_unit);
    /* all questions share the context, so the longest one counts */
    int longest = 0, most = -1;
    for (int i = 0; i < c->questions; i++) {
        word_question(c, x, i, &question, &prefix);
        int n = s->env.prompt_tokens(s->env.ctx, "", 0, question.p, prefix.p);
        longest = n > most ? i : longest;
        most = n > most ? n : most;
    }
    word_question(c, x, longest, &question, &prefix);
    if (c->type_haystack == HAYSTACK_NEEDLE
            ? fit_records(&s->env, haystack_build, &x->b, 1, question.p, prefix.p, budget, &context, e)
            : fit_context(&s->env, haystack_build, &x->b, 1, question.p, prefix.p, budget, &context, e))
        goto out;
    item_begin(out, index, (int)c->questions, &context);
    for (int i = 0; i < c->questions; i++) {
        word_question(c, x, i, &question, &prefix);
        struct dataset_question *q = item_question(out, question.p, prefix.p);
        for (int k = 0; k < c->num_needle_q; k++)
            answer_key(c, x, (int)(i * c->num_needle_q) + k, out, q);
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
    struct sample x = {0};
    struct rng r;
    rng_init(&r, rng_mix(seed, (uint64_t)index), s->stream);
    draw_init(&x.keys, &r, s->c->wording, s->c->split);
    draw_init(&x.values, &r, s->c->wording, s->c->split);
    int rc = make(s, &x, index, max_new_tokens, out, e);
    for (int i = 0; i < HAYSTACK_MAX_NEEDLE; i++) {
        mem_free(x.key[i]);
        mem_free(x.b.needle[i].text);
    }
    draw_fini(&x.keys);
    draw_fini(&x.values);
    haystack_close(&x.own);
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

#define FIELD(name) offsetof(struct config, name)
#define PARAMS(K, V, Q, HAY, KEY, VALUE) \
    { \
        {"length", PARAM_INT, FIELD(length), "1024", 32, 1e7, NULL, "tokens of prompt plus max_new_tokens"}, \
            {"depth", PARAM_FLOAT, FIELD(depth), "random", \
             0,       100,         drawn,        "where the asked needle stands, percent of the sentences"}, \
            {"num_needle_k", \
             PARAM_INT, \
             FIELD(num_needle_k), \
             K, \
             1, \
             HAYSTACK_MAX_NEEDLE, \
             NULL, \
             "keys that are hidden, at least num_needle_q"}, \
            {"num_needle_v", PARAM_INT, FIELD(num_needle_v), V, 1, HAYSTACK_MAX_NEEDLE, NULL, "values per key"}, \
            {"num_needle_q",      PARAM_INT, FIELD(num_needle_q),      Q, 1, \
             HAYSTACK_MAX_NEEDLE, NULL,      "keys that are asked for"}, \
            {"type_haystack", PARAM_ENUM, FIELD(type_haystack), HAY, 0, 0, haystack_types, "what hides the needles"}, \
            {"type_needle_k", PARAM_ENUM, FIELD(type_needle_k), KEY, 0, 0, draw_types, "what keys are"}, \
            {"type_needle_v", PARAM_ENUM, FIELD(type_needle_v), VALUE, 0, 0, draw_types, "what values are"}, \
            {"questions", \
             PARAM_INT, \
             FIELD(questions), \
             "1", \
             1, \
             HAYSTACK_MAX_NEEDLE, \
             NULL, \
             "questions that continue from one context"}, \
            {"wording", PARAM_ENUM, FIELD(wording), "ruler", 0, 0, draw_wordings, "RULER's, or said tersely"}, \
            {"split", PARAM_ENUM, FIELD(split), "eval", \
             0,       0,          draw_splits,  "compact: which half of all keys and values"}, \
            {0}, \
    }

#define NIAH(NAME, SUMMARY, K, V, Q, HAY, KEY, VALUE) \
    static const struct param NAME##_params[] = PARAMS(K, V, Q, HAY, KEY, VALUE); \
    static int NAME##_open(void **self, const void *config, const struct dataset_env *env, struct err *e) \
    { \
        return open_as(#NAME " 1", self, config, env, e); \
    } \
    extern const struct dataset_ops dataset_##NAME; \
    const struct dataset_ops dataset_##NAME = { \
        .abi = DATASET_ABI, \
        .name = #NAME, \
        .summary = SUMMARY, \
        .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654", \
        .version = 2, \
        .max_new_tokens = 128, \
        .metric = "string_match_all", \
        .config_size = sizeof(struct config), \
        .params = NAME##_params, \
        .open = NAME##_open, \
        .count = count, \
        .item = item, \
        .close = close, \
    }

NIAH(niah_single_1, "one number hidden in repeated noise", "1", "1", "1", "noise", "words", "numbers");
NIAH(niah_single_2, "one number hidden in book text", "1", "1", "1", "essay", "words", "numbers");
NIAH(niah_single_3, "one uuid hidden in book text", "1", "1", "1", "essay", "words", "uuids");
NIAH(niah_multikey_1, "four numbers hidden in book text, one asked for", "4", "1", "1", "essay", "words", "numbers");
NIAH(niah_multikey_2, "one number among lines of numbers", "1", "1", "1", "needle", "words", "numbers");
NIAH(niah_multikey_3, "one uuid of a uuid among lines of them", "1", "1", "1", "needle", "uuids", "uuids");
NIAH(niah_multivalue, "four numbers of one key in book text", "1", "4", "1", "essay", "words", "numbers");
NIAH(niah_multiquery, "four keys hidden in book text, all asked for", "1", "1", "4", "essay", "words", "numbers");
