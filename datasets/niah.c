/* RULER's needle-in-a-haystack tasks (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/niah.py):
 * templates, wording, defaults, needle form, depths and metric are RULER's. Deviations: the essay haystack is
 * public-domain books, begun at a sentence that the sample draws; keys come from our own word lists; the haystack
 * ends with a part of a sentence where that meets the token budget exactly. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/fit.h"
#include "datasets/haystack.h"
#include "datasets/words.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { HAY_NOISE, HAY_ESSAY };
enum { TYPE_WORDS, TYPE_NUMBERS, TYPE_UUIDS };
enum { MAX_NEEDLE = 64, N_DEPTH = 40 };

struct config {
    int64_t length, num_needle_k, num_needle_v, num_needle_q;
    double depth; /* percent; -1: drawn */
    int type_haystack, type_needle_k, type_needle_v;
};

static const char *const haystacks[] = {"noise", "essay", NULL};
static const char *const types[] = {"words", "numbers", "uuids", NULL};
static const char *const drawn[] = {"random", NULL};
static const char *const type_name[] = {"word", "number", "uuid"};
static const char noise[] = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

struct state {
    const struct config *c;
    struct dataset_env env;
    struct haystack hay; /* empty for noise */
};

struct needle {
    char *text, *value;
    double depth;       /* [0, 1] */
    int wanted;         /* its value is an answer */
    size_t begin, end;  /* of the value in the context, as last built */
};

