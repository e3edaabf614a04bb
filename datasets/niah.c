/* RULER's needle-in-a-haystack tasks (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/niah.py):
 * templates, wording, defaults, needle form, depths and metric are RULER's. Deviations: the essay haystack is
 * public-domain books, begun at a sentence that the sample draws; keys come from our own word lists; the haystack
 * ends with a part of a sentence where that meets the token budget exactly. */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/haystack.h"
#include "datasets/words.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { HAY_NOISE, HAY_ESSAY };
enum { TYPE_WORDS, TYPE_NUMBERS, TYPE_UUIDS };
enum { N_DEPTH = 40 };

struct config {
    int64_t length, num_needle_k, num_needle_v, num_needle_q;
    double depth; /* percent; -1: drawn */
    int type_haystack, type_needle_k, type_needle_v;
};

static const char *const haystacks[] = {"noise", "essay", NULL};
static const char *const types[] = {"words", "numbers", "uuids", NULL};
static const char *const drawn[] = {"random", NULL};
static const char *const type_name[] = {"word", "number", "uuid"};
static const char *const noise[] = {
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."};

struct state {
    const struct config *c;
    const char *stream; /* names the random numbers: task and version */
    struct dataset_env env;
    struct haystack hay;
};

static void draw_value(struct rng *r, int type, struct str *out)
{
    if (type == TYPE_NUMBERS) {
        str_addf(out, "%d", 1000000 + (int)rng_below(r, 9000000)); /* exactly seven digits */
    } else if (type == TYPE_WORDS) {
        str_addf(out, "%s-%s", words_adjective[rng_below(r, WORDS_N)], words_noun[rng_below(r, WORDS_N)]);
    } else {
        uint64_t a = rng_u64(r), b = rng_u64(r);
        a = (a & ~(uint64_t)0xF000) | 0x4000;                                /* version 4 */
        b = (b & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;                  /* variant 1 */
        str_addf(out, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xFFFF),
                 (unsigned)(a & 0xFFFF), (unsigned)(b >> 48), (unsigned long long)(b & 0xFFFFFFFFFFFFull));
    }
}

static int known(char *const *list, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i], text) == 0)
            return 1;
    return 0;
}

static char *draw_new(struct rng *r, int type, char *const *list, int n)
{
    struct str s = {0};
    do {
        str_clear(&s);
        draw_value(r, type, &s);
    } while (known(list, n, s.p));
    return str_take(&s);
}

/* Depths: 40 evenly spaced percentages, drawn without repetition. A depth that is given holds for the first asked needle;
 * further ones follow at equal steps to the end. */
static void draw_depths(struct rng *r, const struct config *c, struct haystack_context *b)
{
    int percent[N_DEPTH], wanted = 0, n_wanted = (int)(c->num_needle_q * c->num_needle_v);
    for (int i = 0; i < N_DEPTH; i++)
        percent[i] = (200 * i + N_DEPTH - 1) / (2 * (N_DEPTH - 1)); /* 100 i / 39, rounded */
    rng_shuffle(r, percent, N_DEPTH, sizeof *percent);
    for (int i = 0; i < b->n_needle; i++) {
        b->needle[i].depth = percent[i] / 100.0;
        if (b->needle[i].wanted && c->depth >= 0)
            b->needle[i].depth = (c->depth + (100 - c->depth) * wanted++ / n_wanted) / 100;
    }
}

static void join_queries(char *const *key, int n, struct str *out)
{
    for (int i = 0; i < n; i++) {
        if (i)
            str_add(out, i == n - 1 ? ", and " : ", ");
        str_add(out, key[i]);
    }
}

static void fill_item(struct haystack_context *b, const char *question, const char *prefix, int index, struct str *context,
                      struct dataset_item *out)
{
    struct str id = {0};
    str_addf(&id, "%d", index);
    struct dataset_question *q = mem_new(1, sizeof *q);
    q->id = mem_strdup(id.p);
    q->text = mem_strdup(question);
    q->answer_prefix = mem_strdup(prefix);
    q->answer = mem_new((size_t)b->n_needle, sizeof *q->answer);
    out->evidence = mem_new((size_t)b->n_needle, sizeof *out->evidence);
    for (int i = 0; i < b->n_needle; i++)
        if (b->needle[i].wanted) {
            const struct haystack_needle *hit = &b->needle[i];
            q->answer[q->n_answer++] = mem_strndup(hit->text + hit->answer, hit->n_answer);
            out->evidence[out->n_evidence++] = (struct dataset_span){hit->begin, hit->end};
        }
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context->n;
    out->context = str_take(context);
}

static int open_as(const char *stream, void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    int64_t keys = c->num_needle_k > c->num_needle_q ? c->num_needle_k : c->num_needle_q;
    if (keys * c->num_needle_v > HAYSTACK_MAX_NEEDLE)
        return err_set(e, ERR_CONFIG, "%lld keys with %lld values each are %lld needles; at most %d", (long long)keys,
                       (long long)c->num_needle_v, (long long)(keys * c->num_needle_v), HAYSTACK_MAX_NEEDLE);
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .stream = stream, .env = *env};
    if (c->type_haystack == HAY_NOISE) {
        haystack_open_stock(&s->hay, noise, 1, '\n');
    } else if (haystack_open(&s->hay, env->data_dir, e)) {
        mem_free(s);
        return err_wrap(e, "the books of the haystack (DEPTHKV_DATA names their folder)");
    }
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

/* Draws keys and values, all different, and makes their needles. The first num_needle_q keys are asked for. */
static void draw_needles(struct rng *r, const struct config *c, struct haystack_context *b, char **key, int n_key)
{
    char *value[HAYSTACK_MAX_NEEDLE];
    for (int k = 0; k < n_key; k++) {
        key[k] = draw_new(r, c->type_needle_k, key, k);
        for (int v = 0; v < c->num_needle_v; v++) {
            struct haystack_needle *n = &b->needle[b->n_needle];
            struct str text = {0};
            char *drawn_value = draw_new(r, c->type_needle_v, value, b->n_needle);
            str_addf(&text, "One of the special magic %ss for %s is: ", type_name[c->type_needle_v], key[k]);
            n->answer = text.n;
            str_add(&text, drawn_value);
            n->n_answer = text.n - n->answer;
            str_addc(&text, '.');
            n->text = str_take(&text);
            n->wanted = k < c->num_needle_q;
            value[b->n_needle++] = drawn_value;
        }
    }
    for (int i = 0; i < b->n_needle; i++)
        mem_free(value[i]);
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    const struct config *c = s->c;
    struct haystack_context b = {.hay = &s->hay};
    struct rng r;
    struct str head = {0}, queries = {0}, question = {0}, prefix = {0}, context = {0};
    char *key[HAYSTACK_MAX_NEEDLE] = {0};
    int rc = -1, n_key = (int)(c->num_needle_k > c->num_needle_q ? c->num_needle_k : c->num_needle_q);
    int one = c->num_needle_q * c->num_needle_v == 1, budget;
    const char *type = type_name[c->type_needle_v], *plural = one ? "" : "s";
    rng_init(&r, rng_mix(seed, (uint64_t)index), s->stream);
    draw_needles(&r, c, &b, key, n_key);
    draw_depths(&r, c, &b);
    b.start = (long)rng_below(&r, (uint64_t)s->hay.n_unit);
    str_addf(&head, "%s special magic %s%s %s hidden within the following text. Make sure to memorize it. I will quiz you "
                    "about the %s%s afterwards.\n", one ? "A" : "Some", type, plural, one ? "is" : "are", type, plural);
    b.head = head.p;
    join_queries(key, (int)c->num_needle_q, &queries);
    str_addf(&question, "\nWhat %s the special magic %s%s for %s mentioned in the provided text?", one ? "is" : "are all",
             type, plural, queries.p);
    str_addf(&prefix, " The special magic %s%s for %s mentioned in the provided text %s", type, plural, queries.p,
             one ? "is" : "are");
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, haystack_build, &b, 1, question.p, prefix.p, budget, &context, e))
        goto out;
    fill_item(&b, question.p, prefix.p, index, &context, out);
    rc = 0;