struct build {
    const struct state *s;
    struct needle needle[MAX_NEEDLE];
    int n_needle;
    long start;         /* first sentence */
    const char *head;   /* task text before the haystack */
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

static void add_needle(struct build *b, size_t i, struct str *out)
{
    struct needle *n = &b->needle[i];
    size_t in_text = strlen(n->text) - strlen(n->value) - 1;
    n->begin = out->n + in_text;
    n->end = n->begin + strlen(n->value);
    str_add(out, n->text);
}

/* One unit of noise is a line; needles are lines of their own. */
static void build_noise(void *ctx, long units, struct str *out)
{
    struct build *b = ctx;
    str_add(out, b->head);
    for (long u = 0; u <= units; u++) {
        for (int i = 0; i < b->n_needle; i++)
            if ((long)(b->needle[i].depth * (double)units) == u) {
                add_needle(b, (size_t)i, out);
                str_add(out, "\n");
            }
        if (u < units) {
            str_add(out, noise);
            str_add(out, "\n");
        }
    }
    out->p[--out->n] = '\0'; /* the question brings its own line break */
}

/* One unit of essay is a word; needles stand between sentences. */
static void build_essay(void *ctx, long units, struct str *out)
{
    struct build *b = ctx;
    struct str all = {0};
    size_t cap = 0;
    size_t *mark = NULL; /* [n_mark] ends of sentences in `all` */
    int n_mark = 0;
    long words = 0;
    for (long s = b->start; words < units; s++) {
        struct str one = {0};
        haystack_sentence(&b->s->hay, s, &one);
        if (all.n)
            str_addc(&all, ' ');
        size_t at = 0;
        while (at < one.n && words < units) {
            size_t end = at + strcspn(one.p + at, " ");
            str_addn(&all, one.p + at, end - at);
            words++;
            if (end < one.n && words < units)
                str_addc(&all, ' ');
            at = end + 1;
        }
        str_free(&one);
        mem_grow(&mark, &cap, (size_t)n_mark + 1, sizeof *mark);
        mark[n_mark++] = all.n;
    }
    str_add(out, b->head);
    size_t from = 0;
    for (int m = 0; m <= n_mark; m++) { /* before sentence m; m == n_mark: after the last one */
        for (int i = 0; i < b->n_needle; i++)
            if ((int)(b->needle[i].depth * n_mark) == m) {
                add_needle(b, (size_t)i, out);
                str_addc(out, ' ');
            }
        if (m < n_mark) {
            while (from < mark[m] && all.p[from] == ' ')
                from++;
            str_addn(out, all.p + from, mark[m] - from);
            str_addc(out, ' ');
            from = mark[m];
        }
    }
    out->p[--out->n] = '\0';
    str_free(&all);
    mem_free(mark);
}

/* Depths: 40 evenly spaced percentages, drawn without repetition. */
static void draw_depths(struct rng *r, const struct config *c, struct build *b)
{
    double depth[N_DEPTH];
    for (int i = 0; i < N_DEPTH; i++)
        depth[i] = round(100.0 * i / (N_DEPTH - 1)) / 100;
    rng_shuffle(r, depth, N_DEPTH, sizeof *depth);
    for (int i = 0; i < b->n_needle; i++)
        b->needle[i].depth = b->needle[i].wanted && c->depth >= 0 ? c->depth / 100 : depth[i % N_DEPTH];
}

static void join_queries(char *const *key, int n, struct str *out)
{
    for (int i = 0; i < n; i++) {
        if (i)
            str_add(out, i == n - 1 ? ", and " : ", ");
        str_add(out, key[i]);
    }
}

static void fill_item(struct build *b, const char *question, const char *prefix, int index, struct str *context,
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
            q->answer[q->n_answer++] = mem_strdup(b->needle[i].value);
            out->evidence[out->n_evidence++] = (struct dataset_span){b->needle[i].begin, b->needle[i].end};
        }
    out->question = q;
    out->n_question = 1;
    out->context_id = str_take(&id);
    out->n_context = context->n;
    out->context = str_take(context);
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    int64_t keys = c->num_needle_k > c->num_needle_q ? c->num_needle_k : c->num_needle_q;
    if (keys * c->num_needle_v > MAX_NEEDLE || keys * c->num_needle_v > N_DEPTH)
        return err_set(e, ERR_CONFIG, "%lld needles; at most %d", (long long)(keys * c->num_needle_v), N_DEPTH);
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = c, .env = *env};
    if (c->type_haystack == HAY_ESSAY && haystack_open(&s->hay, env->data_dir, e)) {
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
    struct build b = {.s = s};
    struct rng r;
    struct str head = {0}, queries = {0}, question = {0}, prefix = {0}, context = {0};
    char *key[MAX_NEEDLE] = {0}, *value[MAX_NEEDLE] = {0};
    int rc = -1, n_key = (int)(c->num_needle_k > c->num_needle_q ? c->num_needle_k : c->num_needle_q);
    int one = c->num_needle_q * c->num_needle_v == 1, budget;
    long units;
    const char *type = type_name[c->type_needle_v], *plural = one ? "" : "s";
    rng_init(&r, rng_mix(seed, (uint64_t)index), "niah");
    for (int k = 0; k < n_key; k++) {
        key[k] = draw_new(&r, c->type_needle_k, key, k);
        for (int v = 0; v < c->num_needle_v; v++) {
            struct needle *n = &b.needle[b.n_needle];
            struct str text = {0};
            value[b.n_needle] = draw_new(&r, c->type_needle_v, value, b.n_needle);
            str_addf(&text, "One of the special magic %ss for %s is: %s.", type, key[k], value[b.n_needle]);
            n->value = value[b.n_needle++];
            n->text = str_take(&text);
            n->wanted = k < c->num_needle_q;
        }
    }
    draw_depths(&r, c, &b);
    b.start = s->hay.n_sentence ? (long)rng_below(&r, (uint64_t)s->hay.n_sentence) : 0;
    str_addf(&head, "%s special magic %s%s %s hidden within the following text. Make sure to memorize it. I will quiz you "
                    "about the %s%s afterwards.\n", one ? "A" : "Some", type, plural, one ? "is" : "are", type, plural);
    b.head = head.p;
    join_queries(key, (int)c->num_needle_q, &queries);
    str_addf(&question, "\nWhat %s the special magic %s%s for %s mentioned in the provided text?", one ? "is" : "are all",
             type, plural, queries.p);
    str_addf(&prefix, " The special magic %s%s for %s mentioned in the provided text %s", type, plural, queries.p,
             one ? "is" : "are");
    if (fit_prompt_budget(&s->env, c->length, max_new_tokens, &budget, e) ||
        fit_context(&s->env, c->type_haystack == HAY_NOISE ? build_noise : build_essay, &b, 1, question.p, prefix.p, budget,
                    &units, &context, e))
        goto out;
    fill_item(&b, question.p, prefix.p, index, &context, out);
    rc = 0;
out:
    for (int i = 0; i < MAX_NEEDLE; i++) {
        mem_free(key[i]);
        mem_free(value[i]);
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
        {"depth", PARAM_FLOAT, FIELD(depth), "random", 0, 100, drawn, "where the asked needle stands, percent"},       \
        {"num_needle_k", PARAM_INT, FIELD(num_needle_k), K, 1, N_DEPTH, NULL, "keys that are hidden"},                 \
        {"num_needle_v", PARAM_INT, FIELD(num_needle_v), V, 1, N_DEPTH, NULL, "values per key"},                       \
        {"num_needle_q", PARAM_INT, FIELD(num_needle_q), Q, 1, N_DEPTH, NULL, "keys that are asked for"},              \
        {"type_haystack", PARAM_ENUM, FIELD(type_haystack), HAY, 0, 0, haystacks, "what the needles hide in"},         \
        {"type_needle_k", PARAM_ENUM, FIELD(type_needle_k), KEY, 0, 0, types, "what keys are"},                        \
        {"type_needle_v", PARAM_ENUM, FIELD(type_needle_v), VALUE, 0, 0, types, "what values are"},                    \
        {0},                                                                                                           \
    }

#define NIAH(NAME, SUMMARY, K, V, Q, HAY, KEY, VALUE)                                                                  \
    static const struct param NAME##_params[] = PARAMS(K, V, Q, HAY, KEY, VALUE);                                      \
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
        .open = open,                                                                                                  \
        .count = count,                                                                                                \
        .item = item,                                                                                                  \
        .close = close,                                                                                                \
    }

NIAH(niah_single_1, "one number hidden in repeated noise", "1", "1", "1", "noise", "words", "numbers");
NIAH(niah_single_2, "one number hidden in book text", "1", "1", "1", "essay", "words", "numbers");
NIAH(niah_single_3, "one uuid hidden in book text", "1", "1", "1", "essay", "words", "uuids");
NIAH(niah_multikey_1, "four numbers hidden in book text, one asked for", "4", "1", "1", "essay", "words", "numbers");
NIAH(niah_multivalue, "four numbers of one key in book text", "1", "4", "1", "essay", "words", "numbers");
NIAH(niah_multiquery, "four keys hidden in book text, all asked for", "4", "1", "4", "essay", "words", "numbers");