out:
    for (int i = 0; i < HAYSTACK_MAX_NEEDLE; i++) {
        mem_free(key[i]);
        mem_free(b.needle[i].text);
    }
    str_free(&head);
    str_free(&queries);
    str_free(&question);
    str_free(&prefix);
    str_free(&context);
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
#define PARAMS(K, V, Q, HAY, KEY, VALUE)                                                                               \
    {                                                                                                                  \
        {"length", PARAM_INT, FIELD(length), "1024", 32, 1e7, NULL, "tokens of prompt plus max_new_tokens"},           \
        {"depth", PARAM_FLOAT, FIELD(depth), "random", 0, 100, drawn, "where the asked needle stands, percent of the sentences"},       \
        {"num_needle_k", PARAM_INT, FIELD(num_needle_k), K, 1, N_DEPTH, NULL, "keys that are hidden, at least num_needle_q"},                 \
        {"num_needle_v", PARAM_INT, FIELD(num_needle_v), V, 1, N_DEPTH, NULL, "values per key"},                       \
        {"num_needle_q", PARAM_INT, FIELD(num_needle_q), Q, 1, N_DEPTH, NULL, "keys that are asked for"},              \
        {"type_haystack", PARAM_ENUM, FIELD(type_haystack), HAY, 0, 0, haystacks, "what the needles hide in"},         \
        {"type_needle_k", PARAM_ENUM, FIELD(type_needle_k), KEY, 0, 0, types, "what keys are"},                        \
        {"type_needle_v", PARAM_ENUM, FIELD(type_needle_v), VALUE, 0, 0, types, "what values are"},                    \
        {0},                                                                                                           \
    }

#define NIAH(NAME, SUMMARY, K, V, Q, HAY, KEY, VALUE)                                                                  \
    static const struct param NAME##_params[] = PARAMS(K, V, Q, HAY, KEY, VALUE);                                      \
    static int NAME##_open(void **self, const void *config, const struct dataset_env *env, struct err *e)              \
    {                                                                                                                  \
        return open_as(#NAME " 1", self, config, env, e);                                                              \
    }                                                                                                                  \
    extern const struct dataset_ops dataset_##NAME;                                                                    \
    const struct dataset_ops dataset_##NAME = {                                                                        \
        .abi = DATASET_ABI,                                                                                            \
        .name = #NAME,                                                                                                 \
        .summary = SUMMARY,                                                                                            \
        .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654",                                                        \
        .version = 1,                                                                                                  \
        .max_new_tokens = 128,                                                                                         \
        .metric = "string_match_all",                                                                                  \
        .config_size = sizeof(struct config),                                                                          \
        .params = NAME##_params,                                                                                       \
        .open = NAME##_open,                                                                                           \
        .count = count,                                                                                                \
        .item = item,                                                                                                  \
        .close = close,                                                                                                \
    }

NIAH(niah_single_1, "one number hidden in repeated noise", "1", "1", "1", "noise", "words", "numbers");
NIAH(niah_single_2, "one number hidden in book text", "1", "1", "1", "essay", "words", "numbers");
NIAH(niah_single_3, "one uuid hidden in book text", "1", "1", "1", "essay", "words", "uuids");
NIAH(niah_multikey_1, "four numbers hidden in book text, one asked for", "4", "1", "1", "essay", "words", "numbers");
NIAH(niah_multivalue, "four numbers of one key in book text", "1", "4", "1", "essay", "words", "numbers");
NIAH(niah_multiquery, "four keys hidden in book text, all asked for", "1", "1", "4", "essay", "words", "numbers");
